//! One shard that this member drives: claims it, brings up its gateway and Lavalink sessions and its guilds, carries
//! events between them, and takes it down so that a successor can go on without a gap.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::giving::{Ending, Giving};
use super::identity::Identity;
use super::loading::{Careful, Loading, Suspect};
use super::metering::{self, ShardMeter};
use super::taking::{Taking, part, taking};
use super::{Process, RunError, build, retry};
use crate::cluster::permit::Standing;
use crate::cluster::{self, Cause, Claimed, Member};
use crate::gateway::{FromShard, SharedQueue};
use crate::guild::{Guilds, Recovery, Takeover};
use crate::interact;
use crate::lavalink::{NodeMessage, NodeState};
use crate::lifecycle::wall_ms;
use crate::model::ids::{Epoch, GuildId};
use crate::model::signal::Signal;
use crate::player::{Before, Loaded, Trigger};
use crate::store::{GatewaySession, Sealed};
use crate::telemetry::metrics::labels::Queue;
use crate::telemetry::spans::{self, Open};

/// Most events handled before everything else is looked at again.
const BUNCH: usize = 32;
/// Interactions handled at the same time; Discord drops them after three seconds anyway.
const INTERACTIONS: usize = 512;
/// How often a shard's loop says that it is alive.
const BEAT: Duration = Duration::from_secs(2);
/// A member whose shard's loops are silent for this long does not renew, so that others take its shards over. Longer than
/// any one call that they wait for.
const SILENT: Duration = Duration::from_secs(10);
/// When a shard is given up, answers under way may take this long.
const LAST_ANSWERS: Duration = Duration::from_millis(400);
/// And then its guilds have this long to save.
const LAST_SAVES: Duration = Duration::from_secs(5);
/// A new session is stored within this, or goes on unstored.
const STORE_SESSION: Duration = Duration::from_secs(3);

/// A shard that is ours now, and what it is driven with.
pub(super) struct Shard {
    pub(super) process: Arc<Process>,
    pub(super) member: Member,
    pub(super) identity: Identity,
    pub(super) number: u32,
    pub(super) claimed: Claimed,
    pub(super) recoveries: mpsc::Sender<Recovery>,
    pub(super) queue: SharedQueue,
    pub(super) cluster: cluster::Handle,
}

/// Drives the shard until it is to end; then everything is saved, and closed so that a successor can go on. Returns the
/// `traceparent` that it goes on with.
pub(super) async fn run(shard: Shard, ending: Ending) -> Result<Option<String>, RunError> {
    let (store, claimed, stop) = (&shard.process.store, &shard.claimed, ending.asked());
    let taking = taking(&shard);
    let began_ms = wall_ms();
    // Connecting and taking the guilds wait for others: both at once.
    let gateway = build::gateway(&shard);
    let process = Arc::clone(&shard.process);
    let Some(turn) = stop.run_until_cancelled(process.taking.acquire()).await else {
        return Ok(None);
    };
    let marking = || Loading::begin(store, &shard.member.id, claimed);
    let sealing = || async {
        store.regroup(shard.identity.shards).await?;
        let previous = claimed.previous.as_ref();
        store.seal(shard.number, previous, &shard.member.id).await
    };
    // Taking harms nobody; nothing is looked into before the mark stands.
    let (marked, taken) = tokio::join!(
        retry("say that the shard is being loaded", stop, marking),
        retry("take the shard's guilds", stop, sealing)
    );
    let (Some(loading), Some(())) = (marked?, taken?) else {
        return Ok(None);
    };
    let Some((sealed, load)) = read(&shard, loading, stop).await? else {
        return Ok(None);
    };
    spans::within(taking.traceparent().as_deref(), || {
        info!(
            shard = shard.number,
            epoch = claimed.row.epoch.0,
            cause = claimed.cause.name(),
            active = sealed.active.len() + load.one_by_one().count(),
            one_by_one = load.one_by_one().count(),
            session = claimed.row.session.is_some(),
            alive_until_age_ms = wall_ms() - claimed.alive_until_ms,
            "claimed a shard"
        );
    });
    for (guild, why) in &sealed.unreadable {
        warn!(%guild, why, "a snapshot cannot be read; it is left as it is");
    }
    for quarantined in &sealed.quarantined {
        let (guild, why) = (quarantined.guild, &quarantined.why);
        warn!(%guild, why, "a guild is in quarantine and is not driven; `segue release {guild}` lets it go");
    }
    part(&taking, "seal", began_ms).end(wall_ms());
    let driving = Driving::begin(shard, gateway, sealed, load, taking);
    drop(turn);
    Box::pin(driving.drive(ending)).await
}

