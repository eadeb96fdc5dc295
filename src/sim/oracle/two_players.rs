//! `two_players`: two players of one guild send frames over open voice connections for more than 500 ms.

use std::collections::HashMap;

use super::{Event, Rule, Violation, guild, text};

const TOLERATED_MS: u64 = 500;

#[derive(Debug, Default)]
pub(super) struct TwoPlayers {
    guilds: HashMap<String, Sending>,
}

/// Who sends frames for a guild.
#[derive(Debug, Default)]
struct Sending {
    /// By link: node and session.
    links: HashMap<String, String>,
    /// Since when there is more than one, and whether that was reported.
    both_since: Option<(u64, bool)>,
}

impl Sending {
    fn look(&mut self, now_ms: u64, guild: &str, found: &mut Vec<Violation>) {
        let Some((since, false)) = self.both_since else { return };
        if now_ms <= since + TOLERATED_MS {
            return;
        }
        self.both_since = Some((since, true));
        let mut who: Vec<&str> = self.links.values().map(String::as_str).collect();
        who.sort_unstable();
        found.push(Violation {
            at_ms: now_ms,
            rule: "two_players",
            guild: Some(guild.to_owned()),
            detail: format!("both send frames since {since} ms: {}", who.join(", ")),
        });
    }
}

fn link(event: &Event) -> String {
    event.get("link").map(ToString::to_string).unwrap_or_default()
}

impl Rule for TwoPlayers {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        if kind != "frames_begin" && kind != "frames_end" {
            return;
        }
        let Some(guild) = guild(event) else { return };
        let sending = self.guilds.entry(guild.clone()).or_default();
        sending.look(at_ms, &guild, found);
        if kind == "frames_begin" {
            let who = format!("{} ({})", text(event, "node"), text(event, "session"));
            sending.links.insert(link(event), who);
        } else {
            sending.links.remove(&link(event));
        }
        sending.both_since = match (sending.links.len(), sending.both_since) {
            (0 | 1, _) => None,
            (_, None) => Some((at_ms, false)),
            (_, since) => since,
        };
    }

    fn advance(&mut self, now_ms: u64, found: &mut Vec<Violation>) {
        for (guild, sending) in &mut self.guilds {
            sending.look(now_ms, guild, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn begin(at: u64, link: u64) -> Event {
        event(
            at,
            "frames_begin",
            json!({"guild": "1", "node": "a", "session": "s", "link": link}),
        )
    }

    fn end(at: u64, link: u64) -> Event {
        event(
            at,
            "frames_end",
            json!({"guild": "1", "node": "a", "session": "s", "link": link}),
        )
    }

    #[test]
    fn it_fires_once_while_two_links_send_for_longer_than_half_a_second() {
        assert_eq!(broken(&[begin(0, 1), begin(100, 2)], 601), ["two_players"]);
        assert_eq!(
            broken(&[begin(0, 1), begin(100, 2), end(700, 1)], 9_000),
            ["two_players"]
        );
    }

    #[test]
    fn it_is_silent_for_a_short_overlap_or_none() {
        assert!(broken(&[begin(0, 1), begin(100, 2), end(600, 1)], 9_000).is_empty());
        assert!(broken(&[begin(0, 1), end(100, 1), begin(100, 2)], 9_000).is_empty());
        let other = event(5, "frames_begin", json!({"guild": "2", "link": 9}));
        assert!(broken(&[begin(0, 1), other], 9_000).is_empty());
    }
}
