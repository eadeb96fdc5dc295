//! What a node holds when its session is there again, and what should be there: one is brought to the other.

use crate::model::position::Anchor;
use crate::model::record::VoiceCredentials;
use crate::model::signal::{EndReason, PlayerSeen};

use super::recover::played_on;
use super::state::Missing;
use super::{Context, Deck, Effect, Patch, Player, Voice};

/// A resumed node that holds no track replays the end at once, if it still knows it.
const END_WAIT_MS: i64 = 100;
/// A track that was to end within this may have ended: tracks are a little shorter than they say, and node and ear differ.
const END_SLACK_MS: i64 = 2_000;
/// First wait before a failed call is repeated, milliseconds; doubles up to 16 times this.
const RETRY_MS: i64 = 1_000;

impl Player {
    /// The session is usable (again): what the node holds is compared with what is wanted.
    pub(super) fn node_ready(
        &mut self,
        resumed: bool,
        player: Option<&PlayerSeen>,
        cx: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let lost_at = self.seat.lost_at.take();
        let given_up = std::mem::take(&mut self.seat.gone);
        if given_up && !resumed {
            // What is to be done was done when the node was given up.
            self.seat.open = true;
            self.drive(cx, effects);
            return;
        }
        if !resumed {
            self.node_gone(lost_at.unwrap_or(cx.now_ms), cx, effects);
            return;
        }
        self.seat.open = true;
        self.seat.retry_at = None;
        self.seat.missing = None;
        self.recovery_node_resumed(player);
        if let Some((seen, place)) = player.and_then(|seen| Some((seen, self.went_on_to(seen)?))) {
            self.catch_up(place, seen, cx, effects);
        }
        let mut mend = self.compare(given_up, lost_at, player, cx);
        self.seat.owes = false;
        mend.volume = player.filter(|seen| seen.volume != self.volume).map(|_| self.volume);
        if mend != Patch::default() {
            self.patch(mend, effects);
        }
        self.recovery_tick(cx, effects);
        self.drive(cx, effects);
    }

    /// Makes what is wanted of what the node holds, and returns what it is to do instead of what it does. `given_up`: it was
    /// silent for too long.
    fn compare(&mut self, given_up: bool, lost_at: Option<i64>, player: Option<&PlayerSeen>, cx: &Context) -> Patch {
        let held = player.and_then(|seen| seen.track.as_ref().map(|track| (seen, track)));
        let same = held.filter(|(_, track)| self.deck.item().is_some_and(|item| item.track.same_as(track)));
        let stop = Patch {
            track: held.map(|_| None),
            ..Patch::default()
        };
        match (same, &mut self.deck) {
            (Some((seen, _)), Deck::Starting { .. } | Deck::Playing { .. }) => return self.plays_on(seen, cx),
            (
                Some((seen, _)),
                Deck::Waiting {
                    item,
                    from_ms,
                    paused: None,
                },
            ) if given_up && played_on(self.recovery.as_ref(), *from_ms, seen) => {
                let item = item.clone();
                let anchor = Anchor::playing(seen.position_ms, seen.at_ms);
                self.deck = Deck::Playing { item, anchor };
                self.dirty.head = true;
                self.recovery_judged_too_soon();
            }
            (Some((seen, _)), Deck::Paused { .. }) => return self.stands_still(seen),
            (None, Deck::Playing { .. }) if held.is_none() => {
                self.seat.missing = Some(Missing {
                    decide_at: cx.now_ms + END_WAIT_MS,
                    heard_until: lost_at.unwrap_or(cx.now_ms),
                });
            }
            (None, Deck::Starting { .. } | Deck::Playing { .. }) => self.hold(cx),
            (None, Deck::Paused { .. }) => {
                self.not_held();
                return stop;
            }
            (_, Deck::Empty) => return stop,
            (_, Deck::Waiting { .. }) => {}
        }
        Patch::default()
    }

    /// The node has the track that is to play.
    fn plays_on(&mut self, seen: &PlayerSeen, cx: &Context) -> Patch {
        let told = Anchor::playing(seen.position_ms, seen.at_ms);
        let (item, counted, sought) = match self.deck.clone() {
            Deck::Starting {
                item,
                from_ms,
                seek_after: true,
            } => (item, told, Some(from_ms)),
            Deck::Starting { item, .. } => (item, told, self.seat.sought),
            Deck::Playing { item, anchor } => {
                let expected = anchor.at(seen.at_ms, None);
                let counted = self.seat.counted(seen.position_ms, seen.at_ms, expected);
                let counted = counted.map_or(anchor, |position_ms| Anchor::playing(position_ms, seen.at_ms));
                (item, counted, self.seat.sought)
            }
            Deck::Empty | Deck::Waiting { .. } | Deck::Paused { .. } => return Patch::default(),
        };
        // Of a track that played before only the anchor moves, which auto-save stores for all guilds together.
        self.dirty.head |= matches!(self.deck, Deck::Starting { .. });
        let anchor = sought.map_or(counted, |position_ms| Anchor::playing(position_ms, cx.now_ms));
        self.deck = Deck::Playing { item, anchor };
        Patch {
            paused: seen.paused.then_some(false),
            position_ms: sought,
            ..Patch::default()
        }
    }

