//! One player: its track, its voice connection and what follows from each change. It does nothing itself: it says what is to be
//! done, in order.

mod effect;
mod shown;

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Value, json};

pub(super) use effect::{Effect, Reason, Start, Wake};

use super::patch::Voice;
use super::playhead::{END_LEAD_MS, LEAD_MS, Playhead};
use super::track::{Format, Track};
use crate::sim::audio::{Content, End};
use crate::sim::voice::Minted;

/// What a node keeps ready of a track.
const BUFFER_MS: u64 = 5_000;
/// What a playhead reckons with: a timescale filter may ask for more or less, as with a real one, and no ear tells it apart.
const SPEEDS: RangeInclusive<f64> = 0.01..=100.0;
/// How long a source gives nothing before the client is told.
const STUCK_MS: u64 = 10_000;

/// A voice connection as a player sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Never connected.
    None,
    /// Connected.
    Open {
        /// Its number.
        id: u64,
        /// When it was made.
        since_ms: u64,
    },
    /// Closed by Discord; the player goes on pulling if it ever could.
    Dead {
        /// Whether frames were ever sent.
        polled: bool,
    },
}

#[derive(Debug)]
struct Playing {
    track: Track,
    user_data: Value,
    end_time: Option<u64>,
    head: Playhead,
    started_ms: u64,
    trouble: Trouble,
}

/// What has become of the source in mid-play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// It failed; what is buffered is played out.
    Broken,
    /// It gives nothing more.
    Starved,
}

/// A player.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) guild: u64,
    volume: u16,
    paused: bool,
    filters: Value,
    voice: Option<Voice>,
    link: Link,
    playing: Option<Playing>,
    /// Until when the link still has frames of before.
    drained_ms: u64,
    /// Since when nobody pulls a track's frames.
    idle_since: Option<u64>,
    cleanup_ms: u64,
    /// Counts changes of the playhead.
    generation: u64,
    /// Counts starts.
    start: u64,
    /// What goes out: link and track.
    sending: Option<(u64, String)>,
    /// Held while a voice connection is made.
    pub(super) gate: Arc<tokio::sync::Mutex<()>>,
}

impl Player {
    /// An idle one. Without anybody who pulls, a track ends after `cleanup_ms`. It counts from `number`, so that what an
    /// earlier player of the guild waited for does not reach it.
    pub(super) fn new(guild: u64, cleanup_ms: u64, number: u64) -> Self {
        Self {
            guild,
            volume: 100,
            paused: false,
            filters: json!({}),
            voice: None,
            link: Link::None,
            playing: None,
            drained_ms: 0,
            idle_since: None,
            cleanup_ms,
            generation: number,
            start: number,
            sending: None,
            gate: Arc::default(),
        }
    }

    pub(super) fn has_track(&self) -> bool {
        self.playing.is_some()
    }

    /// Whether it counts as playing in `stats`.
    pub(super) fn is_playing(&self) -> bool {
        self.playing.is_some() && !self.paused
    }

    pub(super) fn connected(&self) -> bool {
        matches!(self.link, Link::Open { .. })
    }

    pub(super) fn link_id(&self) -> Option<u64> {
        match self.link {
            Link::Open { id, .. } => Some(id),
            Link::None | Link::Dead { .. } => None,
        }
    }

    /// Whether these credentials would need a new connection.
    pub(super) fn needs_connection(&self, voice: &Voice) -> bool {
        !self.connected() || self.voice.as_ref() != Some(voice)
    }

    fn polled(&self) -> bool {
        matches!(self.link, Link::Open { .. } | Link::Dead { polled: true })
    }

    fn speed(&self) -> f64 {
        let scale = &self.filters["timescale"];
        let factor = |name: &str| scale[name].as_f64().filter(|value| *value > 0.0).unwrap_or(1.0);
        (factor("speed") * factor("rate")).clamp(*SPEEDS.start(), *SPEEDS.end())
    }

