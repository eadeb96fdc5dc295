//! What people may see of a player: the input of every rendered message and page.

use super::ids::{ChannelId, NodeName, UserId};
use super::record::{GuildSettings, LoopMode, PanelRecord, PauseReason};
use super::track::{Item, Track};

/// A player at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// What plays, if anything.
    pub now: Option<NowPlaying>,
    /// What comes next, first first.
    pub queue: Vec<Item>,
    /// How many tracks `previous` can go back.
    pub history: usize,
    /// Percent.
    pub volume: u16,
    /// Repeat.
    pub loop_mode: LoopMode,
    /// Where the bot is, or is about to be.
    pub voice_channel: Option<ChannelId>,
    /// Where it writes.
    pub text_channel: Option<ChannelId>,
    /// The node that plays.
    pub node: Option<NodeName>,
    /// The Now Playing message.
    pub panel: Option<PanelRecord>,
    /// What the guild chose.
    pub settings: GuildSettings,
    /// What `MUSIC_AUTO_RESUME` says when the guild did not choose.
    pub auto_resume_default: bool,
}

/// What plays at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NowPlaying {
    /// The track.
    pub track: Track,
    /// Who asked for it.
    pub requester: UserId,
    /// Milliseconds, as the ear hears it.
    pub position_ms: u64,
    /// Playing, or why not.
    pub state: PlayState,
}

/// Whether sound comes out, and if not, why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlayState {
    /// Audible.
    Playing,
    /// Waiting for voice or for a node.
    Waiting,
    /// Standing still.
    Paused(PauseReason),
}

/// Something that happened to a guild without being asked for, told in its text channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Audio really broke and goes on at this position.
    Restored {
        /// What.
        track: Track,
        /// Where.
        position_ms: u64,
        /// Stands still until somebody presses Resume?
        paused: Option<PauseReason>,
    },
    /// Three attempts failed; the queue is kept.
    RestoreFailed {
        /// What is missing, in plain words for people.
        reason: FailReason,
    },
    /// A track could not be played and was skipped.
    TrackFailed {
        /// Which.
        track: Track,
    },
    /// Left an empty channel; the queue is kept.
    LeftEmpty {
        /// Which channel.
        channel: ChannelId,
    },
    /// No node can be reached; it goes on when one is back.
    NoNode,
    /// Somebody disconnected the bot; the queue is kept.
    Kicked,
}

/// Why a voice channel could not be (re)joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailReason {
    /// The channel is gone.
    ChannelGone,
    /// View Channel is missing.
    CannotView,
    /// Connect is missing.
    CannotConnect,
    /// Speak is missing.
    CannotSpeak,
    /// The channel is full.
    ChannelFull,
    /// Discord did not answer the join.
    NoAnswer,
    /// The node did not take the player.
    NodeRefused,
}
