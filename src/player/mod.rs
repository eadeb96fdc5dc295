//! The player: a pure machine. No async, no clock, no randomness it was not given, no I/O.
//!
//! `inputs` (orders of people, signals of Discord, events of nodes, answers to its own effects, the time) go in,
//! [`Effect`]s come out. The guild actor carries both. What must be saved is told by [`Player::take_dirty`].
//!
//! | state of the deck | entered by | left by |
//! |---|---|---|
//! | `Empty` | the queue ran out, stop | a track was queued |
//! | `Waiting` | a track is wanted, but voice or node is missing | both are there: the node is told |
//! | `Starting` | the node was told | its answer or `TrackStart` (→ `Playing`), a refusal, a loss |
//! | `Playing` | the node said so | its end, an order, a loss (→ `Waiting`) |
//! | `Paused` | an order, a restore that is to stay quiet, an empty channel | resume |

mod effect;
mod node;
mod orders;
mod queue;
mod reconcile;
mod recover;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod voice;

pub use effect::{Call, Context, Dirty, Effect, Failure, Input, Patch, Priority, Recovered};
pub use queue::Queue;
pub use recover::{Before, Loaded, Outcome, Trigger};
pub use state::{Deck, Policy, Voice};

use crate::model::ids::{ChannelId, GuildId, InteractionId, ItemId, NodeName};
use crate::model::order::{Done, Refusal};
use crate::model::record::{APPLIED_LIMIT, GuildSettings, LoopMode, PanelRecord, PendingRecord};
use crate::model::track::Track;
use crate::model::view::{NowPlaying, PlayState, View};
use recover::Recovery;
use state::{Listeners, Seat};

/// What an order did.
pub type Outcomes = Result<Done, Refusal>;

/// The player of one guild.
#[derive(Clone, Debug)]
pub struct Player {
    guild: GuildId,
    policy: Policy,
    deck: Deck,
    queue: Queue,
    volume: u16,
    loop_mode: LoopMode,
    filters: Option<serde_json::Value>,
    autoplay: bool,
    voice: Voice,
    seat: Seat,
    listeners: Listeners,
    /// When an empty channel is left, milliseconds since 1970.
    leave_at: Option<i64>,
    /// Failed tracks in a row.
    failures: u32,
    recovery: Option<Recovery>,
    settings: GuildSettings,
    text_channel: Option<ChannelId>,
    panel: Option<PanelRecord>,
    applied: Vec<InteractionId>,
    pending: Vec<PendingRecord>,
    next_item: ItemId,
    unknown: std::collections::BTreeMap<String, serde_json::Value>,
    dirty: Dirty,
}

impl Player {
    /// Feeds one input. Orders answer with what they did; everything else answers `None`.
    pub fn step(&mut self, input: Input, cx: &Context, effects: &mut Vec<Effect>) -> Option<Outcomes> {
        match input {
            Input::Order { asked, order } => return Some(self.order(&asked, order, cx, effects)),
            Input::Signal(signal) => self.signal(signal, cx, effects),
            Input::Node(from) => self.node_event(from, cx, effects),
            Input::Answer { generation, answer } => self.answer(generation, answer, cx, effects),
            Input::Access { channel, result } => self.access(channel, result, cx, effects),
            Input::NodesChanged => self.nodes_changed(cx, effects),
            Input::LeaveNode => self.leave_node(cx, effects),
            Input::Tick => self.tick(cx, effects),
        }
        None
    }

