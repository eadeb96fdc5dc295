//! `unanswered`: an interaction that nobody acknowledged within 3 s although the bot could have.

use std::collections::HashMap;

use super::reach::Reach;
use super::{Event, Rule, Violation, guild, number, text};

/// A RESUME helps an interaction that is younger than this.
const YOUNG_MS: u64 = 2_000;

#[derive(Debug, Default)]
pub(super) struct Unanswered {
    reach: Reach,
    open: HashMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    shard: u64,
    issued_ms: u64,
    /// The bot has been reachable, or was so again soon enough.
    reachable: bool,
    excused: bool,
}

impl Unanswered {
    /// What the newest event means for the interactions that wait.
    fn judge(&mut self, at_ms: u64, resumed: Option<u64>) {
        for open in self.open.values_mut() {
            open.excused |= self.reach.answers_are_hurt() || self.reach.excuses(open.shard);
            if !self.reach.connected(open.shard) {
                open.reachable = false;
            } else if resumed == Some(open.shard) && at_ms < open.issued_ms + YOUNG_MS {
                open.reachable = true;
            }
        }
    }
}

impl Rule for Unanswered {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        if self.reach.observe(kind, event) {
            let resumed = number(event, "shard").filter(|_| kind == "resume");
            self.judge(at_ms, resumed);
            return;
        }
        match kind {
            "interaction_issued" => {
                let shard = number(event, "shard").unwrap_or(0);
                let open = Open {
                    shard,
                    issued_ms: at_ms,
                    reachable: self.reach.connected(shard),
                    excused: self.reach.answers_are_hurt() || self.reach.excuses(shard),
                };
                self.open.insert(text(event, "interaction").to_owned(), open);
            }
            "interaction_acknowledged" => {
                self.open.remove(text(event, "interaction"));
            }
            "interaction_expired" => {
                let id = text(event, "interaction");
                if let Some(open) = self.open.remove(id).filter(|open| open.reachable && !open.excused) {
                    found.push(Violation {
                        at_ms,
                        rule: "unanswered",
                        guild: guild(event),
                        detail: format!("interaction {id} on shard {} was not acknowledged in 3 s", open.shard),
                    });
                }
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

    fn opened(at: u64) -> Event {
        event(at, "session_opened", json!({"session": "s", "shard": 0, "conn": 1}))
    }

    fn issued(at: u64) -> Event {
        event(
            at,
            "interaction_issued",
            json!({"interaction": "7", "guild": "1", "shard": 0}),
        )
    }

    fn expired(at: u64) -> Event {
        event(
            at,
            "interaction_expired",
            json!({"interaction": "7", "guild": "1", "shard": 0}),
        )
    }

    fn closed(at: u64) -> Event {
        event(
            at,
            "gateway_closed",
            json!({"session": "s", "shard": 0, "conn": 1, "by": "none"}),
        )
    }

    fn resumed(at: u64) -> Event {
        event(
            at,
            "resume",
            json!({"session": "s", "shard": 0, "conn": 2, "outcome": "ok"}),
        )
    }

    #[test]
    fn it_fires_when_a_connected_bot_lets_an_interaction_expire() {
        assert_eq!(broken(&[opened(0), issued(10), expired(3_010)], 4_000), ["unanswered"]);
    }

    #[test]
    fn it_fires_when_the_bot_resumed_in_time_and_still_did_not_answer() {
        let log = [opened(0), issued(10), closed(20), resumed(1_900), expired(3_010)];
        assert_eq!(broken(&log, 4_000), ["unanswered"]);
    }

    #[test]
    fn it_is_silent_when_the_bot_answered_or_could_not_hear() {
        let acknowledged = event(50, "interaction_acknowledged", json!({"interaction": "7"}));
        assert!(broken(&[opened(0), issued(10), acknowledged], 9_000).is_empty());
        assert!(broken(&[issued(10), expired(3_010)], 9_000).is_empty());
        assert!(broken(&[opened(0), issued(10), closed(20), expired(3_010)], 9_000).is_empty());
        let late = [opened(0), issued(10), closed(20), resumed(2_100), expired(3_010)];
        assert!(broken(&late, 9_000).is_empty());
    }

    #[test]
    fn it_is_silent_for_shards_that_a_note_excuses_and_under_a_rest_fault() {
        let note = event(
            15,
            "fault_begin",
            json!({"fault": "1", "what": "note", "fields": {"excuse": [0]}}),
        );
        assert!(broken(&[opened(0), issued(10), note.clone(), expired(3_010)], 9_000).is_empty());
        assert!(broken(&[opened(0), note.clone(), issued(20), expired(3_020)], 9_000).is_empty());
        let over = event(16, "fault_end", json!({"fault": "1", "what": "note"}));
        assert_eq!(
            broken(&[opened(0), note, over, issued(20), expired(3_020)], 9_000),
            ["unanswered"]
        );
        let slow = event(
            15,
            "fault_begin",
            json!({"fault": "2", "what": "delay_rest", "fields": {"ms": 1}}),
        );
        assert!(broken(&[opened(0), slow, issued(20), expired(3_020)], 9_000).is_empty());
    }
}
