//! What nodes send, the strange included, and what is read of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::signal::EndReason;

fn read(message: &Value) -> Result<Frame, Odd> {
    frame(&message.to_string(), 1_000, &mut NodeClock::default())
}

fn sample_track() -> Value {
    json!({
        "encoded": "QAAA", "pluginInfo": {}, "userData": {},
        "info": { "identifier": "id1", "isSeekable": true, "author": "A", "length": 1000, "isStream": false,
            "position": 0, "title": "T", "uri": "https://x.example/1", "artworkUrl": null, "isrc": null,
            "sourceName": "http" }
    })
}

#[expect(clippy::unnecessary_wraps, reason = "what reading returns")]
fn about(event: NodeEvent) -> Result<Frame, Odd> {
    Ok(Frame::Guild {
        guild: GuildId::new(7),
        event,
    })
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn every_message_of_the_protocol_is_read() {
    let event = |kind: &str, mut rest: Value| {
        rest["op"] = json!("event");
        rest["type"] = json!(kind);
        rest["guildId"] = json!("7");
        rest
    };
    let track = sample_track();
    let identifier = || "id1".to_owned();
    let table = [
        (
            json!({ "op": "ready", "resumed": true, "sessionId": "abc" }),
            Ok(Frame::Ready {
                session_id: "abc".into(),
                resumed: true,
            }),
        ),
        (
            json!({ "op": "playerUpdate", "guildId": "7", "state": { "time": 5, "position": 12, "connected": true, "ping": -1 } }),
            about(NodeEvent::Update {
                position_ms: 12,
                at_ms: 1_000,
                connected: true,
            }),
        ),
        (
            json!({ "op": "playerUpdate", "guildId": 7, "state": { "position": 12, "ping": -40 } }),
            about(NodeEvent::Update {
                position_ms: 12,
                at_ms: 1_000,
                connected: false,
            }),
        ),
        (
            event("TrackStartEvent", json!({ "track": track })),
            about(NodeEvent::Started {
                identifier: identifier(),
            }),
        ),
        (
            event("TrackEndEvent", json!({ "track": track, "reason": "loadFailed" })),
            about(NodeEvent::Ended {
                identifier: identifier(),
                reason: EndReason::LoadFailed,
            }),
        ),
        (
            event(
                "TrackExceptionEvent",
                json!({ "track": track, "exception": { "message": null, "severity": "suspicious" } }),
            ),
            about(NodeEvent::Failed {
                identifier: identifier(),
                message: None,
                severity: Severity::Suspicious,
            }),
        ),
        (
            event("TrackStuckEvent", json!({ "track": track, "thresholdMs": 10 })),
            about(NodeEvent::Stuck {
                identifier: identifier(),
            }),
        ),
        (
            event(
                "WebSocketClosedEvent",
                json!({ "code": 4014, "reason": null, "byRemote": true }),
            ),
            about(NodeEvent::VoiceClosed {
                code: 4014,
                by_remote: true,
            }),
        ),
    ];
    for (message, expected) in table {
        assert_eq!(read(&message), expected, "{message}");
    }
}

#[test]
fn what_cannot_be_understood_is_named_by_its_kind_and_nothing_else() {
    let table = [
        (json!({ "op": "future", "x": 1 }), "future"),
        (json!({}), "no op"),
        (json!([1]), "no op"),
        (json!({ "op": 5 }), "no op"),
        (json!({ "op": "ready" }), "ready"),
        (json!({ "op": "stats", "players": "many" }), "stats"),
        (
            json!({ "op": "playerUpdate", "guildId": "0", "state": { "position": 1 } }),
            "playerUpdate",
        ),
        (json!({ "op": "event", "guildId": "7" }), "event without type"),
        (
            json!({ "op": "event", "guildId": "7", "type": "SegmentsLoaded" }),
            "SegmentsLoaded",
        ),
        (
            json!({ "op": "event", "guildId": "7", "type": "TrackEndEvent", "track": null, "reason": "finished" }),
            "TrackEndEvent",
        ),
        (
            json!({ "op": "event", "guildId": "7", "type": "WebSocketClosedEvent", "code": 70_000 }),
            "WebSocketClosedEvent",
        ),
        (json!({ "op": "x".repeat(5_000) }), &"x".repeat(KIND_LIMIT)),
    ];
    for (message, kind) in table {
        assert_eq!(read(&message), Err(Odd(kind.into())), "{message}");
    }
    assert_eq!(frame("{", 0, &mut NodeClock::default()), Err(Odd("not JSON".into())));
}

#[test]
fn titles_are_cut_at_a_character_streams_have_no_length_and_nuls_go() {
    let with = |key: &str, value: Value| {
        let mut track = sample_track();
        track["info"][key] = value;
        super::track(&track).unwrap()
    };
    assert_eq!(
        with("title", json!("ä".repeat(TITLE_LIMIT))).title,
        "ä".repeat(TITLE_LIMIT)
    );
    let cut = with("title", json!("ä".repeat(TITLE_LIMIT + 1))).title;
    assert_eq!((cut.chars().count(), cut.chars().last()), (TITLE_LIMIT, Some('…')));
    assert_eq!(with("author", json!("a\0b")).author, "ab");
    assert_eq!(with("title", Value::Null).title, "");
    assert_eq!(with("length", json!(1000)).length_ms, Some(1000));
    assert_eq!(with("length", json!(i64::MAX)).length_ms, None);
    assert_eq!(with("length", json!(-1)).length_ms, None);
    let stream = with("isStream", json!(true));
    assert_eq!((stream.length_ms, stream.seekable), (None, false));
    assert_eq!(track(&Value::Null), None);
    assert_eq!(track(&json!({ "info": { "identifier": "x" } })), None);
}

#[test]
fn every_load_result_is_read() {
    let track = sample_track();
    let one = super::track(&track).unwrap();
    let playlist = |selected: i64| json!({ "loadType": "playlist", "data": { "info": { "name": "P", "selectedTrack": selected }, "tracks": [track, null] } });
    let listed = |selected| Loaded::Playlist {
        name: "P".into(),
        selected,
        tracks: vec![one.clone()],
    };
    let table = [
        (
            json!({ "loadType": "track", "data": track }),
            Some(Loaded::Track(one.clone())),
        ),
        (playlist(-1), Some(listed(None))),
        (playlist(0), Some(listed(Some(0)))),
        (
            json!({ "loadType": "search", "data": [track] }),
            Some(Loaded::Search(vec![one.clone()])),
        ),
        (json!({ "loadType": "empty", "data": null }), Some(Loaded::Nothing)),
        (json!({ "loadType": "empty", "data": {} }), Some(Loaded::Nothing)),
        (
            json!({ "loadType": "error", "data": { "message": null } }),
            Some(Loaded::Failed { message: None }),
        ),
        (
            json!({ "loadType": "error", "data": { "message": "no" } }),
            Some(Loaded::Failed {
                message: Some("no".into()),
            }),
        ),
        (json!({ "loadType": "other" }), None),
        (json!({ "status": 500 }), None),
    ];
    for (answer, expected) in table {
        assert_eq!(loaded(answer.to_string().as_bytes()), expected, "{answer}");
    }
}

#[test]
fn a_player_is_read_with_and_without_voice() {
    let mut value = json!({ "guildId": "7", "track": sample_track(), "volume": 90, "paused": false,
        "state": { "time": 1, "position": 400, "connected": true, "ping": 3 },
        "voice": { "token": "t", "endpoint": "e", "sessionId": "s", "channelId": "5" }, "filters": {} });
    let found = player(&value, 77).unwrap();
    assert_eq!(
        (found.seen.position_ms, found.seen.at_ms, found.seen.volume),
        (400, 77, 90)
    );
    assert_eq!(found.voice.map(|voice| voice.channel), Some(ChannelId::new(5)));
    assert_eq!(found.filters, None);
    value["voice"] = json!({ "token": "", "endpoint": null, "sessionId": "" });
    value["track"] = Value::Null;
    let empty = player(&value, 77).unwrap();
    assert_eq!((empty.voice, empty.seen.track), (None, None));
    let list = json!([value, { "guildId": "x" }]).to_string();
    assert_eq!(
        players(list.as_bytes(), 0).map(|(found, unread)| (found.len(), unread)),
        Some((1, 1))
    );
    assert_eq!(players(b"{\"status\":404}", 0), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            Just("event"),
            Just("ready"),
            Just("stats"),
            Just("playerUpdate"),
            Just("TrackEndEvent"),
            Just("7")
        ]
        .prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![
            Just("op"),
            Just("type"),
            Just("guildId"),
            Just("state"),
            Just("track"),
            Just("info"),
            Just("data"),
            Just("loadType"),
            Just("position"),
            Just("time"),
            Just("reason"),
            Just("code"),
            Just("voice"),
            Just("length"),
            Just("title")
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(key.prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_a_node_sends_makes_reading_panic(value in any_json(), now in any::<i64>()) {
        let text = value.to_string();
        let mut clock = NodeClock::default();
        drop(frame(&text, now, &mut clock));
        drop(loaded(text.as_bytes()));
        drop(players(text.as_bytes(), now));
        drop(player(&value, now));
    }
}

#[test]
fn a_full_queue_of_the_longest_tracks_stays_below_what_a_document_may_have() {
    let long = |bytes: usize| "x".repeat(bytes);
    let made = |encoded, identifier, uri, artwork| {
        let mut value = sample_track();
        value["encoded"] = json!(long(encoded));
        value["info"]["identifier"] = json!(long(identifier));
        value["info"]["uri"] = json!(long(uri));
        value["info"]["artworkUrl"] = json!(long(artwork));
        for key in ["title", "author", "sourceName"] {
            value["info"][key] = json!("\u{1f3b5}".repeat(100_000));
        }
        value
    };
    let longest = track(&made(ENCODED_LIMIT, IDENTIFIER_LIMIT, URI_LIMIT, ARTWORK_LIMIT)).unwrap();
    let kept = crate::model::track::QUEUE_LIMIT + crate::model::track::HISTORY_LIMIT + 1;
    let bytes = serde_json::to_vec(&longest).unwrap().len() + 100;
    assert!(kept * bytes < 16_777_216, "{kept} tracks of {bytes} bytes");
    let shown = track(&made(10, 10, URI_LIMIT + 1, ARTWORK_LIMIT + 1)).unwrap();
    assert_eq!((shown.uri, shown.artwork), (None, None), "it plays without them");
    for refused in [
        made(ENCODED_LIMIT + 1, 10, 10, 10),
        made(10, IDENTIFIER_LIMIT + 1, 10, 10),
    ] {
        assert_eq!(track(&refused), None);
        let answer = |sort: &str, data: Value| loaded(json!({ "loadType": sort, "data": data }).to_string().as_bytes());
        let Some(Loaded::Failed { message: Some(why) }) = answer("track", refused.clone()) else {
            panic!("it does not load")
        };
        assert!(why.contains("too long"), "{why}");
        let list = json!([refused, sample_track()]);
        let Some(Loaded::Search(tracks)) = answer("search", list) else {
            panic!("no hits")
        };
        assert_eq!(tracks.len(), 1, "the other one can be had");
    }
}
