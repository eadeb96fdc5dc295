//! Lavalink nodes as Lavalink 4.2.2 behaves, measured: WebSocket and REST on one port each, and faults.

mod catalogue;
mod fault;
mod handover;
pub(crate) mod hostile;
mod life;
mod listen;
mod node;
mod outbox;
mod patch;
mod player;
mod players;
mod playhead;
mod redial;
mod rest;
mod session;
mod socket;
mod track;

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use catalogue::Catalogue;
use fault::Switches;
pub use fault::{FaultEnd, fault_kinds};
use node::Node;

use super::audio::Audio;
use super::clock::Clock;
use super::log::Log;
use super::voice::Switchboard;

/// The periods of a node; [`Timing::default`] is the real one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between `playerUpdate`s of a player, in ms.
    pub update_ms: u64,
    /// Between `stats`, in ms.
    pub stats_ms: u64,
    /// How long a track lives of which nobody pulls frames, in ms.
    pub cleanup_ms: u64,
    /// How long a voice handshake takes, in ms.
    pub voice_connect_ms: u64,
    /// Requests that can be answered at once.
    pub workers: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            update_ms: 5_000,
            stats_ms: 60_000,
            cleanup_ms: 60_000,
            voice_connect_ms: 25,
            workers: 16,
        }
    }
}

/// What a bot needs to know of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReady {
    /// Its name.
    pub name: String,
    /// `http://HOST:PORT`.
    pub url: String,
    /// Its password.
    pub password: String,
}

/// The world that nodes live in, and their own settings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The simulator's clock.
    pub clock: Clock,
    /// Its log.
    pub log: Log,
    /// Discord's voice.
    pub switchboard: Switchboard,
    /// Who hears what.
    pub audio: Audio,
    /// The nodes' periods.
    pub timing: Timing,
    /// Of everything random.
    pub seed: u64,
}

/// What every part of a node shares.
#[derive(Clone, Debug)]
struct Shared {
    clock: Clock,
    log: Log,
    switchboard: Switchboard,
    audio: Audio,
    timing: Timing,
    catalogue: Arc<Catalogue>,
    counters: Arc<Mutex<BTreeMap<String, u64>>>,
    /// The wall clock at the simulator's 0.
    epoch_ms: i64,
    switches: Arc<watch::Sender<Switches>>,
}

impl Shared {
    /// The wall clock that goes with the simulator's.
    fn wall_ms(&self) -> i64 {
        self.epoch_ms + i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }

    fn count(&self, route: &str) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        match counters.get_mut(route) {
            Some(count) => *count += 1,
            None => {
                counters.insert(route.to_owned(), 1);
            }
        }
    }

    /// Whether this resume is one that the node loses.
    fn loses_resume(&self) -> bool {
        self.uses_up("lose_resume", None)
    }

    /// Whether this event is one that never reaches its client.
    fn loses_event(&self, kind: &str) -> bool {
        self.uses_up("lose_event", Some(kind))
    }

    /// Whether this event comes after the next message.
    fn delays_event(&self) -> bool {
        self.uses_up("reorder", None)
    }

    fn uses_up(&self, kind: &str, of: Option<&str>) -> bool {
        self.switches.send_if_modified(|switches| switches.use_up(kind, of))
    }
}

/// The wall clock in ms, for what carries no meaning but its own age.
fn wall_now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// All nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nodes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    nodes: Vec<Arc<Node>>,
    tasks: TaskTracker,
    counters: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Nodes {
    /// Starts a node for each name on the address of the same place, with the real periods.
    ///
    /// # Errors
    /// A port cannot be had.
    #[expect(clippy::too_many_arguments, reason = "the simulator's parts, each by its own name")]
    pub async fn start(
        names: &[String],
        listen: Vec<SocketAddr>,
        advertise_host: Option<String>,
        clock: Clock,
        log: Log,
        switchboard: Switchboard,
        audio: Audio,
        seed: u64,
    ) -> io::Result<Self> {
        let surroundings = Surroundings {
            clock,
            log,
            switchboard,
            audio,
            timing: Timing::default(),
            seed,
        };
        Self::start_in(names, &listen, advertise_host.as_deref(), &surroundings).await
    }

    /// As [`Nodes::start`], with periods of one's own.
    ///
    /// # Errors
    /// A port cannot be had.
    #[expect(clippy::unused_async, reason = "listening needs a runtime, and callers await it")]
    pub async fn start_in(
        names: &[String],
        listen: &[SocketAddr],
        advertise_host: Option<&str>,
        surroundings: &Surroundings,
    ) -> io::Result<Self> {
        if names.len() != listen.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "one address for each node"));
        }
        let seed = surroundings.seed;
        let counters: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
        let catalogue = LazyCell::new(|| Arc::new(Catalogue::new(seed)));
        let now = i64::try_from(surroundings.clock.now_ms()).unwrap_or(0);
        let mut nodes = Vec::with_capacity(names.len());
        for ((name, at), nth) in names.iter().zip(listen).zip(0_u64..) {
            let shared = Shared {
                clock: surroundings.clock,
                log: surroundings.log.clone(),
                switchboard: surroundings.switchboard.clone(),
                audio: surroundings.audio.clone(),
                timing: surroundings.timing,
                catalogue: Arc::clone(&catalogue),
                counters: Arc::clone(&counters),
                epoch_ms: wall_now_ms() - now,
                switches: Arc::new(watch::Sender::new(Switches::default())),
            };
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(nth << 32);
            nodes.push(Node::start(name, *at, advertise_host, shared, seed)?);
        }
        Ok(Self(Arc::new(Inner {
            nodes,
            tasks: TaskTracker::new(),
            counters,
        })))
    }

    /// The nodes as the ready line names them.
    pub fn ready(&self) -> Vec<NodeReady> {
        self.0.nodes.iter().map(|node| node.ready()).collect()
    }

    /// `nodes` of `GET /world`.
    pub fn world(&self) -> Value {
        self.0.nodes.iter().map(|node| node.world()).collect()
    }

    /// `lavalink` of `GET /counters`: requests by `METHOD /template`, over all nodes.
    pub fn counters(&self) -> Value {
        json!(*self.0.counters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a fault. `None`: the kind is not a node's. The end undoes it; what happens once has nothing to undo.
    pub fn fault(&self, kind: &str, options: &Value) -> Option<Result<FaultEnd, String>> {
        fault::begin(&self.0.nodes, &self.0.tasks, kind, options)
    }

    /// Ends every node, its sockets with 1001, and waits for all tasks.
    pub async fn shutdown(&self) {
        for node in &self.0.nodes {
            node.stop_for_good().await;
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}
