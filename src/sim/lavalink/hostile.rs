//! A node's parsers and its player, fed with whatever comes.

use std::sync::LazyLock;

use serde_json::json;

use super::catalogue::Catalogue;
use super::patch::{Key, Patch, Voice};
use super::player::{Effect, Player, Start};
use super::track::Track;

/// How often a player is woken at most.
const WAKES: usize = 64;

/// A body of `PATCH …/players/{g}`: read, done to a player that plays and is heard, and brought on to whatever it waits for.
pub(crate) fn patch(body: &[u8]) {
    let Ok(patch) = Patch::read(body) else { return };
    let mut player = Player::new(1, 60_000, 0);
    let mut fx = Vec::new();
    let mut now = 1;
    // Without a connection no playhead moves, and nothing would be reckoned with what the body says.
    let voice = patch.voice.clone().unwrap_or_else(|| Voice {
        token: "t".to_owned(),
        endpoint: "e".to_owned(),
        session_id: "s".to_owned(),
        channel_id: "1".to_owned(),
    });
    let needed = player.needs_connection(&voice);
    player.connect(now, voice, 1, needed, &mut fx);
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
        listen(&fx);
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
    listen(&fx);
}

/// Reckons where the ear is in what a connection carries, soon and at the end of all time.
fn listen(fx: &[Effect]) {
    for effect in fx {
        if let Effect::Carries {
            content: Some(content), ..
        } = effect
        {
            for elapsed in [0, 20, u64::MAX] {
                content.position_after(elapsed);
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timescale_stops_the_clock_or_the_ear() {
        for scale in [
            json!({"speed": 1e-300}),
            json!({"speed": 1e300}),
            json!({"speed": 1e300, "rate": 1e300}),
            json!({"speed": 1e-300, "rate": 1e-300}),
        ] {
            let mut player = Player::new(1, 60_000, 0);
            let mut fx = Vec::new();
            let voice = Voice {
                token: "t".to_owned(),
                endpoint: "e".to_owned(),
                session_id: "s".to_owned(),
                channel_id: "1".to_owned(),
            };
            player.connect(1, voice, 1, true, &mut fx);
            player.play(1, start(Track::named("Before", 60), None, None), &mut fx);
            fx.clear();
            player.set_filters(10, json!({"timescale": scale.clone()}), &mut fx);
            let mut speeds = Vec::new();
            for effect in &fx {
                if let Effect::Carries {
                    content: Some(content), ..
                } = effect
                {
                    speeds.push(content.speed);
                }
            }
            assert!(speeds.iter().all(|speed| (0.01..=100.0).contains(speed)), "{speeds:?}");
            assert!(!speeds.is_empty());
            listen(&fx);
            assert_eq!(
                player.json(20, 0)["filters"]["timescale"],
                scale,
                "it is told as it was asked"
            );
            let ends = fx
                .iter()
                .any(|effect| matches!(effect, Effect::Wake { at_ms, .. } if *at_ms < 7_000_000));
            assert!(ends, "a minute is over within a hundred: {fx:?}");
        }
    }
}
