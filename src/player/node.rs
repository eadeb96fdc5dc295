//! The node's side: starting, following and ending tracks, and leaving a node.

use crate::model::position::Anchor;
use crate::model::record::{LoopMode, PauseReason};
use crate::model::signal::{EndReason, FromNode, NodeEvent, PlayerSeen};
use crate::model::view::Notice;

use super::recover::Recovery;
use super::{Call, Context, Deck, Effect, Failure, Patch, Player, Voice};

/// After this many failed tracks in a row the player stops instead of running through the queue.
const FAILURES_MAX: u32 = 5;
/// Some formats refuse to start in the middle; they are started and moved after this, milliseconds.
const SEEK_AFTER_MS: i64 = 300;

impl Player {
    /// Takes one step towards what is wanted: starts a waiting track if voice and a node are there.
    pub(super) fn drive(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if self.recovery.is_some() && !self.recovery_may_start(cx) {
            return;
        }
        let Voice::In { credentials } = self.voice.clone() else {
            return;
        };
        match self.deck.clone() {
            Deck::Empty | Deck::Starting { .. } | Deck::Playing { .. } | Deck::Paused { .. } => {}
            Deck::Waiting { item, from_ms, paused } => {
                if !self.take_seat(cx, effects) {
                    return;
                }
                let patch = Patch {
                    track: Some(Some(item.track.encoded.clone())),
                    position_ms: Some(if item.track.seekable { from_ms } else { 0 }),
                    paused: Some(paused.is_some()),
                    volume: Some(self.volume),
                    filters: self.filters.clone(),
                    voice: Some(credentials),
                };
                self.deck = match paused {
                    Some(reason) => Deck::Paused {
                        item,
                        position_ms: from_ms,
                        reason,
                        held: true,
                    },
                    None => Deck::Starting {
                        item,
                        from_ms,
                        seek_after: false,
                    },
                };
                self.dirty.head = true;
                self.patch(patch, effects);
                self.seat.unproven = (from_ms > 0).then_some(from_ms);
                self.recovery_told(cx);
            }
        }
    }

    /// Makes sure that a usable node is chosen.
    fn take_seat(&mut self, cx: &Context, effects: &mut Vec<Effect>) -> bool {
        let Some(best) = cx.best_node.clone() else {
            self.seat.open = false;
            return false;
        };
        if self.seat.node.as_ref() != Some(&best) {
            let reachable = self.seat.open;
            if let Some(old) = self.seat.node.replace(best)
                && reachable
            {
                effects.push(Effect::Call(Call::Destroy { node: old }));
            }
            self.dirty.head = true;
        }
        self.seat.open = true;
        self.seat.missing = None;
        true
    }

    /// Sends a change to the node that holds the player, if any does. What it cannot hear now it is told later.
    pub(super) fn patch(&mut self, patch: Patch, effects: &mut Vec<Effect>) {
        let Some(node) = self.seat.node.clone() else { return };
        if !self.seat.open {
            self.seat.owes = true;
            return;
        }
        let generation = self.seat.told(&patch);
        effects.push(Effect::Call(Call::Update {
            node,
            generation,
            patch: Box::new(patch),
        }));
    }

    /// The track stops being heard where it is: it waits there until voice and node are back.
    pub(super) fn hold(&mut self, cx: &Context) {
        let heard = self.deck.heard_ms(cx.now_ms);
        let deck = std::mem::replace(&mut self.deck, Deck::Empty);
        self.dirty.head |= matches!(deck, Deck::Starting { .. } | Deck::Playing { .. });
        self.deck = match deck {
            Deck::Starting { item, from_ms, .. } => Deck::Waiting {
                item,
                from_ms,
                paused: None,
            },
            Deck::Playing { item, .. } => Deck::Waiting {
                item,
                from_ms: heard,
                paused: None,
            },
            other @ (Deck::Empty | Deck::Waiting { .. } | Deck::Paused { .. }) => other,
        };
    }

