//! What is stored, and why; the one interface over SQLite and MongoDB.
//!
//! * `members`: one row per incarnation, renewed every 2 s: "alive until". Sequence numbers of its shards ride on it.
//! * `shards`: who is to own a shard and who does, its epoch, the gateway session and the Lavalink sessions that move with it.
//! * `guilds`: one document per guild: owner, epoch, rev, and the snapshot in two parts ([`Head`], [`Lists`]).
//! * `meta`: small facts of the cluster (hash of the registered commands, the bot's identity, identify tickets), and the
//!   leader's term: whatever elects a leader, only its term makes an assignment count.
//! * `recoveries`: the last few hundred, for people.
//!
//! Not stored: who is in other voice channels than the bot's, rendered pages, anything a node can tell again.
//!
//! Every mutating call is durable (majority, journaled) when it returns `Ok`. [`StoreError::Unknown`] means that the
//! write may or may not have happened; [`Store::write_guild`] re-reads and resolves that itself wherever it can.

mod cluster;
mod gate;
pub mod mongo;
pub mod observed;
mod open;
pub mod origin;
mod row;
pub mod schema;
mod skew;
pub mod sqlite;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::model::ids::{Epoch, GuildId, MemberId, NodeName, Rev};
use crate::model::position::Anchor;
use crate::model::record::{Head, Lists, Snapshot};

pub use cluster::{
    Assignment, Beat, Campaign, Fence, GatewaySession, LeaderRow, MemberRow, MemberState, RecoveryRow, Released, Scan,
    ShardRow,
};
pub use open::{open, open_existing};

/// Every call answers within this time, except those that move or rewrite all guilds of a shard.
pub const OPERATION_DEADLINE: Duration = Duration::from_millis(1_500);
/// What moves all guilds of a shard ([`Store::seal`], [`Store::release_shard`]) in one operation may take this long.
pub const SHARD_DEADLINE: Duration = Duration::from_secs(10);
/// Most checkpoints that travel in one batch.
pub const CHECKPOINT_BATCH: usize = 1_000;
/// Final members are kept this long, for people.
pub(crate) const FINAL_KEPT_MS: i64 = 24 * 3_600 * 1_000;

/// A guild whose snapshot made its owner fail this often within [`FAILURES_COUNT_MS`] is quarantined.
pub const FAILURES_UNTIL_QUARANTINE: u32 = 3;
/// How long a failure counts, milliseconds of the store's clock.
pub const FAILURES_COUNT_MS: i64 = 5 * 60 * 1_000;
/// The fact that says under how many shards the guilds' rows stand.
const REGROUPED: &str = "guilds_by_shards";
/// How many recoveries are kept.
pub const RECOVERIES_KEPT: usize = 500;

/// What a [`Store`] answers once it is awaited, within [`OPERATION_DEADLINE`] or what else the call says. Nothing may be sent
/// before it is first polled.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A store, shared by everyone in the process.
pub type SharedStore = Arc<dyn Store>;

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, has no primary, or did not answer in time; nothing was written.
    #[error("the store is unavailable: {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The outcome of a write is not known (time-out, connection lost after sending).
    #[error("the outcome of a write is unknown: {what}")]
    Unknown {
        /// What was being done.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// No room: the disk under SQLite is full, or a quota is reached.
    #[error("the store is full: {what}")]
    Full {
        /// What was being done.
        what: &'static str,
    },
    /// Something stored cannot be read: a newer schema than this binary knows, or damage.
    #[error("cannot read what is stored: {what}: {detail}")]
    Unreadable {
        /// Which row or document.
        what: String,
        /// Why.
        detail: String,
    },
    /// A bug, a wrong address or missing rights; trying again does not help.
    #[error("the store refused: {what}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Unknown { .. } | Self::Full { .. }
        )
    }
}

/// Where a member runs, so that its death can be proven by the next start on the same machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// `/etc/machine-id`, hashed.
    pub machine: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: Option<String>,
    /// The pid namespace's inode.
    pub pid_namespace: Option<u64>,
    /// Process id inside that namespace.
    pub pid: u32,
    /// Start time of the process in clock ticks since boot (`/proc/self/stat`, field 22), so that a reused pid is told apart.
    pub pid_start: Option<u64>,
    /// The pod's UID.
    pub pod_uid: Option<String>,
    /// The network namespace's inode.
    pub net_namespace: Option<u64>,
}

