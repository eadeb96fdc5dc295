//! The one place where the Discord half meets the Lavalink half.
//!
//! [`Nodes`] is the set of Lavalink nodes, [`Audio`] the record of what could be heard. Here they are without any node:
//! nothing plays, and no fault is theirs.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::clock::Clock;
use super::log::Log;
use super::voice::Switchboard;

/// A node as the ready line names it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NodeReady {
    /// Its name.
    pub name: String,
    /// Where it listens, `http://…`.
    pub url: String,
    /// Its password.
    pub password: String,
}

/// The Lavalink nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes;

/// How to start the nodes.
#[derive(Debug)]
pub(crate) struct NodeOptions {
    /// Their names and where each listens.
    pub(crate) listen: Vec<(String, SocketAddr)>,
    /// The host that the ready line names.
    pub(crate) host: String,
    /// The simulator's seed.
    pub(crate) seed: u64,
}

impl Nodes {
    /// Starts the nodes and their record.
    #[expect(clippy::unused_async, reason = "nodes bind sockets")]
    pub(crate) async fn start(
        options: NodeOptions,
        _clock: Clock,
        _log: Log,
        _switchboard: Switchboard,
    ) -> io::Result<(Self, Audio)> {
        let NodeOptions { listen, host, seed } = options;
        if let Some((name, at)) = listen.first() {
            let text = format!("no Lavalink half here: cannot start {name} at {at} for {host} (seed {seed})");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok((Self, Audio))
    }

    /// The nodes of the ready line.
    #[expect(clippy::unused_self, reason = "the seam's shape")]
    pub(crate) fn ready(&self) -> Vec<NodeReady> {
        Vec::new()
    }

    /// `nodes` of `GET /world`.
    #[expect(clippy::unused_self, reason = "the seam's shape")]
    pub(crate) fn world(&self) -> Value {
        json!([])
    }

    /// Begins a fault; `None` when the kind is none of the nodes', `Some(Err(why))` when its fields are wrong.
    #[expect(clippy::unused_self, reason = "the seam's shape")]
    pub(crate) fn fault(&self, _kind: &str, _fault: &Value) -> Option<Result<(), String>> {
        None
    }

    /// Ends a lasting fault that [`Nodes::fault`] began.
    #[expect(clippy::unused_self, reason = "the seam's shape")]
    pub(crate) fn end_fault(&self, _kind: &str, _fault: &Value) {}

    /// Kinds of faults that are the nodes'.
    #[expect(clippy::unused_self, reason = "the seam's shape")]
    pub(crate) fn fault_kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// `lavalink` of `GET /counters`.
    #[expect(clippy::unused_self, reason = "the seam's shape")]
    pub(crate) fn counters(&self) -> Value {
        json!({})
    }

    /// Ends every node.
    #[expect(clippy::unused_async, reason = "nodes close sockets")]
    pub(crate) async fn shutdown(&self) {}
}

/// What could be heard, by guild.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audio;

#[expect(clippy::unused_self, reason = "the seam's shape")]
impl Audio {
    /// `GET /guilds/{g}/audio`, without `now_ms`.
    pub(crate) fn report(&self, _guild: u64, _since_ms: u64) -> Value {
        json!({"playing": false, "segments": [], "gaps": []})
    }

    /// A person did something that changes what is heard.
    pub(crate) fn mark_interaction(&self, _guild: u64) {}

    /// An admin moved or kicked the bot.
    pub(crate) fn mark_moved(&self, _guild: u64) {}

    /// How many people are in the bot's channel.
    pub(crate) fn people(&self, _guild: u64, _count: usize) {}

    /// The bot was removed from the guild.
    pub(crate) fn removed(&self, _guild: u64) {}
}
