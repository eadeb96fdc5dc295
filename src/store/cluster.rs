//! Rows of the cluster: members, shards, who leads, what was recovered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Origin;
use crate::model::ids::{Epoch, GuildId, MemberId, NodeName};
use crate::model::record::SCHEMA;

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

impl MemberState {
    /// Fenced or gone: never changes again, so that a look that is late is still right.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Fenced | Self::Gone)
    }

    /// The word that is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Fenced => "fenced",
            Self::Gone => "gone",
        }
    }
}

/// A member as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Its id.
    pub id: MemberId,
    /// The name people see (`b`, or the pod's name).
    pub name: String,
    /// The program's version; empty where an older one did not say.
    #[serde(default)]
    pub version: String,
    /// What it is doing.
    pub state: MemberState,
    /// Where it runs.
    pub origin: Origin,
    /// Where its pages are, `host:port`.
    pub http: Option<String>,
    /// Where other members reach it, `host:port`.
    pub peer: Option<String>,
    /// The container it runs in, as its Pod's status names it; known a moment after the join.
    #[serde(default)]
    pub container_id: Option<String>,
    /// Counts renewals.
    pub seq: u64,
    /// The store's clock at the last renewal, milliseconds since 1970: it was alive until then.
    pub renewed_ms: i64,
    /// The newest snapshot schema it reads.
    pub schema: u32,
    /// Processed sequence number per shard, as of the last renewal.
    pub shard_seq: BTreeMap<u32, u64>,
    /// Guilds that play per shard, as of the last renewal.
    #[serde(default)]
    pub playing: BTreeMap<u32, u32>,
    /// It alone may have lost Discord, as of the last renewal: see [`Beat::without_discord`].
    #[serde(default)]
    pub without_discord: bool,
    /// Grows whenever a shard was assigned to this member or away from it.
    #[serde(default)]
    pub assign_gen: u64,
    /// The store's clock when it was fenced or went, milliseconds since 1970.
    #[serde(default)]
    pub final_ms: Option<i64>,
    /// Why it was fenced.
    pub why: Option<String>,
    /// W3C `traceparent` of who fenced it.
    #[serde(default)]
    pub trace: Option<String>,
}

impl MemberRow {
    /// A live member of this program that has not joined yet; it runs nowhere and nobody can reach it.
    pub fn new(id: MemberId, name: String) -> Self {
        Self {
            id,
            name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: MemberState::Live,
            origin: Origin::default(),
            http: None,
            peer: None,
            container_id: None,
            seq: 0,
            renewed_ms: 0,
            schema: SCHEMA,
            shard_seq: BTreeMap::new(),
            playing: BTreeMap::new(),
            without_discord: false,
            assign_gen: 0,
            final_ms: None,
            why: None,
            trace: None,
        }
    }
}

/// What a renewal carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Processed sequence number per shard.
    pub shard_seq: BTreeMap<u32, u64>,
    /// Guilds that play per shard.
    pub playing: BTreeMap<u32, u32>,
    /// At least half of its shards have had no gateway connection for long.
    pub without_discord: bool,
    /// See [`MemberRow::container_id`]; `None` leaves what is stored.
    pub container_id: Option<String>,
}

/// Whom to declare dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The member.
    pub id: MemberId,
    /// Why, for people.
    pub why: String,
    /// W3C `traceparent` under which the takeover goes on.
    pub trace: Option<String>,
    /// Without proof: only if the store's clock is at least this far beyond the last renewal, milliseconds.
    pub overdue_ms: Option<i64>,
}

impl Fence {
    /// Of a member whose death is proven.
    pub fn proven(id: MemberId, why: impl Into<String>) -> Self {
        Self {
            id,
            why: why.into(),
            trace: None,
            overdue_ms: None,
        }
    }
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

/// That a shard was given up as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// By whom.
    pub by: MemberId,
    /// The store's clock then, milliseconds since 1970.
    pub at_ms: i64,
}

/// A shard as stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardRow {
    /// Its number.
    pub id: u32,
    /// Who owns it.
    pub owner: Option<MemberId>,
    /// Counts owners; 0 before the first.
    pub epoch: Epoch,
    /// Who is to own it: nobody else may claim it.
    #[serde(default)]
    pub want: Option<MemberId>,
    /// The term of the leader that said so; never decreases.
    #[serde(default)]
    pub want_term: u64,
    /// The gateway session, if there is one.
    pub session: Option<GatewaySession>,
    /// Lavalink session ids by node.
    pub lavalink: BTreeMap<NodeName, String>,
    /// W3C `traceparent` of the assignment or handover that moves it.
    #[serde(default)]
    pub trace: Option<String>,
    /// W3C `traceparent` of what its owner, or the one before, did last.
    #[serde(default)]
    pub owner_trace: Option<String>,
    /// How the owner before gave it up. Stays while its successor owns it; empty when the shard was taken from the dead.
    #[serde(default)]
    pub released: Option<Released>,
}

/// Who is to own a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The shard.
    pub shard: u32,
    /// Its owner to be.
    pub want: MemberId,
    /// W3C `traceparent` to go on with.
    pub trace: Option<String>,
}

/// Who leads, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderRow {
    /// Counts leaders; 0 before the first.
    pub term: u64,
    /// Nobody when the last one resigned.
    pub holder: Option<MemberId>,
}

/// How an attempt to lead ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Campaign {
    /// I lead.
    Leader {
        /// My term.
        term: u64,
    },
    /// Somebody else does.
    Follower {
        /// Who.
        holder: MemberId,
        /// In which term.
        term: u64,
    },
}

/// What a leader looks at once a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// The store's clock when the members were read, milliseconds since 1970.
    pub now_ms: i64,
    /// All stored members, by id. Read after the shards, so that a shard's owner is among them if it is stored at all.
    pub members: Vec<MemberRow>,
    /// All stored shards, by number.
    pub shards: Vec<ShardRow>,
    /// Who leads.
    pub leader: LeaderRow,
}

/// A recovery that ended, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRow {
    /// The guild.
    pub guild: GuildId,
    /// Its shard.
    pub shard: u32,
    /// Who recovered it.
    pub member: MemberId,
    /// What began it (`handover`, `crash`, …).
    pub trigger: String,
    /// How it ended (`carried_on`, `resumed`, …).
    pub outcome: String,
    /// When it ended, milliseconds since 1970.
    pub at_ms: i64,
    /// From its beginning to its end.
    pub took_ms: u64,
    /// How long nothing was heard.
    pub gap_ms: u64,
    /// When the first sign of the loss was seen, milliseconds since 1970.
    pub lost_ms: Option<i64>,
    /// What took how long, in order: name and milliseconds.
    pub phases: Vec<(String, u64)>,
    /// 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

impl RecoveryRow {
    /// The same for the same recovery, so that telling it twice keeps it once.
    pub(super) fn key(&self) -> String {
        format!("{}:{}:{}", self.guild, self.at_ms, self.member)
    }
}
