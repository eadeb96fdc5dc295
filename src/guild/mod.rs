//! One actor per active guild: mail goes in, the player decides, effects go out.

mod actor;
mod calls;
mod careful;
mod metering;
pub(crate) mod outward;
mod panel;
mod saving;
mod takeover;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{debug, warn};

pub use actor::Ended;
pub use takeover::Takeover;

use self::saving::Saving;
use crate::discord::Discord;
use crate::gateway::{Seen, ShardHandle};
use crate::lavalink::{Node, NodeState};
use crate::lifecycle::{Authority, wall_ms};
use crate::model::ids::{ApplicationId, Epoch, GuildId, InteractionId, MemberId, UserId};
use crate::model::order::{Asked, Order};
use crate::model::record::{GuildSettings, PendingRecord};
use crate::model::signal::{FromNode, NodeEvent, Signal};
use crate::model::view::View;
use crate::player::{Before, Loaded, Outcomes, Player, Policy, Recovered, Trigger};
use crate::store::{Checkpoint, FAILURES_UNTIL_QUARANTINE, GuildRow, SharedStore, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::ui;

/// Mail that may wait for one guild. A person's order beyond it is refused; 256 events are more than any second brings.
const MAILBOX: usize = 256;

/// Characters that are kept of why a guild failed.
const WHY_LIMIT: usize = 300;

/// What every guild of one shard shares.
#[derive(Clone)]
pub struct Surroundings {
    /// The shard's number.
    pub shard: u32,
    /// This member.
    pub member: MemberId,
    /// Asked at every outward act.
    pub permit: Arc<dyn Authority>,
    /// Where snapshots go.
    pub store: SharedStore,
    /// REST.
    pub discord: Discord,
    /// The bot's application.
    pub application: ApplicationId,
    /// The bot itself.
    pub bot: UserId,
    /// Op 4 and the voice cache.
    pub gateway: ShardHandle,
    /// This shard's Lavalink sessions.
    pub nodes: Arc<[Node]>,
    /// What the operator chose.
    pub policy: Policy,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Hears of every recovery that ended.
    pub recoveries: mpsc::Sender<Recovery>,
    /// What the recoveries of the guilds are a part of that were active when the shard was taken.
    pub takeover: Arc<Takeover>,
    /// Guilds of the shard that play now.
    pub playing: Arc<AtomicI64>,
}

/// A recovery that ended, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The guild's shard.
    pub shard: u32,
    /// The guild.
    pub guild: GuildId,
    /// How it went.
    pub recovered: Recovered,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: i64,
    /// The span of taking the shard, a W3C `traceparent`, if it was a part of that.
    pub takeover: Option<Arc<str>>,
}

impl Recovery {
    /// From its beginning to its end, milliseconds.
    pub fn took_ms(&self) -> u64 {
        u64::try_from(self.ended_ms - self.recovered.began_ms).unwrap_or(0)
    }

