//! A Discord and any number of Lavalink nodes that speak the real wire, with faults, a log and an oracle.
//!
//! It shares no code with the bot: the only thing of the bot that it may import is `lifecycle`.

pub mod audio;
pub mod clock;
mod control;
mod discord;
pub mod hostile;
mod http;
pub mod injections;
pub mod lavalink;
pub mod log;
pub mod measure;
pub mod oracle;
mod seam;
pub mod story;
pub mod voice;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::clock::Clock;
use self::control::Control;
use self::discord::Discord;
pub(crate) use self::discord::MOST_SHARDS;
use self::discord::world::{Settings, Size, World};
use self::log::Log;
pub use self::seam::NodeReady;
use self::seam::{NodeOptions, Nodes};
use self::voice::Switchboard;

/// How often the world looks at its clock.
const TICK: Duration = Duration::from_millis(25);
/// How long open requests may take to end at a shutdown.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Guilds at the start, each with three people, one text and two voice channels.
    pub guilds: usize,
    /// Shards that `GET /gateway/bot` recommends, at most 16,384.
    pub shards: u32,
    /// How many shards may identify at once.
    pub max_concurrency: u32,
    /// Names of the Lavalink nodes.
    pub nodes: Vec<String>,
    /// Ids, tokens and everything random come from it.
    pub seed: u64,
    /// Where Discord listens. With port P control is on P+1 and the nodes on P+2, …; with 0 all ports are free ones.
    pub listen: SocketAddr,
    /// The host in the addresses given out; else that of `listen`.
    pub advertise: Option<String>,
    /// `host:port` that `VOICE_SERVER_UPDATE` names, for a real Lavalink.
    pub voice_endpoint: Option<String>,
    /// How long a gateway session without a socket can be resumed, in ms.
    pub session_ttl_ms: u64,
    /// What HELLO asks for, in ms.
    pub heartbeat_ms: u64,
    /// Between what a node says of its players and their frames, in ms; real ones do so every minute.
    pub stats_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            guilds: 0,
            shards: 1,
            max_concurrency: 1,
            nodes: vec!["a".to_owned()],
            seed: 1,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            voice_endpoint: None,
            session_ttl_ms: 90_000,
            heartbeat_ms: 41_250,
            stats_ms: 60_000,
        }
    }
}

/// The line that tells a harness where everything is. It holds secrets of the simulated world, and is meant to.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// `http://host:port`; `/api/v10` follows.
    pub discord_api: String,
    /// `ws://host:port`.
    pub discord_gateway: String,
    /// The bot's token.
    pub token: String,
    /// The nodes.
    pub lavalink: Vec<NodeReady>,
    /// `http://host:port` of the control API.
    pub control: String,
}

/// Every kind of fault that `POST /faults` knows, in alphabetical order.
pub fn fault_kinds() -> Vec<&'static str> {
    let mut kinds: Vec<&str> = discord::FAULT_KINDS
        .iter()
        .copied()
        .chain(lavalink::fault_kinds())
        .collect();
    kinds.sort_unstable();
    kinds
}

/// A simulator that runs.
#[derive(Debug)]
pub struct Sim {
    /// Where everything is.
    pub ready: Ready,
    stop: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
    nodes: Arc<Nodes>,
}

/// Starts a simulator in this process. Fails when a port is taken.
pub async fn start(options: Options) -> io::Result<Sim> {
    let clock = Clock::new();
    let log = Log::new(clock);
    let switchboard = Switchboard::default();
    let host = host_of(&options);
    let discord_listener = TcpListener::bind(options.listen).await?;
    let control_listener = TcpListener::bind(port_after(options.listen, 1)?).await?;
    let discord_at = format!("{host}:{}", discord_listener.local_addr()?.port());
    let control_at = format!("{host}:{}", control_listener.local_addr()?.port());

    let mut listen = Vec::new();
    for (index, name) in options.nodes.iter().enumerate() {
        listen.push((name.clone(), port_after(options.listen, index + 2)?));
    }
    let node_options = NodeOptions {
        listen,
        host,
        seed: options.seed,
        stats_ms: options.stats_ms.max(1),
    };
    let (nodes, audio) = Nodes::start(node_options, clock, log.clone(), switchboard.clone()).await?;
    let nodes = Arc::new(nodes);
    let settings = Settings {
        seed: options.seed,
        shards: options.shards.clamp(1, MOST_SHARDS),
        max_concurrency: options.max_concurrency.max(1),
        voice_endpoint: options.voice_endpoint,
        gateway_url: format!("ws://{discord_at}"),
        session_ttl_ms: options.session_ttl_ms,
        heartbeat_ms: options.heartbeat_ms.max(1),
    };
    let mut world = World::new(settings, clock, log.clone(), switchboard, (Arc::clone(&nodes), audio));
    for _ in 0..options.guilds {
        world.create_guild(Size {
            members: 3,
            text: 1,
            voice: 2,
        });
    }
    let ready = Ready {
        discord_api: format!("http://{discord_at}"),
        discord_gateway: format!("ws://{discord_at}"),
        token: world.token.clone(),
        lavalink: nodes.ready(),
        control: format!("http://{control_at}"),
    };

    let stop = CancellationToken::new();
    let discord = Discord::new(world, stop.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(tick(discord.clone(), stop.clone()));
    tasks.spawn(Control::new(discord.clone(), log).serve(control_listener, stop.clone()));
    tasks.spawn(discord.serve(discord_listener));
    Ok(Sim {
        ready,
        stop,
        tasks,
        nodes,
    })
}

impl Sim {
    /// Waits until a part of it ends that must not end before all of it does, and answers why: whoever runs it can only end
    /// as well, for without its clock nothing of the world happens any more.
    pub async fn failed(&mut self) -> io::Error {
        match self.tasks.join_next().await {
            Some(ended) => broken(ended),
            None => io::Error::other("the simulator has ended"),
        }
    }

    /// Closes every socket and ends.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.nodes.shutdown().await;
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(PATIENCE, ended).await.is_err() {
            // A client that holds a request open is not waited for.
            self.tasks.shutdown().await;
        }
    }
}

fn broken(ended: Result<io::Result<()>, JoinError>) -> io::Error {
    let why = match ended {
        Ok(Ok(())) => "a part of it ended".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked.to_string(),
    };
    io::Error::other(format!("the simulator is broken, which is a fault of its own: {why}"))
}

async fn tick(discord: Discord, stop: CancellationToken) -> io::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => discord.lock().tick(),
        }
    }
}

fn host_of(options: &Options) -> String {
    if let Some(host) = &options.advertise {
        return host.clone();
    }
    match options.listen.ip() {
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn port_after(base: SocketAddr, offset: usize) -> io::Result<SocketAddr> {
    let mut at = base;
    if base.port() != 0 {
        let port = usize::from(base.port()) + offset;
        let too_high = |_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("port {port} is beyond the last one"),
            )
        };
        at.set_port(u16::try_from(port).map_err(too_high)?);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_simulator_whose_clock_stops_says_that_it_is_broken() {
        let mut sim = start(Options::default()).await.unwrap();
        let early = timeout(TICK * 4, sim.failed()).await;
        assert!(early.is_err(), "{early:?}");
        sim.tasks.spawn(async { panic!("a sum was too large") });
        let why = sim.failed().await.to_string();
        let told = ["the simulator is broken", "a sum was too large"];
        assert!(told.iter().all(|words| why.contains(words)), "{why}");
        sim.shutdown().await;
    }
}
