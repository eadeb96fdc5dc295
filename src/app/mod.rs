//! Builds every part of a replica, owns its tasks, and takes it down in order.
//!
//! Order of a shutdown: unready · no new work · players save and stay · gateway closed with 4000 (resumable) · Lavalink
//! sockets closed, players left playing · last sequence numbers stored · member gone · traces flushed (by `cli`).

mod autosave;
mod identity;
mod metering;
mod recoveries;
mod shard;
mod state;
mod tickets;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cluster::claim;
use crate::cluster::member::{Ended, Member};
use crate::config::Settings;
use crate::discord;
use crate::discord::Discord;
use crate::gateway::SharedQueue;
use crate::gateway::identify::{Budget, IdentifyQueue, local_tickets};
use crate::lifecycle::{Readiness, wall_ms};
use crate::store::{self, Origin, SharedStore, origin};
use crate::telemetry::health::Heartbeats;
use crate::telemetry::http::{self, Pages};
use crate::telemetry::metrics::Metrics;
use identity::Identity;
pub use state::Overview;

/// After SIGTERM everything is down within this.
const DRAIN: Duration = Duration::from_secs(45);

/// A task that was silent for this long makes `/livez` fail.
const STUCK: Duration = Duration::from_secs(30);

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
}

/// Everything that lives as long as one incarnation.
pub(crate) struct Process {
    pub(crate) settings: Settings,
    pub(crate) store: SharedStore,
    pub(crate) discord: Discord,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) overview: Arc<Overview>,
    pub(crate) heartbeats: Heartbeats,
}

