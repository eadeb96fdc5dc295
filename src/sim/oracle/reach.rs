//! Whether the bot could hear and be heard, as the log tells it: sockets of shards, faults of REST, and excuses.

use std::collections::HashMap;

use serde_json::Value;

use super::{Event, number, text};

/// Faults that keep the bot's requests from working.
const REST_FAULTS: [&str; 4] = ["ban", "delay_rest", "rate_limit", "refuse_rest"];

/// Who is connected, and what is excused.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Sessions with a socket, by shard, and the socket.
    attached: HashMap<u64, HashMap<String, u64>>,
    /// Into how many shards the newest session splits the guilds.
    shards: u64,
    /// REST faults that last, and whether each keeps interactions from being answered too.
    rest_faults: HashMap<String, bool>,
    /// Notes that last, and the shards that they excuse.
    notes: HashMap<String, Vec<u64>>,
}

impl Reach {
    /// Whether a shard has a socket.
    pub(super) fn connected(&self, shard: u64) -> bool {
        self.attached.get(&shard).is_some_and(|sessions| !sessions.is_empty())
    }

    /// The shard of a guild.
    pub(super) fn shard_of(&self, guild: &str) -> u64 {
        guild.parse::<u64>().map_or(0, |id| (id >> 22) % self.shards.max(1))
    }

    /// Whether a fault of REST lasts.
    pub(super) fn rest_is_hurt(&self) -> bool {
        !self.rest_faults.is_empty()
    }

    /// Whether a fault of REST lasts that keeps interactions from being answered.
    pub(super) fn answers_are_hurt(&self) -> bool {
        self.rest_faults.values().any(|answers| *answers)
    }

    /// Whether a note that lasts excuses a shard.
    pub(super) fn excuses(&self, shard: u64) -> bool {
        self.notes.values().flatten().any(|each| *each == shard)
    }

    /// Reads an event; whether it was one of those that are read here.
    pub(super) fn observe(&mut self, kind: &str, event: &Event) -> bool {
        match kind {
            "session_opened" => self.attach(event),
            "resume" if text(event, "outcome") == "ok" => self.attach(event),
            "gateway_closed" | "session_ended" | "session_left" => self.detach(event),
            "fault_begin" => self.fault(event),
            "fault_end" => {
                self.rest_faults.remove(text(event, "fault"));
                self.notes.remove(text(event, "fault"));
            }
            _ => return false,
        }
        true
    }

    fn attach(&mut self, event: &Event) {
        let (Some(shard), Some(conn)) = (number(event, "shard"), number(event, "conn")) else {
            return;
        };
        self.shards = number(event, "shards").unwrap_or(self.shards);
        let sessions = self.attached.entry(shard).or_default();
        sessions.insert(text(event, "session").to_owned(), conn);
    }

    fn detach(&mut self, event: &Event) {
        let Some(shard) = number(event, "shard") else { return };
        let sessions = self.attached.entry(shard).or_default();
        let session = text(event, "session");
        let conn = number(event, "conn");
        // A socket that was replaced by a newer one takes nothing along.
        if conn.is_none() || sessions.get(session).copied() == conn {
            sessions.remove(session);
        }
    }

    fn fault(&mut self, event: &Event) {
        let id = text(event, "fault").to_owned();
        let Some(fields) = event.get("fields") else { return };
        let what = text(event, "what");
        if REST_FAULTS.contains(&what) {
            // Discord's global limit does not hold for interactions.
            let global = fields["scope"] == "global" && fields["route"].as_str().is_none_or(|route| route == "*");
            self.rest_faults.insert(id, !(what == "rate_limit" && global));
        } else if what == "note" {
            let shards = fields["excuse"].as_array().map_or(&[][..], Vec::as_slice);
            self.notes.insert(id, shards.iter().filter_map(Value::as_u64).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn opened(session: &str) -> Event {
        event(
            0,
            "session_opened",
            json!({"session": session, "shard": 0, "shards": 1, "conn": 1}),
        )
    }

    fn fault(what: &str, fields: &Value) -> Event {
        event(5, "fault_begin", json!({"fault": "1", "what": what, "fields": fields}))
    }

    fn reach(events: &[Event]) -> Reach {
        let mut reach = Reach::default();
        for event in events {
            reach.observe(text(event, "kind"), event);
        }
        reach
    }

    #[test]
    fn the_global_limit_excuses_nobody_who_does_not_answer_and_every_other_fault_of_rest_does() {
        let interaction = json!({"interaction": "7", "guild": "1", "shard": 0});
        for (what, fields, excused) in [
            ("rate_limit", json!({"scope": "global"}), false),
            ("rate_limit", json!({"scope": "global", "route": "*"}), false),
            ("rate_limit", json!({"scope": "global", "route": "callback"}), true),
            ("rate_limit", json!({"scope": "user", "route": "*"}), true),
            ("rate_limit", json!({}), true),
            ("refuse_rest", json!({"route": "*", "status": 500}), true),
            ("ban", json!({}), true),
        ] {
            let log = [
                opened("s"),
                fault(what, &fields),
                event(10, "interaction_issued", interaction.clone()),
                event(3_010, "interaction_expired", interaction.clone()),
            ];
            let wanted: &[&str] = if excused { &[] } else { &["unanswered"] };
            assert_eq!(broken(&log, 4_000), wanted, "{what} {fields}");
            let mut reach = reach(&log);
            assert!(reach.rest_is_hurt(), "{what} {fields}: messages are");
            reach.observe("fault_end", &event(4_000, "fault_end", json!({"fault": "1"})));
            assert!(!reach.rest_is_hurt() && !reach.answers_are_hurt());
        }
    }

    #[test]
    fn a_session_that_its_socket_left_for_another_no_longer_holds_the_shard() {
        let left = json!({"session": "s", "shard": 0, "shards": 1, "conn": 1});
        let closed = json!({"session": "t", "shard": 0, "shards": 1, "conn": 1});
        let log = [
            opened("s"),
            event(1, "session_left", left),
            opened("t"),
            event(2, "gateway_closed", closed),
        ];
        assert!(reach(&log[..3]).connected(0));
        assert!(!reach(&log).connected(0));
    }
}
