//! The oracle: reads the event log, and nothing else, and says which promises were broken.
//!
//! Each rule is a small reader of its own. A rule's time is that of the events.

mod answers;
mod closed_for_good;
mod hearing;
mod login;
mod position_backwards;
mod reach;
mod silent_panel;
mod two_drivers;
mod two_players;
mod unanswered;

use std::io::{self, BufRead};

use serde::Serialize;
use serde_json::Value;

use super::log::Event;

/// The names of all rules.
pub const RULES: [&str; 12] = [
    "answered_twice",
    "closed_for_good",
    "identify_budget",
    "identify_window",
    "needless_registration",
    "position_backwards",
    "rest_limit",
    "send_limit",
    "silent_panel",
    "two_drivers",
    "two_players",
    "unanswered",
];

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When, in milliseconds of the simulator's clock.
    pub at_ms: u64,
    /// The rule's name.
    pub rule: &'static str,
    /// The guild, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guild: Option<String>,
    /// What happened, for people.
    pub detail: String,
}

/// A rule.
trait Rule: Send + std::fmt::Debug {
    /// Reads the next event.
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>);

    /// The clock went on without an event.
    fn advance(&mut self, _now_ms: u64, _found: &mut Vec<Violation>) {}
}

/// All rules, over one log.
#[derive(Debug)]
pub struct Oracle {
    rules: Vec<Box<dyn Rule>>,
    found: Vec<Violation>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            rules: vec![
                Box::<unanswered::Unanswered>::default(),
                Box::<two_players::TwoPlayers>::default(),
                Box::<login::IdentifyWindow>::default(),
                Box::<login::IdentifyBudget>::default(),
                Box::<login::SendLimit>::default(),
                Box::<login::RestLimit>::default(),
                Box::<closed_for_good::ClosedForGood>::default(),
                Box::<two_drivers::TwoDrivers>::default(),
                Box::<answers::AnsweredTwice>::default(),
                Box::<answers::NeedlessRegistration>::default(),
                Box::<position_backwards::PositionBackwards>::default(),
                Box::<silent_panel::SilentPanel>::default(),
            ],
            found: Vec::new(),
        }
    }
}

impl Oracle {
    /// Reads the next event of the log.
    pub fn observe(&mut self, event: &Event) {
        let at_ms = event.get("at_ms").and_then(Value::as_u64).unwrap_or(0);
        let kind = text(event, "kind");
        for rule in &mut self.rules {
            rule.observe(at_ms, kind, event, &mut self.found);
        }
    }

    /// It is now this late.
    pub fn advance(&mut self, now_ms: u64) {
        for rule in &mut self.rules {
            rule.advance(now_ms, &mut self.found);
        }
    }

    /// What was found so far.
    pub fn violations(&self) -> &[Violation] {
        &self.found
    }
}

/// Reads a whole log, up to now.
pub fn check(events: &[Event], now_ms: u64) -> Vec<Violation> {
    let mut oracle = Oracle::default();
    for event in events {
        oracle.observe(event);
    }
    oracle.advance(now_ms);
    oracle.found
}

/// Judges a log alone: JSON lines as `GET /log` gives them, up to the moment of the last one.
///
/// # Errors
/// The log cannot be read, or a line is no JSON object; the number of that line is told.
pub fn judge(log: impl BufRead) -> io::Result<Vec<Violation>> {
    let mut oracle = Oracle::default();
    let mut now_ms = 0;
    for (number, line) in log.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let event: Event = serde_json::from_str(&line)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {why}", number + 1)))?;
        oracle.observe(&event);
        now_ms = event.get("at_ms").and_then(Value::as_u64).unwrap_or(now_ms);
    }
    oracle.advance(now_ms);
    Ok(oracle.found)
}

/// A field of an event as text, or empty.
fn text<'a>(event: &'a Event, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A field of an event as a number.
fn number(event: &Event, name: &str) -> Option<u64> {
    event.get(name).and_then(Value::as_u64)
}

/// A guild that stands in an event as text or number.
fn guild(event: &Event) -> Option<String> {
    let value = event.get("guild")?;
    value
        .as_str()
        .map(str::to_owned)
        .or_else(|| value.as_u64().map(|id| id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_is_judged_alone() {
        let log = concat!(
            "{\"seq\":1,\"at_ms\":5,\"kind\":\"identify\",\"key\":0,\"remaining\":9}\n\n",
            "{\"seq\":2,\"at_ms\":9,\"kind\":\"identify\",\"key\":0,\"remaining\":8}\n",
        );
        let found = judge(log.as_bytes()).unwrap();
        assert_eq!(
            found.iter().map(|one| one.rule).collect::<Vec<_>>(),
            ["identify_window"]
        );
        assert!(judge(&b""[..]).unwrap().is_empty());
        let broken = judge(&b"{}\n[]\n"[..]).unwrap_err().to_string();
        assert!(broken.starts_with("line 2"), "{broken}");
    }
}

#[cfg(test)]
mod testing {
    use serde_json::{Value, json};

    use super::{Event, Violation, check};

    /// An event of a log.
    #[expect(clippy::needless_pass_by_value, reason = "written in place by every test")]
    pub(super) fn event(at_ms: u64, kind: &str, fields: Value) -> Event {
        let mut event = fields.as_object().cloned().unwrap();
        event.extend(json!({"at_ms": at_ms, "kind": kind}).as_object().cloned().unwrap());
        event
    }

    /// The names of the rules that a log breaks.
    pub(super) fn broken(events: &[Event], now_ms: u64) -> Vec<&'static str> {
        let found: Vec<Violation> = check(events, now_ms);
        found.iter().map(|violation| violation.rule).collect()
    }
}