    /// Voice is gone: the node is told to stop, so that it does not play on to nobody and is not heard for a moment
    /// when voice is back.
    pub(super) fn hush(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.deck, Deck::Waiting { .. }) {
            self.silence(effects);
        }
    }

    /// The node is told to stop.
    pub(super) fn silence(&mut self, effects: &mut Vec<Effect>) {
        let patch = Patch {
            track: Some(None),
            ..Patch::default()
        };
        self.patch(patch, effects);
    }

    /// Takes the current track off the deck, into history (and with loop mode `queue` to the end of the queue).
    pub(super) fn retire(&mut self, reason: EndReason, _cx: &Context) {
        let Some(item) = self.deck.item().cloned() else { return };
        self.deck = Deck::Empty;
        self.dirty.lists = true;
        self.dirty.head = true;
        if self.loop_mode == LoopMode::Queue && reason != EndReason::LoadFailed {
            self.queue.push_back([item]);
        } else {
            self.queue.remember(item);
        }
    }

    /// Puts the next track on the empty deck.
    pub(super) fn cue_next(&mut self) {
        if let Some(item) = self.queue.pop() {
            self.deck = Deck::Waiting {
                item,
                from_ms: 0,
                paused: None,
            };
            self.dirty.lists = true;
        }
        self.dirty.head = true;
    }

    pub(super) fn advance(&mut self, reason: EndReason, cx: &Context, effects: &mut Vec<Effect>) {
        self.seat.missing = None;
        if reason == EndReason::Finished && self.loop_mode == LoopMode::Track {
            if let Some(item) = self.deck.item().cloned() {
                self.deck = Deck::Waiting {
                    item,
                    from_ms: 0,
                    paused: None,
                };
                self.dirty.head = true;
            }
        } else {
            self.retire(reason, cx);
            self.cue_next();
        }
        effects.push(Effect::Show);
        // The end that was waited for was told: nothing is missing.
        self.recovery_tick(cx, effects);
        self.drive(cx, effects);
    }

    pub(super) fn node_event(&mut self, from: FromNode, cx: &Context, effects: &mut Vec<Effect>) {
        if self.seat.node.as_ref() != Some(&from.node) {
            // A node that was given up and came back still plays what was moved elsewhere.
            if let NodeEvent::Ready { player: Some(_), .. } = from.event {
                effects.push(Effect::Call(Call::Destroy { node: from.node }));
            }
            return;
        }
        match from.event {
            NodeEvent::Ready { resumed, player } => self.node_ready(resumed, player.as_ref(), cx, effects),
            NodeEvent::Lost { at_ms } => {
                self.seat.open = false;
                self.seat.lost_at = Some(at_ms);
            }
            // 0: this process never heard of the node; what was loaded knows better.
            NodeEvent::Gone { alive_until_ms: 0 } => self.node_gone(cx.now_ms, cx, effects),
            NodeEvent::Gone { alive_until_ms } => self.node_gone(alive_until_ms, cx, effects),
            NodeEvent::Update {
                position_ms,
                at_ms,
                connected,
            } => self.followed(position_ms, at_ms, connected),
            NodeEvent::Started { identifier } => {
                if self.is_current(&identifier) {
                    self.started(cx, effects);
                }
            }
            NodeEvent::Ended { identifier, reason } => {
                if self.is_current(&identifier) {
                    self.ended(reason, cx, effects);
                }
            }
            // An end follows, and it decides; what was buffered plays out first.
            NodeEvent::Failed { .. } => {}
            NodeEvent::Stuck { identifier } => {
                if self.is_current(&identifier) {
                    self.track_failed(cx, effects);
                }
            }
            NodeEvent::VoiceClosed { code: 1000, .. } => {}
            NodeEvent::VoiceClosed { code, .. } => self.voice_torn(code, cx, effects),
        }
    }

    fn is_current(&self, identifier: &str) -> bool {
        self.deck.item().is_some_and(|item| item.track.identifier == identifier)
    }

    fn followed(&mut self, position_ms: u64, at_ms: i64, connected: bool) {
        // A paused or restored player may report 0, one that is being started still tells of the track before, and one that
        // did not hear of a seek yet of where it was.
        let Deck::Playing { anchor, .. } = &mut self.deck else {
            return;
        };
        if !connected {
            return;
        }
        if let Some(position_ms) = self.seat.counted(position_ms, at_ms, anchor.at(at_ms, None)) {
            *anchor = Anchor::playing(position_ms, at_ms);
            self.seat.unproven = self.seat.unproven.filter(|from_ms| position_ms <= *from_ms);
        }
    }

    fn started(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        let Deck::Starting {
            item,
            from_ms,
            seek_after,
        } = self.deck.clone()
        else {
            return;
        };
        if seek_after {
            self.seat.retry_at = Some(cx.now_ms + SEEK_AFTER_MS);
            return;
        }
        let anchor = Anchor::playing(from_ms, cx.now_ms);
        self.deck = Deck::Playing { item, anchor };
        self.seat.attempt = 0;
        self.seat.retry_at = None;
        self.dirty.head = true;
        effects.push(Effect::Show);
        self.recovery_playing(cx, effects);
    }

    fn ended(&mut self, reason: EndReason, cx: &Context, effects: &mut Vec<Effect>) {
        match (reason, &self.deck) {
            // Not heard: the node played on to nobody while voice was away.
            (_, Deck::Waiting { .. } | Deck::Empty) => {}
            (EndReason::Finished, Deck::Starting { .. } | Deck::Playing { .. } | Deck::Paused { .. }) => {
                self.failures = 0;
                self.advance(EndReason::Finished, cx, effects);
            }
            (EndReason::LoadFailed, _) => match self.seat.unproven.take() {
                Some(from_ms) => self.start_and_move(from_ms, cx, effects),
                None => self.track_failed(cx, effects),
            },
            (EndReason::Stopped | EndReason::Replaced, _) => {}
            (EndReason::Cleanup, _) => {
                self.hold(cx);
                self.drive(cx, effects);
            }
        }
    }

    /// Ogg/Opus cannot start in the middle: the node says that it began, and then that it failed. It is started at the
    /// beginning, unheard, and then moved.
    fn start_and_move(&mut self, from_ms: u64, cx: &Context, effects: &mut Vec<Effect>) {
        match self.deck.clone() {
            Deck::Starting { item, .. } | Deck::Playing { item, .. } => {
                let patch = Patch {
                    track: Some(Some(item.track.encoded.clone())),
                    position_ms: Some(0),
                    volume: Some(0),
                    ..Patch::default()
                };
                self.deck = Deck::Starting {
                    item,
                    from_ms,
                    seek_after: true,
                };
                self.dirty.head = true;
                self.patch(patch, effects);
            }
            // Not now, but when it is to be heard.
            Deck::Paused { .. } => {
                self.not_held();
                self.finish_if_idle(cx, effects);
            }
            Deck::Empty | Deck::Waiting { .. } => {}
        }
    }

    /// The node does not hold what stands still: to go on, it is started again.
    pub(super) const fn not_held(&mut self) {
        if let Deck::Paused { held, .. } = &mut self.deck {
            *held = false;
        }
    }

    fn track_failed(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        self.failures += 1;
        if let Some(item) = self.deck.item() {
            effects.push(Effect::Notice(Notice::TrackFailed {
                track: item.track.clone(),
            }));
        }
        if self.failures < FAILURES_MAX {
            self.advance(EndReason::LoadFailed, cx, effects);
        } else {
            self.failures = 0;
            self.retire(EndReason::LoadFailed, cx);
            if let Some(item) = self.queue.pop() {
                self.deck = Deck::Paused {
                    item,
                    position_ms: 0,
                    reason: PauseReason::Kept,
                    held: false,
                };
            }
            effects.push(Effect::Show);
        }
        self.finish_if_idle(cx, effects);
    }

    pub(super) fn node_gone(&mut self, alive_until_ms: i64, cx: &Context, effects: &mut Vec<Effect>) {
        let was_playing = matches!(self.deck, Deck::Playing { .. } | Deck::Starting { .. });
        let alive_until_ms = alive_until_ms.min(cx.now_ms);
        self.recovery_node_gone(was_playing, alive_until_ms, cx);
        // Heard until the node died, and known only until the owner before did.
        let heard_until = self.recovery.as_ref().map_or(alive_until_ms, Recovery::alive_until_ms);
        self.hold(&Context {
            now_ms: heard_until.min(alive_until_ms),
            best_node: None,
            voice_waits: false,
        });
        self.not_held();
        self.seat.open = false;
        self.seat.gone = true;
        self.seat.owes = false;
        self.seat.missing = None;
        self.seat.outdate();
        self.dirty.head = true;
        self.recovery_tick(cx, effects);
        self.drive(cx, effects);
        if cx.best_node.is_none() && was_playing {
            effects.push(Effect::Notice(Notice::NoNode));
        }
    }

    pub(super) fn nodes_changed(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        self.drive(cx, effects);
    }

    /// Moves to the best node while the old one plays on: it is told to stop only after the new one was told to start, so
    /// that nothing is missing (<https://lavalink.dev/api/rest>: a player's voice may be given to another node). What is
    /// starting or recovering is left for the next time.
    pub(super) fn leave_node(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        let elsewhere = cx.best_node.is_some() && cx.best_node != self.seat.node;
        let settled = self.recovery.is_none() && self.seat.open && matches!(self.voice, Voice::In { .. });
        if !elsewhere || !settled {
            return;
        }
        match &mut self.deck {
            Deck::Starting { .. } | Deck::Waiting { .. } => {}
            Deck::Paused { held: false, .. } | Deck::Empty => {
                self.take_seat(cx, effects);
            }
            Deck::Paused {
                item,
                position_ms,
                reason,
                ..
            } => {
                self.deck = Deck::Waiting {
                    item: item.clone(),
                    from_ms: *position_ms,
                    paused: Some(*reason),
                };
                self.move_seat(cx, effects);
            }
            Deck::Playing { .. } => {
                self.hold(cx);
                self.move_seat(cx, effects);
            }
        }
    }

    fn move_seat(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        self.recovery_moves(cx);
        let mut moving = Vec::new();
        self.drive(cx, &mut moving);
        let stop = |effect: &Effect| matches!(effect, Effect::Call(Call::Destroy { .. }));
        let (stops, starts): (Vec<_>, Vec<_>) = moving.into_iter().partition(stop);
        effects.extend(starts);
        effects.extend(stops);
    }

    pub(super) fn answer(
        &mut self,
        generation: u32,
        answer: Result<PlayerSeen, Failure>,
        cx: &Context,
        effects: &mut Vec<Effect>,
    ) {
        if generation != self.seat.generation {
            return;
        }
        let was_seek = self.seat.answered();
        if was_seek && matches!(answer, Ok(_) | Err(Failure::Refused)) {
            let sought = self.seat.sought.take();
            self.seat.landed = sought.filter(|_| answer.is_ok()).map(|to| (to, cx.now_ms));
        }
        match answer {
            Ok(seen) => {
                self.seat.attempt = 0;
                let plays = seen
                    .track
                    .as_ref()
                    .is_some_and(|track| self.deck.item().is_some_and(|item| item.track.same_as(track)));
                if plays && seen.connected && !seen.paused {
                    self.started(cx, effects);
                }
                if plays && seen.paused && matches!(self.deck, Deck::Paused { .. }) {
                    self.recovery_playing(cx, effects);
                }
            }
            Err(Failure::Refused) if matches!(self.deck, Deck::Starting { .. }) => self.track_failed(cx, effects),
            Err(Failure::Refused) => {}
            Err(Failure::SessionGone) => {
                self.seat.open = false;
                self.try_again(cx);
            }
            // Whoever may not act now may again soon, unless it is dead to the others and ends anyway.
            Err(Failure::Unreachable | Failure::NoAuthority) => self.try_again(cx),
        }
    }

    pub(super) fn seat_tick(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if let Some(missing) = self.seat.missing.take_if(|missing| missing.decide_at <= cx.now_ms) {
            self.track_missing(missing, cx, effects);
        }
        if self.seat.retry_at.is_some_and(|at| at <= cx.now_ms) {
            self.seat.retry_at = None;
            if let Deck::Starting {
                item,
                from_ms,
                seek_after: true,
            } = self.deck.clone()
            {
                self.deck = Deck::Playing {
                    item,
                    anchor: Anchor::playing(from_ms, cx.now_ms),
                };
                self.seat.sought = Some(from_ms);
                self.patch(
                    Patch {
                        position_ms: Some(from_ms),
                        volume: Some(self.volume),
                        ..Patch::default()
                    },
                    effects,
                );
                self.dirty.head = true;
                self.recovery_playing(cx, effects);
            }
            self.repeat(cx, effects);
            self.drive(cx, effects);
        }
    }
}
