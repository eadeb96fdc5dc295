//! `PATCH /v4/sessions/{s}/players/{g}`: what a body says, and why it may be refused before anything is done.

use serde_json::{Map, Value, json};

/// A refusal: HTTP status and Lavalink's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) String);

impl Refusal {
    /// 400.
    pub(super) fn bad(message: &str) -> Self {
        Self(400, message.to_owned())
    }

    /// What deserialisation says.
    pub(super) fn malformed() -> Self {
        Self::bad("Bad Request")
    }
}

/// A key that may be absent, null, or there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Key<T> {
    #[default]
    Absent,
    Null,
    Is(T),
}

/// Voice credentials as a client gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Voice {
    pub(super) token: String,
    pub(super) endpoint: String,
    pub(super) session_id: String,
    pub(super) channel_id: String,
}

impl Voice {
    pub(super) fn json(&self) -> Value {
        json!({
            "token": self.token, "endpoint": self.endpoint, "sessionId": self.session_id, "channelId": self.channel_id,
        })
    }
}

/// The body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Patch {
    pub(super) encoded: Key<String>,
    pub(super) identifier: Option<String>,
    pub(super) user_data: Option<Value>,
    pub(super) position: Option<u64>,
    pub(super) end_time: Key<u64>,
    pub(super) volume: Option<i64>,
    pub(super) paused: Option<bool>,
    pub(super) filters: Option<Value>,
    pub(super) voice: Option<Voice>,
}

impl Patch {
    /// Whether it touches the track itself.
    pub(super) fn names_track(&self) -> bool {
        self.identifier.is_some() || self.encoded != Key::Absent
    }

    /// Reads and validates a body, in Lavalink's order.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return Err(Refusal::malformed());
        };
        let mut patch = Self {
            encoded: text_key(&body, "encodedTrack")?,
            identifier: text(&body, "identifier")?,
            position: number(&body, "position")?.map(|position| u64::try_from(position).unwrap_or(0)),
            volume: number(&body, "volume")?,
            paused: match body.get("paused") {
                None => None,
                Some(Value::Bool(paused)) => Some(*paused),
                Some(_) => return Err(Refusal::malformed()),
            },
            filters: match body.get("filters") {
                None => None,
                Some(filters @ Value::Object(_)) => Some(filters.clone()),
                Some(_) => return Err(Refusal::malformed()),
            },
            ..Self::default()
        };
        patch.read_track(&body)?;
        if patch.encoded != Key::Absent && patch.identifier.is_some() {
            return Err(Refusal::bad("Cannot specify both encodedTrack and identifier"));
        }
        patch.voice = body.get("voice").map(voice).transpose()?;
        patch.end_time = match body.get("endTime") {
            None => Key::Absent,
            Some(Value::Null) => Key::Null,
            Some(value) => match value.as_i64().ok_or_else(Refusal::malformed)? {
                end @ 1.. => Key::Is(end.unsigned_abs()),
                _ => return Err(Refusal::bad("End time must be greater than 0")),
            },
        };
        Ok(patch)
    }

    fn read_track(&mut self, body: &Map<String, Value>) -> Result<(), Refusal> {
        let track = match body.get("track") {
            None => return Ok(()),
            Some(Value::Object(track)) => track,
            Some(_) => return Err(Refusal::malformed()),
        };
        if self.names_track() {
            return Err(Refusal::bad("Cannot specify both track and encodedTrack/identifier"));
        }
        self.encoded = text_key(track, "encoded")?;
        self.identifier = text(track, "identifier")?;
        self.user_data = track.get("userData").cloned();
        Ok(())
    }
}

fn voice(value: &Value) -> Result<Voice, Refusal> {
    let part = |key: &str| value[key].as_str().map(str::to_owned).ok_or_else(Refusal::malformed);
    // A null channel is told apart from a missing one.
    let channel_id = match value.get("channelId") {
        Some(Value::Null) => String::new(),
        Some(Value::String(channel)) => channel.clone(),
        _ => return Err(Refusal::malformed()),
    };
    let voice = Voice {
        token: part("token")?,
        endpoint: part("endpoint")?,
        session_id: part("sessionId")?,
        channel_id,
    };
    let parts = [&voice.token, &voice.endpoint, &voice.session_id, &voice.channel_id];
    if parts.iter().any(|part| part.trim().is_empty()) {
        return Err(Refusal::bad(
            "token, endpoint, sessionId and channelId must be provided in voice state",
        ));
    }
    Ok(voice)
}

fn text(body: &Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::malformed()),
    }
}

fn text_key(body: &Map<String, Value>, key: &str) -> Result<Key<String>, Refusal> {
    if body.get(key).is_some_and(Value::is_null) {
        return Ok(Key::Null);
    }
    Ok(text(body, key)?.map_or(Key::Absent, Key::Is))
}

fn number(body: &Map<String, Value>, key: &str) -> Result<Option<i64>, Refusal> {
    match body.get(key) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(Refusal::malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &Value) -> String {
        Patch::read(body.to_string().as_bytes()).unwrap_err().1
    }

    #[test]
    fn bodies_are_refused_with_lavalinks_words() {
        let voice =
            |channel: Value| json!({"voice": {"token": "t", "endpoint": "e", "sessionId": "s", "channelId": channel}});
        let blank = "token, endpoint, sessionId and channelId must be provided in voice state";
        let table = [
            (
                json!({"track": {"encoded": "x"}, "encodedTrack": "y"}),
                "Cannot specify both track and encodedTrack/identifier",
            ),
            (
                json!({"track": {"encoded": "x", "identifier": "y"}}),
                "Cannot specify both encodedTrack and identifier",
            ),
            (json!({"endTime": 0}), "End time must be greater than 0"),
            (voice(json!("")), blank),
            (voice(Value::Null), blank),
            (voice(json!(5)), "Bad Request"),
            (
                json!({"voice": {"token": "t", "endpoint": "e", "sessionId": "s"}}),
                "Bad Request",
            ),
            (json!({"paused": "yes"}), "Bad Request"),
            (json!([]), "Bad Request"),
        ];
        for (body, words) in table {
            assert_eq!(refused(&body), words, "{body}");
        }
    }

    #[test]
    fn unknown_keys_are_ignored_and_null_is_not_absent() {
        let patch = Patch::read(br#"{"track":{"encoded":null},"endTime":null,"new":1}"#).unwrap();
        assert_eq!((patch.encoded.clone(), patch.end_time.clone()), (Key::Null, Key::Null));
        assert!(patch.names_track());
        assert_eq!(Patch::read(b"{}").unwrap(), Patch::default());
    }
}
