//! One shard that this member drives: claims it, brings up its gateway and Lavalink sessions and its guilds, carries
//! events between them, and takes it down so that a successor can go on without a gap.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::identity::Identity;
use super::{Process, RunError, metering, retry};
use crate::cluster::claim::{self, Claimed};
use crate::cluster::member::Member;
use crate::gateway::{self, FromShard, ShardHandle, ShardSpec, SharedQueue};
use crate::guild::{Guilds, Surroundings};
use crate::interact;
use crate::lavalink::{self, Node, NodeConfig, NodeMessage, Opening};
use crate::lifecycle::wall_ms;
use crate::model::ids::{GuildId, ShardId};
use crate::model::signal::Signal;
use crate::player::{Loaded, Policy, Recovered, Trigger};
use crate::store::{GatewaySession, Sealed};

/// Events that may wait between a socket and the guilds.
const WAITING: usize = 1_024;
/// Interactions handled at the same time; Discord drops them after three seconds anyway.
const INTERACTIONS: usize = 512;
/// How often a shard's loop says that it is alive.
const BEAT: Duration = Duration::from_secs(2);
/// A new session is stored within this, or goes on unstored.
const STORE_SESSION: Duration = Duration::from_secs(3);

/// The processed sequence numbers of every shard, for the renewal.
#[derive(Clone, Default)]
pub(crate) struct Watermarks(Arc<Mutex<BTreeMap<u32, ShardHandle>>>);

impl Watermarks {
    fn add(&self, shard: u32, handle: ShardHandle) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(shard, handle);
    }

    /// As of now; shards without a session are left out.
    pub(crate) fn read(&self) -> BTreeMap<u32, u64> {
        let shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shards
            .iter()
            .map(|(id, handle)| (*id, handle.processed()))
            .filter(|(_, seq)| *seq > 0)
            .collect()
    }
}

/// The guilds of a shard, once it is claimed.
#[derive(Clone, Default)]
pub(crate) struct SharedGuilds(Arc<OnceLock<Arc<Guilds>>>);

impl SharedGuilds {
    pub(crate) fn get(&self) -> Option<Arc<Guilds>> {
        self.0.get().cloned()
    }
}

/// What a shard needs to begin.
pub(super) struct Start {
    pub(super) process: Arc<Process>,
    pub(super) member: Member,
    pub(super) identity: Identity,
    pub(super) shard: u32,
    pub(super) began_ms: i64,
    pub(super) recoveries: mpsc::Sender<(GuildId, Recovered)>,
    pub(super) queue: SharedQueue,
    pub(super) seqs: Watermarks,
}

/// A shard that was started.
pub(super) struct Running {
    guilds: SharedGuilds,
    ready: watch::Receiver<bool>,
}

impl Running {
    pub(super) fn start(start: Start, stop: CancellationToken, tasks: &mut JoinSet<Result<(), RunError>>) -> Self {
        let guilds = SharedGuilds::default();
        let (told, ready) = watch::channel(false);
        let slot = guilds.clone();
        tasks.spawn(async move { Box::pin(run(start, slot, told, stop)).await });
        Self { guilds, ready }
    }

    pub(super) fn guilds(&self) -> SharedGuilds {
        self.guilds.clone()
    }
}

