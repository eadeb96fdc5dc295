//! What is heard in a guild, as the log's `audio` events tell it: of several voice connections the newest.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Event, number, text};

/// Audio that one connection carries.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Carried {
    pub(super) link: u64,
    pub(super) node: String,
    pub(super) track: String,
    pub(super) title: String,
    /// When it is first heard.
    pub(super) from_ms: u64,
    /// Milliseconds into the track at that moment.
    position_ms: u64,
    speed: f64,
    /// When and why it ended: `finished`, `failed`, `stopped`.
    pub(super) ended: Option<(u64, String)>,
}

impl Carried {
    /// The position at a moment, or at its end.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds of a track, never negative"
    )]
    pub(super) fn position_at(&self, at_ms: u64) -> u64 {
        let until = self.ended.as_ref().map_or(at_ms, |(end, _)| at_ms.min(*end));
        let played = (until.saturating_sub(self.from_ms) as f64 * self.speed) as u64;
        self.position_ms.saturating_add(played)
    }

    /// Whether it is heard at a moment.
    pub(super) fn sounds_at(&self, at_ms: u64) -> bool {
        self.from_ms <= at_ms && self.ended.as_ref().is_none_or(|(end, _)| *end > at_ms)
    }
}

/// The voice connections of one guild, oldest first, each with what it carried last.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    links: BTreeMap<u64, Carried>,
}

impl Hearing {
    /// What is heard at a moment.
    pub(super) fn at(&self, at_ms: u64) -> Option<&Carried> {
        self.links.values().rev().find(|carried| carried.sounds_at(at_ms))
    }

    /// What the newest connection carries or carried, from a moment on that may lie a little ahead.
    pub(super) fn newest(&self) -> Option<&Carried> {
        self.links.values().next_back()
    }

    /// What was heard last before a moment.
    pub(super) fn before(&self, at_ms: u64) -> Option<&Carried> {
        let heard = |carried: &&Carried| carried.from_ms < at_ms;
        self.at(at_ms.saturating_sub(1)).or_else(|| {
            self.links
                .values()
                .filter(heard)
                .max_by_key(|carried| carried.ended.as_ref().map(|(end, _)| *end))
        })
    }

    /// Reads an `audio` event; the connection it is about.
    pub(super) fn observe(&mut self, event: &Event) -> Option<u64> {
        let (link, from_ms) = (number(event, "link")?, number(event, "from_ms")?);
        if let Some(before) = self.links.get_mut(&link)
            && before.ended.as_ref().is_none_or(|(end, _)| *end > from_ms)
        {
            before.ended = Some((from_ms.max(before.from_ms), text(event, "end").to_owned()));
        }
        if event.get("track").is_some_and(Value::is_string) {
            let carried = Carried {
                link,
                node: text(event, "node").to_owned(),
                track: text(event, "track").to_owned(),
                title: text(event, "title").to_owned(),
                from_ms,
                position_ms: number(event, "position_ms").unwrap_or(0),
                speed: event.get("speed").and_then(Value::as_f64).unwrap_or(1.0),
                ended: None,
            };
            self.links.insert(link, carried);
        }
        // What ended long ago is heard no more and asked for no more.
        while self.links.len() > 8 {
            self.links.pop_first();
        }
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::event;
    use super::*;

    #[test]
    fn a_log_may_name_any_speed() {
        let mut hearing = Hearing::default();
        let fields = json!({"link": 1, "from_ms": 5, "track": "t", "title": "T", "position_ms": 9, "speed": 1e300});
        hearing.observe(&event(5, "audio", fields));
        assert_eq!(hearing.at(10).map(|carried| carried.position_at(10)), Some(u64::MAX));
    }
}
