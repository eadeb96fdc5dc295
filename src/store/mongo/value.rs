//! JSON as native BSON and back, losing nothing.
//!
//! BSON cannot say three things that JSON can: keys with NUL (and keys with `$` or dots are awkward to query), and whole
//! numbers above `i64::MAX`. The former are percent-encoded, the latter stored as decimals.

use std::borrow::Cow;

use mongodb::bson::{Bson, Decimal128, Document};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Number, Value};

/// What must not stand in a key as it is.
const UNSAFE: &AsciiSet = &CONTROLS.add(b'%').add(b'$').add(b'.');

pub(super) fn to_bson(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(value),
        Value::Number(number) => number_to_bson(&number),
        Value::String(text) => Bson::String(text),
        Value::Array(values) => Bson::Array(values.into_iter().map(to_bson).collect()),
        Value::Object(map) => Bson::Document(
            map.into_iter()
                .map(|(key, value)| (escaped(key), to_bson(value)))
                .collect::<Document>(),
        ),
    }
}

fn number_to_bson(number: &Number) -> Bson {
    if let Some(whole) = number.as_i64() {
        Bson::Int64(whole)
    } else if number.is_u64() {
        number
            .to_string()
            .parse::<Decimal128>()
            .map_or(Bson::Null, Bson::Decimal128)
    } else {
        number.as_f64().map_or(Bson::Null, Bson::Double)
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "BSON has types that this program never writes"
)]
pub(super) fn from_bson(value: Bson) -> Value {
    match value {
        Bson::Null => Value::Null,
        Bson::Boolean(value) => value.into(),
        Bson::Int32(value) => value.into(),
        Bson::Int64(value) => value.into(),
        Bson::Double(value) => value.into(),
        Bson::Decimal128(value) => value
            .to_string()
            .parse::<u64>()
            .map_or_else(|_| Value::String(value.to_string()), Value::from),
        Bson::String(text) => Value::String(text),
        Bson::Array(values) => values.into_iter().map(from_bson).collect(),
        Bson::Document(document) => Value::Object(from_document(document)),
        Bson::DateTime(time) => time.timestamp_millis().into(),
        other => Value::String(other.to_string()),
    }
}

pub(super) fn from_document(document: Document) -> Map<String, Value> {
    document
        .into_iter()
        .map(|(key, value)| (unescaped(key), from_bson(value)))
        .collect()
}

/// A key without `%`, `$`, dot and NUL. Most are as they should be: a queue has thousands of keys, and none is copied.
pub(super) fn escaped(key: String) -> String {
    let safe = Cow::from(utf8_percent_encode(&key, UNSAFE));
    // A single letter is borrowed even where it changed.
    let changed = (safe != key.as_str()).then(|| safe.into_owned());
    changed.unwrap_or(key)
}

fn unescaped(key: String) -> String {
    let plain = percent_decode_str(&key).decode_utf8_lossy();
    let changed = (plain != key.as_str()).then(|| plain.into_owned());
    changed.unwrap_or(key)
}

/// A whole number, whichever way it was stored.
pub(super) fn int(document: &Document, key: &str) -> Option<i64> {
    let value = document.get(key)?;
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// The same, without a sign.
pub(super) fn count(document: &Document, key: &str) -> Option<u64> {
    int(document, key).and_then(|value| value.try_into().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("JSON has no NaN", |f| f.is_finite())
                .prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[%$.a0-9E\u{0}é]{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_comes_back_as_it_was(value in any_json()) {
            let document = mongodb::bson::doc! { "v": to_bson(value.clone()) };
            let bytes = document.to_vec().expect("BSON takes it");
            let mut back = Document::from_reader(&bytes[..]).expect("BSON");
            prop_assert_eq!(from_bson(back.remove("v").expect("there")), value);
        }
    }

    #[test]
    fn keys_are_safe_for_paths() {
        assert_eq!(escaped("$a.b\0%24".to_owned()), "%24a%2Eb%00%2524");
        for (key, safe) in [("\0", "%00"), ("$", "%24"), ("a", "a"), ("é", "%C3%A9"), ("", "")] {
            assert_eq!(escaped(key.to_owned()), safe);
            assert_eq!(unescaped(safe.to_owned()), key);
        }
        assert_eq!(from_bson(to_bson(json!({ "%2524": 1 }))), json!({ "%2524": 1 }));
    }
}
