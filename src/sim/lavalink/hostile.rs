//! A node's parsers and its player, fed with whatever comes.

use std::sync::LazyLock;

use serde_json::json;

use super::catalogue::Catalogue;
use super::patch::{Key, Patch};
use super::player::{Effect, Player, Start};
use super::track::Track;

/// How often a player is woken at most.
const WAKES: usize = 64;

/// A body of `PATCH …/players/{g}`: read, done to a player that plays, and brought on to whatever it waits for.
pub(crate) fn patch(body: &[u8]) {
    let Ok(patch) = Patch::read(body) else { return };
    let mut player = Player::new(1, 60_000, 0);
    let mut fx = Vec::new();
    let mut now = 1;
    if let Some(voice) = patch.voice.clone() {
        let needed = player.needs_connection(&voice);
        player.connect(now, voice, 1, needed, &mut fx);
    }
    player.play(now, start(Track::named("Before", 60), None, None), &mut fx);
    if let Some(paused) = patch.paused {
        player.pause(now, paused, &mut fx);
    }
    if let Some(volume) = patch.volume {
        player.set_volume(now, volume, &mut fx);
    }
    if let Some(filters) = patch.filters.clone() {
        player.set_filters(now, filters, &mut fx);
    }
    let end_time = match patch.end_time {
        Key::Is(end) => Some(end),
        Key::Absent | Key::Null => None,
    };
    if patch.names_track() {
        let encoded = match &patch.encoded {
            Key::Is(encoded) => Track::decode(encoded).ok().map(|(track, _)| track),
            Key::Absent | Key::Null => None,
        };
        match encoded.or_else(|| Track::parse(patch.identifier.as_deref()?)) {
            Some(track) => player.play(now, start(track, patch.position, end_time), &mut fx),
            None => player.stop(now, &mut fx),
        }
    } else {
        if let Some(position) = patch.position {
            player.seek(now, position, &mut fx);
        }
        player.set_end_time(now, end_time, &mut fx);
    }
    for _ in 0..WAKES {
        let next = fx.iter().filter_map(|effect| match effect {
            Effect::Wake { at_ms, what } => Some((*at_ms, *what)),
            Effect::Event(_)
            | Effect::Update
            | Effect::Lost
            | Effect::Started
            | Effect::Frames { .. }
            | Effect::Carries { .. }
            | Effect::HangUp { .. } => None,
        });
        let Some((at_ms, what)) = next.min() else { break };
        fx.clear();
        now = now.max(at_ms);
        player.wake(now, what, &mut fx);
        drop(player.json(now, 0));
    }
    player.destroy(now, false, &mut fx);
}

fn start(track: Track, position: Option<u64>, end_time: Option<u64>) -> Start {
    Start {
        track,
        user_data: json!({}),
        position: position.unwrap_or(0),
        end_time,
        paused: false,
    }
}

/// A track's identifier and its encoded form: what is read and written again must be the same.
///
/// # Panics
/// When it is not.
pub(crate) fn identifier(text: &str) {
    static KNOWN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::new(1));
    drop(KNOWN.load(text).json());
    let read = [Track::parse(text).map(|track| (track, 7)), Track::decode(text).ok()];
    for (track, position) in read.into_iter().flatten() {
        let encoded = track.encode(position);
        let again = Track::decode(&encoded).map(|(track, _)| track.encode(position));
        // A text that is longer than Java's can be is cut, and then it may name another track.
        if track.identifier.len() < 10_000 {
            assert_eq!(
                again.as_deref(),
                Ok(encoded.as_str()),
                "{text:?} is not the same after a round"
            );
        }
    }
}
