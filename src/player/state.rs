//! The states of the player; each carries what it needs and nothing else.

use std::collections::BTreeSet;

use crate::model::ids::{ChannelId, NodeName, UserId};
use crate::model::position::{Anchor, NODE_LEAD_MS};
use crate::model::record::{PauseReason, VoiceCredentials};
use crate::model::track::Item;

use super::Patch;

/// What the operator chose for every guild. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `MUSIC_AUTO_RESUME`.
    pub auto_resume: bool,
    /// `SEGUE_RESTORE_MAX_AGE`.
    pub restore_max_age_ms: i64,
    /// `SEGUE_ALONE_TIMEOUT`.
    pub alone_timeout_ms: i64,
    /// `SEGUE_RESTORE_STABILIZATION`.
    pub stabilization_ms: i64,
    /// How long one attempt to join may take.
    pub join_timeout_ms: i64,
    /// Attempts to join before giving up.
    pub join_attempts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            auto_resume: true,
            restore_max_age_ms: 3_600_000,
            alone_timeout_ms: 300_000,
            stabilization_ms: 0,
            join_timeout_ms: 30_000,
            join_attempts: 3,
        }
    }
}

/// What the node is (to be) doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Deck {
    /// Nothing is loaded.
    Empty,
    /// A track is wanted; voice or node is missing.
    Waiting {
        /// Which.
        item: Item,
        /// Where to start, milliseconds.
        from_ms: u64,
        /// To be loaded, but to stand still.
        paused: Option<PauseReason>,
    },
    /// The node was told and did not answer yet.
    Starting {
        /// Which.
        item: Item,
        /// Where it starts, milliseconds.
        from_ms: u64,
        /// Some formats cannot start in the middle: then it starts at 0 and is moved there.
        seek_after: bool,
    },
    /// The node plays it.
    Playing {
        /// Which.
        item: Item,
        /// Where it is, as the node counts.
        anchor: Anchor,
    },
    /// It stands still.
    Paused {
        /// Which.
        item: Item,
        /// Where, milliseconds.
        position_ms: u64,
        /// Why.
        reason: PauseReason,
        /// Whether the node holds it (then resuming is one flag, else a start).
        held: bool,
    },
}

impl Deck {
    /// The entry that is loaded.
    pub const fn item(&self) -> Option<&Item> {
        match self {
            Self::Empty => None,
            Self::Waiting { item, .. }
            | Self::Starting { item, .. }
            | Self::Playing { item, .. }
            | Self::Paused { item, .. } => Some(item),
        }
    }

    /// What the ear hears (or last heard), milliseconds into the track.
    pub fn heard_ms(&self, now_ms: i64) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Waiting { from_ms, .. } | Self::Starting { from_ms, .. } => *from_ms,
            Self::Playing { item, anchor } => anchor.at(now_ms, item.track.length_ms).saturating_sub(NODE_LEAD_MS),
            Self::Paused { position_ms, .. } => *position_ms,
        }
    }
}

/// The bot's way into a voice channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Voice {
    /// In none.
    Out,
    /// May it? Op 4 is sent when the answer is yes.
    Checking {
        /// Where to.
        channel: ChannelId,
        /// When the question is asked again.
        again_at: i64,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// Op 4 was sent; both of Discord's events are needed.
    Joining {
        /// Where to.
        channel: ChannelId,
        /// From the state event.
        session_id: Option<String>,
        /// From the server event: token and endpoint.
        server: Option<(String, String)>,
        /// When the attempt is given up.
        give_up_at: i64,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// Connected, as far as Discord said.
    In {
        /// The complete credentials.
        credentials: VoiceCredentials,
    },
    /// The voice server hung up in a way that may be a move, a kick or a lost session; Discord's events decide.
    Torn {
        /// Where the bot was.
        credentials: VoiceCredentials,
        /// When it rejoins by itself.
        rejoin_at: i64,
    },
}

impl Voice {
    /// Where the bot is, or is about to be.
    pub const fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Out => None,
            Self::Checking { channel, .. } | Self::Joining { channel, .. } => Some(*channel),
            Self::In { credentials } | Self::Torn { credentials, .. } => Some(credentials.channel),
        }
    }

    /// When it must be looked at again.
    pub const fn deadline(&self) -> Option<i64> {
        match self {
            Self::Out | Self::In { .. } => None,
            Self::Checking { again_at, .. } => Some(*again_at),
            Self::Joining { give_up_at, .. } => Some(*give_up_at),
            Self::Torn { rejoin_at, .. } => Some(*rejoin_at),
        }
    }
}

