//! Builds every part of a replica, owns its tasks, and takes it down in order.
//!
//! Order of a shutdown: unready · no new work · players save and stay · gateway closed with 4000 (resumable) · Lavalink
//! sockets closed, players left playing · last sequence numbers stored · member gone · traces flushed (by `cli`).

mod autosave;
mod build;
mod drains;
mod driven;
mod giving;
mod identity;
mod life;
mod loading;
mod losses;
mod metering;
mod reach;
mod recoveries;
mod shard;
mod state;
mod status;
mod taking;
mod tickets;
mod trail;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cluster::permit::Clock;
use crate::cluster::{Ended, Member, claim, peer};
use crate::config::Settings;
use crate::discord;
use crate::discord::Discord;
use crate::lavalink::NodeConfig;
use crate::lifecycle::{Readiness, Waiting, wall_ms};
use crate::model::ids::MemberId;
use crate::store::observed::observed;
use crate::store::{self, Beat, MemberRow, Origin, SharedStore, origin};
use crate::telemetry::health::Heartbeats;
use crate::telemetry::http::{self, Pages};
use crate::telemetry::metrics::Metrics;
pub use drains::{drained, set_drained};
use driven::Driven;
use life::{LAST_SAVE, Life};
pub use state::Overview;
use trail::Recoveries;

/// A task that was silent for this long makes `/livez` fail.
const STUCK: Duration = Duration::from_secs(30);
/// Shards that are taken at the same time; the others come after them. Where a death leaves many at once, all of them together
/// would all be late.
const TAKING: usize = 3;

/// How a replica is told to leave.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Give everything away, then leave.
    pub asked: CancellationToken,
    /// Asked twice: wait for nobody.
    pub hurry: CancellationToken,
}

/// Why a replica ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Discord refused the token.
    #[error("Discord refused the token")]
    TokenRefused,
    /// Discord refuses the shard for good.
    #[error("Discord refuses the gateway connection for good (close code {0})")]
    GatewayRefused(u16),
    /// Something failed that waiting does not mend.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// Everything that lives as long as the process.
#[derive(Clone)]
struct Ground {
    settings: Settings,
    store: SharedStore,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    overview: Arc<Overview>,
    heartbeats: Heartbeats,
    http: String,
    /// Where other members connect to, and what they are told of it.
    peer: Arc<TcpListener>,
    peer_at: String,
}

/// What a replica still waits for. Whoever is not started in time is ended and begun again, which helps nobody who waits for
/// Discord to let its shards in: that keeps it unready, and no more.
struct Awaited {
    startup: Option<Waiting>,
    ready: Option<Waiting>,
}

/// Everything that lives as long as one incarnation.
pub(crate) struct Process {
    pub(crate) settings: Settings,
    pub(crate) store: SharedStore,
    pub(crate) discord: Discord,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) overview: Arc<Overview>,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) driven: Driven,
    /// Which shards have a session with which node, for figures.
    sessions: metering::Sessions,
    /// What is known of the nodes, whatever the shard.
    pub(crate) nodes: Arc<[NodeConfig]>,
    /// Turns of shards that are being taken.
    taking: Semaphore,
}

