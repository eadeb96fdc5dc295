//! What people ask for.

use crate::model::ids::{ChannelId, ItemId};
use crate::model::order::{Asked, Done, Order, Refusal, When};
use crate::model::position::Anchor;
use crate::model::record::{APPLIED_LIMIT, LoopMode, PauseReason};
use crate::model::signal::EndReason;
use crate::model::track::{Item, Track};

use super::state::Listeners;
use super::{Context, Deck, Effect, Outcomes, Patch, Player, Priority, Queue, Voice};

/// Loudest, percent.
const VOLUME_MAX: u16 = 200;
/// `previous` restarts the track instead when it is further in than this, milliseconds.
const RESTART_AFTER_MS: u64 = 10_000;

impl Player {
    pub(super) fn order(&mut self, asked: &Asked, order: Order, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        if self.applied.contains(&asked.interaction) {
            return Ok(Done::Already);
        }
        self.may(asked, &order)?;
        let done = self.apply(asked, order, cx, effects)?;
        self.applied.push(asked.interaction);
        if self.applied.len() > APPLIED_LIMIT {
            self.applied.remove(0);
        }
        self.text_channel = Some(asked.text_channel);
        self.dirty.head = true;
        effects.push(Effect::Show);
        Ok(done)
    }

    /// Whoever changes what a channel hears must be in it.
    fn may(&self, asked: &Asked, order: &Order) -> Result<(), Refusal> {
        if matches!(order, Order::AutoResume { .. }) {
            return Ok(());
        }
        match (self.voice.channel(), asked.voice_channel) {
            (None, _) => Ok(()),
            (Some(bot), Some(person)) if bot == person => Ok(()),
            (Some(_), Some(_)) if matches!(order, Order::Join { .. }) && !self.somebody_else_listens(asked) => Ok(()),
            (Some(bot), Some(_)) => Err(Refusal::OtherChannel { bot }),
            (Some(_), None) => Err(Refusal::YouAreNotInVoice),
        }
    }

    fn somebody_else_listens(&self, asked: &Asked) -> bool {
        self.listeners.people().any(|person| person != asked.user)
    }