/// A guild as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct GuildRow {
    /// The guild.
    pub id: GuildId,
    /// Its shard when it was taken last.
    pub shard: u32,
    /// Who owns it.
    pub owner: Option<MemberId>,
    /// Counts owners.
    pub epoch: Epoch,
    /// Counts writes.
    pub rev: Rev,
    /// Whether something is to be recovered (in voice, or a track loaded).
    pub active: bool,
    /// When the current track ends by the store's clock, milliseconds since 1970.
    pub ends_at_ms: Option<i64>,
    /// The snapshot, converted up to this binary's schema. Its anchor is by the store's clock.
    pub snapshot: Snapshot,
}

/// How an attempt to take one guild ended.
#[derive(Clone, Debug, PartialEq)]
pub enum GuildClaim {
    /// It is ours.
    Ours(Box<GuildRow>),
    /// Another member that is not known to be dead owns it.
    Theirs,
    /// It is ours, but its snapshot made its owner fail again and again: it is not to be driven until it is let go
    /// ([`Store::release_guild`]).
    Quarantined {
        /// What failed last, for people.
        why: String,
    },
}

impl GuildClaim {
    /// The row, if it may be driven.
    pub fn ours(self) -> Option<GuildRow> {
        match self {
            Self::Ours(row) => Some(*row),
            Self::Theirs | Self::Quarantined { .. } => None,
        }
    }
}

/// A guild that nobody drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Which.
    pub guild: GuildId,
    /// What failed last, for people.
    pub why: String,
}

/// A write to one guild's document. Applied only while `owner` and `epoch` match and the stored rev is lower.
#[derive(Clone, Debug, PartialEq)]
pub struct GuildWrite {
    /// The guild.
    pub id: GuildId,
    /// The writer.
    pub owner: MemberId,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The new rev.
    pub rev: Rev,
    /// See [`GuildRow::active`].
    pub active: bool,
    /// See [`GuildRow::ends_at_ms`].
    pub ends_at_ms: Option<i64>,
    /// The small part, its anchor by the store's clock.
    pub head: Head,
    /// The large part, when it changed since the last write that was confirmed.
    pub lists: Option<Lists>,
}

/// What became of a [`GuildWrite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable.
    Done,
    /// Another member or epoch owns the guild: stop driving it.
    Lost,
    /// A later rev of the same owner is already stored.
    Stale,
}

/// The periodic auto-save of one guild: only the anchor of a playing deck moves. Applied only while `owner`, `epoch` and
/// `rev` are exactly what is stored and no later anchor is; a deck that does not play stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The guild.
    pub id: GuildId,
    /// The writer.
    pub owner: MemberId,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The rev it was taken at: a checkpoint older than a later write must not undo it.
    pub rev: Rev,
    /// Where the track is, by the store's clock.
    pub anchor: Anchor,
    /// When it ends by the store's clock, milliseconds since 1970.
    pub ends_at_ms: Option<i64>,
}

