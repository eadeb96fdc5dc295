//! Records of older schemas, made readable and writable.
//!
//! | schema | shape |
//! | --- | --- |
//! | 2 | head and lists apart; the deck is one tagged value; `loop_mode` has three values; a pause has a reason |
//! | 1 | one object with queue and history in it; `current`, `position_ms`, `at_ms`, `paused` and `loop` side by side |
//!
//! While a member that only reads schema 1 is alive, everybody writes schema 1. What schema 1 cannot say goes along as
//! fields that it does not know and therefore keeps, so that going back and forth loses nothing.

use serde_json::{Map, Value, json};

#[cfg(feature = "next-schema")]
mod next;

use super::MemberRow;
use crate::model::position::Anchor;
use crate::model::record::{DeckRecord, Head, Lists, SCHEMA, Snapshot};

/// The oldest schema that this binary reads and writes.
pub const OLDEST: u32 = 1;

/// A snapshot as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// Which shape it has.
    pub(crate) schema: u32,
    /// The small part.
    pub(crate) head: Value,
    /// The large part, when it is to be written and the schema keeps it apart.
    pub(crate) lists: Option<Value>,
}

/// The schema that everybody reads who lives, or ended within the last day (so long are members kept): what may be
/// written. A program of the version before that comes back within a day, also after a crash, finds nothing it cannot read.
pub fn writable(members: &[MemberRow]) -> u32 {
    let oldest = members.iter().map(|member| member.schema).min();
    oldest.unwrap_or(SCHEMA).clamp(OLDEST, SCHEMA)
}

/// Whether a head of this schema contains the lists, so that no head can be written without them.
pub(crate) const fn head_contains_lists(schema: u32) -> bool {
    schema < 2
}

/// Makes a snapshot of what is stored. The error says, for people, why not.
pub(crate) fn read(head: Value, lists: Option<Value>, anchor: Option<Anchor>) -> Result<Snapshot, String> {
    let schema = head.get("schema").and_then(Value::as_u64);
    let (head, lists) = match (schema, head) {
        #[cfg(feature = "next-schema")]
        (Some(3), Value::Object(mut head)) => {
            next::down(&mut head);
            (Value::Object(head), lists.unwrap_or_else(|| json!({})))
        }
        (Some(2), head) => (head, lists.unwrap_or_else(|| json!({}))),
        (Some(1), Value::Object(head)) => up(head),
        (Some(other), _) => {
            return Err(format!(
                "its schema is {other}, this program reads {OLDEST} to {SCHEMA}; run the newer version"
            ));
        }
        (None, _) => return Err("its schema is missing".to_owned()),
    };
    let mut head: Head = serde_json::from_value(head).map_err(|error| format!("head: {error}"))?;
    let lists: Lists = serde_json::from_value(lists).map_err(|error| format!("lists: {error}"))?;
    if let (DeckRecord::Playing { anchor: stored, .. }, Some(later)) = (&mut head.deck, anchor)
        && later.at_ms >= stored.at_ms
    {
        *stored = later;
    }
    Ok(Snapshot { head, lists })
}

/// Makes what is stored of a snapshot. `lists` may be `None` only if [`head_contains_lists`] says no.
pub(crate) fn write(head: &Head, lists: Option<&Lists>, schema: u32) -> Result<Record, String> {
    let mut head = serde_json::to_value(head).map_err(|error| format!("head: {error}"))?;
    let lists = lists
        .map(serde_json::to_value)
        .transpose()
        .map_err(|error| format!("lists: {error}"))?;
    match &mut head {
        Value::Object(map) if schema == 1 => {
            let lists = lists.ok_or("schema 1 needs the lists")?;
            down(map, lists);
            Ok(Record {
                schema,
                head,
                lists: None,
            })
        }
        Value::Object(map) => {
            map.insert("schema".to_owned(), json!(schema));
            #[cfg(feature = "next-schema")]
            if schema == next::SCHEMA {
                next::up(map);
            }
            Ok(Record { schema, head, lists })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err("the head is no object".to_owned())
        }
    }
}

/// The anchor that a write stores beside the head; only a playing deck has one that checkpoints move.
pub(crate) const fn anchor_of(head: &Head) -> Option<Anchor> {
    match &head.deck {
        DeckRecord::Playing { anchor, .. } => Some(*anchor),
        DeckRecord::Empty | DeckRecord::Paused { .. } => None,
    }
}

/// Schema 1 to 2.
fn up(mut head: Map<String, Value>) -> (Value, Value) {
    let mut take = |key: &str| head.remove(key).filter(|value| !value.is_null());
    let lists = json!({
        "queue": take("queue").unwrap_or_else(|| json!([])),
        "history": take("history").unwrap_or_else(|| json!([])),
    });
    let position = take("position_ms").unwrap_or_else(|| json!(0));
    let at = take("at_ms").unwrap_or_else(|| json!(0));
    let speed = take("speed").unwrap_or_else(|| json!(1.0));
    let paused = take("paused").and_then(|value| value.as_bool()).unwrap_or(false);
    let reason = take("pause_reason").unwrap_or_else(|| json!("person"));
    let deck = match take("current") {
        None => json!({ "is": "empty" }),
        Some(item) if paused => {
            json!({ "is": "paused", "item": item, "position_ms": position, "reason": reason })
        }
        Some(item) => json!({
            "is": "playing", "item": item,
            "anchor": { "position_ms": position, "at_ms": at, "speed": speed },
        }),
    };
    let looped = take("loop").and_then(|value| value.as_bool()).unwrap_or(false);
    let mode = take("loop_mode");
    let mode = match (looped, mode) {
        (false, _) => json!("off"),
        (true, Some(mode)) => mode,
        (true, None) => json!("queue"),
    };
    head.insert("deck".to_owned(), deck);
    head.insert("loop_mode".to_owned(), mode);
    head.insert("schema".to_owned(), json!(SCHEMA));
    (Value::Object(head), lists)
}

