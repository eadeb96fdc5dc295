//! One member at a time answers and registers: `answered_twice`, `needless_registration`.

use std::collections::HashMap;

use serde_json::Value;

use super::{Event, Rule, Violation, guild, number, text};

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
