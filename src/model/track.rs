//! What can be played, as a node described it, and one entry of a queue.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::ids::{ItemId, UserId};

/// Most tracks a guild's queue holds.
pub const QUEUE_LIMIT: usize = 1_000;
/// Most entries of the history that `previous` walks through.
pub const HISTORY_LIMIT: usize = 50;
/// Longest title or author kept, in characters; longer ones are cut with an ellipsis when the track is loaded.
pub const TITLE_LIMIT: usize = 256;

/// A playable track as `loadtracks` answered it (<https://lavalink.dev/api/rest#track>).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The node's own base64 form, as first loaded (a node re-encodes it with every answer).
    pub encoded: String,
    /// With `source`, what makes two tracks the same.
    pub identifier: CompactString,
    /// The source that resolved it (`youtube`, `http`, …).
    pub source: CompactString,
    /// At most [`TITLE_LIMIT`] characters, otherwise unfiltered.
    pub title: CompactString,
    /// At most [`TITLE_LIMIT`] characters, otherwise unfiltered.
    pub author: CompactString,
    /// Where a person can open it; absent for uploads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<CompactString>,
    /// A picture, when the source has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artwork: Option<CompactString>,
    /// Length in milliseconds; `None` for a stream.
    pub length_ms: Option<u64>,
    /// Whether `seek` works.
    pub seekable: bool,
}

impl Track {
    /// Whether both are the same recording from the same source, whatever the encoding says.
    pub fn same_as(&self, other: &Track) -> bool {
        self.identifier == other.identifier && self.source == other.source
    }

    /// A stream has no length and no position worth keeping.
    pub const fn is_stream(&self) -> bool {
        self.length_ms.is_none()
    }
}

/// A track in a queue, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Unique within the guild.
    pub id: ItemId,
    /// What to play.
    pub track: Track,
    /// Who asked for it.
    pub requester: UserId,
}