    fn apply(&mut self, asked: &Asked, order: Order, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        match order {
            Order::Play {
                tracks,
                playlist,
                when,
                channel,
            } => self.enqueue(asked, tracks, playlist, when, channel, cx, effects),
            Order::Pause => self.pause(cx, effects),
            Order::Resume => self.resume(asked, cx, effects),
            Order::TogglePause if matches!(self.deck, Deck::Paused { .. } | Deck::Waiting { paused: Some(_), .. }) => {
                self.resume(asked, cx, effects)
            }
            Order::TogglePause => self.pause(cx, effects),
            Order::Skip { to } => self.skip(asked, to, cx, effects),
            Order::Previous => self.previous(asked, cx, effects),
            Order::Stop => Ok(self.stop(effects)),
            Order::Seek { position_ms } => self.seek(position_ms, cx, effects),
            Order::Volume { level } => self.set_volume(level, effects),
            Order::VolumeBy { delta } => {
                self.set_volume(self.volume.saturating_add_signed(delta).min(VOLUME_MAX), effects)
            }
            Order::Loop { mode } => Ok(self.set_loop(mode)),
            Order::NextLoop => Ok(self.set_loop(match self.loop_mode {
                LoopMode::Off => LoopMode::Track,
                LoopMode::Track => LoopMode::Queue,
                LoopMode::Queue => LoopMode::Off,
            })),
            Order::Shuffle { seed } => self.edit(|queue| {
                queue.shuffle(seed);
                Ok(Done::Shuffled { count: queue.len() })
            }),
            Order::Remove { from, to } => self.edit(|queue| {
                let removed = queue.remove(from, to)?;
                let first = removed
                    .first()
                    .map(|item| item.track.clone())
                    .ok_or(Refusal::QueueEmpty)?;
                Ok(Done::Removed {
                    first,
                    count: removed.len(),
                })
            }),
            Order::Move { from, to } => self.edit(|queue| {
                let (item, to) = queue.relocate(from, to)?;
                Ok(Done::Moved { track: item.track, to })
            }),
            Order::Clear => self.edit(|queue| Ok(Done::Cleared { count: queue.clear() })),
            Order::Join { channel } => Ok(self.join(asked, channel, cx, effects)),
            Order::Leave => self.leave(cx, effects),
            Order::AutoResume { on } => {
                self.settings.auto_resume = Some(on);
                Ok(Done::AutoResume { on })
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one order, taken apart")]
    fn enqueue(
        &mut self,
        asked: &Asked,
        tracks: Vec<Track>,
        playlist: Option<String>,
        when: When,
        channel: ChannelId,
        cx: &Context,
        effects: &mut Vec<Effect>,
    ) -> Outcomes {
        let Some(first) = tracks.first().cloned() else {
            return Err(Refusal::QueueEmpty);
        };
        let idle = matches!(self.deck, Deck::Empty);
        let at_once = idle || when == When::Now;
        // The one that plays at once takes no place in the queue, but with loop mode `queue` the one before goes back to it.
        let goes_back = at_once && !idle && self.loop_mode == LoopMode::Queue;
        let room = self.queue.room(usize::from(at_once), usize::from(goes_back));
        if room == 0 {
            return Err(Refusal::QueueFull {
                limit: crate::model::track::QUEUE_LIMIT,
            });
        }
        let asked_for = tracks.len();
        let items: Vec<Item> = tracks
            .into_iter()
            .take(room)
            .map(|track| self.item(track, asked))
            .collect();
        let count = items.len();
        self.dirty.lists = true;
        let place = match when {
            _ if at_once => 0,
            When::Queue => self.queue.len() + 1,
            When::Next | When::Now => 1,
        };
        if at_once {
            self.retire(EndReason::Replaced, cx);
            if when == When::Queue {
                self.queue.push_back(items);
            } else {
                self.queue.push_front(items);
            }
            self.cue_next();
        } else if when == When::Queue {
            self.queue.push_back(items);
        } else {
            self.queue.push_front(items);
        }
        if matches!(self.voice, Voice::Out) {
            self.begin_join(channel, asked, cx, effects);
        }
        self.drive(cx, effects);
        Ok(Done::Queued {
            first,
            count,
            playlist,
            place,
            left_out: asked_for - count,
        })
    }

    fn item(&mut self, track: Track, asked: &Asked) -> Item {
        self.next_item = ItemId(self.next_item.0 + 1);
        Item {
            id: self.next_item,
            track,
            requester: asked.user,
        }
    }

    fn pause(&mut self, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        let reason = PauseReason::Person;
        match std::mem::replace(&mut self.deck, Deck::Empty) {
            Deck::Empty => Err(Refusal::NothingPlays),
            Deck::Paused {
                item,
                position_ms,
                reason,
                held,
            } => {
                self.deck = Deck::Paused {
                    item,
                    position_ms,
                    reason,
                    held,
                };
                Err(Refusal::AlreadyPaused)
            }
            Deck::Waiting { item, from_ms, paused } => {
                self.deck = Deck::Waiting {
                    item,
                    from_ms,
                    paused: Some(paused.unwrap_or(reason)),
                };
                self.said_paused(from_ms)
            }
            // It plays its beginning, unheard: later it is started again.
            Deck::Starting {
                item,
                from_ms,
                seek_after: true,
            } => {
                self.deck = Deck::Paused {
                    item,
                    position_ms: from_ms,
                    reason,
                    held: false,
                };
                self.silence(effects);
                self.said_paused(from_ms)
            }
            Deck::Starting { item, from_ms, .. } => {
                self.stand_still(item, from_ms, reason, effects);
                self.said_paused(from_ms)
            }
            Deck::Playing { item, anchor } => {
                let position_ms = anchor.at(cx.now_ms, item.track.length_ms);
                self.stand_still(item, position_ms, reason, effects);
                self.said_paused(position_ms)
            }
        }
    }

    fn stand_still(&mut self, item: Item, position_ms: u64, reason: PauseReason, effects: &mut Vec<Effect>) {
        self.deck = Deck::Paused {
            item,
            position_ms,
            reason,
            held: true,
        };
        self.patch(
            Patch {
                paused: Some(true),
                ..Patch::default()
            },
            effects,
        );
    }

    fn said_paused(&self, position_ms: u64) -> Outcomes {
        self.deck
            .item()
            .map(|item| Done::Paused {
                track: item.track.clone(),
                position_ms,
            })
            .ok_or(Refusal::NothingPlays)
    }

    fn resume(&mut self, asked: &Asked, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        let (item, position_ms, held) = match &self.deck {
            Deck::Paused {
                item,
                position_ms,
                held,
                ..
            } => (item.clone(), *position_ms, *held),
            Deck::Waiting {
                item,
                from_ms,
                paused: Some(_),
            } => (item.clone(), *from_ms, false),
            Deck::Empty if self.queue.is_empty() => return Err(Refusal::NothingPlays),
            Deck::Empty => {
                self.cue_next();
                return self.resume_waiting(asked, cx, effects);
            }
            Deck::Waiting { .. } if matches!(self.voice, Voice::Out) => return self.resume_waiting(asked, cx, effects),
            Deck::Waiting { .. } | Deck::Starting { .. } | Deck::Playing { .. } => return Err(Refusal::NotPaused),
        };
        let track = item.track.clone();
        if held && self.seat.open && matches!(self.voice, Voice::In { .. }) {
            self.deck = Deck::Playing {
                item,
                anchor: Anchor::playing(position_ms, cx.now_ms),
            };
            self.patch(
                Patch {
                    paused: Some(false),
                    ..Patch::default()
                },
                effects,
            );
            return Ok(Done::Resumed { track, position_ms });
        }
        self.deck = Deck::Waiting {
            item,
            from_ms: position_ms,
            paused: None,
        };
        self.resume_waiting(asked, cx, effects)
    }

    fn resume_waiting(&mut self, asked: &Asked, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        if matches!(self.voice, Voice::Out) {
            let channel = asked.voice_channel.ok_or(Refusal::YouAreNotInVoice)?;
            self.listeners = Listeners::new([asked.user], false);
            self.check_access(channel, 1, cx, effects);
        }
        let position_ms = self.deck.heard_ms(cx.now_ms);
        self.drive(cx, effects);
        self.deck
            .item()
            .map(|item| Done::Resumed {
                track: item.track.clone(),
                position_ms,
            })
            .ok_or(Refusal::NothingPlays)
    }

    fn skip(&mut self, asked: &Asked, to: Option<usize>, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        if let Some(to) = to {
            let passed = self.queue.skip_to(to)?;
            if self.loop_mode == LoopMode::Queue {
                self.queue.push_back(passed);
            }
        } else if matches!(self.deck, Deck::Empty) {
            return Err(Refusal::NothingPlays);
        }
        let from = self.deck.item().map(|item| item.track.clone());
        self.retire(EndReason::Stopped, cx);
        self.dirty.lists = true;
        self.cue_next();
        let to = self.deck.item().map(|item| item.track.clone());
        if to.is_none() {
            self.silence(effects);
        }
        self.join_if_out(asked, cx, effects);
        self.drive(cx, effects);
        Ok(Done::Skipped { from, to })
    }

    fn previous(&mut self, asked: &Asked, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        let from = self.deck.item().map(|item| item.track.clone());
        let restart = self.queue.history().is_empty();
        if restart && (from.is_none() || self.deck.heard_ms(cx.now_ms) < RESTART_AFTER_MS) {
            return Err(Refusal::NoPrevious);
        }
        let current = self.deck.item().cloned();
        let back = if restart { current.clone() } else { self.queue.recall() };
        let Some(back) = back else {
            return Err(Refusal::NoPrevious);
        };
        if !restart {
            self.queue.push_front(current.into_iter().collect());
        }
        let to = Some(back.track.clone());
        self.deck = Deck::Waiting {
            item: back,
            from_ms: 0,
            paused: None,
        };
        self.dirty.lists = true;
        self.join_if_out(asked, cx, effects);
        self.drive(cx, effects);
        Ok(Done::Skipped { from, to })
    }

    fn join_if_out(&mut self, asked: &Asked, cx: &Context, effects: &mut Vec<Effect>) {
        if let (Voice::Out, Some(channel), true) = (&self.voice, asked.voice_channel, self.deck.item().is_some()) {
            self.listeners = Listeners::new([asked.user], false);
            self.check_access(channel, 1, cx, effects);
        }
    }

    fn stop(&mut self, effects: &mut Vec<Effect>) -> Done {
        let dropped = self.queue.clear() + usize::from(self.deck.item().is_some());
        if let Some(item) = self.deck.item().cloned() {
            self.queue.remember(item);
        }
        self.deck = Deck::Empty;
        self.recovery = None;
        self.dirty.lists = true;
        self.silence(effects);
        Done::Stopped { dropped }
    }

    fn seek(&mut self, position_ms: u64, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        let item = self.deck.item().ok_or(Refusal::NothingPlays)?;
        let Some(length_ms) = item.track.length_ms.filter(|_| item.track.seekable) else {
            return Err(Refusal::NotSeekable);
        };
        if position_ms >= length_ms {
            return Err(Refusal::PastEnd { length_ms });
        }
        let patch = Patch {
            position_ms: Some(position_ms),
            ..Patch::default()
        };
        // What did not begin yet would begin there.
        if self.seat.unproven.is_some() || matches!(self.deck, Deck::Starting { .. }) {
            self.seat.unproven = (position_ms > 0).then_some(position_ms);
        }
        let held = match &mut self.deck {
            Deck::Empty => false,
            Deck::Waiting { from_ms, .. } | Deck::Starting { from_ms, .. } => {
                *from_ms = position_ms;
                matches!(self.deck, Deck::Starting { .. })
            }
            Deck::Playing { anchor, .. } => {
                *anchor = Anchor::playing(position_ms, cx.now_ms);
                true
            }
            Deck::Paused {
                position_ms: at, held, ..
            } => {
                *at = position_ms;
                *held
            }
        };
        if held {
            self.seat.sought = Some(position_ms);
            self.patch(patch, effects);
        }
        Ok(Done::Sought { position_ms })
    }

    fn set_volume(&mut self, level: u16, effects: &mut Vec<Effect>) -> Outcomes {
        if level > VOLUME_MAX {
            return Err(Refusal::BadVolume);
        }
        self.volume = level;
        self.patch(
            Patch {
                volume: Some(level),
                ..Patch::default()
            },
            effects,
        );
        Ok(Done::Volume { level })
    }

    const fn set_loop(&mut self, mode: LoopMode) -> Done {
        self.loop_mode = mode;
        Done::Loop { mode }
    }

    fn edit(&mut self, change: impl FnOnce(&mut Queue) -> Outcomes) -> Outcomes {
        if self.queue.is_empty() {
            return Err(Refusal::QueueEmpty);
        }
        self.dirty.lists = true;
        change(&mut self.queue)
    }

    fn join(&mut self, asked: &Asked, channel: ChannelId, cx: &Context, effects: &mut Vec<Effect>) -> Done {
        let there = matches!(&self.voice, Voice::In { credentials } if credentials.channel == channel);
        if !there {
            self.begin_join(channel, asked, cx, effects);
        }
        if let Deck::Paused {
            item,
            position_ms,
            reason: PauseReason::Kept,
            held: false,
        } = &self.deck
        {
            self.deck = Deck::Waiting {
                item: item.clone(),
                from_ms: *position_ms,
                paused: Some(PauseReason::Kept),
            };
        }
        self.drive(cx, effects);
        Done::Joined { channel }
    }

    fn begin_join(&mut self, channel: ChannelId, asked: &Asked, cx: &Context, effects: &mut Vec<Effect>) {
        self.hold(cx);
        let here = asked.voice_channel == Some(channel);
        self.listeners = Listeners::new(here.then_some(asked.user), false);
        self.leave_at = None;
        self.send_join(channel, 1, Priority::Person, cx, effects);
    }

    fn leave(&mut self, cx: &Context, effects: &mut Vec<Effect>) -> Outcomes {
        let channel = self.voice.channel().ok_or(Refusal::NotInVoice)?;
        let kept = self.queue.len() + usize::from(self.deck.item().is_some());
        self.go_out(PauseReason::Kept, cx, effects);
        effects.push(Effect::Voice {
            channel: None,
            priority: Priority::Person,
        });
        Ok(Done::Left { channel, kept })
    }
}
