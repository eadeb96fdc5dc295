//! The one place where the Discord half meets the Lavalink half: how nodes are started, and their faults begin.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;

pub(crate) use super::audio::Audio;
use super::clock::Clock;
pub(crate) use super::lavalink::FaultEnd;
pub use super::lavalink::NodeReady;
use super::lavalink::{self, Surroundings, Timing};
use super::log::Log;
use super::voice::Switchboard;

/// How to start the nodes.
#[derive(Debug)]
pub(crate) struct NodeOptions {
    /// Their names and where each listens.
    pub(crate) listen: Vec<(String, SocketAddr)>,
    /// The host that the ready line names.
    pub(crate) host: String,
    /// The simulator's seed.
    pub(crate) seed: u64,
    /// Between their `stats`, in ms.
    pub(crate) stats_ms: u64,
}

/// The Lavalink nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: lavalink::Nodes,
}

impl Nodes {
    /// Starts the nodes and their record.
    pub(crate) async fn start(
        options: NodeOptions,
        clock: Clock,
        log: Log,
        switchboard: Switchboard,
    ) -> io::Result<(Self, Audio)> {
        let NodeOptions {
            listen,
            host,
            seed,
            stats_ms,
        } = options;
        let audio = Audio::new(clock);
        let (names, listen): (Vec<_>, Vec<_>) = listen.into_iter().unzip();
        let surroundings = Surroundings {
            clock,
            log,
            switchboard,
            audio: audio.clone(),
            timing: Timing {
                stats_ms,
                ..Timing::default()
            },
            seed,
        };
        let nodes = lavalink::Nodes::start_in(&names, &listen, Some(&host), &surroundings).await?;
        Ok((Self { nodes }, audio))
    }

    /// The nodes of the ready line.
    pub(crate) fn ready(&self) -> Vec<NodeReady> {
        self.nodes.ready()
    }

    /// `nodes` of `GET /world`.
    pub(crate) fn world(&self) -> Value {
        self.nodes.world()
    }

    /// Begins a fault; `None` when the kind is none of the nodes', `Some(Err(why))` when its fields are wrong. Its end says
    /// whether it lasts or has happened.
    pub(crate) fn fault(&self, kind: &str, fault: &Value) -> Option<Result<FaultEnd, String>> {
        self.nodes.fault(kind, fault)
    }

    /// `lavalink` of `GET /counters`.
    pub(crate) fn counters(&self) -> Value {
        self.nodes.counters()
    }

    /// Ends every node.
    pub(crate) async fn shutdown(&self) {
        self.nodes.shutdown().await;
    }
}
