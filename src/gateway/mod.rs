//! Discord's gateway: one task per shard over one twilight connection at a time; events go out in Discord's order.
//!
//! What is added to twilight: resuming a session of another process, a watermark of what was *processed*, bounded sends, a
//! watchdog, and a verdict on every end of a connection ([`reconnect`]). Every connection is a new [`twilight_gateway::Shard`],
//! so neither its queue of commands nor its own reconnecting survives a connection.

mod connection;
mod events;
pub mod identify;
mod outbox;
pub mod reconnect;
pub mod route;
pub mod sends;
pub mod session;
mod shard;
mod tally;
pub mod voices;
pub mod watermark;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use twilight_gateway::Intents;
use twilight_model::gateway::payload::incoming::InteractionCreate;

pub use self::identify::SharedQueue;
use self::sends::Sends;
pub use self::sends::{Priority, QueueFull, VoiceRequest};
use self::tally::Tally;
use self::voices::Voices;
pub use self::voices::{GuildCount, GuildVoices};
pub use self::watermark::Seen;
use self::watermark::Watermark;
use crate::lifecycle::Authority;
use crate::model::ids::{ChannelId, GuildId, MemberId, ShardId, UserId};
use crate::model::signal::Signal;
use crate::store::GatewaySession;

/// `GUILDS` and `GUILD_VOICE_STATES`; interactions need none.
pub const INTENTS: Intents = Intents::GUILDS.union(Intents::GUILD_VOICE_STATES);

/// What a shard needs to begin.
#[derive(Clone, Debug)]
pub struct ShardSpec {
    /// Number and total.
    pub shard: ShardId,
    /// With or without `Bot `.
    pub token: SecretString,
    /// Usually [`INTENTS`].
    pub intents: Intents,
    /// Where to IDENTIFY; without it, Discord's own.
    pub gateway_url: Option<String>,
    /// To go on with, if it fits.
    pub session: Option<GatewaySession>,
    /// The bot's own user id.
    pub bot: UserId,
    /// Stands in IDENTIFY's properties, so that on the wire a member can be told.
    pub member: MemberId,
    /// Milliseconds since 1970 by this machine.
    pub now_ms: fn() -> i64,
}

/// From a shard, in the order Discord sent it.
#[derive(Debug)]
pub enum FromShard {
    /// READY (`resumed: false`) or RESUMED. Nothing follows until `ack` is answered or dropped: store a new session first.
    Ready {
        /// Whether the session is the one before.
        resumed: bool,
        /// What to store.
        session: GatewaySession,
        /// Answer when it is durable.
        ack: oneshot::Sender<()>,
    },
    /// An event of one guild.
    Guild {
        /// Which.
        guild: GuildId,
        /// What.
        signal: Signal,
        /// Drop it when the effects are durable.
        seen: Seen,
    },
    /// Somebody used a command or a button.
    Interaction {
        /// As Discord sent it.
        interaction: Box<InteractionCreate>,
        /// Drop it when the effects are durable.
        seen: Seen,
        /// When it arrived, milliseconds since 1970 by this machine.
        received_ms: i64,
        /// Not part of a replay: issued a moment ago, so it tells Discord's clock.
        live: bool,
    },
    /// The stored session cannot be resumed: forget it.
    SessionLost,
    /// The connection is gone; the shard is making another.
    Down {
        /// Discord's close code, if there was one.
        code: Option<u16>,
    },
    /// Discord refuses for good (4004: the token; 4010 to 4014: shard, version or intents). The task ends.
    Fatal {
        /// Discord's close code.
        code: u16,
    },
}

/// What a shard is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// Waits for authority or for its turn to connect again.
    Waiting,
    /// Connects, and waits for HELLO.
    Connecting,
    /// Waits for an IDENTIFY ticket or for READY.
    Identifying,
    /// Receives what it missed.
    Resuming,
    /// Receives what happens.
    Active,
    /// Ended as asked.
    Closed,
    /// Refused for good.
    Fatal(u16),
}

/// Counts since the task began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// IDENTIFYs sent.
    pub identifies: u64,
    /// RESUMEs sent.
    pub resumes: u64,
    /// Connections that ended.
    pub ends: u64,
    /// Events handed on.
    pub events: u64,
    /// Events that could not be parsed.
    pub malformed: u64,
    /// op 4 sent.
    pub voice_sent: u64,
    /// op 4 dropped: another session, or no authority.
    pub voice_dropped: u64,
}

/// A running shard, for everybody else.
#[derive(Clone, Debug)]
pub struct ShardHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    watermark: Watermark,
    sends: Mutex<Sends>,
    asked: Notify,
    voices: Mutex<Voices>,
    state: watch::Sender<ShardState>,
    latency_ms: AtomicU64,
    /// How often the task went round.
    turns: AtomicU64,
    counts: Mutex<ShardCounts>,
    tally: Tally,
    hearers: OnceLock<Hearers>,
}

/// Whether anybody wants to hear who comes and goes in a guild.
struct Hearers(Box<dyn Fn(GuildId) -> bool + Send + Sync>);