/// Runs a replica until `stop`, or until something fails for good.
pub async fn run(settings: Settings, metrics: Arc<Metrics>, stop: CancellationToken) -> Result<(), RunError> {
    let (readiness, heartbeats) = (Readiness::default(), Heartbeats::default());
    let overview = Arc::new(Overview::new(settings.name.clone()));
    let listener = TcpListener::bind(settings.http_listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {} (SEGUE_HTTP_LISTEN): {error}", settings.http_listen))?;
    let address = listener.local_addr().map_err(anyhow::Error::from)?.to_string();
    info!(http = %address, peer = %settings.peer_listen, "listening");
    let pages_stop = CancellationToken::new();
    let mut pages = JoinSet::new();
    pages.spawn(http::serve(
        listener,
        pages_of(&readiness, &metrics, &overview, &heartbeats),
        pages_stop.clone(),
    ));
    let result = replica(settings, readiness, metrics, overview, heartbeats, address, stop).await;
    pages_stop.cancel();
    while pages.join_next().await.is_some() {}
    result
}

fn pages_of(readiness: &Readiness, metrics: &Arc<Metrics>, overview: &Arc<Overview>, heartbeats: &Heartbeats) -> Pages {
    let (page, json) = (Arc::clone(overview), Arc::clone(overview));
    Pages {
        metrics: Arc::clone(metrics),
        startup: readiness.clone(),
        readiness: readiness.clone(),
        heartbeats: heartbeats.clone(),
        status: Arc::new(move || page.page()),
        state: Arc::new(move || json.json()),
        more: http::no_more(),
    }
}

async fn replica(
    settings: Settings,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    overview: Arc<Overview>,
    heartbeats: Heartbeats,
    http: String,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let waiting = readiness.waiting("store");
    let Some(store) = open_store(&settings, &stop).await? else {
        return Ok(());
    };
    drop(waiting);
    let ground = Ground {
        settings,
        store,
        metrics,
        readiness,
        overview,
        heartbeats,
        http,
    };
    loop {
        match incarnation(&ground, &stop).await? {
            Ended::Stopped => return Ok(()),
            Ended::Fenced => info!("joining again"),
        }
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

/// One life as a member: joins, claims, drives, leaves.
async fn incarnation(ground: &Ground, stop: &CancellationToken) -> Result<Ended, RunError> {
    let waiting = ground.readiness.waiting("shards");
    let began_ms = wall_ms();
    let store = &ground.store;
    let origin = Origin::of_this_process(ground.settings.place.pod_uid.clone());
    let peer = ground.settings.peer_advertise.clone();
    let name = ground.settings.name.clone();
    let join = || {
        Member::join(
            store.clone(),
            name.clone(),
            origin.clone(),
            Some(ground.http.clone()),
            peer.clone(),
        )
    };
    let Some(member) = retry("join the cluster", stop, join).await? else {
        return Ok(Ended::Stopped);
    };
    let sqlite = store.describe().starts_with("sqlite");
    let proof = |other: &store::MemberRow| origin::proves_death(&origin, other, sqlite, origin::process_start);
    let fence = || claim::fence_proven(store, &member.id, proof);
    let Some(members) = retry("look for dead members", stop, fence).await? else {
        return Ok(Ended::Stopped);
    };
    store.set_write_schema(store::schema::writable(&members));
    let process = &Arc::new(process_of(ground, &member)?);
    let Some(identity) = identity::learn(process, stop).await? else {
        return Ok(Ended::Stopped);
    };
    process.overview.joined(&member.id, &identity);
    let inner = CancellationToken::new();
    let mut life = Life::begin(process, member, &identity, began_ms, &inner);
    let ended = life.drive(stop, waiting).await;
    if matches!(ended, Ok(Ended::Stopped)) {
        ground.readiness.drain();
    }
    inner.cancel();
    if timeout(DRAIN, life.end()).await.is_err() {
        error!("the shutdown took too long; leaving now");
    }
    ended
}

fn process_of(ground: &Ground, member: &Member) -> Result<Process, RunError> {
    let Ground {
        settings,
        store,
        metrics,
        readiness: _,
        overview,
        heartbeats,
        http: _,
    } = ground.clone();
    let discord = Discord::new(discord::Settings {
        token: settings.discord_token.clone(),
        api_url: settings.discord_api_url.clone(),
        member: member.id.clone(),
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

/// As many IDENTIFYs are never spent: Discord resets the token of a bot that spends all.
const IDENTIFY_FLOOR: u32 = 10;

fn identify_queue(
    store: &SharedStore,
    identity: &Identity,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) -> SharedQueue {
    let budget = Budget {
        max_concurrency: identity.max_concurrency,
        remaining: identity.starts_left,
        reset_after: Duration::from_hours(24),
        floor: IDENTIFY_FLOOR,
    };
    let local = local_tickets(budget, identity.starts);
    let tickets = tickets::of_store(Arc::clone(store), local, identity.max_concurrency);
    let (queue, task) = IdentifyQueue::new(tickets, stop.clone());
    tasks.spawn(async move {
        task.await;
        Ok(())
    });
    queue
}

/// The tasks of one life.
struct Life {
    process: Arc<Process>,
    member: Member,
    shards: Vec<shard::Running>,
    renewing: JoinSet<Ended>,
    tasks: JoinSet<Result<(), RunError>>,
    seqs: shard::Watermarks,
}

impl Life {
    fn begin(
        process: &Arc<Process>,
        member: Member,
        identity: &Identity,
        began_ms: i64,
        stop: &CancellationToken,
    ) -> Self {
        let seqs = shard::Watermarks::default();
        let (beat, renew) = (seqs.clone(), member.clone());
        let mut renewing = JoinSet::new();
        let (token, source) = (stop.clone(), Arc::new(move || beat.beat()));
        let heartbeat = process.heartbeats.watch("renewing", STUCK);
        renewing.spawn(async move { renew.keep_renewing(source, || heartbeat.touch(), token).await });
        let mut tasks = JoinSet::new();
        let recoveries = recoveries::start(process, &member, &mut tasks, stop);
        let queue = identify_queue(&process.store, identity, &mut tasks, stop);
        let mut shards = Vec::new();
        for id in 0..identity.shards {
            let start = shard::Start {
                process: Arc::clone(process),
                member: member.clone(),
                identity: identity.clone(),
                shard: id,
                began_ms,
                recoveries: recoveries.clone(),
                queue: Arc::clone(&queue),
                seqs: seqs.clone(),
            };
            shards.push(shard::Running::start(start, stop.clone(), &mut tasks));
        }
        autosave::start(
            process,
            shards.iter().map(shard::Running::guilds).collect(),
            &mut tasks,
            stop,
        );
        identity::register_commands(process, identity, &mut tasks, stop);
        Self {
            process: Arc::clone(process),
            member,
            shards,
            renewing,
            tasks,
            seqs,
        }
    }

    /// Until asked to stop, fenced, or failed.
    async fn drive(&mut self, stop: &CancellationToken, waiting: crate::lifecycle::Waiting) -> Result<Ended, RunError> {
        let mut waiting = Some(waiting);
        loop {
            let all_ready = shard::all_ready(&self.shards);
            tokio::select! {
                () = stop.cancelled() => return Ok(Ended::Stopped),
                () = all_ready, if waiting.is_some() => {
                    info!(shards = self.shards.len(), "ready");
                    waiting = None;
                }
                Some(ended) = self.renewing.join_next() => {
                    return ended.map_err(|error| RunError::Failed(anyhow::Error::from(error).context("renewing")));
                }
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(error),
                    Err(error) => return Err(RunError::Failed(anyhow::Error::from(error).context("a task failed"))),
                },
            }
        }
    }

    /// Takes everything down in order and leaves the cluster.
    async fn end(mut self) {
        while self.tasks.join_next().await.is_some() {}
        while self.renewing.join_next().await.is_some() {}
        if let Err(error) = self.member.leave(&self.seqs.beat()).await {
            warn!(%error, "could not say goodbye to the store; the next start finds out by itself");
        }
        info!(member = %self.member.id, shards = self.shards.len(), "left");
        self.process.overview.left();
    }
}