/// How the guilds of a shard are loaded.
enum Load {
    AtOnce(Loading),
    /// An owner before died while it loaded them.
    OneByOne(Loading, Vec<(GuildId, Epoch)>),
}

impl Load {
    fn one_by_one(&self) -> impl Iterator<Item = GuildId> + '_ {
        let guilds = match self {
            Self::AtOnce(_) => &[],
            Self::OneByOne(_, guilds) => guilds.as_slice(),
        };
        guilds.iter().map(|(guild, _)| *guild)
    }
}

/// Says how far loading is, and loads what is not loaded at once, as a task.
fn begin_loading(load: Load, guilds: &Arc<Guilds>, loaded: Loaded, tasks: &mut JoinSet<()>) {
    match load {
        Load::AtOnce(mark) => drop(tasks.spawn(mark.lived())),
        Load::OneByOne(mark, one_by_one) => {
            guilds.hold(one_by_one.iter().map(|(guild, _)| *guild));
            let careful = Careful {
                loading: mark,
                guilds: one_by_one,
                loaded,
            };
            tasks.spawn(careful.load(Arc::clone(guilds)));
        }
    }
}

/// Reads what was taken. `None`: stopped meanwhile.
async fn read(shard: &Shard, loading: Loading, stop: &CancellationToken) -> Result<Option<(Sealed, Load)>, RunError> {
    let (store, me) = (&shard.process.store, &shard.member.id);
    let what = "read the shard's guilds";
    if loading.suspect() == Suspect::None {
        let sealed = retry(what, stop, || store.sealed(shard.number, me)).await?;
        return Ok(sealed.map(|sealed| (sealed, Load::AtOnce(loading))));
    }
    warn!(
        shard = shard.number,
        "the owner before died while it loaded this shard; its guilds are loaded one at a time"
    );
    let unread = retry(what, stop, || store.sealed_unread(shard.number, me)).await?;
    Ok(unread.map(|unread| {
        let sealed = Sealed {
            quarantined: unread.quarantined,
            ..Sealed::default()
        };
        (sealed, Load::OneByOne(loading, unread.active))
    }))
}

struct Driving {
    start: Shard,
    taking: Taking,
    guilds: Arc<Guilds>,
    meter: ShardMeter,
    from_shard: mpsc::Receiver<FromShard>,
    from_nodes: mpsc::Receiver<NodeMessage>,
    gateway: JoinSet<Option<GatewaySession>>,
    gateway_stop: CancellationToken,
    nodes: JoinSet<()>,
    nodes_stop: CancellationToken,
    interactions: JoinSet<()>,
    /// Says how far loading is, and loads what is not loaded at once.
    loading: JoinSet<()>,
}

/// What began the recoveries of a shard that came to us like this.
const fn trigger(cause: Cause) -> Trigger {
    match cause {
        Cause::First => Trigger::Start,
        Cause::Handover => Trigger::Handover,
        Cause::Rebalance => Trigger::Rebalance,
        Cause::Proven | Cause::TimedOut => Trigger::Crash,
    }
}

/// Under what circumstances the guilds of a shard are loaded.
fn loaded(claimed: &Claimed) -> Loaded {
    let moments = claimed.moments;
    Loaded {
        trigger: trigger(claimed.cause),
        alive_until_ms: claimed.alive_until_ms,
        began_ms: moments.lost_ms.unwrap_or(moments.claimed_ms),
        before: Before {
            detected_ms: moments.fenced_ms,
            fenced_ms: None,
            claimed_ms: Some(wall_ms()),
        },
    }
}