/// The store. One implementation per database, one conformance suite for all (`conformance`).
///
/// Written without a macro for asynchronous traits: with the bounds that it adds, the compiler proves for every method
/// anew that MongoDB's whole client may cross threads, a tenth of the time that it takes to compile the program.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What is behind it, for people: `sqlite:/var/lib/segue.db`, `mongodb://host/segue`. Never a password.
    fn describe(&self) -> String;
    /// The schema that snapshots are written in: the oldest that a stored member reads ([`schema::writable`]). Every look
    /// at the members ([`Store::members`], [`Store::scan`]) sets it; before the first, the newest.
    fn write_schema(&self) -> u32;
    /// Sets it until the next look at the members, clamped to what this binary knows.
    fn set_write_schema(&self, schema: u32);
    /// Answers when the store can be read and written within its operation deadline (1.5 s).
    fn ping(&self) -> Answer<'_, ()>;
    /// The store's clock, milliseconds since 1970.
    fn now_ms(&self) -> Answer<'_, i64>;
    /// This machine's wall clock ([`wall_ms`](crate::lifecycle::wall_ms)) less the store's, milliseconds, as [`Store::scan`] saw
    /// it; before the first, and where they hardly differ, 0. Anchors are stored by the store's clock.
    fn skew_ms(&self) -> i64;
    /// Ends what goes on in the background, within half a second: the last thing before the process ends. Nothing can be
    /// asked after it.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Inserts a live member; `seq` starts at 1, `renewed_ms` is the store's clock.
    fn join(&self, member: MemberRow) -> Answer<'_, ()>;
    /// Renews a live or draining member and returns its row (so [`MemberRow::assign_gen`] rides on the answer); `None` when
    /// it is fenced, gone or unknown. Cost does not grow with guilds.
    fn renew<'a>(&'a self, id: &'a MemberId, beat: &'a Beat) -> Answer<'a, Option<MemberRow>>;
    /// All members that are stored; final ones are kept a day.
    fn members(&self) -> Answer<'_, Vec<MemberRow>>;
    /// live or draining → fenced. `true` if this call did it; `false` when it was final already, or is not overdue.
    fn fence<'a>(&'a self, fence: &'a Fence) -> Answer<'a, bool>;
    /// live → draining, or live/draining → gone. `false` when it was final already.
    fn set_state<'a>(&'a self, id: &'a MemberId, state: MemberState) -> Answer<'a, bool>;

    /// Everything that a leader decides from. Cost does not grow with guilds.
    fn scan(&self) -> Answer<'_, Scan>;
    /// Makes `me` the leader in a term of its own, whoever led before: for those who were elected elsewhere.
    fn new_term<'a>(&'a self, me: &'a MemberId) -> Answer<'a, u64>;
    /// An election by the store. `me` keeps the term it has, or takes the next one when nobody leads, the leader is fenced
    /// or gone, or did not campaign for the `lease_ms` that it asked for, by the store's clock.
    fn campaign<'a>(&'a self, me: &'a MemberId, lease_ms: i64) -> Answer<'a, Campaign>;
    /// Nobody leads any more, if `me` does in this term. The next leader's term is higher all the same.
    fn resign<'a>(&'a self, me: &'a MemberId, term: u64) -> Answer<'a, bool>;
    /// Says who is to own shards, shard by shard where no higher term said so before; a shard that is not stored is created.
    /// Returns the shards that are now as asked. Idempotent.
    fn assign<'a>(&'a self, term: u64, assignments: &'a [Assignment]) -> Answer<'a, Vec<u32>>;
    /// Lets members know, with their next renewal, that something about their shards changed ([`MemberRow::assign_gen`]). Who is
    /// not stored is passed over. After an error some, all or none may know; telling them twice does no harm.
    fn tell<'a>(&'a self, members: &'a [MemberId]) -> Answer<'a, ()>;

    /// All shards that were ever assigned.
    fn shards(&self) -> Answer<'_, Vec<ShardRow>>;
    /// Compare-and-set of the owner: from `previous` (exactly) to `me`, epoch + 1, only where `me` is wanted. `None` when it
    /// is not, or somebody was faster. Idempotent for its owner: a second call returns the row as it is.
    fn claim_shard<'a>(
        &'a self,
        id: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, Option<ShardRow>>;
    /// Stores (or with `None` forgets) the gateway session; with a `trace`, also that ([`ShardRow::owner_trace`]). `false`
    /// when the shard is not the owner's any more.
    fn save_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        session: Option<&'a GatewaySession>,
        trace: Option<&'a str>,
    ) -> Answer<'a, bool>;
    /// Stores what the owner did last ([`ShardRow::owner_trace`]). `false` when the shard is not the owner's any more.
    fn save_trace<'a>(&'a self, id: u32, me: &'a MemberId, epoch: Epoch, trace: &'a str) -> Answer<'a, bool>;
    /// Stores the id of a Lavalink session. `false` when the shard is not the owner's any more.
    fn save_node_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        node: &'a NodeName,
        session: Option<&'a str>,
    ) -> Answer<'a, bool>;
    /// Gives all guilds of a shard up, in a schema that every stored member reads, then the shard: owner becomes none, and
    /// with a `trace` the next owner goes on with that ([`ShardRow::trace`]). Idempotent; `false` when somebody else owns it.
    fn release_shard<'a>(&'a self, id: u32, me: &'a MemberId, epoch: Epoch, trace: Option<&'a str>)
    -> Answer<'a, bool>;

    /// Puts every guild, whoever owns it, under the shard that it has when there are `shards` in all
    /// ([`shard_of`](crate::model::ids::shard_of)). To be called before the guilds of a shard are taken: where another number
    /// ruled before, they stand elsewhere. Costs one small read while the number stays the same. Idempotent. Takes up to
    /// [`SHARD_DEADLINE`].
    fn regroup(&self, shards: u32) -> Answer<'_, ()>;
    /// Takes every guild of a shard that `previous`, nobody, or a fenced or gone member owns: owner `me`, epoch + 1. Nothing
    /// is looked into. Idempotent. Takes up to [`SHARD_DEADLINE`].
    fn seal<'a>(&'a self, shard: u32, previous: Option<&'a MemberId>, me: &'a MemberId) -> Answer<'a, ()>;
    /// The active guilds of a shard that `me` owns, soonest track end first. One that cannot be read or is quarantined is
    /// left out and named in a list of its own. Takes up to [`SHARD_DEADLINE`].
    fn sealed<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Sealed>;
    /// The same without looking into any snapshot: for a shard whose owners died while they loaded it. Of the active guilds
    /// only ids and epochs, soonest track end first. Takes up to [`SHARD_DEADLINE`].
    fn sealed_unread<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Unread>;
    /// Takes one guild when an event for it arrives first; creates the document (epoch 1) if there is none.
    /// [`GuildClaim::Theirs`] when a member that is not `previous`, fenced or gone owns it. Idempotent for its owner in that
    /// shard; from another shard of the owner's it is taken like another's, so that only one of them goes on writing.
    fn claim_guild<'a>(
        &'a self,
        id: GuildId,
        shard: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, GuildClaim>;
    /// Reads one guild without taking it.
    fn guild(&self, id: GuildId) -> Answer<'_, Option<GuildRow>>;
    /// Writes one guild. Re-reads when the outcome is unknown; the same write may be tried again after an error. A record
    /// of a newer schema is never overwritten ([`StoreError::Unreadable`]).
    fn write_guild<'a>(&'a self, write: &'a GuildWrite) -> Answer<'a, Written>;
    /// Auto-saves many guilds in one batch (split only above 1,000 entries or 8 MB). Returns those that are lost.
    fn checkpoint<'a>(&'a self, batch: &'a [Checkpoint]) -> Answer<'a, Vec<GuildId>>;
    /// The bot was removed from the guild: forgets all of it. `false` when it is not the owner's.
    fn delete_guild<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch) -> Answer<'a, bool>;
    /// How many guilds are active, whoever owns them.
    fn active_guilds(&self) -> Answer<'_, u64>;
    /// Rewrites what `me` owns in a shard in a newer schema than [`Store::write_schema`]: for when that became older. The
    /// revs stay. Returns how many were rewritten. Idempotent.
    fn lower_schema<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, u64>;

    /// Counts a failure of whoever drives this guild, and returns how many there were in the last [`FAILURES_COUNT_MS`]:
    /// at [`FAILURES_UNTIL_QUARANTINE`] the guild is quarantined. 0, and nothing is counted, when it is not the owner's.
    /// After an error it may be counted or not.
    fn guild_failed<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch, why: &'a str) -> Answer<'a, u32>;
    /// Lets a quarantined guild go: the next to take it, or an event for it, finds it as it was. `false` when it was not
    /// quarantined.
    fn release_guild(&self, id: GuildId) -> Answer<'_, bool>;
    /// All quarantined guilds, by id.
    fn quarantined(&self) -> Answer<'_, Vec<Quarantined>>;

    /// Keeps recoveries for people, the last [`RECOVERIES_KEPT`] of all. The same one twice is kept once.
    fn record_recoveries<'a>(&'a self, recoveries: &'a [RecoveryRow]) -> Answer<'a, ()>;
    /// The last ones, newest first.
    fn recoveries(&self, limit: usize) -> Answer<'_, Vec<RecoveryRow>>;

    /// A fact of the cluster.
    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<serde_json::Value>>;
    /// Compare-and-set of a fact: `expected` must be what is stored (`None`: nothing). `false` when it is not.
    fn put_meta<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a serde_json::Value>,
        value: &'a serde_json::Value,
    ) -> Answer<'a, bool>;
}

/// What [`Store::sealed`] found.
#[derive(Debug, Default)]
pub struct Sealed {
    /// The active guilds, soonest track end first.
    pub active: Vec<GuildRow>,
    /// Taken, but unreadable: id and why. Their data stays as it is.
    pub unreadable: Vec<(GuildId, String)>,
    /// Taken, but not to be driven.
    pub quarantined: Vec<Quarantined>,
}

/// What [`Store::sealed_unread`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// The active guilds, soonest track end first.
    pub active: Vec<(GuildId, Epoch)>,
    /// Taken, but not to be driven.
    pub quarantined: Vec<Quarantined>,
}
