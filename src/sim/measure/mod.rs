//! What the simulator itself costs: it runs on threads of its own, is driven over its sockets, and the time that those
//! threads spend is read from the kernel. Linux only.

mod client;
mod threads;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Options, Ready, Sim, start};
use client::{Gateway, Guild, Node};

/// Players that one gateway socket can start without being closed for sending too much.
const JOINS_A_SHARD: usize = 100;
/// Guilds of one shard, well below what Discord allows.
const GUILDS_A_SHARD: usize = 2_000;
/// What is measured begins this long after all is in place.
const SETTLE: Duration = Duration::from_secs(1);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Guilds of the steady state.
    pub guilds: usize,
    /// How many of them play.
    pub players: usize,
    /// Idle guilds of the start.
    pub idle: usize,
    /// Events a second to ask for.
    pub events: u32,
    /// How long each state is watched.
    pub watch: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Starting with many idle guilds.
    pub start: Started,
    /// Many guilds, some of which play, and nothing else.
    pub steady: Steady,
    /// People who come and go.
    pub dispatch: Dispatched,
}

/// A start.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    /// Guilds.
    pub guilds: usize,
    /// Until everything listened.
    pub ms: u64,
    /// Resident memory of the whole process then, in MiB.
    pub mib: u64,
}

/// A steady state.
#[derive(Clone, Debug, Serialize)]
pub struct Steady {
    /// Guilds.
    pub guilds: usize,
    /// Players that play.
    pub players: usize,
    /// Processor time of the simulator per time.
    pub cores: f64,
}

/// A flood of events.
#[derive(Clone, Debug, Serialize)]
pub struct Dispatched {
    /// Events a second that were asked for.
    pub wanted_per_s: u32,
    /// Events a second that clients received.
    pub received_per_s: u64,
    /// Processor time of the simulator per time.
    pub cores: f64,
}

/// Measures one after the other.
///
/// # Errors
/// No port can be had, a connection breaks, or the kernel does not tell.
pub async fn run(wanted: &Wanted) -> io::Result<Measured> {
    Ok(Measured {
        start: started(wanted.idle).await?,
        steady: steady(wanted).await?,
        dispatch: dispatched(wanted).await?,
    })
}

/// A simulator on threads of its own.
struct Apart {
    runtime: Option<Runtime>,
    sim: Option<Sim>,
    ready: Ready,
}

impl Apart {
    async fn start(options: Options) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(threads::NAME)
            .enable_all()
            .build()?;
        let sim = runtime.spawn(start(options)).await.map_err(io::Error::other)??;
        Ok(Self {
            ready: sim.ready.clone(),
            sim: Some(sim),
            runtime: Some(runtime),
        })
    }

    async fn end(mut self) {
        if let (Some(runtime), Some(sim)) = (&self.runtime, self.sim.take()) {
            drop(runtime.spawn(sim.shutdown()).await);
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn options(guilds: usize, shards: usize) -> Options {
    let shards = u32::try_from(shards).unwrap_or(u32::MAX);
    Options {
        guilds,
        shards,
        max_concurrency: shards,
        ..Options::default()
    }
}

async fn started(guilds: usize) -> io::Result<Started> {
    let began = Instant::now();
    let sim = Apart::start(options(guilds, guilds.div_ceil(GUILDS_A_SHARD).max(1))).await?;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mib = threads::resident_mib()?;
    sim.end().await;
    Ok(Started { guilds, ms, mib })
}

/// Processor time of the simulator's threads per time, while `watch` passes.
async fn cores_during(watch: Duration) -> io::Result<f64> {
    let (before, began) = (threads::busy()?, Instant::now());
    sleep(watch).await;
    let busy = threads::busy()?.saturating_sub(before);
    Ok(busy.as_secs_f64() / began.elapsed().as_secs_f64())
}

async fn steady(wanted: &Wanted) -> io::Result<Steady> {
    let shards = wanted
        .players
        .div_ceil(JOINS_A_SHARD)
        .max(wanted.guilds.div_ceil(GUILDS_A_SHARD))
        .max(1);
    let sim = Apart::start(options(wanted.guilds, shards)).await?;
    let mut reading = JoinSet::new();
    for shard in 0..shards {
        let mut gateway = Gateway::login(&sim.ready, shard, shards).await?;
        let guilds = gateway.guilds().await?;
        let playing: Vec<Guild> = guilds.into_iter().take(wanted.players.div_ceil(shards)).collect();
        let mut node = Node::connect(&sim.ready, shard, shards).await?;
        for guild in &playing {
            let voice = gateway.join(guild).await?;
            node.play(guild, &voice).await?;
        }
        reading.spawn(gateway.read(Arc::default()));
        reading.spawn(node.read());
    }
    sleep(SETTLE).await;
    let cores = cores_during(wanted.watch).await?;
    let players = client::players(&sim.ready).await?;
    reading.shutdown().await;
    sim.end().await;
    Ok(Steady {
        guilds: wanted.guilds,
        players,
        cores,
    })
}

async fn dispatched(wanted: &Wanted) -> io::Result<Dispatched> {
    let shards = wanted.guilds.div_ceil(GUILDS_A_SHARD).max(1);
    let sim = Apart::start(options(wanted.guilds, shards)).await?;
    let received: Arc<AtomicU64> = Arc::default();
    let mut reading = JoinSet::new();
    for shard in 0..shards {
        let mut gateway = Gateway::login(&sim.ready, shard, shards).await?;
        gateway.guilds().await?;
        reading.spawn(gateway.read(Arc::clone(&received)));
    }
    client::fault(&sim.ready, &json!({"kind": "flood", "per_s": wanted.events})).await?;
    sleep(SETTLE).await;
    let (before, began) = (received.load(Ordering::Relaxed), Instant::now());
    let cores = cores_during(wanted.watch).await?;
    let count = received.load(Ordering::Relaxed) - before;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    reading.shutdown().await;
    sim.end().await;
    Ok(Dispatched {
        wanted_per_s: wanted.events,
        received_per_s: count * 1_000 / ms,
        cores,
    })
}
