//! One member at a time answers and registers: `answered_twice`, `needless_registration`.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::{Event, Rule, Violation, guild, number, text};

/// How long an interaction can be answered after it was answered first: as long as its token lives.
const TOKEN_MS: u64 = 15 * 60_000;

/// Two members answer one interaction with content of their own, and Discord refuses neither. A member that ends what
/// another one deferred is fine, and so is one that edits the same reply again.
#[derive(Debug, Default)]
pub(super) struct AnsweredTwice {
    by: HashMap<String, String>,
    /// When each of them was answered first, in order.
    first: VecDeque<(u64, String)>,
}

impl AnsweredTwice {
    /// What can be answered no more is forgotten.
    fn forget(&mut self, now_ms: u64) {
        while let Some((_, id)) = self
            .first
            .pop_front_if(|(at_ms, _)| now_ms > at_ms.saturating_add(TOKEN_MS))
        {
            self.by.remove(&id);
        }
    }
}

impl Rule for AnsweredTwice {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        let content = match kind {
            "interaction_answered" => {
                let accepted = number(event, "status").is_some_and(|status| status < 300);
                accepted && matches!(number(event, "type"), Some(4 | 7 | 8 | 9))
            }
            // What fills a deferred reply is its content; later edits may say it again.
            "interaction_written" => matches!(text(event, "how"), "reply" | "follow_up"),
            _ => false,
        };
        if !content {
            return;
        }
        self.forget(at_ms);
        let (id, who) = (text(event, "interaction"), text(event, "user_agent"));
        let Some(first) = self.by.get(id) else {
            self.by.insert(id.to_owned(), who.to_owned());
            self.first.push_back((at_ms, id.to_owned()));
            return;
        };
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
    fn answered_twice_sees_what_came_after_a_deferral() {
        let deferred = answered("a", 5, 204);
        let then = |more: &[Event]| broken(&[std::slice::from_ref(&deferred), more].concat(), 2);
        for answer in ["reply", "follow_up"] {
            let answered = follow_up("a", answer);
            assert_eq!(
                then(&[answered.clone(), follow_up("b", "follow_up")]),
                ["answered_twice"],
                "{answer}"
            );
            assert!(then(&[answered.clone(), follow_up("b", "edit")]).is_empty());
            assert!(then(&[answered.clone(), follow_up("a", "edit"), follow_up("a", "follow_up")]).is_empty());
        }
        let ended_by_another = [follow_up("b", "reply"), follow_up("b", "edit"), follow_up("a", "edit")];
        assert!(
            then(&ended_by_another).is_empty(),
            "another member ends what this one deferred"
        );
    }

    #[test]
    fn answered_twice_forgets_what_can_be_answered_no_more() {
        let mut rule = AnsweredTwice::default();
        let mut found = Vec::new();
        for id in 0..100_u64 {
            let at_ms = id * 60_000;
            let answer = json!({"interaction": id.to_string(), "type": 4, "status": 204, "user_agent": "a"});
            rule.observe(
                at_ms,
                "interaction_answered",
                &event(at_ms, "interaction_answered", answer),
                &mut found,
            );
        }
        assert_eq!((rule.by.len(), rule.first.len()), (16, 16));
        assert!(found.is_empty());
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
