//! What the world tells a guild.

use super::ids::{ChannelId, NodeName, UserId};
use super::track::Track;

/// From Discord's gateway, about one guild. In the order Discord sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The bot's own voice state changed.
    OwnVoice {
        /// Where the bot is now.
        channel: Option<ChannelId>,
        /// The gateway session that holds the connection.
        session_id: String,
        /// On a stage: may it speak?
        suppressed: bool,
    },
    /// Where and with what token to connect; `None` while Discord looks for a server.
    VoiceServer {
        /// Secret.
        token: String,
        /// `host:port`.
        endpoint: Option<String>,
    },
    /// A person joined, moved or left.
    MemberVoice {
        /// Who.
        user: UserId,
        /// Bots are not listeners.
        bot: bool,
        /// Where they are now.
        channel: Option<ChannelId>,
    },
    /// The whole voice picture of the guild (`GUILD_CREATE`): people's channels, bots left out.
    GuildSeen {
        /// People and where they are.
        voices: Vec<(UserId, ChannelId)>,
        /// Where the bot itself is, as a ghost of an earlier session or really.
        bot: Option<ChannelId>,
    },
    /// Discord cannot reach the guild until it is seen again; nothing is to be left or deleted.
    GuildUnavailable,
    /// The bot was removed: what is stored of the guild is to be deleted.
    GuildRemoved,
    /// A channel is gone.
    ChannelDeleted {
        /// Which.
        channel: ChannelId,
    },
    /// The shard's session began (`resumed: false`) or went on (`resumed: true`).
    ShardReady {
        /// Whether the session (and with it voice) is the one before.
        resumed: bool,
        /// The session's id, which minted or will mint voice credentials.
        session_id: String,
    },
    /// Op 4 could not be sent, or a REST look-up says the bot is not in voice.
    VoiceGone,
}

/// Why a track ended, in Lavalink's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Played to its end (or its buffer drained after a fault).
    Finished,
    /// Could not be played.
    LoadFailed,
    /// Somebody stopped it.
    Stopped,
    /// Another one took its place.
    Replaced,
    /// Nobody pulled frames for a minute.
    Cleanup,
}

/// What a node says of one guild's player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayerSeen {
    /// The track with its position, unless the player is empty.
    pub track: Option<Track>,
    /// As the node counts; not to be believed while `paused` right after a restore.
    pub position_ms: u64,
    /// Wall clock of that position, milliseconds since 1970, by this machine.
    pub at_ms: i64,
    /// Standing still?
    pub paused: bool,
    /// 0 to 1,000.
    pub volume: u16,
    /// Whether its voice connection is up.
    pub connected: bool,
}

/// Of an exception, by who is to mend it (<https://lavalink.dev/api/websocket>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The track itself: it is not to be had.
    Common,
    /// Perhaps the source.
    Suspicious,
    /// The node, or nobody knows.
    Fault,
}

impl Severity {
    /// As metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Suspicious => "suspicious",
            Self::Fault => "fault",
        }
    }
}

/// From a Lavalink session, about one guild. In the order the node sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// The session is usable. `player` is what the node holds for this guild (`None`: nothing).
    Ready {
        /// Whether it is the session before, with its players.
        resumed: bool,
        /// What `GET players` said for this guild; always `None` if not resumed.
        player: Option<PlayerSeen>,
    },
    /// The session's socket closed; REST answers 404 until it is back. Audio goes on if the node lives.
    Lost {
        /// When it was noticed, milliseconds since 1970.
        at_ms: i64,
    },
    /// The node was given up (cannot be reached, or its sessions are gone).
    Gone {
        /// Until when the node was last known to play, milliseconds since 1970; 0 if this process never heard of it.
        alive_until_ms: i64,
    },
    /// Periodic, and after play, seek, filter and voice changes.
    Update {
        /// As the node counts.
        position_ms: u64,
        /// By this machine's clock, milliseconds since 1970.
        at_ms: i64,
        /// Whether the voice connection is up.
        connected: bool,
    },
    /// A track begins.
    Started {
        /// Lavalink's identifier of it.
        identifier: String,
    },
    /// A track ended.
    Ended {
        /// Lavalink's identifier of it.
        identifier: String,
        /// Why.
        reason: EndReason,
    },
    /// A track threw; an end follows.
    Failed {
        /// Lavalink's identifier of it.
        identifier: String,
        /// The node's words, for the log; `None` where it sent null.
        message: Option<String>,
        /// How bad the node takes it for.
        severity: Severity,
    },
    /// A track gives no frames.
    Stuck {
        /// Lavalink's identifier of it.
        identifier: String,
    },
    /// Discord's voice server closed the connection.
    VoiceClosed {
        /// <https://docs.discord.com/developers/topics/opcodes-and-status-codes#voice-voice-close-event-codes>
        code: u16,
        /// By Discord (`true`) or by the node.
        by_remote: bool,
    },
}

/// A [`NodeEvent`] and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromNode {
    /// The node.
    pub node: NodeName,
    /// What it said.
    pub event: NodeEvent,
}