impl Driving {
    fn begin(start: Shard, gateway: build::Gateway, sealed: Sealed, load: Load, whole: Open) -> Self {
        let nodes_stop = CancellationToken::new();
        let (node_out, from_nodes) = mpsc::channel(build::WAITING);
        let (nodes, node_tasks) = build::nodes(&start, &node_out, &nodes_stop);
        let claimed = &start.claimed;
        let trace = whole.traceparent().or_else(|| claimed.trace.clone());
        let active = sealed.active.iter().map(|row| row.id).chain(load.one_by_one());
        let takeover = Arc::new(Takeover::new(trace.as_deref(), active));
        let around = build::surroundings(&start, gateway.handle, nodes, takeover);
        let pending = sealed.active.iter().flat_map(|row| &row.snapshot.head.pending);
        let inherited = pending.map(|pending| pending.id).collect();
        let guilds = Guilds::new(around, claimed.previous.clone(), inherited);
        let loaded = loaded(claimed);
        let (mut interactions, mut loading) = (JoinSet::new(), JoinSet::new());
        for row in sealed.active {
            let (guild, pending) = (row.id, row.snapshot.head.pending.clone());
            drop(guilds.start(row, Some(loaded)));
            for pending in pending {
                interactions.spawn(interact::finish_pending(Arc::clone(&guilds), guild, pending));
            }
        }
        begin_loading(load, &guilds, loaded, &mut loading);
        start
            .process
            .driven
            .began(start.number, Arc::clone(&guilds), claimed.row.epoch);
        let nodes_to_be = start.process.nodes.iter().map(|node| &node.name);
        let taking = Taking::begin(whole, gateway.since_ms, nodes_to_be, wall_ms());
        let meter = ShardMeter::new(
            Arc::clone(&start.process.metrics),
            start.number,
            guilds.around().gateway.clone(),
        );
        let heard = Arc::downgrade(&guilds);
        guilds
            .around()
            .gateway
            .only_heard(move |guild| heard.upgrade().is_some_and(|guilds| guilds.hears(guild)));
        // Only now, so that every guild is told how things stand there.
        let mut nodes = JoinSet::new();
        for task in node_tasks {
            nodes.spawn(task);
        }
        let mut driving = Self {
            start,
            taking,
            guilds,
            meter,
            from_shard: gateway.events,
            from_nodes,
            gateway: gateway.task,
            gateway_stop: gateway.stop,
            nodes,
            nodes_stop,
            interactions,
            loading,
        };
        driving.keep_trace();
        driving
    }