/// Completes when every shard had its first READY or RESUMED.
pub(super) fn all_ready(shards: &[Running]) -> impl Future<Output = ()> + use<> {
    let waiting: Vec<_> = shards.iter().map(|shard| shard.ready.clone()).collect();
    async move {
        for mut ready in waiting {
            if ready.wait_for(|ready| *ready).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn run(
    start: Start,
    slot: SharedGuilds,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let store = &start.process.store;
    let claiming = || claim::claim(store, &start.member, start.shard);
    let claimed = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        claimed = retry("claim a shard", &stop, claiming) => claimed?,
    };
    let Some(claimed) = claimed else { return Ok(()) };
    let sealing = || store.seal(start.shard, claimed.previous.as_ref(), &start.member.id);
    let Some(sealed) = retry("take the shard's guilds", &stop, sealing).await? else {
        return Ok(());
    };
    info!(
        shard = start.shard,
        epoch = claimed.row.epoch.0,
        active = sealed.active.len(),
        session = claimed.row.session.is_some(),
        alive_until_age_ms = wall_ms() - claimed.alive_until_ms,
        "claimed a shard"
    );
    for (guild, why) in &sealed.unreadable {
        warn!(%guild, why, "a snapshot cannot be read; it is left as it is");
    }
    Driving::begin(start, claimed, sealed, &slot, ready).drive(stop).await
}

struct Driving {
    start: Start,
    claimed: Claimed,
    guilds: Arc<Guilds>,
    ready: watch::Sender<bool>,
    from_shard: mpsc::Receiver<FromShard>,
    from_nodes: mpsc::Receiver<NodeMessage>,
    gateway: JoinSet<Option<GatewaySession>>,
    gateway_stop: CancellationToken,
    nodes: JoinSet<()>,
    nodes_stop: CancellationToken,
    interactions: JoinSet<()>,
}

impl Driving {
    fn begin(start: Start, claimed: Claimed, sealed: Sealed, slot: &SharedGuilds, ready: watch::Sender<bool>) -> Self {
        let (gateway_stop, nodes_stop) = (CancellationToken::new(), CancellationToken::new());
        let (node_out, from_nodes) = mpsc::channel(WAITING);
        let (nodes, node_tasks) = open_nodes(&start, &claimed, &node_out, &nodes_stop);
        let (shard_out, from_shard) = mpsc::channel(WAITING);
        let (handle, shard_task) = gateway::open(
            spec(&start, &claimed),
            Arc::clone(&start.queue),
            shard_out,
            start.member.permit.clone(),
            gateway_stop.clone(),
        );
        start.seqs.add(start.shard, handle.clone());
        let around = surroundings(&start, handle, nodes);
        start
            .process
            .overview
            .driving(start.shard, claimed.row.epoch, around.clone());
        let pending = sealed.active.iter().flat_map(|row| &row.snapshot.head.pending);
        let inherited = pending.map(|pending| pending.id).collect();
        let guilds = Guilds::new(around, claimed.previous.clone(), inherited);
        let trigger = if claimed.left {
            Trigger::Handover
        } else {
            Trigger::Crash
        };
        let loaded = Loaded {
            trigger,
            alive_until_ms: claimed.alive_until_ms,
            began_ms: start.began_ms,
        };
        let mut interactions = JoinSet::new();
        for row in sealed.active {
            let (guild, pending) = (row.id, row.snapshot.head.pending.clone());
            drop(guilds.start(row, Some(loaded)));
            for pending in pending {
                interactions.spawn(interact::finish_pending(Arc::clone(&guilds), guild, pending));
            }
        }
        if slot.0.set(Arc::clone(&guilds)).is_err() {
            warn!("a shard was started twice");
        }
        // Only now, so that no event finds its guild missing.
        let mut gateway = JoinSet::new();
        gateway.spawn(shard_task);
        let mut nodes = JoinSet::new();
        for task in node_tasks {
            nodes.spawn(task);
        }
        Self {
            start,
            claimed,
            guilds,
            ready,
            from_shard,
            from_nodes,
            gateway,
            gateway_stop,
            nodes,
            nodes_stop,
            interactions,
        }
    }

    async fn drive(mut self, stop: CancellationToken) -> Result<(), RunError> {
        let guilds = Arc::clone(&self.guilds);
        let heartbeat = self
            .start
            .process
            .heartbeats
            .watch(format!("shard {}", self.start.shard), super::STUCK);
        let mut beats = interval(BEAT);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = beats.tick() => {
                    heartbeat.touch();
                    metering::shard(&self.start.process.metrics, self.start.shard, &guilds.around().gateway);
                }
                Some(event) = self.from_shard.recv() => {
                    if let Some(error) = self.shard_event(event).await {
                        self.end().await;
                        return Err(error);
                    }
                }
                Some(message) = self.from_nodes.recv() => self.node_message(message).await,
                () = guilds.reap() => {}
                Some(ended) = self.interactions.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "handling an interaction failed");
                    }
                }
            }
        }
        self.end().await;
        Ok(())
    }

    async fn shard_event(&mut self, event: FromShard) -> Option<RunError> {
        match event {
            FromShard::Ready { resumed, session, ack } => self.shard_ready(resumed, &session, ack).await,
            FromShard::Guild { guild, signal, seen } => self.guilds.signal(guild, signal, seen).await,
            FromShard::Interaction {
                interaction,
                seen,
                received_ms,
                live,
            } => {
                if live {
                    self.start.process.discord.arrived(interaction.id, received_ms);
                }
                if self.interactions.len() < INTERACTIONS {
                    self.interactions
                        .spawn(interact::handle(Arc::clone(&self.guilds), interaction, seen));
                } else {
                    warn!("too many interactions at once; one was dropped");
                }
            }
            FromShard::SessionLost => {
                let (id, epoch) = (self.start.shard, self.claimed.row.epoch);
                if let Err(error) = self
                    .start
                    .process
                    .store
                    .save_session(id, &self.start.member.id, epoch, None)
                    .await
                {
                    warn!(%error, "cannot forget a lost session");
                }
            }
            FromShard::Down { code } => debug!(shard = self.start.shard, ?code, "the gateway connection is gone"),
            FromShard::Fatal { code: 4004 } => return Some(RunError::TokenRefused),
            FromShard::Fatal { code } => return Some(RunError::GatewayRefused(code)),
        }
        None
    }

    async fn shard_ready(&mut self, resumed: bool, session: &GatewaySession, ack: oneshot::Sender<()>) {
        if !resumed {
            let saving = async {
                let (store, id, epoch) = (&self.start.process.store, self.start.shard, self.claimed.row.epoch);
                while let Err(error) = store
                    .save_session(id, &self.start.member.id, epoch, Some(session))
                    .await
                {
                    warn!(%error, "cannot store the gateway session yet");
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            };
            if timeout(STORE_SESSION, saving).await.is_err() {
                warn!(shard = self.start.shard, "going on with a session that is not stored");
            }
        }
        info!(shard = self.start.shard, resumed, "the gateway session is ready");
        let _ = ack.send(());
        self.guilds.broadcast(&Signal::ShardReady {
            resumed,
            session_id: session.id.clone(),
        });
        self.ready.send_replace(true);
        if !resumed && let Err(error) = self.start.member.renew(self.start.seqs.read()).await {
            // The sequence numbers of the session before must not be taken for this one's.
            warn!(%error, "cannot renew after a new session");
        }
    }

    async fn node_message(&mut self, message: NodeMessage) {
        match message {
            NodeMessage::Session { node, session_id, ack } => {
                let (store, id, epoch) = (&self.start.process.store, self.start.shard, self.claimed.row.epoch);
                if let Err(error) = store
                    .save_node_session(id, &self.start.member.id, epoch, &node, Some(&session_id))
                    .await
                {
                    warn!(%node, %error, "going on with a Lavalink session that is not stored");
                }
                let _ = ack.send(());
            }
            NodeMessage::Guild { guild, event } => self.guilds.node(guild, event),
            NodeMessage::State { node, state } => {
                info!(shard = self.start.shard, %node, ?state, "a Lavalink session changed");
                metering::node_state(&self.start.process.metrics, &node, state);
                self.guilds.nodes_changed();
            }
            NodeMessage::Stats { node, stats } => metering::node_stats(&self.start.process.metrics, &node, &stats),
        }
    }

    /// Nothing is closed in a way that Discord or Lavalink would take for a goodbye.
    async fn end(mut self) {
        let guilds = Arc::clone(&self.guilds);
        let saving = async {
            while self.interactions.join_next().await.is_some() {}
            guilds.stop().await;
        };
        if timeout(Duration::from_secs(5), saving).await.is_err() {
            warn!(shard = self.start.shard, "not everything could be saved in time");
        }
        self.gateway_stop.cancel();
        let mut last = None;
        loop {
            tokio::select! {
                ended = self.gateway.join_next() => match ended {
                    Some(session) => last = session.ok().flatten().or(last),
                    None => break,
                },
                Some(event) = self.from_shard.recv() => unprocessed(event),
            }
        }
        if let Some(session) = last {
            let (store, id, epoch) = (&self.start.process.store, self.start.shard, self.claimed.row.epoch);
            if let Err(error) = store
                .save_session(id, &self.start.member.id, epoch, Some(&session))
                .await
            {
                warn!(%error, "the last sequence number is not stored");
            }
        }
        self.nodes_stop.cancel();
        loop {
            tokio::select! {
                ended = self.nodes.join_next() => if ended.is_none() { break },
                Some(_) = self.from_nodes.recv() => {}
            }
        }
        self.interactions.shutdown().await;
    }
}