    /// Counts it; `trace` (32 hexadecimal digits) tells it.
    pub fn count(&self, metrics: &Metrics, trace: Option<String>) {
        let took = std::time::Duration::from_millis(self.took_ms());
        metering::recovered(metrics, &self.recovered, took, trace);
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmed {
    /// Durable; this is what it did, and how the player looks now.
    Saved(Outcomes, Box<View>),
    /// Done, but the store does not answer: not confirmed.
    NotSaved(Outcomes, Box<View>),
    /// This process may not act for the guild now.
    NoAuthority,
}

/// The language of what nobody asked for.
fn locale_of(settings: &GuildSettings) -> ui::Locale {
    settings
        .language
        .as_deref()
        .map_or(ui::Locale::En, ui::Locale::from_discord)
}

/// Mail for a guild.
pub(crate) enum Mail {
    Order {
        asked: Asked,
        order: Order,
        reply: oneshot::Sender<Confirmed>,
        seen: Option<Seen>,
    },
    Defer {
        pending: PendingRecord,
        stored: oneshot::Sender<()>,
    },
    Undefer(InteractionId),
    Signal(Signal, Option<Seen>),
    Node(FromNode),
    NodesChanged,
    View(oneshot::Sender<View>),
    IsRecovering(oneshot::Sender<bool>),
    Checkpoint(oneshot::Sender<Option<Checkpoint>>),
    CheckpointFailed,
    Lost,
    Stop,
}

/// Where a guild's mail is put.
#[derive(Clone)]
pub struct GuildHandle {
    /// Boxed: a channel keeps room for 32 messages, which unboxed would be most of what a guild costs.
    mailbox: mpsc::Sender<Box<Mail>>,
}

/// The guild takes no more mail, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guild is too busy")]
pub struct Busy;

impl GuildHandle {
    /// Hands an order in; the answer comes when it is durable.
    pub fn order(&self, asked: Asked, order: Order, seen: Option<Seen>) -> Result<oneshot::Receiver<Confirmed>, Busy> {
        let (reply, answer) = oneshot::channel();
        self.mailbox
            .try_send(Box::new(Mail::Order {
                asked,
                order,
                reply,
                seen,
            }))
            .map_err(|_| Busy)?;
        Ok(answer)
    }

    /// Stores a deferral; the receiver fires when it is durable.
    pub fn defer(&self, pending: PendingRecord) -> Result<oneshot::Receiver<()>, Busy> {
        let (stored, done) = oneshot::channel();
        self.mailbox
            .try_send(Box::new(Mail::Defer { pending, stored }))
            .map_err(|_| Busy)?;
        Ok(done)
    }

    /// The deferral was answered.
    pub fn undefer(&self, id: InteractionId) {
        self.put(Mail::Undefer(id));
    }

    /// What people may see now.
    pub async fn view(&self) -> Result<View, Busy> {
        let (answer, view) = oneshot::channel();
        self.mailbox.try_send(Box::new(Mail::View(answer))).map_err(|_| Busy)?;
        view.await.map_err(|_| Busy)
    }

    /// Whether it is not yet known, or not yet done, what a recovery needs.
    async fn is_recovering(&self) -> Result<bool, Busy> {
        let (answer, recovering) = oneshot::channel();
        let mail = Box::new(Mail::IsRecovering(answer));
        self.mailbox.try_send(mail).map_err(|_| Busy)?;
        recovering.await.map_err(|_| Busy)
    }

    fn put(&self, mail: Mail) {
        if self.mailbox.try_send(Box::new(mail)).is_err() {
            warn!("a guild's mailbox is full; an event was dropped");
        }
    }
}

/// The guilds of one shard that have an actor.
pub struct Guilds {
    around: Surroundings,
    /// Who owned the shard before: its guilds may still carry that name.
    previous: Option<MemberId>,
    actors: Mutex<Actors>,
    /// One that was held is let in.
    let_in: Notify,
}

#[derive(Default)]
struct Actors {
    handles: HashMap<GuildId, GuildHandle>,
    tasks: JoinSet<Ended>,
    /// Which task is whose, and of which epoch.
    running: HashMap<Id, (GuildId, Epoch)>,
    /// Orders that the owner before deferred, and that this one finishes.
    inherited: HashSet<InteractionId>,
    /// Guilds that are not loaded yet, and what waits for them.
    held: HashMap<GuildId, Vec<(Signal, Seen)>>,
    /// The last READY or RESUMED, for actors that begin later.
    ready: Option<Signal>,
    closed: bool,
}

/// A guild whose actor failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    guild: GuildId,
    epoch: Epoch,
    why: String,
}

/// What a task that panicked said.
fn panic_text(error: JoinError) -> String {
    let said = error.try_into_panic().ok();
    let said = said.as_ref().and_then(|said| {
        let text = said.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| said.downcast_ref::<&str>().copied())
    });
    said.unwrap_or("it was cancelled").chars().take(WHY_LIMIT).collect()
}

