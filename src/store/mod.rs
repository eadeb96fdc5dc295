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
pub mod sqlite;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
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
/// How many recoveries are kept.
pub const RECOVERIES_KEPT: usize = 500;

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
    /// Its shard when last written.
    pub shard: u32,
    /// Who owns it.
    pub owner: Option<MemberId>,
    /// Counts owners.
    pub epoch: Epoch,
    /// Counts writes.
    pub rev: Rev,
    /// Whether something is to be recovered (in voice, or a track loaded).
    pub active: bool,
    /// When the current track ends, milliseconds since 1970.
    pub ends_at_ms: Option<i64>,
    /// The snapshot, converted up to this binary's schema.
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
    /// Its shard.
    pub shard: u32,
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
    /// The small part.
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
    /// Where the track is.
    pub anchor: Anchor,
    /// When it ends, milliseconds since 1970.
    pub ends_at_ms: Option<i64>,
}

/// The store. One implementation per database, one conformance suite for all (`conformance`).
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What is behind it, for people: `sqlite:/var/lib/segue.db`, `mongodb://host/segue`. Never a password.
    fn describe(&self) -> String;
    /// The schema that snapshots are written in: the oldest that a stored member reads ([`schema::writable`]). Every look
    /// at the members ([`Store::members`], [`Store::scan`]) sets it; before the first, the newest.
    fn write_schema(&self) -> u32;
    /// Sets it until the next look at the members, clamped to what this binary knows.
    fn set_write_schema(&self, schema: u32);
    /// Answers when the store can be read and written within its operation deadline (1.5 s).
    async fn ping(&self) -> Result<(), StoreError>;
    /// The store's clock, milliseconds since 1970.
    async fn now_ms(&self) -> Result<i64, StoreError>;

    /// Inserts a live member; `seq` starts at 1, `renewed_ms` is the store's clock.
    async fn join(&self, member: MemberRow) -> Result<(), StoreError>;
    /// Renews a live or draining member and returns its row (so [`MemberRow::assign_gen`] rides on the answer); `None` when
    /// it is fenced, gone or unknown. Cost does not grow with guilds.
    async fn renew(&self, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError>;
    /// All members that are stored; final ones are kept a day.
    async fn members(&self) -> Result<Vec<MemberRow>, StoreError>;
    /// live or draining → fenced. `true` if this call did it; `false` when it was final already, or is not overdue.
    async fn fence(&self, fence: &Fence) -> Result<bool, StoreError>;
    /// live → draining, or live/draining → gone. `false` when it was final already.
    async fn set_state(&self, id: &MemberId, state: MemberState) -> Result<bool, StoreError>;

    /// Everything that a leader decides from. Cost does not grow with guilds.
    async fn scan(&self) -> Result<Scan, StoreError>;
    /// Makes `me` the leader in a term of its own, whoever led before: for those who were elected elsewhere.
    async fn new_term(&self, me: &MemberId) -> Result<u64, StoreError>;
    /// An election by the store. `me` keeps the term it has, or takes the next one when nobody leads, the leader is fenced
    /// or gone, or did not campaign for the `lease_ms` that it asked for, by the store's clock.
    async fn campaign(&self, me: &MemberId, lease_ms: i64) -> Result<Campaign, StoreError>;
    /// Nobody leads any more, if `me` does in this term. The next leader's term is higher all the same.
    async fn resign(&self, me: &MemberId, term: u64) -> Result<bool, StoreError>;
    /// Says who is to own shards, shard by shard where no higher term said so before; a shard that is not stored is created.
    /// Returns the shards that are now as asked. Idempotent.
    async fn assign(&self, term: u64, assignments: &[Assignment]) -> Result<Vec<u32>, StoreError>;
    /// Lets members know, with their next renewal, that something about their shards changed ([`MemberRow::assign_gen`]). Who is
    /// not stored is passed over. After an error some, all or none may know; telling them twice does no harm.
    async fn tell(&self, members: &[MemberId]) -> Result<(), StoreError>;

    /// All shards that were ever assigned.
    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError>;
    /// Compare-and-set of the owner: from `previous` (exactly) to `me`, epoch + 1, only where `me` is wanted. `None` when it
    /// is not, or somebody was faster. Idempotent for its owner: a second call returns the row as it is.
    async fn claim_shard(
        &self,
        id: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<Option<ShardRow>, StoreError>;
    /// Stores (or with `None` forgets) the gateway session; with a `trace`, also that ([`ShardRow::owner_trace`]). `false`
    /// when the shard is not the owner's any more.
    async fn save_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        session: Option<&GatewaySession>,
        trace: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Stores what the owner did last ([`ShardRow::owner_trace`]). `false` when the shard is not the owner's any more.
    async fn save_trace(&self, id: u32, me: &MemberId, epoch: Epoch, trace: &str) -> Result<bool, StoreError>;
    /// Stores the id of a Lavalink session. `false` when the shard is not the owner's any more.
    async fn save_node_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        node: &NodeName,
        session: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Gives all guilds of a shard up, in a schema that every stored member reads, then the shard: owner becomes none, and
    /// with a `trace` the next owner goes on with that ([`ShardRow::trace`]). Idempotent; `false` when somebody else owns it.
    async fn release_shard(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        trace: Option<&str>,
    ) -> Result<bool, StoreError>;

    /// Takes every guild of a shard that `previous`, nobody, or a fenced or gone member owns: owner `me`, epoch + 1. Nothing
    /// is looked into. Idempotent. Takes up to [`SHARD_DEADLINE`].
    async fn seal(&self, shard: u32, previous: Option<&MemberId>, me: &MemberId) -> Result<(), StoreError>;
    /// The active guilds of a shard that `me` owns, soonest track end first. One that cannot be read or is quarantined is
    /// left out and named in a list of its own. Takes up to [`SHARD_DEADLINE`].
    async fn sealed(&self, shard: u32, me: &MemberId) -> Result<Sealed, StoreError>;
    /// The same without looking into any snapshot: for a shard whose owners died while they loaded it. Of the active guilds
    /// only ids and epochs, soonest track end first. Takes up to [`SHARD_DEADLINE`].
    async fn sealed_unread(&self, shard: u32, me: &MemberId) -> Result<Unread, StoreError>;
    /// Takes one guild when an event for it arrives first; creates the document (epoch 1) if there is none.
    /// [`GuildClaim::Theirs`] when a member that is not `previous`, fenced or gone owns it. Idempotent for its owner.
    async fn claim_guild(
        &self,
        id: GuildId,
        shard: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<GuildClaim, StoreError>;
    /// Reads one guild without taking it.
    async fn guild(&self, id: GuildId) -> Result<Option<GuildRow>, StoreError>;
    /// Writes one guild. Re-reads when the outcome is unknown; the same write may be tried again after an error. A record
    /// of a newer schema is never overwritten ([`StoreError::Unreadable`]).
    async fn write_guild(&self, write: &GuildWrite) -> Result<Written, StoreError>;
    /// Auto-saves many guilds in one batch (split only above 1,000 entries or 8 MB). Returns those that are lost.
    async fn checkpoint(&self, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError>;
    /// The bot was removed from the guild: forgets all of it. `false` when it is not the owner's.
    async fn delete_guild(&self, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError>;
    /// How many guilds are active, whoever owns them.
    async fn active_guilds(&self) -> Result<u64, StoreError>;
    /// Rewrites what `me` owns in a shard in a newer schema than [`Store::write_schema`]: for when that became older. The
    /// revs stay. Returns how many were rewritten. Idempotent.
    async fn lower_schema(&self, shard: u32, me: &MemberId) -> Result<u64, StoreError>;

    /// Counts a failure of whoever drives this guild, and returns how many there were in the last [`FAILURES_COUNT_MS`]:
    /// at [`FAILURES_UNTIL_QUARANTINE`] the guild is quarantined. 0, and nothing is counted, when it is not the owner's.
    /// After an error it may be counted or not.
    async fn guild_failed(&self, id: GuildId, me: &MemberId, epoch: Epoch, why: &str) -> Result<u32, StoreError>;
    /// Lets a quarantined guild go: the next to take it, or an event for it, finds it as it was. `false` when it was not
    /// quarantined.
    async fn release_guild(&self, id: GuildId) -> Result<bool, StoreError>;
    /// All quarantined guilds, by id.
    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError>;

    /// Keeps recoveries for people, the last [`RECOVERIES_KEPT`] of all. The same one twice is kept once.
    async fn record_recoveries(&self, recoveries: &[RecoveryRow]) -> Result<(), StoreError>;
    /// The last ones, newest first.
    async fn recoveries(&self, limit: usize) -> Result<Vec<RecoveryRow>, StoreError>;

    /// A fact of the cluster.
    async fn meta(&self, key: &str) -> Result<Option<serde_json::Value>, StoreError>;
    /// Compare-and-set of a fact: `expected` must be what is stored (`None`: nothing). `false` when it is not.
    async fn put_meta(
        &self,
        key: &str,
        expected: Option<&serde_json::Value>,
        value: &serde_json::Value,
    ) -> Result<bool, StoreError>;
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
