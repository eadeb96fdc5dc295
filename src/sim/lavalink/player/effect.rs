//! The words between a player and its node: what is to be done, when to look again, and how a track starts and ends.

use serde_json::Value;

use super::super::track::Track;
use crate::sim::audio::{Content, End};

/// What a change asks for.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Effect {
    /// An event for the client.
    Event(Value),
    /// A `playerUpdate` now.
    Update,
    /// A `playerUpdate` of the moment without a connection.
    Lost,
    /// A track started: two updates now, then every period.
    Started,
    /// The player is to be looked at again.
    Wake { at_ms: u64, what: Wake },
    /// Frames go out on a link from now on, or no longer.
    Frames { begin: bool, link: u64, track: String },
    /// What a link carries from `at_ms` on.
    Carries {
        link: u64,
        at_ms: u64,
        end: End,
        content: Option<Content>,
    },
    /// Hang up; what is on its way is heard until `at_ms`.
    HangUp { link: u64, at_ms: u64 },
}

/// What a player waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Wake {
    /// The track's end, if the playhead has not changed since.
    End { generation: u64 },
    /// The next periodic update of a track.
    Update { start: u64 },
    /// Nobody pulls frames.
    Cleanup { generation: u64 },
    /// The source fails while frames of it are still buffered.
    Break { generation: u64 },
    /// The source gives nothing more.
    Starve { generation: u64 },
    /// The client is told of that.
    Stuck { start: u64 },
}

/// How a track ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reason {
    Finished,
    LoadFailed,
    Stopped,
    Replaced,
    Cleanup,
}

impl Reason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::LoadFailed => "loadFailed",
            Self::Stopped => "stopped",
            Self::Replaced => "replaced",
            Self::Cleanup => "cleanup",
        }
    }
}

/// A track to start.
#[derive(Debug)]
pub(in super::super) struct Start {
    pub(in super::super) track: Track,
    pub(in super::super) user_data: Value,
    pub(in super::super) position: u64,
    pub(in super::super) end_time: Option<u64>,
    pub(in super::super) paused: bool,
}