    /// Holds the playhead, changes something, lets it go on, and says what follows for the ear and for time.
    fn reshape(&mut self, now: u64, end: End, fx: &mut Vec<Effect>, change: impl FnOnce(&mut Self)) {
        if let Some(drained) = self.playing.as_mut().and_then(|playing| playing.head.freeze(now)) {
            self.drained_ms = drained;
        }
        change(self);
        self.generation += 1;
        let (polled, heard_from) = (self.polled(), self.drained_ms.max(now));
        let starved = |playing: &Playing| playing.trouble == Trouble::Starved;
        let running = polled && !self.paused && !self.playing.as_ref().is_some_and(starved);
        let link = self.link_id();
        let mut content = None;
        if let Some(playing) = self.playing.as_mut() {
            if running {
                playing.head.run(heard_from);
                content = Some(Content {
                    track: playing.track.identifier.clone(),
                    title: playing.track.title.clone(),
                    position_ms: playing.head.next_ms(),
                    speed: playing.head.speed(),
                    volume: self.volume,
                });
            }
            self.idle_since = (!polled).then(|| self.idle_since.unwrap_or(now));
        } else {
            self.idle_since = None;
        }
        if let Some(link) = link {
            fx.push(Effect::Carries {
                link,
                at_ms: heard_from,
                end,
                content,
            });
        }
        self.tell_frames(running, fx);
        self.wait(fx);
    }

    fn tell_frames(&mut self, running: bool, fx: &mut Vec<Effect>) {
        let sending = self
            .link_id()
            .filter(|_| running)
            .zip(self.playing.as_ref().map(|playing| playing.track.identifier.clone()));
        if sending == self.sending {
            return;
        }
        for (frames, begin) in [(&self.sending, false), (&sending, true)] {
            if let Some((link, track)) = frames {
                fx.push(Effect::Frames {
                    begin,
                    link: *link,
                    track: track.clone(),
                });
            }
        }
        self.sending = sending;
    }

    fn wait(&self, fx: &mut Vec<Effect>) {
        let generation = self.generation;
        if let Some(playing) = self.playing.as_ref().filter(|playing| playing.trouble == Trouble::None) {
            let troubles = [
                (playing.track.breaks_ms, Wake::Break { generation }),
                (playing.track.starves_ms, Wake::Starve { generation }),
            ];
            for (place, what) in troubles {
                // A place that lies behind causes no trouble.
                let place = place.filter(|place| *place >= playing.head.next_ms());
                if let Some(heard) = place.and_then(|place| playing.head.heard_at(place)) {
                    let at_ms = heard.saturating_sub(LEAD_MS);
                    fx.push(Effect::Wake { at_ms, what });
                }
            }
        }
        if let Some(at_ms) = self.heard_end() {
            fx.push(Effect::Wake {
                at_ms: at_ms.saturating_sub(END_LEAD_MS),
                what: Wake::End { generation },
            });
        }
        if let Some(since) = self.idle_since {
            let check = if self.paused { self.cleanup_ms / 6 } else { 0 };
            fx.push(Effect::Wake {
                at_ms: since.saturating_add(self.cleanup_ms).saturating_add(check + 100),
                what: Wake::Cleanup { generation },
            });
        }
    }

    /// When the ear has heard the track to its end.
    fn heard_end(&self) -> Option<u64> {
        let playing = self.playing.as_ref()?;
        let broken = playing.trouble == Trouble::Broken;
        let buffered = playing
            .track
            .breaks_ms
            .filter(|_| broken)
            .map(|place| place.saturating_add(BUFFER_MS));
        let ends = [playing.track.length_ms, playing.end_time, buffered];
        let end = ends.into_iter().flatten().min()?;
        playing.head.heard_at(end)
    }

    /// Pauses or goes on.
    pub(super) fn pause(&mut self, now: u64, paused: bool, fx: &mut Vec<Effect>) {
        if self.paused != paused {
            self.reshape(now, End::Stopped, fx, |player| player.paused = paused);
        }
    }

    /// Sets the volume, 0 to 1000.
    pub(super) fn set_volume(&mut self, now: u64, volume: i64, fx: &mut Vec<Effect>) {
        let volume = u16::try_from(volume.clamp(0, 1000)).unwrap_or(1000);
        if self.volume != volume {
            self.reshape(now, End::Stopped, fx, |player| player.volume = volume);
        }
    }

    /// Replaces all filters.
    pub(super) fn set_filters(&mut self, now: u64, filters: Value, fx: &mut Vec<Effect>) {
        self.reshape(now, End::Stopped, fx, |player| {
            player.filters = filters;
            let speed = player.speed();
            if let Some(playing) = player.playing.as_mut() {
                playing.head.set_speed(speed);
            }
        });
        fx.push(Effect::Update);
    }

