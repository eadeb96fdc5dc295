//! Discord's own limits: `identify_window`, `identify_budget`, `send_limit`, `rest_limit`.

use std::collections::HashMap;

use super::{Event, Rule, Violation, number, text};

/// As Discord counts it: 5 s, less what two messages may drift on their way.
const WINDOW_MS: u64 = 4_900;

/// Two IDENTIFYs of one key within 5 s.
#[derive(Debug, Default)]
pub(super) struct IdentifyWindow {
    last: HashMap<u64, u64>,
}

impl Rule for IdentifyWindow {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        if kind != "identify" {
            return;
        }
        let Some(key) = number(event, "key") else { return };
        if let Some(last) = self.last.insert(key, at_ms).filter(|last| at_ms < last + WINDOW_MS) {
            found.push(Violation {
                at_ms,
                rule: "identify_window",
                guild: None,
                detail: format!("key {key} identified {} ms after the last time", at_ms - last),
            });
        }
    }
}

/// The day's IDENTIFYs are spent.
#[derive(Debug, Default)]
pub(super) struct IdentifyBudget;

impl Rule for IdentifyBudget {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        if kind == "identify" && number(event, "remaining") == Some(0) {
            found.push(Violation {
                at_ms,
                rule: "identify_budget",
                guild: None,
                detail: "no IDENTIFY is left for today".to_owned(),
            });
        }
    }
}

/// More than 120 payloads in a minute on one socket.
#[derive(Debug, Default)]
pub(super) struct SendLimit;

impl Rule for SendLimit {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        if kind == "gateway_closed" && text(event, "by") == "server" && number(event, "code") == Some(4_008) {
            // A fault may close with 4008 too; then its reason is another.
            if text(event, "reason") == "Rate limited." {
                found.push(Violation {
                    at_ms,
                    rule: "send_limit",
                    guild: None,
                    detail: format!(
                        "shard {:?} sent more than 120 payloads in a minute",
                        number(event, "shard")
                    ),
                });
            }
        }
    }
}

/// More than 50 requests in a second over all routes.
#[derive(Debug, Default)]
pub(super) struct RestLimit;

impl Rule for RestLimit {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        let flag = |name: &str| event.get(name).and_then(serde_json::Value::as_bool).unwrap_or(false);
        if kind == "rest_limited" && flag("global") && !flag("by_fault") {
            found.push(Violation {
                at_ms,
                rule: "rest_limit",
                guild: None,
                detail: format!("beyond 50 a second: {}", text(event, "route")),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn identify(at: u64, key: u64, remaining: u64) -> Event {
        event(
            at,
            "identify",
            json!({"key": key, "shard": key, "remaining": remaining}),
        )
    }

    fn closed(code: u64, reason: &str) -> Event {
        event(
            1,
            "gateway_closed",
            json!({"by": "server", "code": code, "reason": reason}),
        )
    }

    fn limited(global: bool, by_fault: bool) -> Event {
        event(
            1,
            "rest_limited",
            json!({"route": "r", "global": global, "by_fault": by_fault}),
        )
    }

    #[test]
    fn identify_window_fires_within_five_seconds_of_the_same_key_only() {
        assert_eq!(
            broken(&[identify(0, 0, 9), identify(4_000, 0, 8)], 9_000),
            ["identify_window"]
        );
        assert!(broken(&[identify(0, 0, 9), identify(10, 1, 8), identify(5_000, 0, 7)], 9_000).is_empty());
    }

    #[test]
    fn identify_budget_fires_when_none_is_left() {
        assert_eq!(broken(&[identify(0, 0, 0)], 1), ["identify_budget"]);
        assert!(broken(&[identify(0, 0, 1)], 1).is_empty());
    }

    #[test]
    fn send_limit_fires_on_a_close_for_too_many_payloads() {
        assert_eq!(broken(&[closed(4_008, "Rate limited.")], 1), ["send_limit"]);
        assert!(broken(&[closed(4_000, "")], 1).is_empty());
    }

    #[test]
    fn rest_limit_fires_on_a_global_429_that_no_fault_made() {
        assert_eq!(broken(&[limited(true, false)], 1), ["rest_limit"]);
        assert!(broken(&[limited(true, true), limited(false, false)], 1).is_empty());
    }
}
