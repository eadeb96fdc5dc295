//! One member at a time: `two_drivers` (its gateway half), `answered_twice`, `needless_registration`.

use std::collections::HashMap;

use serde_json::Value;

use super::{Event, Rule, Violation, guild, number, text};

/// An op 4 on a gateway socket that is older than the shard's newest.
#[derive(Debug, Default)]
pub(super) struct TwoDrivers {
    newest: HashMap<u64, u64>,
}

impl Rule for TwoDrivers {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        let (Some(shard), Some(conn)) = (number(event, "shard"), number(event, "conn")) else {
            return;
        };
        match kind {
            "session_opened" => self.took(shard, conn),
            "resume" if text(event, "outcome") == "ok" => self.took(shard, conn),
            "voice_request" if self.newest.get(&shard).is_some_and(|newest| conn < *newest) => {
                found.push(Violation {
                    at_ms,
                    rule: "two_drivers",
                    guild: guild(event),
                    detail: format!("op 4 on socket {conn} of shard {shard}, which another socket took over"),
                });
            }
            _ => {}
        }
    }
}

impl TwoDrivers {
    fn took(&mut self, shard: u64, conn: u64) {
        let newest = self.newest.entry(shard).or_default();
        *newest = conn.max(*newest);
    }
}

/// Two members answer one interaction with content of their own, and Discord refuses neither. A member that ends what
/// another one deferred is fine, and so is one that edits the same reply again.
#[derive(Debug, Default)]
pub(super) struct AnsweredTwice {
    by: HashMap<String, String>,
}

impl Rule for AnsweredTwice {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        let content = match kind {
            "interaction_answered" => {
                let accepted = number(event, "status").is_some_and(|status| status < 300);
                accepted && matches!(number(event, "type"), Some(4 | 7 | 8 | 9))
            }
            "interaction_written" => text(event, "how") == "follow_up",
            _ => false,
        };
        if !content {
            return;
        }
        let (id, who) = (text(event, "interaction"), text(event, "user_agent"));
        let first = self.by.entry(id.to_owned()).or_insert_with(|| who.to_owned());
        if first != who {
            found.push(Violation {
                at_ms,
                rule: "answered_twice",
                guild: guild(event),
                detail: format!("interaction {id} was answered by {first} and by {who}"),
            });
        }
    }
}

/// Commands are registered although nothing in them changed.
#[derive(Debug, Default)]
pub(super) struct NeedlessRegistration;

impl Rule for NeedlessRegistration {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        if kind == "commands_registered" && event.get("changed") == Some(&Value::Bool(false)) {
            found.push(Violation {
                at_ms,
                rule: "needless_registration",
                guild: None,
                detail: "the same commands were registered again".to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn resumed(conn: u64) -> Event {
        event(
            1,
            "resume",
            json!({"shard": 0, "conn": conn, "outcome": "ok", "session": "s"}),
        )
    }

    fn op_4(conn: u64, shard: u64) -> Event {
        event(2, "voice_request", json!({"shard": shard, "conn": conn, "guild": "1"}))
    }

    fn answered(who: &str, kind: u64, status: u64) -> Event {
        let fields = json!({"interaction": "1", "type": kind, "status": status, "user_agent": who});
        event(1, "interaction_answered", fields)
    }

    fn follow_up(who: &str, how: &str) -> Event {
        event(
            2,
            "interaction_written",
            json!({"interaction": "1", "how": how, "user_agent": who}),
        )
    }

    #[test]
    fn two_drivers_fires_on_an_op_4_of_an_older_socket_only() {
        assert_eq!(broken(&[resumed(1), resumed(2), op_4(1, 0)], 2), ["two_drivers"]);
        assert!(broken(&[resumed(1), op_4(1, 0), resumed(2), op_4(2, 0), op_4(1, 1)], 2).is_empty());
    }

    #[test]
    fn answered_twice_fires_when_two_members_bring_content_and_none_is_refused() {
        assert_eq!(
            broken(&[answered("a", 4, 204), follow_up("b", "follow_up")], 2),
            ["answered_twice"]
        );
        assert!(broken(&[answered("a", 4, 204), answered("b", 4, 400)], 2).is_empty());
        assert!(broken(&[answered("a", 5, 204), follow_up("b", "follow_up")], 2).is_empty());
        assert!(broken(&[answered("a", 4, 204), follow_up("a", "follow_up")], 2).is_empty());
        assert!(broken(&[answered("a", 4, 204), follow_up("b", "edit")], 2).is_empty());
    }

    #[test]
    fn needless_registration_fires_when_nothing_changed() {
        let registered = |changed: bool| event(1, "commands_registered", json!({"count": 1, "changed": changed}));
        assert_eq!(
            broken(&[registered(true), registered(false)], 1),
            ["needless_registration"]
        );
        assert!(broken(&[registered(true)], 1).is_empty());
    }
}
