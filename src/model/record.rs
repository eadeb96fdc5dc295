//! What is persisted of a guild: the snapshot, versioned. The only serialized types of the player.
//!
//! A record is written in two parts, because they change at different rates: the [`Head`] (small, at every change) and
//! the [`Lists`] (queue and history, only when they changed). A checkpoint writes the head's anchor alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{ChannelId, InteractionId, ItemId, MessageId, NodeName, UserId};
use super::position::Anchor;
use super::track::Item;

/// The schema this binary writes. It reads this one and the one before.
pub const SCHEMA: u32 = if cfg!(feature = "next-schema") { 3 } else { 2 };
/// How many interaction ids a record remembers as applied.
pub const APPLIED_LIMIT: usize = 32;

/// Repeat nothing, the track, or the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopMode {
    /// Play each track once.
    #[default]
    Off,
    /// Play the current track again and again.
    Track,
    /// A track that ended goes to the end of the queue.
    Queue,
}

/// Why a player stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// A person asked for it.
    Person,
    /// It was restored after a real interruption and the guild chose not to go on by itself.
    Restored,
    /// Nobody is left to listen, or the snapshot was too old: kept until somebody asks for it.
    Kept,
}

/// What the node is (to be) doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum DeckRecord {
    /// Nothing is loaded.
    #[default]
    Empty,
    /// A track plays, or is about to.
    Playing {
        /// The queue entry.
        item: Item,
        /// Where it is.
        anchor: Anchor,
    },
    /// A track stands still.
    Paused {
        /// The queue entry.
        item: Item,
        /// Milliseconds into the track.
        position_ms: u64,
        /// Why.
        reason: PauseReason,
    },
}

/// The bot's place in a voice channel, and what is needed to go on speaking there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceRecord {
    /// Where the bot is meant to be.
    pub channel: ChannelId,
    /// The last complete voice credentials; `None` while joining.
    #[serde(default)]
    pub credentials: Option<VoiceCredentials>,
    /// People (not bots) in that channel.
    #[serde(default)]
    pub listeners: Vec<UserId>,
    /// The node that holds the player.
    #[serde(default)]
    pub node: Option<NodeName>,
}

/// The triple (and channel) that Discord minted for one voice connection of one gateway session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceCredentials {
    /// The gateway session's id.
    pub session_id: String,
    /// Secret.
    pub token: String,
    /// `host:port`, no scheme.
    pub endpoint: String,
    /// The channel they are good for.
    pub channel: ChannelId,
}

impl std::fmt::Debug for VoiceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VoiceCredentials")
            .field("endpoint", &self.endpoint)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// What a guild chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuildSettings {
    /// Overrides `MUSIC_AUTO_RESUME`.
    pub auto_resume: Option<bool>,
    /// Who may skip and stop without a vote.
    pub dj_role: Option<u64>,
    /// Volume of a new player, percent.
    pub volume: Option<u16>,
    /// Whether Now Playing messages are written.
    pub announce: Option<bool>,
    /// Whether the bot leaves an empty channel.
    pub leave_when_empty: Option<bool>,
    /// Locale of what nobody asked for (`de`).
    pub language: Option<String>,
    /// Stay in the channel for ever.
    pub always_on: bool,
}

/// An order that was deferred: whoever owns the guild finishes it or says that it failed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRecord {
    /// The interaction.
    pub id: InteractionId,
    /// Secret; worthless 15 minutes after the interaction.
    pub token: String,
    /// What was asked, as `model::order` serializes it.
    pub order: serde_json::Value,
    /// The person's locale.
    pub locale: String,
}

impl std::fmt::Debug for PendingRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingRecord")
            .field("id", &self.id)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// The message that shows what plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelRecord {
    /// Where it stands.
    pub channel: ChannelId,
    /// Which it is.
    pub message: MessageId,
}

/// The small part of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// What plays.
    pub deck: DeckRecord,
    /// Percent, 0 to 200.
    pub volume: u16,
    /// Repeat.
    pub loop_mode: LoopMode,
    /// Lavalink's filter object, verbatim.
    pub filters: Option<serde_json::Value>,
    /// Go on with related tracks when the queue is empty.
    pub autoplay: bool,
    /// Where the bot is.
    pub voice: Option<VoiceRecord>,
    /// Where it writes.
    pub text_channel: Option<ChannelId>,
    /// Now Playing.
    pub panel: Option<PanelRecord>,
    /// What the guild chose.
    pub settings: GuildSettings,
    /// The last interactions applied, oldest first, at most [`APPLIED_LIMIT`].
    pub applied: Vec<InteractionId>,
    /// Deferred and not finished.
    pub pending: Vec<PendingRecord>,
    /// The next free item id.
    pub next_item: ItemId,
    /// Fields that a newer schema wrote and this binary does not know: kept, never lost.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            deck: DeckRecord::Empty,
            volume: 100,
            loop_mode: LoopMode::Off,
            filters: None,
            autoplay: false,
            voice: None,
            text_channel: None,
            panel: None,
            settings: GuildSettings::default(),
            applied: Vec::new(),
            pending: Vec::new(),
            next_item: ItemId::default(),
            unknown: BTreeMap::new(),
        }
    }
}

/// The large part of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lists {
    /// What comes next, first first.
    pub queue: Vec<Item>,
    /// What was played, latest last, at most [`super::track::HISTORY_LIMIT`].
    pub history: Vec<Item>,
}

/// A whole snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The small part.
    pub head: Head,
    /// The large part.
    pub lists: Lists,
}
