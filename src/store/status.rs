//! The state of the whole cluster as the store knows it: for `segue status`, and for every replica's page.

use jiff::Timestamp;
use serde::Serialize;

use super::{MemberRow, Quarantined, RecoveryRow, Scan, ShardRow, SharedStore, StoreError};

/// How many recoveries are told.
const RECOVERIES: usize = 20;

/// What is known of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Members, shards, who leads, and when that was.
    pub scan: Scan,
    /// How many guilds have something that is to be recovered.
    pub active: u64,
    /// Guilds that nobody drives.
    pub quarantined: Vec<Quarantined>,
    /// The last recoveries, newest first.
    pub recoveries: Vec<RecoveryRow>,
}

impl Status {
    /// Asks the store. Cost grows with members, shards and the index of active guilds.
    pub async fn read(store: &SharedStore) -> Result<Self, StoreError> {
        Ok(Self {
            scan: store.scan().await?,
            active: store.active_guilds().await?,
            quarantined: store.quarantined().await?,
            recoveries: store.recoveries(RECOVERIES).await?,
        })
    }

    /// How many guilds play, as their members said when they last renewed.
    pub fn playing(&self) -> u64 {
        let living = self.scan.members.iter().filter(|member| !member.state.is_final());
        living.map(playing_of).sum()
    }

    /// The shards that a member owns.
    pub fn shards_of<'a>(&'a self, member: &'a MemberRow) -> impl Iterator<Item = &'a ShardRow> {
        let owned = |shard: &&ShardRow| shard.owner.as_ref() == Some(&member.id);
        self.scan.shards.iter().filter(owned)
    }

    /// For programs: `{"leader", "term", "members": [{"id", "state", "http", "shards"}], "shards": [{"id", "owner", "epoch"}],
    /// "guilds": {"playing", "active", "quarantined"}, "recoveries": [{"guild", "trigger", "outcome", "at", "took_ms",
    /// "gap_ms", "trace_id"}]}`. Snowflakes are strings, times RFC 3339.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!(Shape {
            leader: self.scan.leader.holder.as_ref().map(|id| id.0.as_str()),
            term: self.scan.leader.term,
            members: self.scan.members.iter().map(|row| self.member(row)).collect(),
            shards: self.scan.shards.iter().map(Shard::of).collect(),
            guilds: Guilds {
                playing: self.playing(),
                active: self.active,
                quarantined: self.quarantined.iter().map(|one| one.guild.to_string()).collect(),
            },
            recoveries: self.recoveries.iter().map(Recovery::of).collect(),
        })
    }

    fn member<'a>(&'a self, row: &'a MemberRow) -> Member<'a> {
        Member {
            id: &row.id.0,
            state: row.state.name(),
            http: row.http.as_deref(),
            shards: self.shards_of(row).map(|shard| shard.id).collect(),
        }
    }
}

/// How many guilds of a member play, as it said when it last renewed.
pub fn playing_of(member: &MemberRow) -> u64 {
    member.playing.values().map(|count| u64::from(*count)).sum()
}

#[derive(Serialize)]
struct Shape<'a> {
    leader: Option<&'a str>,
    term: u64,
    members: Vec<Member<'a>>,
    shards: Vec<Shard<'a>>,
    guilds: Guilds,
    recoveries: Vec<Recovery<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    id: &'a str,
    state: &'static str,
    http: Option<&'a str>,
    shards: Vec<u32>,
}

#[derive(Serialize)]
struct Shard<'a> {
    id: u32,
    owner: Option<&'a str>,
    epoch: u64,
}

impl<'a> Shard<'a> {
    fn of(row: &'a ShardRow) -> Self {
        Self {
            id: row.id,
            owner: row.owner.as_ref().map(|id| id.0.as_str()),
            epoch: row.epoch.0,
        }
    }
}

#[derive(Serialize)]
struct Guilds {
    playing: u64,
    active: u64,
    quarantined: Vec<String>,
}

#[derive(Serialize)]
struct Recovery<'a> {
    guild: String,
    trigger: &'a str,
    outcome: &'a str,
    at: String,
    took_ms: u64,
    gap_ms: u64,
    trace_id: Option<&'a str>,
}

impl<'a> Recovery<'a> {
    fn of(row: &'a RecoveryRow) -> Self {
        Self {
            guild: row.guild.to_string(),
            trigger: &row.trigger,
            outcome: &row.outcome,
            at: Timestamp::from_millisecond(row.at_ms).unwrap_or_default().to_string(),
            took_ms: row.took_ms,
            gap_ms: row.gap_ms,
            trace_id: row.trace_id.as_deref(),
        }
    }
}