impl std::fmt::Debug for Hearers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hearers")
    }
}

const NO_LATENCY: u64 = u64::MAX;

/// Prepares a shard. The future runs it until `stop` or until Discord refuses for good; somebody has to own it.
///
/// On `stop` it closes with 4000, so that the session lives on, and returns the session for the successor. Events that are
/// with the caller at that moment may still be finished: [`ShardHandle::processed`] stays current after the end.
pub fn open(
    spec: ShardSpec,
    queue: SharedQueue,
    out: mpsc::Sender<FromShard>,
    authority: Arc<dyn Authority>,
    stop: CancellationToken,
) -> (ShardHandle, impl Future<Output = Option<GatewaySession>> + Send) {
    let shared = Arc::new(Shared {
        watermark: Watermark::default(),
        sends: Mutex::default(),
        asked: Notify::new(),
        voices: Mutex::default(),
        state: watch::channel(ShardState::Waiting).0,
        latency_ms: AtomicU64::new(NO_LATENCY),
        turns: AtomicU64::new(0),
        counts: Mutex::default(),
        tally: Tally::default(),
        hearers: OnceLock::new(),
    });
    let task = shard::Task::new(spec, queue, out, authority, stop, Arc::clone(&shared));
    (ShardHandle(shared), Box::pin(task.run()))
}

impl ShardHandle {
    /// Every event up to this sequence number is processed. Of the session that [`FromShard::Ready`] told last.
    pub fn processed(&self) -> u64 {
        self.0.watermark.processed()
    }

    /// From now on people who come and go in a guild nobody wants to hear of only change [`ShardHandle::voices`]: on a shard of
    /// many guilds that is most of what Discord sends. Can be set once; until then everything is handed on.
    pub fn only_heard(&self, wanted: impl Fn(GuildId) -> bool + Send + Sync + 'static) {
        drop(self.0.hearers.set(Hearers(Box::new(wanted))));
    }

    /// Asks for a voice channel. Sent when the budget allows; the latest of a guild wins; dropped when a new session
    /// replaces this one or authority is lost, and then whoever asked finds out by hearing nothing.
    pub fn voice(&self, request: VoiceRequest) -> Result<(), QueueFull> {
        lock(&self.0.sends).push(request)?;
        self.0.asked.notify_one();
        Ok(())
    }

    /// Whether a request of this guild is still to be sent.
    pub fn voice_waits(&self, guild: GuildId) -> bool {
        lock(&self.0.sends).waits(guild)
    }

    /// Between the last heartbeat and its answer, in milliseconds.
    pub fn latency_ms(&self) -> Option<u64> {
        Some(self.0.latency_ms.load(Ordering::Relaxed)).filter(|ms| *ms != NO_LATENCY)
    }

    /// How often the task went round: at least once a second, whatever Discord does. One that stands still is stuck.
    pub fn turns(&self) -> u64 {
        self.0.turns.load(Ordering::Relaxed)
    }

    /// What it is doing.
    pub fn state(&self) -> ShardState {
        *self.0.state.borrow()
    }

    /// Tells every change of [`ShardHandle::state`].
    pub fn watch(&self) -> watch::Receiver<ShardState> {
        self.0.state.subscribe()
    }

    /// Who is in which voice channel of a guild; `None` when nothing is known.
    pub fn voices(&self, guild: GuildId) -> Option<GuildVoices> {
        lock(&self.0.voices).guild(guild).cloned()
    }

    /// Discord answered that a person is in a channel; `changes` as [`ShardHandle::voices`] had them before it was asked, 0 where
    /// it knew nothing.
    pub fn learn_voice(&self, guild: GuildId, user: UserId, channel: ChannelId, changes: u32) {
        lock(&self.0.voices).learn(guild, user, channel, changes);
    }

    /// How many guilds are known.
    pub fn guilds(&self) -> GuildCount {
        lock(&self.0.voices).count()
    }

    /// Counts since the start.
    pub fn counts(&self) -> ShardCounts {
        *lock(&self.0.counts)
    }

    /// Dispatches since the start, by Discord's name; those that nobody needs are `other`.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, u64)> + use<> {
        self.0.tally.events().into_iter()
    }

    /// Connections since the start that followed another, by why that ended ([`reconnect::Ended::word`]) and whether the
    /// session went on.
    pub fn reconnects(&self) -> BTreeMap<(&'static str, bool), u64> {
        self.0.tally.reconnects()
    }

    /// From the socket until their effects were durable, for some guilds' events since the last call: one at a time.
    pub fn lags(&self) -> Vec<Duration> {
        self.0.watermark.lags()
    }

    /// Requests for voice channels that are still to be sent.
    pub fn voice_requests(&self) -> usize {
        lock(&self.0.sends).waiting()
    }

    /// Events that were handed on and are not processed yet.
    pub fn unprocessed(&self) -> usize {
        self.0.watermark.tickets()
    }
}

impl Shared {
    fn hears(&self, guild: GuildId) -> bool {
        self.hearers.get().is_none_or(|hearers| hearers.0(guild))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