impl Guilds {
    /// None yet. `inherited` are the orders that the owner before deferred: Discord may send them again, and they are not
    /// to be handled a second time.
    pub fn new(around: Surroundings, previous: Option<MemberId>, inherited: HashSet<InteractionId>) -> Arc<Self> {
        Arc::new(Self {
            around,
            previous,
            actors: Mutex::new(Actors {
                inherited,
                ..Actors::default()
            }),
            let_in: Notify::new(),
        })
    }

    /// Whether a deferral of the owner before is finished apart from Discord's replay of it.
    pub fn inherits(&self, id: InteractionId) -> bool {
        self.lock().inherited.contains(&id)
    }

    /// What the guilds share.
    pub const fn around(&self) -> &Surroundings {
        &self.around
    }

    /// The actor of a guild, if it has one.
    pub fn get(&self, guild: GuildId) -> Option<GuildHandle> {
        self.lock().handles.get(&guild).cloned()
    }

    /// Whether the guild has an actor, or gets one soon.
    pub fn hears(&self, guild: GuildId) -> bool {
        let actors = self.lock();
        actors.handles.contains_key(&guild) || actors.held.contains_key(&guild)
    }

    /// The actor of a guild; takes the guild from the store first where it has none. `None`: another member
    /// owns it, it is quarantined, or it is not loaded yet ([`Guilds::hold`]).
    pub async fn open(&self, guild: GuildId) -> Result<Option<GuildHandle>, StoreError> {
        if let Some(handle) = self.get(guild) {
            return Ok(Some(handle));
        }
        if self.lock().held.contains_key(&guild) {
            return Ok(None);
        }
        let around = &self.around;
        let claim = around
            .store
            .claim_guild(guild, around.shard, self.previous.as_ref(), &around.member)
            .await?;
        Ok(claim.ours().map(|row| self.start(row, None)))
    }

    /// Starts an actor on a row that was taken. With `loaded` it recovers.
    pub fn start(&self, mut row: GuildRow, loaded: Option<Loaded>) -> GuildHandle {
        let mut actors = self.lock();
        if let Some(handle) = actors.handles.get(&row.id) {
            return handle.clone();
        }
        let (mailbox, mail) = mpsc::channel(MAILBOX);
        let handle = GuildHandle { mailbox };
        if actors.closed {
            return handle;
        }
        let guild = row.id;
        let (epoch, saving) = (row.epoch, Saving::of(&mut row, self.around.store.skew_ms()));
        let player = Player::restore(guild, self.around.policy, row.snapshot, loaded);
        for node in self.around.nodes.iter() {
            node.register(guild);
        }
        let actor = Box::new(actor::Actor::new(self.around.clone(), guild, saving, player));
        actors.handles.insert(guild, handle.clone());
        let task = actors.tasks.spawn(actor.run(mail));
        actors.running.insert(task.id(), (guild, epoch));
        handle
    }

    /// A signal of Discord's gateway. A guild without an actor needs none, except to be forgotten.
    pub async fn signal(&self, guild: GuildId, signal: Signal, seen: Seen) {
        let Some((signal, seen)) = self.keep(guild, signal, seen) else {
            return;
        };
        if let Some(handle) = self.get(guild) {
            handle.put(Mail::Signal(signal, Some(seen)));
        } else if signal == Signal::GuildRemoved
            && let Ok(Some(handle)) = self.open(guild).await
        {
            handle.put(Mail::Signal(signal, Some(seen)));
        }
    }

    /// To every actor.
    pub fn broadcast(&self, signal: &Signal) {
        let mut actors = self.lock();
        if matches!(signal, Signal::ShardReady { .. }) {
            actors.ready = Some(signal.clone());
        }
        for handle in actors.handles.values() {
            handle.put(Mail::Signal(signal.clone(), None));
        }
    }