/// Left for the successor: Discord sends it again.
fn unprocessed(event: FromShard) {
    match event {
        FromShard::Guild { seen, .. } | FromShard::Interaction { seen, .. } => seen.unprocessed(),
        FromShard::Ready { ack, .. } => drop(ack),
        FromShard::SessionLost | FromShard::Down { .. } | FromShard::Fatal { .. } => {}
    }
}

fn spec(start: &Start, claimed: &Claimed) -> ShardSpec {
    let session = claimed.row.session.clone().map(|session| GatewaySession {
        seq: claimed.seq.unwrap_or(session.seq),
        ..session
    });
    ShardSpec {
        shard: ShardId::new(start.shard, start.identity.shards),
        token: start.process.settings.discord_token.clone(),
        intents: gateway::INTENTS,
        gateway_url: Some(start.identity.gateway_url.clone()),
        session,
        bot: start.identity.user,
        member: start.member.id.clone(),
        now_ms: wall_ms,
    }
}

fn open_nodes(
    start: &Start,
    claimed: &Claimed,
    out: &mpsc::Sender<NodeMessage>,
    stop: &CancellationToken,
) -> (Arc<[Node]>, Vec<impl Future<Output = ()> + Send + 'static + use<>>) {
    let identity = lavalink::Identity {
        user: start.identity.user,
        member: start.member.id.clone(),
        shard: ShardId::new(start.shard, start.identity.shards),
    };
    let (mut nodes, mut tasks) = (Vec::new(), Vec::new());
    for settings in &start.process.settings.lavalink_nodes {
        let opened = lavalink::open(Opening {
            config: NodeConfig::new(settings.name.clone(), settings.url.clone(), settings.password.clone()),
            identity: identity.clone(),
            stored_session: claimed.row.lavalink.get(&settings.name).cloned(),
            authority: start.member.permit.clone(),
            out: out.clone(),
            metrics: Arc::new(metering::Nodes(Arc::clone(&start.process.metrics))),
            wall: wall_ms,
            stop: stop.clone(),
        });
        match opened {
            Ok((node, task)) => {
                nodes.push(node);
                tasks.push(task);
            }
            Err(error) => {
                tracing::error!(node = %settings.name, %error, "the node cannot be used (SEGUE_LAVALINK_NODES)");
            }
        }
    }
    (nodes.into(), tasks)
}

fn surroundings(start: &Start, gateway: ShardHandle, nodes: Arc<[Node]>) -> Surroundings {
    let settings = &start.process.settings;
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Surroundings {
        shard: start.shard,
        member: start.member.id.clone(),
        permit: start.member.permit.clone(),
        store: Arc::clone(&start.process.store),
        discord: start.process.discord.clone(),
        application: start.identity.application,
        bot: start.identity.user,
        gateway,
        nodes,
        policy: Policy {
            auto_resume: settings.auto_resume,
            restore_max_age_ms: ms(settings.restore_max_age),
            alone_timeout_ms: ms(settings.alone_timeout),
            stabilization_ms: ms(settings.restore_stabilization),
            ..Policy::default()
        },
        metrics: Arc::clone(&start.process.metrics),
        recoveries: start.recoveries.clone(),
        playing: Arc::new(AtomicI64::new(0)),
    }
}