    /// Sets or clears the end marker of the track that plays.
    pub(super) fn set_end_time(&mut self, now: u64, end_time: Option<u64>, fx: &mut Vec<Effect>) {
        self.reshape(now, End::Stopped, fx, |player| {
            if let Some(playing) = player.playing.as_mut() {
                playing.end_time = end_time;
            }
        });
    }

    /// Replaces what the client attached to the track.
    pub(super) fn set_user_data(&mut self, user_data: Value) {
        if let Some(playing) = self.playing.as_mut() {
            playing.user_data = user_data;
        }
    }

    /// Seeks; ignored without a track and on a stream.
    pub(super) fn seek(&mut self, now: u64, position: u64, fx: &mut Vec<Effect>) {
        let Some(playing) = self.playing.as_ref() else { return };
        let Some(length) = playing.track.length_ms else { return };
        let opus = playing.track.format == Format::Opus;
        if opus && position > 0 && now.saturating_sub(playing.started_ms) < 20 {
            fx.push(self.exception("Something went wrong when seeking to a position."));
            self.end(now, Reason::LoadFailed, fx);
            return;
        }
        let speed = self.speed();
        self.reshape(now, End::Stopped, fx, |player| {
            if let Some(playing) = player.playing.as_mut() {
                let head = Playhead::at(position.min(length), speed).told();
                playing.head = if opus { head.counted_from_zero() } else { head };
            }
        });
        fx.push(Effect::Update);
    }

    /// Starts a track, ending the one before.
    pub(super) fn play(&mut self, now: u64, start: Start, fx: &mut Vec<Effect>) {
        if self.has_track() {
            self.end(now, Reason::Replaced, fx);
        }
        let fails = start.track.fails;
        let cannot_start_there = start.track.format == Format::Opus && start.position > 0;
        let position = match start.track.length_ms {
            Some(length) => start.position.min(length),
            None => 0,
        };
        self.start += 1;
        let speed = self.speed();
        let sounds = !fails && !cannot_start_there;
        let playing = Playing {
            track: start.track,
            user_data: start.user_data,
            end_time: start.end_time,
            head: Playhead::at(position, speed),
            started_ms: now,
            trouble: Trouble::None,
        };
        if sounds {
            self.reshape(now, End::Stopped, fx, |player| {
                player.paused = start.paused;
                player.playing = Some(playing);
            });
        } else {
            self.paused = start.paused;
            self.playing = Some(playing);
        }
        fx.push(self.event(now, "TrackStartEvent", &[]));
        fx.push(Effect::Started);
        if !sounds {
            fx.push(self.exception(if fails {
                "This track is not available."
            } else {
                "Something went wrong when seeking to a position."
            }));
            self.end(now, Reason::LoadFailed, fx);
        }
    }

    /// Stops, if something plays.
    pub(super) fn stop(&mut self, now: u64, fx: &mut Vec<Effect>) {
        if self.has_track() {
            self.end(now, Reason::Stopped, fx);
        }
    }

    fn end(&mut self, now: u64, reason: Reason, fx: &mut Vec<Effect>) {
        let event = self.event(now, "TrackEndEvent", &[("reason", json!(reason.word()))]);
        let (end, drained) = match reason {
            Reason::Finished
                if self
                    .playing
                    .as_ref()
                    .is_some_and(|playing| playing.trouble == Trouble::Broken) =>
            {
                (End::Failed, self.heard_end())
            }
            Reason::Finished => (End::Finished, self.heard_end()),
            Reason::LoadFailed => (End::Failed, None),
            Reason::Stopped | Reason::Replaced | Reason::Cleanup => (End::Stopped, None),
        };
        self.reshape(now, end, fx, |player| {
            player.playing = None;
            player.drained_ms = drained.unwrap_or(player.drained_ms);
        });
        fx.push(event);
    }