/// Schema 2 to 1, in place.
fn down(head: &mut Map<String, Value>, mut lists: Value) {
    let mode = head.remove("loop_mode").unwrap_or_else(|| json!("off"));
    head.insert("loop".to_owned(), json!(mode != "off"));
    if mode == "track" {
        head.insert("loop_mode".to_owned(), mode);
    }
    let mut deck = head.remove("deck").unwrap_or_else(|| json!({ "is": "empty" }));
    let paused = deck["is"] == "paused";
    head.insert("paused".to_owned(), json!(paused));
    head.insert("current".to_owned(), deck["item"].take());
    if paused {
        head.insert("position_ms".to_owned(), deck["position_ms"].take());
        if deck["reason"] != "person" {
            head.insert("pause_reason".to_owned(), deck["reason"].take());
        }
    } else if deck["is"] == "playing" {
        head.insert("position_ms".to_owned(), deck["anchor"]["position_ms"].take());
        head.insert("at_ms".to_owned(), deck["anchor"]["at_ms"].take());
        if deck["anchor"]["speed"] != json!(1.0) {
            head.insert("speed".to_owned(), deck["anchor"]["speed"].take());
        }
    }
    head.insert("queue".to_owned(), lists["queue"].take());
    head.insert("history".to_owned(), lists["history"].take());
    head.insert("schema".to_owned(), json!(1));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::record::{LoopMode, PauseReason};

    fn item(id: u64) -> Value {
        json!({
            "id": id, "requester": "42",
            "track": { "encoded": "QAAA", "identifier": "x", "source": "http", "title": "T", "author": "A",
                       "length_ms": 200_000, "seekable": true },
        })
    }

    fn old_record() -> impl Strategy<Value = Value> {
        let deck = prop_oneof![
            Just(json!({ "paused": false, "current": null })),
            (0..9_u64, 0..99_999_u64)
                .prop_map(|(id, ms)| json!({ "paused": true, "current": item(id), "position_ms": ms })),
            (0..9_u64, 0..99_999_u64, 1..i64::MAX).prop_map(
                |(id, ms, at)| json!({ "paused": false, "current": item(id), "position_ms": ms, "at_ms": at })
            ),
        ];
        let rest = (
            any::<bool>(),
            0..=200_u16,
            any::<bool>(),
            0..5_u64,
            "[a-z.$]{1,8}",
            any::<u64>(),
        );
        (deck, rest).prop_map(|(mut record, (looped, volume, autoplay, queued, key, value))| {
            record["schema"] = json!(1);
            record["loop"] = json!(looped);
            record["volume"] = json!(volume);
            record["autoplay"] = json!(autoplay);
            record["queue"] = (0..queued).map(item).collect();
            record["history"] = json!([item(99)]);
            record["next_item"] = json!(100);
            record[format!("unknown_{key}")] = json!(value);
            record
        })
    }

    proptest! {
        #[test]
        fn one_to_two_and_back_loses_nothing_that_one_knew(old in old_record()) {
            let snapshot = read(old.clone(), None, None).expect("schema 1 is read");
            let back = write(&snapshot.head, Some(&snapshot.lists), 1).expect("schema 1 is written");
            prop_assert_eq!(back.schema, 1);
            for (key, value) in old.as_object().expect("an object") {
                prop_assert_eq!(&back.head[key], value, "{}", key);
            }
        }
    }

    #[test]
    fn what_one_cannot_say_survives_a_detour_through_it() {
        let head = Head {
            loop_mode: LoopMode::Track,
            deck: DeckRecord::Paused {
                item: serde_json::from_value(item(1)).expect("an item"),
                position_ms: 5,
                reason: PauseReason::Kept,
            },
            ..Head::default()
        };
        let stored = write(&head, Some(&Lists::default()), 1).expect("written");
        assert_eq!(stored.head["loop"], true);
        assert_eq!(stored.head["paused"], true);
        assert_eq!(read(stored.head, None, None).expect("read").head, head);
    }

    #[test]
    fn a_newer_schema_and_no_schema_are_told_apart() {
        assert!(read(json!({ "schema": 3 }), None, None).is_err_and(|why| why.contains("schema is 3")));
        assert!(read(json!({}), None, None).is_err_and(|why| why.contains("missing")));
    }

    #[test]
    fn only_a_later_anchor_replaces_the_one_in_the_head() {
        let mut head = serde_json::to_value(Head::default()).expect("a head");
        head["deck"] = json!({ "is": "playing", "item": item(1), "anchor": Anchor::playing(10, 1_000) });
        let at = |anchor| {
            let read = read(head.clone(), None, Some(anchor)).expect("read");
            anchor_of(&read.head).expect("plays").position_ms
        };
        assert_eq!(at(Anchor::playing(99, 2_000)), 99);
        assert_eq!(at(Anchor::playing(99, 999)), 10);
    }
}