/// Runs a replica until `stop`, or until something fails for good.
pub async fn run(settings: Settings, metrics: Arc<Metrics>, stop: Stop) -> Result<(), RunError> {
    let (readiness, startup, heartbeats) = (Readiness::default(), Readiness::default(), Heartbeats::default());
    let overview = Arc::new(Overview::new(settings.name.clone(), settings.trace_url.clone()));
    let (listener, http) = listen(settings.http_listen, "SEGUE_HTTP_LISTEN").await?;
    let (peer, at) = listen(settings.peer_listen, "SEGUE_PEER_LISTEN").await?;
    let peer_at = peer::address(settings.peer_advertise.as_deref(), at);
    info!(%http, peer = %peer_at, "listening");
    let pages_stop = CancellationToken::new();
    let mut pages = JoinSet::new();
    pages.spawn(http::serve(
        listener,
        pages_of(&startup, &readiness, &metrics, &overview, &heartbeats),
        pages_stop.clone(),
    ));
    let waiting_store = (startup.waiting("store"), readiness.waiting("store"));
    let awaited = Awaited {
        startup: Some(startup.waiting("who the bot is")),
        ready: Some(readiness.waiting("shards")),
    };
    let result = match open_store(&settings, &stop.asked).await {
        Ok(Some(store)) => {
            drop(waiting_store);
            let store = observed(store, Arc::new(metering::Calls(Arc::clone(&metrics))));
            let ground = Ground {
                settings,
                store,
                metrics,
                readiness,
                overview,
                heartbeats,
                http: peer::beside(&peer_at, http),
                peer: Arc::new(peer),
                peer_at,
            };
            let ended = lives(&ground, awaited, &stop).await;
            ground.store.close().await;
            ended
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    pages_stop.cancel();
    while pages.join_next().await.is_some() {}
    result
}

async fn listen(at: SocketAddr, key: &str) -> Result<(TcpListener, SocketAddr), RunError> {
    let listener = TcpListener::bind(at)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {at} ({key}): {error}"))?;
    let at = listener.local_addr().map_err(anyhow::Error::from)?;
    Ok((listener, at))
}

/// One life after the other: a member that was declared dead joins again as a new one, in the same process.
async fn lives(ground: &Ground, mut awaited: Awaited, stop: &Stop) -> Result<(), RunError> {
    let mut before = None;
    while let Some(fenced) = incarnation(ground, &mut awaited, before.take(), stop).await? {
        info!(member = %fenced, "joining again");
        // It has nothing any more, and others may be fine: unlike an outage of what all depend on, that is this one's alone.
        awaited
            .ready
            .get_or_insert_with(|| ground.readiness.waiting("shards, as the member that it joins again as"));
        before = Some(fenced);
    }
    Ok(())
}

fn pages_of(
    startup: &Readiness,
    readiness: &Readiness,
    metrics: &Arc<Metrics>,
    overview: &Arc<Overview>,
    heartbeats: &Heartbeats,
) -> Pages {
    let (page, json) = (Arc::clone(overview), Arc::clone(overview));
    Pages {
        metrics: Arc::clone(metrics),
        startup: startup.clone(),
        readiness: readiness.clone(),
        heartbeats: heartbeats.clone(),
        status: Arc::new(move || page.page()),
        state: Arc::new(move || json.json()),
        more: http::no_more(),
    }
}

/// Opens the store, waiting while it cannot be reached. `None`: stopped meanwhile.
async fn open_store(settings: &Settings, stop: &CancellationToken) -> Result<Option<SharedStore>, RunError> {
    let mut told = false;
    loop {
        match store::open(&settings.store.whole()).await {
            Ok(store) => return Ok(Some(store)),
            Err(error) if error.is_passing() => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%error, "the store cannot be reached; waiting for it");
                }
            }
            Err(error) => {
                return Err(RunError::Failed(
                    anyhow::Error::from(error).context("open the store (SEGUE_STORE)"),
                ));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
    }
}

/// One life as a member: joins, drives what it is given, leaves. `before`: whom this process was before it was fenced.
/// Returns who it was, if it was fenced itself.
async fn incarnation(
    ground: &Ground,
    awaited: &mut Awaited,
    before: Option<MemberId>,
    stop: &Stop,
) -> Result<Option<MemberId>, RunError> {
    let me = Member::new_id();
    let process = &Arc::new(process_of(ground, &me)?);
    // Before it joins: whoever has joined is given shards, and Discord may refuse the token, or not answer for hours.
    let Some(identity) = identity::learn(process, &stop.asked).await? else {
        return Ok(None);
    };
    awaited.startup = None;
    let row = MemberRow {
        origin: Origin::of_this_process(ground.settings.place.pod_uid.clone()),
        http: Some(ground.http.clone()),
        peer: Some(ground.peer_at.clone()),
        ..MemberRow::new(me.clone(), ground.settings.name.clone())
    };
    let join = || Member::join_as(ground.store.clone(), row.clone(), Clock::boot());
    let Some(member) = retry("join the cluster", &stop.asked, join).await? else {
        return Ok(None);
    };
    let trail = Arc::new(Recoveries::default());
    let settled = settle(ground, &member, before, &trail, &stop.asked).await;
    if !matches!(settled, Ok(Some(()))) {
        if let Err(error) = member.leave(&Beat::default()).await {
            warn!(%error, "could not say goodbye to the store");
        }
        return settled.map(|_| None);
    }
    let mut life = Life::begin(process, member, &identity, Arc::clone(&ground.peer), trail);
    let ended = life.drive(stop, &mut awaited.ready, &ground.readiness).await;
    if timeout(LAST_SAVE, life.end()).await.is_err() {
        error!("the shutdown took too long; leaving now");
    }
    Ok(match ended? {
        Ended::Fenced => Some(me),
        Ended::Stopped | Ended::Broken => None,
    })
}

/// Declares dead whom a member that has just joined knows to be dead. `None`: stopped meanwhile.
async fn settle(
    ground: &Ground,
    member: &Member,
    before: Option<MemberId>,
    trail: &Recoveries,
    stop: &CancellationToken,
) -> Result<Option<()>, RunError> {
    if let Some(before) = before {
        // It may only have heard that others reach the store: then nobody need wait for its time-out.
        let succeed = || member.succeed(&before, trail);
        match retry("declare the member before dead", stop, succeed).await? {
            Some(true) => info!(member = %before, "declared dead: its process goes on as another member"),
            Some(false) => {}
            None => return Ok(None),
        }
    }
    let store = &ground.store;
    let sqlite = store.describe().starts_with("sqlite");
    let proof = |other: &MemberRow| origin::proves_death(&member.origin, other, sqlite, origin::process_start);
    let fence = || claim::fence_proven(store, &member.id, trail, proof);
    let found = retry("look for dead members", stop, fence).await?;
    Ok(found.map(drop))
}

fn process_of(ground: &Ground, me: &MemberId) -> Result<Process, RunError> {
    let Ground {
        settings,
        store,
        metrics,
        readiness: _,
        overview,
        heartbeats,
        http: _,
        peer: _,
        peer_at: _,
    } = ground.clone();
    let configured = settings.lavalink_nodes.iter();
    let nodes = configured
        .map(|node| NodeConfig::new(node.name.clone(), node.url.clone(), node.password.clone()))
        .collect();
    let discord = Discord::new(discord::Settings {
        token: settings.discord_token.clone(),
        api_url: settings.discord_api_url.clone(),
        member: me.clone(),
        version: env!("CARGO_PKG_VERSION"),
        hook: Some(metering::rest(&metrics)),
        now_ms: wall_ms,
    })
    .map_err(anyhow::Error::from)?;
    Ok(Process {
        settings,
        store,
        discord,
        metrics,
        overview,
        heartbeats,
        driven: Driven::default(),
        sessions: metering::Sessions::default(),
        taking: Semaphore::new(TAKING),
        nodes,
    })
}

/// Repeats a store operation while it fails for passing reasons.
pub(crate) async fn retry<T, F>(
    what: &'static str,
    stop: &CancellationToken,
    mut operation: impl FnMut() -> F,
) -> Result<Option<T>, RunError>
where
    F: Future<Output = Result<T, store::StoreError>>,
{
    let mut told = false;
    loop {
        match operation().await {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.is_passing() => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%error, "cannot {what} yet; trying until it works");
                }
            }
            Err(error) => return Err(RunError::Failed(anyhow::Error::from(error).context(what))),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
    }
}