    /// A time that was waited for has come.
    pub(super) fn wake(&mut self, now: u64, what: Wake, fx: &mut Vec<Effect>) -> bool {
        match what {
            Wake::End { generation } if generation == self.generation && self.has_track() => {
                self.end(now, Reason::Finished, fx);
                true
            }
            Wake::Cleanup { generation } if generation == self.generation && self.idle_since.is_some() => {
                self.end(now, Reason::Cleanup, fx);
                true
            }
            Wake::Update { start } if start == self.start && self.has_track() => {
                fx.push(Effect::Update);
                true
            }
            Wake::Break { generation } if generation == self.generation && self.has_track() => {
                fx.push(self.exception("Something broke when playing the track."));
                self.trouble(now, Trouble::Broken, End::Stopped, fx);
                true
            }
            Wake::Starve { generation } if generation == self.generation && self.has_track() => {
                self.trouble(now, Trouble::Starved, End::Failed, fx);
                let start = self.start;
                fx.push(Effect::Wake {
                    at_ms: now.saturating_add(STUCK_MS),
                    what: Wake::Stuck { start },
                });
                true
            }
            Wake::Stuck { start } if start == self.start && self.has_track() => {
                fx.push(self.event(now, "TrackStuckEvent", &[("thresholdMs", json!(STUCK_MS))]));
                fx.push(Effect::Update);
                true
            }
            Wake::End { .. }
            | Wake::Cleanup { .. }
            | Wake::Update { .. }
            | Wake::Break { .. }
            | Wake::Starve { .. }
            | Wake::Stuck { .. } => false,
        }
    }

    fn trouble(&mut self, now: u64, trouble: Trouble, end: End, fx: &mut Vec<Effect>) {
        self.reshape(now, end, fx, |player| {
            if let Some(playing) = player.playing.as_mut() {
                playing.trouble = trouble;
            }
        });
    }

    /// The number of the current start, for periodic updates.
    pub(super) fn start_number(&self) -> u64 {
        self.start
    }

    /// A connection was made in place of the one before; `open` is false where Discord refused it at once.
    pub(super) fn connect(&mut self, now: u64, voice: Voice, link: u64, open: bool, fx: &mut Vec<Effect>) {
        let old = self.link_id();
        if let Some(old) = old {
            // The old server plays out what it has; the new one is heard meanwhile.
            fx.push(Effect::HangUp {
                link: old,
                at_ms: now.saturating_add(LEAD_MS),
            });
            fx.push(self.closed_event(1000, "", false));
            fx.push(Effect::Lost);
        }
        self.reshape(now, End::Stopped, fx, |player| {
            player.voice = Some(voice);
            player.drained_ms = now;
            player.link = if open {
                Link::Open {
                    id: link,
                    since_ms: now,
                }
            } else {
                Link::Dead { polled: false }
            };
        });
        fx.push(Effect::Update);
    }

    /// The credentials of its connection, as Discord reads them.
    pub(super) fn offered(&self) -> Option<Minted> {
        let voice = self.voice.as_ref()?;
        Some(Minted {
            token: voice.token.clone(),
            endpoint: voice.endpoint.clone(),
            session_id: voice.session_id.clone(),
            channel: voice.channel_id.parse().ok()?,
        })
    }

    /// A connection that was refused at first was let in after all.
    pub(super) fn reconnected(&mut self, now: u64, link: u64, fx: &mut Vec<Effect>) {
        self.reshape(now, End::Stopped, fx, |player| {
            player.link = Link::Open {
                id: link,
                since_ms: now,
            };
        });
        fx.push(Effect::Update);
    }

    /// Discord closed a connection: frames go on, to nobody. Of one that was replaced meanwhile only the event remains.
    pub(super) fn disconnected(&mut self, now: u64, link: u64, code: u16, fx: &mut Vec<Effect>) {
        if let Link::Open { id, .. } = self.link
            && id == link
        {
            self.reshape(now, End::Stopped, fx, |player| {
                player.link = Link::Dead { polled: true }
            });
            fx.push(Effect::HangUp { link: id, at_ms: now });
        }
        fx.push(self.closed_event(code, shown::reason_of(code), true));
        fx.push(Effect::Update);
    }

    /// The player is destroyed; what is on its way is heard, unless the whole node dies (`abrupt`).
    pub(super) fn destroy(&mut self, now: u64, abrupt: bool, fx: &mut Vec<Effect>) {
        if self.has_track() {
            self.end(now, Reason::Stopped, fx);
        }
        if let Some(link) = self.link_id() {
            let at_ms = if abrupt { now } else { self.drained_ms.max(now) };
            fx.push(Effect::HangUp { link, at_ms });
            fx.push(self.closed_event(1000, "", false));
            self.link = Link::None;
        }
    }
}
