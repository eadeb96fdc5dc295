//! What a shard counts for whoever shows figures: plain numbers, because events come by the ten thousand and figures are
//! looked at every other second.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock;

/// What an event is, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    GuildCreate,
    GuildDelete,
    ChannelDelete,
    VoiceStateUpdate,
    VoiceServerUpdate,
    InteractionCreate,
    Ready,
    Resumed,
    Other,
}

/// Every kind, in the order in which they are counted.
const KINDS: [Kind; 9] = [
    Kind::GuildCreate,
    Kind::GuildDelete,
    Kind::ChannelDelete,
    Kind::VoiceStateUpdate,
    Kind::VoiceServerUpdate,
    Kind::InteractionCreate,
    Kind::Ready,
    Kind::Resumed,
    Kind::Other,
];

impl Kind {
    /// By Discord's name.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "GUILD_CREATE" => Self::GuildCreate,
            "GUILD_DELETE" => Self::GuildDelete,
            "CHANNEL_DELETE" => Self::ChannelDelete,
            "VOICE_STATE_UPDATE" => Self::VoiceStateUpdate,
            "VOICE_SERVER_UPDATE" => Self::VoiceServerUpdate,
            "INTERACTION_CREATE" => Self::InteractionCreate,
            "READY" => Self::Ready,
            "RESUMED" => Self::Resumed,
            _ => Self::Other,
        }
    }

    /// Discord's name, or `other`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GuildCreate => "GUILD_CREATE",
            Self::GuildDelete => "GUILD_DELETE",
            Self::ChannelDelete => "CHANNEL_DELETE",
            Self::VoiceStateUpdate => "VOICE_STATE_UPDATE",
            Self::VoiceServerUpdate => "VOICE_SERVER_UPDATE",
            Self::InteractionCreate => "INTERACTION_CREATE",
            Self::Ready => "READY",
            Self::Resumed => "RESUMED",
            Self::Other => "other",
        }
    }

    /// Whether it is parsed ([`super::route::WANTED`]); all others are only counted, READY and RESUMED read by the shard.
    pub(super) const fn is_parsed(self) -> bool {
        !matches!(self, Self::Ready | Self::Resumed | Self::Other)
    }
}

/// The numbers of one shard.
#[derive(Debug, Default)]
pub(super) struct Tally {
    events: [AtomicU64; KINDS.len()],
    reconnects: Mutex<BTreeMap<(&'static str, bool), u64>>,
}

impl Tally {
    /// An event arrived. Only the shard's task calls this, so that nothing is to be locked.
    pub(super) fn arrived(&self, kind: Kind) {
        if let Some(count) = self.events.get(kind as usize) {
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// A connection that followed another is ready.
    pub(super) fn reconnected(&self, reason: &'static str, resumed: bool) {
        *lock(&self.reconnects).entry((reason, resumed)).or_default() += 1;
    }

    pub(super) fn events(&self) -> [(&'static str, u64); KINDS.len()] {
        let mut counts = KINDS.map(|kind| (kind.name(), 0));
        for ((_, shown), count) in counts.iter_mut().zip(&self.events) {
            *shown = count.load(Ordering::Relaxed);
        }
        counts
    }

    pub(super) fn reconnects(&self) -> BTreeMap<(&'static str, bool), u64> {
        lock(&self.reconnects).clone()
    }
}

#[cfg(test)]
mod tests {
    use twilight_gateway::EventTypeFlags;
    use twilight_model::gateway::OpCode;

    use super::*;
    use crate::gateway::route::WANTED;

    #[test]
    fn the_kinds_that_are_parsed_are_those_that_are_routed() {
        let flag = |name| EventTypeFlags::try_from((OpCode::Dispatch, Some(name))).unwrap();
        let parsed = KINDS.iter().filter(|kind| kind.is_parsed());
        let flags = parsed.fold(EventTypeFlags::empty(), |flags, kind| flags | flag(kind.name()));
        assert_eq!(flags, WANTED);
    }

    #[test]
    fn every_kind_is_counted_under_its_own_name() {
        let tally = Tally::default();
        for (times, kind) in (1..).zip(KINDS) {
            assert_eq!(Kind::of(kind.name()), kind);
            for _ in 0..times {
                tally.arrived(kind);
            }
        }
        for ((times, kind), counted) in (1..).zip(KINDS).zip(tally.events()) {
            assert_eq!(counted, (kind.name(), times));
        }
        assert_eq!(Kind::of("TYPING_START").name(), "other");
    }

    #[test]
    fn new_connections_are_counted_by_why_the_one_before_ended() {
        let tally = Tally::default();
        for (reason, resumed) in [("io", true), ("4009", false), ("io", true)] {
            tally.reconnected(reason, resumed);
        }
        let counted: Vec<_> = tally.reconnects().into_iter().collect();
        assert_eq!(counted, [(("4009", false), 1), (("io", true), 2)]);
    }
}
