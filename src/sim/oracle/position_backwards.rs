//! `position_backwards`: in unbroken audio of one track from one node the position jumped back, and nobody had asked.

use std::collections::HashMap;

use super::hearing::{Carried, Hearing};
use super::{Event, Rule, Violation, guild, number, text};

/// Silence of this length ends a segment.
const BREAK_MS: u64 = 60;
/// What is no jump: a changed voice server skips a third of a second, and a bot may well seek back by that.
const TOLERATED_MS: u64 = 1_000;
/// A command, a button or a move explains what happens within this time.
const EXPLAINS_MS: u64 = 3_000;
/// Discord's number for what is being typed; it changes nothing.
const AUTOCOMPLETE: u64 = 4;

#[derive(Debug, Default)]
pub(super) struct PositionBackwards {
    guilds: HashMap<String, Listened>,
}

#[derive(Debug, Default)]
struct Listened {
    hearing: Hearing,
    /// When somebody last did something that explains a jump.
    asked_ms: Option<u64>,
}

impl Listened {
    /// How far back the audio of this event begins, if that is a jump.
    fn jump(&mut self, event: &Event) -> Option<(u64, u64)> {
        let at = number(event, "from_ms")?;
        let before = self.hearing.before(at).cloned();
        self.hearing.observe(event)?;
        let (mut before, now) = (before?, self.hearing.at(at)?);
        // One and the same event ends what its connection carried before.
        if before.ended.is_none() && number(event, "link") == Some(before.link) {
            before.ended = Some((at, text(event, "end").to_owned()));
        }
        let (end, why) = ended(&before, at);
        let same = before.node == now.node && before.track == now.track;
        if now.from_ms != at || !same || why == "finished" || at.saturating_sub(end) >= BREAK_MS {
            return None;
        }
        let (was, is) = (before.position_at(at), now.position_at(at));
        let asked = self.asked_ms.is_some_and(|asked| at <= asked + EXPLAINS_MS);
        (!asked && is + TOLERATED_MS < was).then_some((was, is))
    }
}

/// When and why what was heard before ended. Another connection that took its place ended it there.
fn ended(before: &Carried, at: u64) -> (u64, &str) {
    let ended = before.ended.as_ref().filter(|(end, _)| *end <= at);
    ended.map_or((at, ""), |(end, why)| (*end, why.as_str()))
}

impl Rule for PositionBackwards {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        let Some(guild) = guild(event) else { return };
        match kind {
            "audio" => {
                let listened = self.guilds.entry(guild.clone()).or_default();
                if let Some((was, is)) = listened.jump(event) {
                    found.push(Violation {
                        at_ms,
                        rule: "position_backwards",
                        detail: format!("{} went back from {was} ms to {is} ms", text(event, "track")),
                        guild: Some(guild),
                    });
                }
            }
            "interaction_issued" if number(event, "type") != Some(AUTOCOMPLETE) => {
                self.guilds.entry(guild).or_default().asked_ms = Some(at_ms);
            }
            "voice_state" if text(event, "user") == "bot" => {
                self.guilds.entry(guild).or_default().asked_ms = Some(at_ms);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn audio(at: u64, link: u64, position: u64, end: &str) -> Event {
        let fields = json!({
            "guild": "1", "node": "a", "link": link, "from_ms": at, "end": end, "track": "t", "title": "T",
            "position_ms": position, "speed": 1.0,
        });
        event(at, "audio", fields)
    }

    fn silence(at: u64, link: u64, end: &str) -> Event {
        let fields = json!({"guild": "1", "node": "a", "link": link, "from_ms": at, "end": end, "track": null});
        event(at, "audio", fields)
    }

    #[test]
    fn it_fires_when_unbroken_audio_begins_again_further_back() {
        let log = [audio(0, 1, 0, "stopped"), audio(8_000, 1, 5_000, "stopped")];
        assert_eq!(broken(&log, 9_000), ["position_backwards"]);
        let other_connection = [audio(0, 1, 0, "stopped"), audio(8_000, 2, 5_000, "stopped")];
        assert_eq!(broken(&other_connection, 9_000), ["position_backwards"]);
    }

    #[test]
    fn it_is_silent_when_the_jump_is_small_asked_for_or_after_silence() {
        let small = [audio(0, 1, 0, "stopped"), audio(8_000, 1, 7_200, "stopped")];
        assert!(broken(&small, 9_000).is_empty());
        let onward = [audio(0, 1, 0, "stopped"), audio(8_000, 1, 60_000, "stopped")];
        assert!(broken(&onward, 9_000).is_empty());
        let paused = [
            audio(0, 1, 0, "stopped"),
            silence(8_000, 1, "stopped"),
            audio(8_100, 1, 0, "stopped"),
        ];
        assert!(broken(&paused, 9_000).is_empty());
        let looped = [audio(0, 1, 0, "stopped"), audio(8_000, 1, 0, "finished")];
        assert!(broken(&looped, 9_000).is_empty());
        for (kind, fields) in [
            (
                "interaction_issued",
                json!({"guild": "1", "type": 2, "interaction": "9"}),
            ),
            ("voice_state", json!({"guild": "1", "user": "bot", "channel": "3"})),
        ] {
            let asked = event(5_500, kind, fields);
            assert!(broken(&[audio(0, 1, 0, ""), asked, audio(8_000, 1, 0, "stopped")], 9_000).is_empty());
        }
    }

    #[test]
    fn an_older_connection_that_goes_on_unheard_does_not_matter() {
        let log = [
            audio(0, 1, 0, "stopped"),
            audio(5_000, 2, 5_000, "stopped"),
            audio(5_100, 1, 0, "stopped"),
            silence(5_400, 1, "stopped"),
        ];
        assert!(broken(&log, 9_000).is_empty());
    }
}
