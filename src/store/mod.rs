//! What is stored, and why; the one interface over SQLite and MongoDB.
//!
//! * `members`: one row per incarnation, renewed every 2 s: "alive until". Sequence numbers of its shards ride on it.
//! * `shards`: who owns a shard, its epoch, the gateway session and the Lavalink sessions that move with it.
//! * `guilds`: one document per guild: owner, epoch, rev, and the snapshot in two parts ([`Head`], [`Lists`]).
//! * `meta`: small facts of the cluster (hash of the registered commands, the bot's identity, identify tickets).
//!
//! Not stored: who is in other voice channels than the bot's, rendered pages, anything a node can tell again.
//!
//! Every mutating call is durable (majority, journaled) when it returns `Ok`. [`StoreError::Unknown`] means that the
//! write may or may not have happened; [`Store::write_guild`] re-reads and resolves that itself wherever it can.

pub mod mongo;
mod open;
pub mod origin;
mod row;
pub mod schema;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::ids::{Epoch, GuildId, MemberId, NodeName, Rev};
use crate::model::position::Anchor;
use crate::model::record::{Head, Lists, Snapshot};

pub use open::open;

/// Every call answers within this time (`seal` and `release_shard`: every batch of their guilds).
pub const OPERATION_DEADLINE: Duration = Duration::from_millis(1_500);
/// Most checkpoints that travel in one batch.
pub const CHECKPOINT_BATCH: usize = 1_000;
/// Final members are kept this long, for people.
pub(crate) const FINAL_KEPT_MS: i64 = 24 * 3_600 * 1_000;

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

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Renews and may own shards.
    Live,
    /// Gives its shards away; then `Gone`.
    Draining,
    /// Declared dead by another; final.
    Fenced,
    /// Ended as asked; final.
    Gone,
}

/// A member as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Its id.
    pub id: MemberId,
    /// The name people see (`b`, or the pod's name).
    pub name: String,
    /// What it is doing.
    pub state: MemberState,
    /// Where it runs.
    pub origin: Origin,
    /// Where its pages are, `host:port`.
    pub http: Option<String>,
    /// Where other members reach it, `host:port`.
    pub peer: Option<String>,
    /// Counts renewals.
    pub seq: u64,
    /// The store's clock at the last renewal, milliseconds since 1970: it was alive until then.
    pub renewed_ms: i64,
    /// The newest snapshot schema it reads.
    pub schema: u32,
    /// Processed sequence number per shard, as of the last renewal.
    pub shard_seq: BTreeMap<u32, u64>,
    /// Why it was fenced.
    pub why: Option<String>,
}

/// What a renewal carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Processed sequence number per shard.
    pub shard_seq: BTreeMap<u32, u64>,
}

/// A gateway session that another process can RESUME, if the rest of its key still fits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySession {
    /// Secret enough: with the token it resumes.
    pub id: String,
    /// `resume_gateway_url` of READY.
    pub resume_url: String,
    /// Processed so far, when this was written; the member's `shard_seq` may be later.
    pub seq: u64,
    /// A session of another shard count must not be resumed.
    pub num_shards: u32,
    /// Nor one with other intents,
    pub intents: u64,
    /// nor one of another token (a hash).
    pub token_hash: String,
}

impl std::fmt::Debug for GatewaySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewaySession")
            .field("seq", &self.seq)
            .field("num_shards", &self.num_shards)
            .finish_non_exhaustive()
    }
}

/// A shard as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardRow {
    /// Its number.
    pub id: u32,
    /// Who owns it.
    pub owner: Option<MemberId>,
    /// Counts owners.
    pub epoch: Epoch,
    /// The gateway session, if there is one.
    pub session: Option<GatewaySession>,
    /// Lavalink session ids by node.
    pub lavalink: BTreeMap<NodeName, String>,
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
    /// The schema to write snapshots in, clamped to what this binary knows: the oldest that any live member reads
    /// ([`schema::writable`]). Until it is called, the newest.
    fn set_write_schema(&self, schema: u32);
    /// Answers when the store can be read and written within its operation deadline (1.5 s).
    async fn ping(&self) -> Result<(), StoreError>;
    /// The store's clock, milliseconds since 1970.
    async fn now_ms(&self) -> Result<i64, StoreError>;

    /// Inserts a live member; `seq` starts at 1, `renewed_ms` is the store's clock.
    async fn join(&self, member: MemberRow) -> Result<(), StoreError>;
    /// Renews a live or draining member; `None` when it is fenced, gone or unknown. Cost does not grow with guilds.
    async fn renew(&self, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError>;
    /// All members that are stored; final ones are kept a day.
    async fn members(&self) -> Result<Vec<MemberRow>, StoreError>;
    /// live or draining → fenced. `true` if this call did it.
    async fn fence(&self, id: &MemberId, why: &str) -> Result<bool, StoreError>;
    /// live → draining, or live/draining → gone. `false` when it was final already.
    async fn set_state(&self, id: &MemberId, state: MemberState) -> Result<bool, StoreError>;

    /// All shards that were ever claimed.
    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError>;
    /// Compare-and-set of the owner: from `previous` (exactly) to `me`, epoch + 1. `None` when somebody was faster.
    /// Idempotent for its owner: a second call returns the row as it is.
    async fn claim_shard(
        &self,
        id: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<Option<ShardRow>, StoreError>;
    /// Stores (or with `None` forgets) the gateway session. `false` when the shard is not the owner's any more.
    async fn save_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        session: Option<&GatewaySession>,
    ) -> Result<bool, StoreError>;
    /// Stores the id of a Lavalink session. `false` when the shard is not the owner's any more.
    async fn save_node_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        node: &NodeName,
        session: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Gives all guilds of a shard up, then the shard: owner becomes none. Idempotent; `false` when somebody else owns it.
    async fn release_shard(&self, id: u32, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError>;

    /// Takes every guild of a shard that `previous`, nobody, or a fenced or gone member owns: owner `me`, epoch + 1.
    /// Returns the active ones (also those that were taken before), soonest track end first. One that cannot be read is
    /// left out and named in the error list. Idempotent.
    async fn seal(&self, shard: u32, previous: Option<&MemberId>, me: &MemberId) -> Result<Sealed, StoreError>;
    /// Takes one guild when an event for it arrives first; creates the document (epoch 1) if there is none. `None` when a
    /// member that is not `previous`, fenced or gone owns it. Idempotent for its owner.
    async fn claim_guild(
        &self,
        id: GuildId,
        shard: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<Option<GuildRow>, StoreError>;
    /// Reads one guild without taking it.
    async fn guild(&self, id: GuildId) -> Result<Option<GuildRow>, StoreError>;
    /// Writes one guild. Re-reads when the outcome is unknown; the same write may be tried again after an error. A record
    /// of a newer schema is never overwritten ([`StoreError::Unreadable`]).
    async fn write_guild(&self, write: &GuildWrite) -> Result<Written, StoreError>;
    /// Auto-saves many guilds in one batch (split only above 1,000 entries or 8 MB). Returns those that are lost.
    async fn checkpoint(&self, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError>;
    /// The bot was removed from the guild: forgets all of it. `false` when it is not the owner's.
    async fn delete_guild(&self, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError>;

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

/// What [`Store::seal`] took.
#[derive(Debug, Default)]
pub struct Sealed {
    /// The active guilds, soonest track end first.
    pub active: Vec<GuildRow>,
    /// Taken, but unreadable: id and why. Their data stays as it is.
    pub unreadable: Vec<(GuildId, String)>,
}
