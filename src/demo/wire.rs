//! What the simulator's control API answers, as far as the demo reads it. Unknown fields are ignored, missing ones
//! are empty, so that an older page still runs against a newer simulator.

use serde::{Deserialize, Serialize};

/// `GET /world`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct World {
    /// The simulator's clock.
    pub now_ms: u64,
    /// Gateway shards.
    pub shards: Vec<Shard>,
    /// Every guild.
    pub guilds: Vec<Guild>,
    /// Lavalink nodes.
    pub nodes: Vec<Node>,
}

/// A gateway shard as Discord sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shard {
    /// Its number.
    pub id: u64,
    /// Whether a socket is open.
    pub connected: bool,
    /// Whether its session gets events.
    pub ready: bool,
}

/// A guild as Discord sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Guild {
    /// Snowflake.
    pub id: String,
    /// Untrusted text.
    pub name: String,
    /// The shard that drives it.
    pub shard: u64,
    /// Text, voice and stage channels.
    pub channels: Vec<Channel>,
    /// People; the bot is not among them.
    pub members: Vec<Person>,
    /// The bot's own voice state.
    pub bot: BotVoice,
}

/// A channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// Snowflake.
    pub id: String,
    /// Untrusted text.
    pub name: String,
    /// `text`, `voice` or `stage`.
    pub kind: String,
}

/// A person in a guild.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// Snowflake.
    pub id: String,
    /// Untrusted text.
    pub name: String,
    /// The voice channel they are in.
    pub voice: Option<String>,
}

/// Where the bot is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BotVoice {
    /// A voice channel, if any.
    pub voice: Option<String>,
}

/// A Lavalink node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name in the settings.
    pub name: String,
    /// Whether it runs.
    pub up: bool,
    /// Its sessions.
    pub sessions: Vec<Session>,
}

/// A Lavalink session.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Whether its socket is open.
    pub connected: bool,
    /// How many players it holds, or a list of them.
    pub players: Players,
}

/// Players as a number or as a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Players {
    /// How many.
    Count(u64),
    /// One entry each.
    List(Vec<serde_json::Value>),
}

impl Default for Players {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl Players {
    /// How many.
    pub fn count(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::List(list) => list.len() as u64,
        }
    }
}

/// `GET /guilds/{g}/audio`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Audio {
    /// The simulator's clock at the answer.
    pub now_ms: u64,
    /// Whether something is audible.
    pub playing: bool,
    /// Unbroken audible stretches.
    pub segments: Vec<Segment>,
    /// What a listener would call a break.
    pub gaps: Vec<Gap>,
}

/// Unbroken audible audio of one track from one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Segment {
    /// Its begin, and its key within a guild.
    pub from_ms: u64,
    /// Its end; open while `None`.
    pub to_ms: Option<u64>,
    /// Lavalink's identifier.
    pub track: String,
    /// Untrusted text.
    pub title: String,
    /// Place in the track at `from_ms`.
    pub position_from_ms: u64,
    /// Place in the track at `to_ms`, or at the time of asking.
    pub position_to_ms: u64,
    /// The node it comes from.
    pub node: String,
    /// Percent.
    pub volume: u64,
}

/// A break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// Its begin, and its key within a guild.
    pub from_ms: u64,
    /// Its end; open while `None`.
    pub to_ms: Option<u64>,
}

/// A replica's `GET /api/state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReplicaState {
    /// This incarnation's id.
    pub member: String,
    /// Shards it owns or is about to.
    pub shards: Vec<OwnedShard>,
    /// Whether it leads.
    pub leader: bool,
    /// Guilds that it drives.
    pub guilds: Driven,
    /// Newest recoveries.
    pub recoveries: Vec<Recovery>,
}

/// A shard as its owner sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OwnedShard {
    /// Its number.
    pub id: u64,
    /// The owner's word for how far it is.
    pub state: String,
    /// Grows with every owner.
    pub epoch: u64,
}

/// Guilds of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Driven {
    /// With a player.
    pub active: u64,
    /// Audible.
    pub playing: u64,
}

/// What a takeover, handover or node loss did for one guild.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recovery {
    /// Snowflake.
    pub guild: String,
    /// What made it necessary.
    pub trigger: String,
    /// `carried_on`, `rejoined`, `restored` or `failed`.
    pub outcome: String,
    /// RFC 3339.
    pub at: String,
    /// From the trigger to the end of the recovery.
    pub took_ms: u64,
    /// Silence as the bot reckons it.
    pub gap_ms: Option<u64>,
    /// Its trace.
    pub trace_id: Option<String>,
    /// In order.
    pub phases: Vec<Phase>,
}

/// A part of a recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// `detect`, `fence`, `claim`, `resume`, `load`, `reconcile`.
    pub name: String,
    /// How long.
    pub ms: u64,
}