    /// An event of a node.
    pub fn node(&self, guild: GuildId, from: FromNode) {
        if let Some(handle) = self.get(guild) {
            handle.put(Mail::Node(from));
        }
    }

    /// A node became usable or unusable.
    pub fn nodes_changed(&self) {
        for handle in self.lock().handles.values() {
            handle.put(Mail::NodesChanged);
        }
    }

    /// How many have an actor.
    pub fn len(&self) -> usize {
        self.lock().handles.len()
    }

    /// Whether none has an actor.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many play now.
    pub fn playing(&self) -> i64 {
        self.around.playing.load(Ordering::Relaxed)
    }

    /// What the next auto-save round has to write.
    pub async fn checkpoints(&self) -> Vec<Checkpoint> {
        let asked: Vec<_> = {
            let actors = self.lock();
            let ask = |handle: &GuildHandle| {
                let (answer, checkpoint) = oneshot::channel();
                handle
                    .mailbox
                    .try_send(Box::new(Mail::Checkpoint(answer)))
                    .ok()
                    .map(|()| checkpoint)
            };
            actors.handles.values().filter_map(ask).collect()
        };
        let mut batch = Vec::new();
        for checkpoint in asked {
            batch.extend(checkpoint.await.ok().flatten());
        }
        batch
    }

    /// What became of a round: `lost` guilds are driven no more; a failed batch is written again next time.
    pub fn checkpointed(&self, batch: &[Checkpoint], outcome: Result<&[GuildId], ()>) {
        let actors = self.lock();
        for checkpoint in batch {
            let Some(handle) = actors.handles.get(&checkpoint.id) else {
                continue;
            };
            match outcome {
                Ok(lost) if lost.contains(&checkpoint.id) => handle.put(Mail::Lost),
                Ok(_) => {}
                Err(()) => handle.put(Mail::CheckpointFailed),
            }
        }
    }

    /// The views of all actors, for the status page.
    pub async fn views(&self) -> Vec<(GuildId, View)> {
        let handles: Vec<_> = self
            .lock()
            .handles
            .iter()
            .map(|(id, handle)| (*id, handle.clone()))
            .collect();
        let mut views = Vec::with_capacity(handles.len());
        for (id, handle) in handles {
            if let Ok(view) = handle.view().await {
                views.push((id, view));
            }
        }
        views
    }

    /// Waits for an actor to end and forgets it. Never returns while there is none. One that failed is told, for
    /// [`Guilds::revive`].
    pub async fn reap(&self) -> Option<Failed> {
        let ended = std::future::poll_fn(|cx| {
            let mut actors = self.lock();
            match actors.tasks.poll_join_next_with_id(cx) {
                std::task::Poll::Ready(Some(ended)) => std::task::Poll::Ready(ended),
                std::task::Poll::Ready(None) | std::task::Poll::Pending => std::task::Poll::Pending,
            }
        })
        .await;
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let (guild, epoch) = {
            let mut actors = self.lock();
            let known = actors.running.remove(&id)?;
            actors.handles.remove(&known.0);
            known
        };
        for node in self.around.nodes.iter() {
            node.unregister(guild);
        }
        if let Ok((_, Ended::Lost | Ended::Retired | Ended::Forgotten)) = ended {
            // Nobody recovers it here any more.
            self.around.takeover.over(guild, wall_ms());
        }
        match ended {
            Ok((_, Ended::Lost)) => {
                warn!(%guild, "another member owns the guild now");
                None
            }
            Ok((_, Ended::Stopped | Ended::Retired | Ended::Forgotten)) => None,
            Err(error) => {
                let why = panic_text(error);
                tracing::error!(%guild, why, "a guild's actor failed");
                Some(Failed { guild, epoch, why })
            }
        }
    }