    async fn drive(mut self, ending: Ending) -> Result<Option<String>, RunError> {
        let guilds = Arc::clone(&self.guilds);
        let heartbeat = self
            .start
            .process
            .heartbeats
            .watch(format!("shard {}", self.start.number), SILENT);
        let (mut beats, mut turns) = (interval(BEAT), 0);
        loop {
            tokio::select! {
                () = ending.asked().cancelled() => break,
                _ = beats.tick() => {
                    // Both have to go round, this loop and that of the gateway: else it renews and does nothing.
                    if std::mem::replace(&mut turns, guilds.around().gateway.turns()) != turns {
                        heartbeat.touch();
                    }
                    self.taking.look(wall_ms());
                    self.meter.look(&[
                        (Queue::GatewayEvents, self.from_shard.len()),
                        (Queue::NodeMessages, self.from_nodes.len()),
                    ]);
                }
                Some(event) = self.from_shard.recv() => {
                    if let Some(error) = self.shard_events(event).await {
                        self.end(&ending).await;
                        return Err(error);
                    }
                }
                Some(message) = self.from_nodes.recv() => self.node_message(message).await,
                Some(failed) = guilds.reap() => {
                    let guilds = Arc::clone(&guilds);
                    self.interactions.spawn(async move { guilds.revive(failed).await });
                }
                Some(ended) = self.interactions.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "handling an interaction failed");
                    }
                }
                Some(ended) = self.loading.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "loading the shard's guilds failed");
                    }
                }
            }
        }
        Ok(self.end(&ending).await)
    }

    /// One event and those behind it, in bunches: a busy shard has many.
    async fn shard_events(&mut self, first: FromShard) -> Option<RunError> {
        let (mut next, mut taken) = (Some(first), 0);
        while let Some(event) = next {
            if let Some(error) = self.shard_event(event).await {
                return Some(error);
            }
            taken += 1;
            next = (taken < BUNCH).then(|| self.from_shard.try_recv().ok()).flatten();
        }
        None
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
                let (id, epoch) = (self.start.number, self.start.claimed.row.epoch);
                if let Err(error) = self
                    .start
                    .process
                    .store
                    .save_session(id, &self.start.member.id, epoch, None, None)
                    .await
                {
                    warn!(%error, "cannot forget a lost session");
                }
            }
            FromShard::Down { code } => debug!(shard = self.start.number, ?code, "the gateway connection is gone"),
            FromShard::Fatal { code: 4004 } => return Some(RunError::TokenRefused),
            FromShard::Fatal { code } => return Some(RunError::GatewayRefused(code)),
        }
        None
    }

    async fn shard_ready(&mut self, resumed: bool, session: &GatewaySession, ack: oneshot::Sender<()>) {
        if !resumed {
            let saving = async {
                let (store, id, epoch) = (
                    &self.start.process.store,
                    self.start.number,
                    self.start.claimed.row.epoch,
                );
                while let Err(error) = store
                    .save_session(id, &self.start.member.id, epoch, Some(session), None)
                    .await
                {
                    warn!(%error, "cannot store the gateway session yet");
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            };
            if timeout(STORE_SESSION, saving).await.is_err() {
                warn!(shard = self.start.number, "going on with a session that is not stored");
            }
        }
        let first = self.taking.connected(resumed);
        if first {
            self.guilds.around().takeover.connected(wall_ms());
        }
        spans::within(self.taking.trace().filter(|_| first), || {
            info!(shard = self.start.number, resumed, "the gateway session is ready");
        });
        let _ = ack.send(());
        self.guilds.broadcast(&Signal::ShardReady {
            resumed,
            session_id: session.id.clone(),
        });
        self.start.process.driven.ready(self.start.number);
        if !resumed {
            // The sequence numbers of the session before must not be taken for this one's.
            self.start.cluster.renew_now();
        }
    }

    /// For whoever finds out that this owner is dead.
    fn keep_trace(&mut self) {
        let Some(trace) = self.taking.trace().map(str::to_owned) else {
            return;
        };
        let (store, id, epoch) = (
            Arc::clone(&self.start.process.store),
            self.start.number,
            self.start.claimed.row.epoch,
        );
        let me = self.start.member.id.clone();
        self.loading.spawn(async move {
            if let Err(error) = store.save_trace(id, &me, epoch, &trace).await {
                debug!(shard = id, %error, "the trace is not kept with the shard");
            }
        });
    }

    async fn node_message(&mut self, message: NodeMessage) {
        match message {
            NodeMessage::Session { node, session_id, ack } => {
                let (store, id, epoch) = (
                    &self.start.process.store,
                    self.start.number,
                    self.start.claimed.row.epoch,
                );
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
                let first = matches!(state, NodeState::Ready { resumed } if self.taking.node_ready(&node, resumed));
                spans::within(self.taking.trace().filter(|_| first), || {
                    info!(shard = self.start.number, %node, ?state, "a Lavalink session changed");
                });
                let process = &self.start.process;
                process
                    .sessions
                    .state(&process.metrics, self.start.number, &node, state);
                self.guilds.nodes_changed();
            }
            NodeMessage::Stats { node, stats } => metering::node_stats(&self.start.process.metrics, &node, &stats),
        }
    }

    /// Nothing is closed in a way that Discord or Lavalink would take for a goodbye. Returns what the successor goes on with.
    async fn end(mut self, ending: &Ending) -> Option<String> {
        let fenced = self.start.member.permit.standing() == Standing::Fenced;
        let mut giving = Giving::begin(&self.start, ending, !fenced);
        self.loading.shutdown().await;
        if fenced {
            // Others have it: nothing may be said any more, and nothing is lost.
            self.interactions.shutdown().await;
            self.guilds.abandon().await;
        } else {
            self.finish(&mut giving).await;
        }
        let last = self.close_gateway().await;
        if let Some(session) = last.filter(|_| !fenced) {
            let (id, epoch) = (self.start.number, self.start.claimed.row.epoch);
            let store = &self.start.process.store;
            let saving = store.save_session(id, &self.start.member.id, epoch, Some(&session), giving.trace());
            if let Err(error) = saving.await {
                warn!(%error, "the last sequence number is not stored");
            }
        }
        giving.did("gateway.close");
        self.nodes_stop.cancel();
        loop {
            tokio::select! {
                ended = self.nodes.join_next() => if ended.is_none() { break },
                Some(_) = self.from_nodes.recv() => {}
            }
        }
        giving.did("lavalink.close");
        let process = &self.start.process;
        process.sessions.ended(&process.metrics, self.start.number);
        process.driven.ended(self.start.number);
        giving.end().await
    }

    /// Answers under way come first, then the guilds save.
    async fn finish(&mut self, giving: &mut Giving) {
        let nearly_done = async { while self.interactions.join_next().await.is_some() {} };
        if timeout(LAST_ANSWERS, nearly_done).await.is_err() {
            // Their interactions count as unprocessed: the successor is sent them again, or finishes what was deferred.
            self.interactions.shutdown().await;
        }
        if timeout(LAST_SAVES, self.guilds.stop()).await.is_err() {
            warn!(shard = self.start.number, "not everything could be saved in time");
        }
        giving.did("save");
    }

    async fn close_gateway(&mut self) -> Option<GatewaySession> {
        self.gateway_stop.cancel();
        let mut last = None;
        loop {
            tokio::select! {
                ended = self.gateway.join_next() => match ended {
                    Some(session) => last = session.ok().flatten().or(last),
                    None => return last,
                },
                Some(event) = self.from_shard.recv() => unprocessed(event),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_death_is_called_a_crash() {
        let table = [
            (Cause::First, "start"),
            (Cause::Handover, "drain"),
            (Cause::Rebalance, "rebalance"),
            (Cause::Proven, "crash"),
            (Cause::TimedOut, "crash"),
        ];
        for (cause, name) in table {
            assert_eq!(trigger(cause).name(), name, "{cause:?}");
        }
    }
}