    /// When [`Input::Tick`] is due, milliseconds since 1970.
    pub fn deadline(&self) -> Option<i64> {
        [
            self.leave_at,
            self.voice.deadline(),
            self.seat.deadline(),
            self.recovery.as_ref().and_then(Recovery::deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn tick(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if self.leave_at.is_some_and(|at| at <= cx.now_ms) {
            self.leave_empty(cx, effects);
        }
        self.voice_tick(cx, effects);
        self.seat_tick(cx, effects);
        self.recovery_tick(cx, effects);
    }

    /// What changed since the last call and is to be saved.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// Whether something is to be saved.
    pub const fn has_dirty(&self) -> bool {
        self.dirty.any()
    }

    /// Remembers that something is still to be saved (a write failed).
    pub fn mark_dirty(&mut self, dirty: Dirty) {
        self.dirty.head |= dirty.head;
        self.dirty.lists |= dirty.lists;
    }

    /// Whether something is to be recovered after a death: the bot is, or is about to be, in voice.
    pub const fn is_active(&self) -> bool {
        !matches!(self.voice, Voice::Out)
    }

    /// Whether sound is meant to come out now.
    pub const fn is_playing(&self) -> bool {
        matches!(self.deck, Deck::Playing { .. } | Deck::Starting { .. })
    }

    /// Where the current track is and when it ends, for a checkpoint; `None` unless it plays.
    pub fn checkpoint(&self, now_ms: i64) -> Option<(crate::model::position::Anchor, Option<i64>)> {
        match &self.deck {
            Deck::Playing { anchor, .. } => Some((*anchor, self.ends_at(now_ms))),
            Deck::Empty | Deck::Waiting { .. } | Deck::Starting { .. } | Deck::Paused { .. } => None,
        }
    }

    /// When the current track ends if nothing happens, milliseconds since 1970.
    pub fn ends_at(&self, now_ms: i64) -> Option<i64> {
        let Deck::Playing { item, anchor } = &self.deck else {
            return None;
        };
        let length = item.track.length_ms?;
        Some(now_ms + length.saturating_sub(anchor.at(now_ms, Some(length))).cast_signed())
    }

    /// The current track.
    pub fn track(&self) -> Option<&Track> {
        self.deck.item().map(|item| &item.track)
    }

    /// The node that holds (or is to hold) the player.
    pub const fn node(&self) -> Option<&NodeName> {
        self.seat.node.as_ref()
    }

    /// Where the bot is, or is about to be.
    pub const fn voice_channel(&self) -> Option<ChannelId> {
        self.voice.channel()
    }

    /// How many people listen, as far as is known.
    pub fn listeners(&self) -> usize {
        self.listeners.count()
    }

    /// Whether a recovery is under way.
    pub const fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Whether the answer to a call of this generation ([`Call::Update`]) still says something.
    pub const fn awaits(&self, generation: u32) -> bool {
        self.seat.generation == generation
    }

    /// Whether it waits to hear if it may join this channel.
    pub fn checks(&self, channel: ChannelId) -> bool {
        matches!(self.voice, Voice::Checking { channel: asked, .. } if asked == channel)
    }

    /// What the guild chose.
    pub const fn settings(&self) -> &GuildSettings {
        &self.settings
    }

    /// The Now Playing message changed.
    pub fn set_panel(&mut self, panel: Option<PanelRecord>) {
        if self.panel != panel {
            self.panel = panel;
            self.dirty.head = true;
        }
    }

    /// Remembers an order that was deferred, until [`Player::finish_pending`].
    pub fn add_pending(&mut self, pending: PendingRecord) {
        self.pending.retain(|known| known.id != pending.id);
        if self.pending.len() >= APPLIED_LIMIT {
            self.pending.remove(0);
        }
        self.pending.push(pending);
        self.dirty.head = true;
    }

    /// The deferred order was answered. Returns whether it was there.
    pub fn finish_pending(&mut self, id: InteractionId) -> bool {
        let before = self.pending.len();
        self.pending.retain(|known| known.id != id);
        self.dirty.head |= before != self.pending.len();
        before != self.pending.len()
    }

    /// Deferred orders that nobody answered yet.
    pub fn pending(&self) -> &[PendingRecord] {
        &self.pending
    }

    /// What people may see.
    pub fn view(&self, now_ms: i64) -> View {
        View {
            now: self.now_playing(now_ms),
            queue: self.queue.upcoming().cloned().collect(),
            history: self.queue.history().len(),
            volume: self.volume,
            loop_mode: self.loop_mode,
            voice_channel: self.voice.channel(),
            text_channel: self.text_channel,
            node: self.seat.node.clone(),
            panel: self.panel,
            settings: self.settings.clone(),
            auto_resume_default: self.policy.auto_resume,
        }
    }

    fn now_playing(&self, now_ms: i64) -> Option<NowPlaying> {
        let item = self.deck.item()?;
        let state = match &self.deck {
            Deck::Empty => return None,
            Deck::Waiting { paused: None, .. } => PlayState::Waiting,
            Deck::Waiting {
                paused: Some(reason), ..
            }
            | Deck::Paused { reason, .. } => PlayState::Paused(*reason),
            Deck::Starting { .. } | Deck::Playing { .. } => PlayState::Playing,
        };
        Some(NowPlaying {
            track: item.track.clone(),
            requester: item.requester,
            position_ms: self.deck.heard_ms(now_ms),
            state,
        })
    }

    fn auto_resume(&self) -> bool {
        self.settings.auto_resume.unwrap_or(self.policy.auto_resume)
    }
}
