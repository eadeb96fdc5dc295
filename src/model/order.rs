//! What a person can ask of a guild. Serialized only inside a deferral.

use serde::{Deserialize, Serialize};

use super::ids::{ChannelId, InteractionId, ItemId, UserId};
use super::record::LoopMode;
use super::track::Track;

/// Where a new track goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// To the end of the queue.
    #[default]
    Queue,
    /// To its front.
    Next,
    /// Now; what plays goes to the history.
    Now,
}

/// Who asked, where and in which interaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Applied at most once.
    pub interaction: InteractionId,
    /// The person.
    pub user: UserId,
    /// The text channel it was asked in.
    pub text_channel: ChannelId,
    /// The voice channel the person is in, when known.
    pub voice_channel: Option<ChannelId>,
}

/// One thing to do. What it needs from outside (loaded tracks, a checked channel) is already in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Order {
    /// Put loaded tracks into the queue, joining `channel` if the bot is in none.
    Play {
        /// In the order to be played; never empty.
        tracks: Vec<Track>,
        /// Name of the playlist they came from.
        playlist: Option<String>,
        /// Where they go.
        when: When,
        /// The voice channel to join, permissions already checked.
        channel: ChannelId,
    },
    /// Stand still.
    Pause,
    /// Go on.
    Resume,
    /// Pause if playing, resume if paused (the button).
    TogglePause,
    /// To the next track, or to the `to`-th of the queue (from 1).
    Skip {
        /// 1 is the next one.
        to: Option<usize>,
    },
    /// Back to the track before; what plays goes to the front of the queue.
    Previous,
    /// End the music and forget the queue; the bot stays.
    Stop,
    /// To a position.
    Seek {
        /// Milliseconds.
        position_ms: u64,
    },
    /// Percent, 0 to 200.
    Volume {
        /// The new level.
        level: u16,
    },
    /// Relative change of the volume (the buttons), clamped to 0 to 200.
    VolumeBy {
        /// Percent points.
        delta: i16,
    },
    /// Set the repeat mode.
    Loop {
        /// The new mode.
        mode: LoopMode,
    },
    /// Off, track, queue, off (the button).
    NextLoop,
    /// Mix the queue.
    Shuffle {
        /// Makes the result repeatable.
        seed: u64,
    },
    /// Take entries `from..=to` out of the queue (from 1).
    Remove {
        /// First.
        from: usize,
        /// Last; the same as `from` for one entry.
        to: usize,
    },
    /// Move an entry (from 1).
    Move {
        /// Where it is.
        from: usize,
        /// Where it goes.
        to: usize,
    },
    /// Empty the queue; what plays goes on.
    Clear,
    /// Join (or move to) a voice channel, permissions already checked.
    Join {
        /// Which.
        channel: ChannelId,
    },
    /// Leave the voice channel; the queue is kept.
    Leave,
    /// Override `MUSIC_AUTO_RESUME` for this guild.
    AutoResume {
        /// Whether a restored player plays by itself.
        on: bool,
    },
}

/// What an order did, for the reply. Positions are milliseconds as the ear hears them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Tracks were put into the queue.
    Queued {
        /// The first of them.
        first: Track,
        /// How many.
        count: usize,
        /// Name of the playlist.
        playlist: Option<String>,
        /// Place of the first in the queue from 1; 0 when it plays at once.
        place: usize,
        /// How many did not fit.
        left_out: usize,
    },
    /// Stands still at a position.
    Paused {
        /// What.
        track: Track,
        /// Where.
        position_ms: u64,
    },
    /// Goes on.
    Resumed {
        /// What.
        track: Track,
        /// Where.
        position_ms: u64,
    },
    /// Another track plays, or none.
    Skipped {
        /// What was skipped.
        from: Option<Track>,
        /// What plays now.
        to: Option<Track>,
    },
    /// Ended; this many entries were dropped.
    Stopped {
        /// Entries dropped.
        dropped: usize,
    },
    /// At a new position.
    Sought {
        /// Where.
        position_ms: u64,
    },
    /// The level now.
    Volume {
        /// Percent.
        level: u16,
    },
    /// The mode now.
    Loop {
        /// Mode.
        mode: LoopMode,
    },
    /// The queue was mixed.
    Shuffled {
        /// Entries.
        count: usize,
    },
    /// Entries were taken out.
    Removed {
        /// The first of them.
        first: Track,
        /// How many.
        count: usize,
    },
    /// An entry was moved.
    Moved {
        /// What.
        track: Track,
        /// Its place now, from 1.
        to: usize,
    },
    /// The queue was emptied.
    Cleared {
        /// Entries dropped.
        count: usize,
    },
    /// Is (or is about to be) in a channel.
    Joined {
        /// Which.
        channel: ChannelId,
    },
    /// Left.
    Left {
        /// Which.
        channel: ChannelId,
        /// Entries kept.
        kept: usize,
    },
    /// The guild's setting now.
    AutoResume {
        /// Value.
        on: bool,
    },
    /// This interaction had been applied before; nothing changed.
    Already,
}

/// Why an order was not done. Each says, in the reply, what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing plays.
    NothingPlays,
    /// The queue is empty.
    QueueEmpty,
    /// There is no track before this one.
    NoPrevious,
    /// The queue has no such place.
    NoSuchPlace {
        /// What was asked for.
        asked: usize,
        /// Entries in the queue.
        len: usize,
    },
    /// The queue is full.
    QueueFull {
        /// [`super::track::QUEUE_LIMIT`].
        limit: usize,
    },
    /// A stream or an unseekable track.
    NotSeekable,
    /// Past the end.
    PastEnd {
        /// Length of the track.
        length_ms: u64,
    },
    /// Already paused.
    AlreadyPaused,
    /// Already playing.
    NotPaused,
    /// The bot is in no voice channel.
    NotInVoice,
    /// The person is in no voice channel.
    YouAreNotInVoice,
    /// The person is in another channel than the bot.
    OtherChannel {
        /// Where the bot is.
        bot: ChannelId,
    },
    /// The level is out of range.
    BadVolume,
}

/// Everything the reply to a person may need about one item in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: ItemId,
    /// The track.
    pub track: Track,
    /// Who asked for it.
    pub requester: UserId,
}
