//! Player ⇄ snapshot.

use crate::model::ids::GuildId;
use crate::model::position::{Anchor, NODE_LEAD_MS};
use crate::model::record::{DeckRecord, Head, Lists, PauseReason, SCHEMA, Snapshot, VoiceRecord};

use super::recover::{Loaded, Recovery};
use super::state::{Listeners, Seat};
use super::{Deck, Dirty, Player, Policy, Queue, Voice};

impl Player {
    /// A player as stored. With `loaded`, it recovers what was active; without, it waits to be asked.
    pub fn restore(guild: GuildId, policy: Policy, snapshot: Snapshot, loaded: Option<Loaded>) -> Self {
        let Snapshot { head, lists } = snapshot;
        let Head {
            schema: _,
            deck,
            volume,
            loop_mode,
            filters,
            autoplay,
            voice,
            text_channel,
            panel,
            settings,
            applied,
            pending,
            next_item,
            unknown,
        } = head;
        let recovering = loaded.filter(|_| voice.is_some());
        let was_playing = matches!(&deck, DeckRecord::Playing { .. });
        let node = voice
            .as_ref()
            .and_then(|voice| voice.node.clone())
            .filter(|_| recovering.is_some());
        let deck = deck_of(deck, recovering.is_some(), node.is_some());
        let listeners = voice.as_ref().map_or_else(Listeners::default, |voice| {
            Listeners::new(voice.listeners.iter().copied(), true)
        });
        let began = recovering.map_or(0, |loaded| loaded.began_ms);
        let voice = match voice.filter(|_| recovering.is_some()) {
            None => Voice::Out,
            Some(VoiceRecord {
                credentials: Some(credentials),
                ..
            }) => Voice::In { credentials },
            Some(VoiceRecord { channel, .. }) => Voice::Checking {
                channel,
                again_at: began,
                attempt: 1,
            },
        };
        Self {
            guild,
            policy,
            deck,
            queue: Queue::new(lists.queue, lists.history),
            volume,
            loop_mode,
            filters,
            autoplay,
            voice,
            seat: Seat {
                node,
                ..Seat::default()
            },
            listeners,
            leave_at: None,
            failures: 0,
            recovery: recovering.map(|loaded| Recovery::new(loaded, was_playing)),
            settings,
            text_channel,
            panel,
            applied,
            pending,
            next_item,
            unknown,
            dirty: Dirty::default(),
        }
    }

    /// The small part, as of `now_ms`.
    pub fn head(&self, now_ms: i64) -> Head {
        Head {
            schema: SCHEMA,
            deck: self.deck_record(now_ms),
            volume: self.volume,
            loop_mode: self.loop_mode,
            filters: self.filters.clone(),
            autoplay: self.autoplay,
            voice: self.voice_record(),
            text_channel: self.text_channel,
            panel: self.panel,
            settings: self.settings.clone(),
            applied: self.applied.clone(),
            pending: self.pending.clone(),
            next_item: self.next_item,
            unknown: self.unknown.clone(),
        }
    }

    /// The large part.
    pub fn lists(&self) -> Lists {
        Lists {
            queue: self.queue.upcoming().cloned().collect(),
            history: self.queue.history().iter().cloned().collect(),
        }
    }

    fn deck_record(&self, now_ms: i64) -> DeckRecord {
        match &self.deck {
            Deck::Empty => DeckRecord::Empty,
            // What waits was heard up to here; anchors count as the node does, which is ahead of the ear.
            Deck::Waiting {
                item,
                from_ms,
                paused: None,
            } => DeckRecord::Playing {
                item: item.clone(),
                anchor: Anchor::still(from_ms + NODE_LEAD_MS, now_ms),
            },
            Deck::Starting { item, from_ms, .. } => DeckRecord::Playing {
                item: item.clone(),
                anchor: Anchor::playing(*from_ms, now_ms),
            },
            Deck::Playing { item, anchor } => DeckRecord::Playing {
                item: item.clone(),
                anchor: *anchor,
            },
            Deck::Waiting {
                item,
                from_ms,
                paused: Some(reason),
            } => DeckRecord::Paused {
                item: item.clone(),
                position_ms: *from_ms,
                reason: *reason,
            },
            Deck::Paused {
                item,
                position_ms,
                reason,
                ..
            } => DeckRecord::Paused {
                item: item.clone(),
                position_ms: *position_ms,
                reason: *reason,
            },
        }
    }

    fn voice_record(&self) -> Option<VoiceRecord> {
        let channel = self.voice.channel()?;
        let credentials = match &self.voice {
            Voice::In { credentials } | Voice::Torn { credentials, .. } => Some(credentials.clone()),
            Voice::Out | Voice::Checking { .. } | Voice::Joining { .. } => None,
        };
        Some(VoiceRecord {
            channel,
            credentials,
            listeners: self.listeners.people().collect(),
            node: self.seat.node.clone(),
        })
    }
}

fn deck_of(record: DeckRecord, recovering: bool, seated: bool) -> Deck {
    match record {
        DeckRecord::Empty => Deck::Empty,
        DeckRecord::Playing { item, anchor } if recovering && seated => Deck::Playing { item, anchor },
        DeckRecord::Playing { item, anchor } if recovering => Deck::Waiting {
            item,
            from_ms: anchor.position_ms.saturating_sub(NODE_LEAD_MS),
            paused: None,
        },
        DeckRecord::Playing { item, anchor } => Deck::Paused {
            item,
            position_ms: anchor.position_ms.saturating_sub(NODE_LEAD_MS),
            reason: PauseReason::Kept,
            held: false,
        },
        DeckRecord::Paused {
            item,
            position_ms,
            reason,
        } => Deck::Paused {
            item,
            position_ms,
            reason,
            held: recovering && seated,
        },
    }
}