/// The player's place on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seat {
    /// Which node holds (or is to hold) the player.
    pub(super) node: Option<NodeName>,
    /// Counts the calls whose answer matters; older answers are dropped.
    pub(super) generation: u32,
    /// Whether the session is open: between a loss and the next `Ready` nothing can be said.
    pub(super) open: bool,
    /// The node was given up; its next session is a new one and brings no news.
    pub(super) gone: bool,
    /// When the session was lost, while it is.
    pub(super) lost_at: Option<i64>,
    /// A failed call is repeated then.
    pub(super) retry_at: Option<i64>,
    /// How many calls failed in a row.
    pub(super) attempt: u32,
    /// The node was told something that it did not hear, or that failed.
    pub(super) owes: bool,
    /// A position that was asked for and that the node did not confirm yet, milliseconds.
    pub(super) sought: Option<u64>,
    /// Where the track was started, if that is not its beginning, until the node tells a position beyond: some formats cannot
    /// start there, which shows only after the node said that they began.
    pub(super) unproven: Option<u64>,
    /// Where a seek went, milliseconds, and since when; until the node tells of a moment after it.
    pub(super) landed: Option<(u64, i64)>,
    /// Where the track is when the node counts 0, milliseconds.
    pub(super) counts_from: u64,
    /// How many calls of this generation are not answered yet.
    pub(super) calls: u16,
    /// Which of them asks for that position, from 1 for the one that is answered next.
    pub(super) seek: Option<u16>,
    /// The node holds no track where one should play.
    pub(super) missing: Option<Missing>,
}

impl Seat {
    /// The node is told this. Returns the generation of the call.
    pub(super) fn told(&mut self, patch: &Patch) -> u32 {
        if patch.track.is_some() {
            self.owes = false;
            self.outdate();
        }
        self.calls = self.calls.saturating_add(1);
        if patch.track.is_none() && patch.position_ms.is_some() {
            self.seek = Some(self.calls);
        }
        self.generation
    }

    /// What the node was told of the track before matters no more, nor do the answers.
    pub(super) fn outdate(&mut self) {
        self.generation += 1;
        self.calls = 0;
        self.seek = None;
        self.sought = None;
        self.unproven = None;
        self.landed = None;
        self.counts_from = 0;
    }

    /// The oldest call is answered: they are made one after the other. Returns whether it was the last seek.
    pub(super) fn answered(&mut self) -> bool {
        let was_seek = self.seek == Some(1);
        self.calls = self.calls.saturating_sub(1);
        self.seek = self
            .seek
            .and_then(|place| place.checked_sub(1))
            .filter(|place| *place > 0);
        was_seek
    }

    /// Where the track is when the node tells this position and it should be at `expected`; `None` if that says nothing,
    /// because it is of the time before a seek. Ogg/Opus counts from 0 again after a seek, which shows in what is told next.
    pub(super) fn counted(&mut self, position_ms: u64, at_ms: i64, expected: u64) -> Option<u64> {
        if self.sought.is_some() {
            return None;
        }
        if let Some((to, since)) = self.landed {
            if at_ms < since || position_ms == to {
                return None;
            }
            self.landed = None;
            let moved = position_ms.saturating_add(to);
            let from_zero = position_ms < to && moved.abs_diff(expected) < position_ms.abs_diff(expected);
            self.counts_from = if from_zero { to } else { 0 };
        }
        Some(position_ms.saturating_add(self.counts_from))
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        [self.retry_at, self.missing.map(|missing| missing.decide_at)]
            .into_iter()
            .flatten()
            .min()
    }
}

/// A track that should play and that the node does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Unless an end is told first, it is decided then what became of it.
    pub(super) decide_at: i64,
    /// The last moment at which it can have been heard for sure.
    pub(super) heard_until: i64,
}

/// The people in the bot's channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Listeners {
    people: BTreeSet<UserId>,
    /// Whether everybody is known, and not only who was seen moving.
    pub(super) complete: bool,
}

impl Listeners {
    pub(super) fn new(people: impl IntoIterator<Item = UserId>, complete: bool) -> Self {
        Self {
            people: people.into_iter().collect(),
            complete,
        }
    }

    pub(super) fn insert(&mut self, user: UserId) -> bool {
        self.people.insert(user)
    }

    pub(super) fn remove(&mut self, user: UserId) -> bool {
        self.people.remove(&user)
    }

    pub(super) fn count(&self) -> usize {
        self.people.len()
    }

    /// Surely nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.complete && self.people.is_empty()
    }

    pub(super) fn people(&self) -> impl Iterator<Item = UserId> + '_ {
        self.people.iter().copied()
    }
}