    /// Counts a failure of a guild that is ours. Whether it may be driven all the same: not when it is somebody else's,
    /// and not when it failed so often that it is quarantined.
    pub async fn failed(&self, guild: GuildId, epoch: Epoch, why: &str) -> bool {
        let counted = self.around.store.guild_failed(guild, &self.around.member, epoch, why);
        match counted.await {
            Ok(count) if count >= FAILURES_UNTIL_QUARANTINE => {
                tracing::error!(%guild, why, count, "the guild is quarantined: nobody drives it until `segue release` lets it go");
                false
            }
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => {
                warn!(%guild, %error, "a failure is not counted");
                true
            }
        }
    }

    /// Starts the actor of a guild again after it failed, from its snapshot, on what its node plays. A guild that fails
    /// again and again is quarantined instead, so that it takes nobody with it.
    pub async fn revive(&self, failed: Failed) {
        let guild = failed.guild;
        let Some(row) = self.may_revive(failed).await else {
            self.around.takeover.over(guild, wall_ms());
            return;
        };
        let now = wall_ms();
        let loaded = Loaded {
            trigger: Trigger::Crash,
            alive_until_ms: now,
            began_ms: now,
            before: Before::default(),
        };
        self.start_late(row, loaded, true).await;
    }

    async fn may_revive(&self, failed: Failed) -> Option<GuildRow> {
        let Failed { guild, epoch, why } = failed;
        if !self.failed(guild, epoch, &why).await {
            return None;
        }
        let around = &self.around;
        let claim = around
            .store
            .claim_guild(guild, around.shard, self.previous.as_ref(), &around.member)
            .await;
        match claim {
            Ok(claim) => claim.ours(),
            Err(error) => {
                warn!(%guild, %error, "the guild's actor starts again when somebody asks for something");
                None
            }
        }
    }

    /// Starts an actor when the shard's sessions may be there already: it is told what the others were told. `known`: it
    /// is known to have used the node's session.
    async fn start_late(&self, row: GuildRow, loaded: Loaded, known: bool) {
        let guild = row.id;
        let node = row.snapshot.head.voice.as_ref().and_then(|voice| voice.node.clone());
        let handle = self.start(row, Some(loaded));
        let ready = self.lock().ready.clone();
        if let Some(ready) = ready {
            handle.put(Mail::Signal(ready, None));
        }
        let mut nodes = self.around.nodes.iter();
        let Some(node) = nodes.find(|known| Some(known.name()) == node.as_ref()) else {
            return;
        };
        // One that is not there yet tells its guilds itself when it is.
        if let NodeState::Ready { resumed } = node.state()
            && let Ok(player) = node.player(guild).await
        {
            let resumed = resumed || known || player.is_some();
            let event = NodeEvent::Ready { resumed, player };
            handle.put(Mail::Node(FromNode {
                node: node.name().clone(),
                event,
            }));
        }
    }

    /// Every actor ends where it stands, without a word: others drive the guilds.
    pub async fn abandon(&self) {
        let mut tasks = {
            let mut actors = self.lock();
            actors.closed = true;
            actors.handles.clear();
            std::mem::take(&mut actors.tasks)
        };
        tasks.shutdown().await;
    }

    /// Where all of them play is saved, in one write, and what else changed by each actor; then they end. Nothing is left and
    /// no player is deleted.
    pub async fn stop(&self) {
        let batch = self.checkpoints().await;
        let placing = async {
            if !batch.is_empty()
                && let Err(error) = self.around.store.checkpoint(&batch).await
            {
                debug!(%error, "where the music is at the end is not saved; what was saved last is");
            }
        };
        let mut tasks = {
            let mut actors = self.lock();
            actors.closed = true;
            for handle in actors.handles.values() {
                handle.put(Mail::Stop);
            }
            actors.handles.clear();
            std::mem::take(&mut actors.tasks)
        };
        tokio::join!(placing, async { while tasks.join_next().await.is_some() {} });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Actors> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