    /// The node has the track that is to stand still.
    fn stands_still(&mut self, seen: &PlayerSeen) -> Patch {
        let sought = self.seat.sought;
        let Deck::Paused { position_ms, held, .. } = &mut self.deck else {
            return Patch::default();
        };
        *held = true;
        // It was never told, and played on: it stops where it is. What one that stands still says is not to be believed.
        if !seen.paused
            && let Some(counted) = self.seat.counted(seen.position_ms, seen.at_ms, *position_ms)
        {
            *position_ms = counted;
            self.dirty.head = true;
        }
        Patch {
            paused: (!seen.paused).then_some(true),
            position_ms: sought,
            voice: self.credentials().filter(|_| self.seat.owes),
            ..Patch::default()
        }
    }

    fn credentials(&self) -> Option<VoiceCredentials> {
        if let Voice::In { credentials } = &self.voice {
            Some(credentials.clone())
        } else {
            None
        }
    }

    /// A call failed. What was to be started is still to be started, and everything else is said again.
    pub(super) fn try_again(&mut self, cx: &Context) {
        if matches!(self.deck, Deck::Starting { .. }) {
            self.hold(cx);
        } else {
            self.seat.owes = true;
        }
        self.seat.attempt += 1;
        self.seat.retry_at = Some(cx.now_ms + (RETRY_MS << (self.seat.attempt - 1).min(4)));
    }

    /// Says again what the node was told in vain. While its socket is away it hears nothing, and when that is back it is
    /// compared.
    pub(super) fn repeat(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if !self.seat.owes || self.seat.lost_at.is_some() || self.seat.gone {
            return;
        }
        self.seat.owes = false;
        self.seat.open = true;
        let sought = self.seat.sought;
        let all = Patch {
            position_ms: sought,
            volume: Some(self.volume),
            ..Patch::default()
        };
        let patch = match &mut self.deck {
            Deck::Empty => Patch {
                track: Some(None),
                ..Patch::default()
            },
            Deck::Playing { anchor, .. } => {
                if let Some(position_ms) = sought {
                    *anchor = Anchor::playing(position_ms, cx.now_ms);
                    self.dirty.head = true;
                }
                Patch {
                    paused: Some(false),
                    ..all
                }
            }
            Deck::Paused { held: true, .. } => Patch {
                paused: Some(true),
                voice: self.credentials(),
                ..all
            },
            // Starting it says everything.
            Deck::Waiting { .. } | Deck::Starting { .. } | Deck::Paused { held: false, .. } => return,
        };
        self.patch(patch, effects);
    }

    /// Whether the track on the deck may have come to its end by now. One without a length has none to come to.
    fn may_have_ended(&self, now_ms: i64) -> bool {
        self.ends_at(now_ms)
            .is_some_and(|ends_at| ends_at <= now_ms + END_SLACK_MS)
    }

    /// Whether the node may still say that a track ended which it does not hold, and which has no reason to be over.
    pub(super) fn end_may_be_told(&self, now_ms: i64) -> bool {
        self.seat.missing.is_some() && !self.may_have_ended(now_ms)
    }

    /// The node holds no track where one should play, and told of no end. One that was at its end is over, and the queue goes
    /// on; an end that is told later is that of a track which is not on the deck any more. Any other never began there, or
    /// broke off: it is started again where it was.
    pub(super) fn track_missing(&mut self, missing: Missing, cx: &Context, effects: &mut Vec<Effect>) {
        let over = self.may_have_ended(cx.now_ms);
        match self.deck {
            Deck::Playing { .. } if over => {
                self.advance(EndReason::Finished, cx, effects);
                return;
            }
            Deck::Playing { .. } => {
                let heard_until = self.recovery_track_missing().unwrap_or(missing.heard_until);
                self.hold(&Context {
                    now_ms: heard_until,
                    best_node: None,
                    voice_waits: false,
                });
            }
            // Somebody asked for something else meanwhile.
            Deck::Paused { .. } => self.not_held(),
            Deck::Empty | Deck::Waiting { .. } | Deck::Starting { .. } => {}
        }
        self.recovery_tick(cx, effects);
        self.drive(cx, effects);
    }
}
