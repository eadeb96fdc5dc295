//! Whether what a client saw is what the simulator logged, counted and let people hear. Pure.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A line of a script: a row, what its client saw, and what the simulator must say if that is true.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// `G1`, `L22`, ….
    pub(crate) row: String,
    /// For people; the script has judged it already.
    pub(crate) saw: Value,
    /// Events of the log, in this order.
    #[serde(default)]
    pub(crate) logged: Vec<Value>,
    /// Parts of `GET /counters`.
    #[serde(default)]
    pub(crate) counted: Value,
    /// Segments of a guild's audio, in this order.
    #[serde(default)]
    pub(crate) heard: Option<Heard>,
}

/// What people heard in a guild.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Heard {
    pub(crate) guild: String,
    pub(crate) segments: Vec<Value>,
}

impl Line {
    /// Judges the line by the simulator's own records; `audio` is the report of the guild in `heard`.
    pub(crate) fn judge(&self, log: &[Value], counters: &Value, audio: &Value) -> Result<(), String> {
        let heard = self.heard.as_ref().map_or(&[][..], |heard| &heard.segments);
        if self.logged.is_empty() && self.counted.is_null() && heard.is_empty() {
            return Err("the line names nothing that the simulator would have to know".to_owned());
        }
        in_order(&self.logged, log).map_err(|why| format!("the log: {why}"))?;
        if !self.counted.is_null() && !fits(&self.counted, counters) {
            return Err(format!("the counters are {counters}, not {}", self.counted));
        }
        in_order(heard, &segments(audio)).map_err(|why| format!("the audio: {why}"))
    }
}

/// Whether each pattern fits one of the values, each a later one than the pattern before.
fn in_order(patterns: &[Value], values: &[Value]) -> Result<(), String> {
    let mut rest = values;
    for pattern in patterns {
        let Some(at) = rest.iter().position(|value| fits(pattern, value)) else {
            let alike = rest.iter().filter(|value| value["kind"] == pattern["kind"]);
            let alike: Vec<String> = alike.rev().take(5).map(Value::to_string).collect();
            return Err(format!(
                "nothing fits {pattern}; the last alike:\n    {}",
                alike.join("\n    ")
            ));
        };
        rest = &rest[at + 1..];
    }
    Ok(())
}

/// Equal, or an object with at least these fields, or a number between `least` and `most`.
fn fits(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(limits), Value::Number(number)) if is_range(limits) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let limit = |name: &str, otherwise| limits.get(name).and_then(Value::as_f64).unwrap_or(otherwise);
            number >= limit("least", f64::NEG_INFINITY) && number <= limit("most", f64::INFINITY)
        }
        (Value::Object(fields), Value::Object(found)) => fields
            .iter()
            .all(|(name, wanted)| fits(wanted, found.get(name).unwrap_or(&Value::Null))),
        _ => pattern == value,
    }
}

fn is_range(fields: &Map<String, Value>) -> bool {
    !fields.is_empty() && fields.keys().all(|name| name == "least" || name == "most")
}

/// The segments of an audio report, each with how long it `lasts` and how much of the track it `covers`, in ms.
fn segments(audio: &Value) -> Vec<Value> {
    let mut all = audio["segments"].as_array().cloned().unwrap_or_default();
    for segment in &mut all {
        let number = |value: &Value| value.as_i64();
        let end = number(&segment["to_ms"]).or(number(&audio["now_ms"]));
        let lasts = end.zip(number(&segment["from_ms"])).map(|(to, from)| to - from);
        let covers = number(&segment["position_to_ms"])
            .zip(number(&segment["position_from_ms"]))
            .map(|(to, from)| to - from);
        segment["lasts"] = lasts.into();
        segment["covers"] = covers.into();
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "written in place by every test")]
    fn line(rest: Value) -> Line {
        let mut line = json!({"row": "G1", "saw": {}});
        line.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn events_must_be_there_with_these_fields_and_in_this_order() {
        let log = [
            json!({"kind": "a", "n": 1}),
            json!({"kind": "b", "n": 2}),
            json!({"kind": "a", "n": 3}),
        ];
        let judge = |logged: Value| line(json!({"logged": logged})).judge(&log, &Value::Null, &Value::Null);
        assert_eq!(judge(json!([{"kind": "a"}, {"kind": "b"}, {"kind": "a"}])), Ok(()));
        assert_eq!(judge(json!([{"kind": "a", "n": {"least": 2, "most": 3}}])), Ok(()));
        for wrong in [
            json!([{"kind": "a", "n": 2}]),
            json!([{"kind": "b"}, {"kind": "a", "n": 1}]),
            json!([{"kind": "b"}, {"kind": "b"}]),
            json!([{"kind": "a", "n": {"least": 4}}]),
            json!([{"kind": "a", "missing": 1}]),
        ] {
            assert!(judge(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counters_and_audio_are_compared_as_well() {
        let counters = json!({"resume": 2, "lavalink": {"GET /x": 5}});
        let audio = json!({"now_ms": 900, "segments": [
            {"track": "t", "from_ms": 100, "to_ms": null, "position_from_ms": 0, "position_to_ms": 1_600},
        ]});
        let judge = |rest: Value| line(rest).judge(&[], &counters, &audio);
        assert_eq!(
            judge(json!({"counted": {"lavalink": {"GET /x": {"least": 5}}}})),
            Ok(())
        );
        assert!(judge(json!({"counted": {"lavalink": {"GET /x": {"least": 6}}}})).is_err());
        let heard = |segment: Value| judge(json!({"heard": {"guild": "1", "segments": [segment]}}));
        assert_eq!(heard(json!({"track": "t", "lasts": 800, "covers": 1_600})), Ok(()));
        assert!(heard(json!({"track": "t", "covers": {"most": 800}})).is_err());
    }

    #[test]
    fn a_line_that_compares_nothing_is_refused() {
        assert!(line(json!({})).judge(&[], &json!({}), &Value::Null).is_err());
    }
}
