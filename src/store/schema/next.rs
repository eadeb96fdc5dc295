//! One schema newer than the program writes, so that tests can update to it and go back. Compiled only for them.
//!
//! It says differently what a member of today would misread: the volume lies in an object of its own.

use serde_json::{Map, Value, json};

/// Its number.
pub(super) const SCHEMA: u32 = 3;

/// Schema 3 to 2, in place.
pub(super) fn down(head: &mut Map<String, Value>) {
    let percent = head
        .remove("loudness")
        .map_or(Value::Null, |mut it| it["percent"].take());
    head.insert("volume".to_owned(), percent);
    head.insert("schema".to_owned(), json!(2));
}

/// Schema 2 to 3, in place.
pub(super) fn up(head: &mut Map<String, Value>) {
    let percent = head.remove("volume").unwrap_or_else(|| json!(100));
    head.insert("loudness".to_owned(), json!({ "percent": percent }));
    head.insert("schema".to_owned(), json!(SCHEMA));
}
