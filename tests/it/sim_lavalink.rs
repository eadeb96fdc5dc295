//! A node of the simulator behaves as Lavalink 4.2.2 does, row by row.
#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use segue::sim::audio::Audio;
use segue::sim::clock::Clock;
use segue::sim::lavalink::{FaultEnd, NodeReady, Nodes, Surroundings, Timing};
use segue::sim::log::Log;
use segue::sim::voice::{Minted, Switchboard};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(10);
const GUILD: u64 = 5;

struct World {
    nodes: Nodes,
    audio: Audio,
    log: Log,
    switchboard: Switchboard,
    http: reqwest::Client,
}

struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    headers: HeaderMap,
}

/// Waits until `check` answers, and says what it last saw if it never does.
async fn until<T, S: Debug>(mut check: impl AsyncFnMut() -> Result<T, S>) -> T {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(found) => return found,
            Err(seen) => assert!(start.elapsed() < LIMIT, "last seen: {seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn quick() -> Timing {
    Timing {
        voice_connect_ms: 1,
        ..Timing::default()
    }
}

fn minted(token: &str) -> Minted {
    Minted {
        token: token.to_owned(),
        endpoint: "voice.sim:443".to_owned(),
        session_id: "voice".to_owned(),
        channel: 77,
    }
}

fn voice(token: &str) -> Value {
    json!({"token": token, "endpoint": "voice.sim:443", "sessionId": "voice", "channelId": "77"})
}

impl World {
    async fn new(timing: Timing) -> Self {
        let clock = Clock::new();
        let (log, audio) = (Log::new(clock), Audio::new(clock));
        let surroundings = Surroundings {
            clock,
            log: log.clone(),
            switchboard: Switchboard::default(),
            audio: audio.clone(),
            timing,
            seed: 1,
        };
        let names = ["a".to_owned(), "b".to_owned()];
        let free = "127.0.0.1:0".parse().unwrap();
        let nodes = Nodes::start_in(&names, &[free, free], None, &surroundings)
            .await
            .unwrap();
        audio.people(GUILD, 1);
        surroundings.switchboard.mint(GUILD, minted("t1"));
        Self {
            nodes,
            audio,
            log,
            switchboard: surroundings.switchboard,
            http: reqwest::Client::new(),
        }
    }

    fn node(&self) -> NodeReady {
        self.nodes.ready().remove(0)
    }

    fn fault(&self, kind: &str, mut options: Value) -> FaultEnd {
        options["node"] = json!("a");
        self.nodes
            .fault(kind, &options)
            .expect("a kind of fault")
            .expect("begun")
    }

    async fn try_connect(&self, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
        let url = format!("{}/v4/websocket", self.node().url.replace("http", "ws"));
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (stream, response) = connect_async(request).await?;
        Ok(Socket {
            stream,
            headers: response.headers().clone(),
        })
    }

    /// Connects, and answers the socket and the session's id.
    async fn connect(&self, session: Option<&str>) -> (Socket, String, bool) {
        let password = self.node().password;
        let mut headers = vec![
            ("Authorization", password.as_str()),
            ("User-Id", "1"),
            ("Client-Name", "test/0"),
        ];
        headers.extend(session.map(|session| ("Session-Id", session)));
        let mut socket = self.try_connect(&headers).await.unwrap();
        let ready = socket.next("ready").await;
        (
            socket,
            ready["sessionId"].as_str().unwrap().to_owned(),
            ready["resumed"].as_bool().unwrap(),
        )
    }

    async fn rest(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.node().url);
        let request = self
            .http
            .request(method, url)
            .header("Authorization", self.node().password);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["Lavalink-Api-Version"], "4");
        let status = response.status();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    async fn patch(&self, session: &str, body: &Value) -> Value {
        let (status, answer) = self.player(session, "", body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn player(&self, session: &str, query: &str, body: &Value) -> (StatusCode, Value) {
        let path = format!("/v4/sessions/{session}/players/{GUILD}{query}");
        self.rest(Method::PATCH, &path, Some(body)).await
    }

    async fn get(&self, session: &str) -> (StatusCode, Value) {
        self.rest(Method::GET, &format!("/v4/sessions/{session}/players/{GUILD}"), None)
            .await
    }

    async fn arm(&self, session: &str, timeout: i64) {
        let body = json!({"resuming": true, "timeout": timeout});
        let (status, answer) = self
            .rest(Method::PATCH, &format!("/v4/sessions/{session}"), Some(&body))
            .await;
        assert_eq!((status.as_u16(), answer), (200, body));
    }

    async fn paused(&self, session: &str) {
        until(async || {
            let world = self.nodes.world();
            let sessions = world[0]["sessions"].as_array().unwrap();
            let found = sessions
                .iter()
                .any(|entry| entry["id"] == session && entry["connected"] == false);
            if found { Ok(()) } else { Err(world.clone()) }
        })
        .await;
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let of_kind = |event: &serde_json::Map<String, Value>| event["kind"] == kind;
        let events = self.log.since(0);
        events
            .iter()
            .filter(|event| of_kind(event))
            .map(|event| Value::Object((**event).clone()))
            .collect()
    }

    /// A session that plays `identifier` in the guild.
    async fn playing(&self, identifier: &str) -> (Socket, String) {
        let (mut socket, session, _) = self.connect(None).await;
        self.patch(
            &session,
            &json!({"voice": voice("t1"), "track": {"identifier": identifier}}),
        )
        .await;
        socket.event("TrackStartEvent").await;
        (socket, session)
    }
}

impl Socket {
    async fn read(&mut self) -> Result<Value, Option<CloseFrame>> {
        let message = tokio::time::timeout(LIMIT, self.stream.next())
            .await
            .expect("a message");
        match message {
            Some(Ok(Message::Text(text))) => Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => Err(frame),
            _ => Err(None),
        }
    }

    async fn next(&mut self, op: &str) -> Value {
        loop {
            let message = self.read().await.expect("an open socket");
            if message["op"] == op {
                return message;
            }
        }
    }

    async fn event(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next("event").await;
            if event["type"] == kind {
                return event;
            }
        }
    }

    async fn silent(&mut self, for_ms: u64) -> bool {
        tokio::time::timeout(Duration::from_millis(for_ms), self.stream.next())
            .await
            .is_err()
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.stream.send(Message::Close(Some(frame))).await.unwrap();
    }
}

fn status_of(refused: Result<Socket, Error>) -> u16 {
    match refused {
        Err(Error::Http(response)) => {
            assert_eq!(response.headers()["Lavalink-Api-Version"], "4");
            response.status().as_u16()
        }
        Err(other) => panic!("{other}"),
        Ok(_) => 101,
    }
}

#[tokio::test]
async fn l1_a_handshake_needs_the_password_and_a_user() {
    let world = World::new(quick()).await;
    let password = world.node().password;
    let good = ("Authorization", password.as_str());
    assert_eq!(status_of(world.try_connect(&[("User-Id", "1")]).await), 401);
    assert_eq!(
        status_of(world.try_connect(&[("Authorization", "x"), ("User-Id", "1")]).await),
        401
    );
    assert_eq!(status_of(world.try_connect(&[good]).await), 400);
    assert_eq!(status_of(world.try_connect(&[good, ("User-Id", "0")]).await), 400);
    let mut named = world.try_connect(&[good, ("User-Id", "segue")]).await.unwrap();
    assert_eq!(named.read().await.unwrap_err().unwrap().code, 1011.into(), "N14");
    let (socket, ..) = world.connect(None).await;
    assert_eq!(socket.headers["Session-Resumed"], "false");
    world.nodes.shutdown().await;
}

#[tokio::test]
async fn l2_ready_comes_first_and_stats_at_once_unless_asked_otherwise() {
    let world = World::new(quick()).await;
    let (mut socket, id, _) = world.connect(None).await;
    assert_eq!(id.len(), 16);
    assert_eq!(socket.read().await.unwrap()["op"], "stats");
    world.fault("stats_first", json!({}));
    let password = world.node().password;
    let mut early = world
        .try_connect(&[("Authorization", &password), ("User-Id", "1")])
        .await
        .unwrap();
    assert_eq!(early.read().await.unwrap()["op"], "stats");
    assert_eq!(early.read().await.unwrap()["op"], "ready");
}

#[tokio::test]
async fn l3_rest_refuses_with_an_empty_body_and_unknown_paths_with_json() {
    let world = World::new(quick()).await;
    let url = format!("{}/v4/info", world.node().url);
    for (password, status) in [(None, 401), (Some("x"), 403)] {
        let mut request = world.http.get(&url);
        if let Some(password) = password {
            request = request.header("Authorization", password);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["Lavalink-Api-Version"], "4");
        assert_eq!(
            (response.status().as_u16(), response.text().await.unwrap()),
            (status, String::new())
        );
    }
    let response = world
        .http
        .get(format!("{}/nowhere?trace=true", world.node().url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 404);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (body["path"].as_str(), body["status"].as_u64()),
        (Some("/nowhere"), Some(404))
    );
    assert!(body["trace"].is_string());
}

#[tokio::test]
async fn l4_an_empty_session_patch_reads_and_an_unknown_session_is_404() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    let path = format!("/v4/sessions/{id}");
    let (_, read) = world.rest(Method::PATCH, &path, Some(&json!({}))).await;
    assert_eq!(read, json!({"resuming": false, "timeout": 60}));
    world.arm(&id, -5).await;
    let (status, body) = world.rest(Method::PATCH, "/v4/sessions/none", Some(&json!({}))).await;
    assert_eq!(
        (status.as_u16(), body["message"].as_str()),
        (404, Some("Session not found"))
    );
}

#[tokio::test]
async fn l5_a_session_that_may_not_be_resumed_dies_with_its_socket() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    socket.close(4000).await;
    until(async || match world.nodes.world()[0]["sessions"].clone() {
        sessions if sessions == json!([]) => Ok(()),
        sessions => Err(sessions),
    })
    .await;
    assert_eq!(world.events("frames_end").len(), 1);
    let (_socket, other, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed && other != id, "L8");
}

#[tokio::test]
async fn l6_l7_a_paused_session_plays_on_and_replays_in_order() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=1").await;
    world.arm(&id, 60).await;
    socket.close(1000).await;
    world.paused(&id).await;
    assert_eq!(world.get(&id).await.0, 404);
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    until(async || match world.events("track_end").len() {
        1 => Ok(()),
        ends => Err(ends),
    })
    .await;
    world.switchboard.close(GUILD, 4014, false);
    until(async || match world.events("voice_closed").len() {
        1 => Ok(()),
        closed => Err(closed),
    })
    .await;
    let password = world.node().password;
    let headers = [
        ("Authorization", password.as_str()),
        ("User-Id", "2"),
        ("Session-Id", &id),
    ];
    let mut socket = world.try_connect(&headers).await.unwrap();
    assert_eq!(socket.headers["Session-Resumed"], "true");
    let ready = socket.read().await.unwrap();
    assert_eq!(
        (&ready["resumed"], ready["sessionId"].as_str()),
        (&json!(true), Some(id.as_str()))
    );
    let end = socket.read().await.unwrap();
    assert_eq!(
        (&end["type"], &end["reason"]),
        (&json!("TrackEndEvent"), &json!("finished"))
    );
    let closed = socket.read().await.unwrap();
    assert_eq!((&closed["code"], &closed["byRemote"]), (&json!(4014), &json!(true)));
    let update = socket.read().await.unwrap();
    assert_eq!(
        (&update["op"], &update["state"]["connected"]),
        (&json!("playerUpdate"), &json!(false))
    );
    assert!(socket.silent(100).await, "the next track is the client's to start");
    assert_eq!(
        world
            .rest(Method::PATCH, &format!("/v4/sessions/{id}"), Some(&json!({})))
            .await
            .1["resuming"],
        true
    );
}

#[tokio::test]
async fn l8_after_the_timeout_the_session_is_gone() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 0).await;
    drop(socket);
    until(async || match world.events("node_session_gone").len() {
        1 => Ok(()),
        gone => Err(gone),
    })
    .await;
    assert!(!world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn l9_a_second_socket_gets_its_own_session_while_the_first_is_open() {
    let world = World::new(quick()).await;
    let (mut first, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let (_second, other, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed && other != id);
    world.patch(&id, &json!({"position": 5000})).await;
    first.next("playerUpdate").await;
}

#[tokio::test]
async fn l10_a_handshake_that_aborts_still_cancels_the_timeout() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 1).await;
    drop(socket);
    world.paused(&id).await;
    let response = world
        .http
        .get(format!("{}/v4/websocket", world.node().url))
        .header("Authorization", world.node().password)
        .header("User-Id", "1")
        .header("Session-Id", &id)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["Session-Resumed"], "true", "N4");
    let paused = Instant::now();
    until(async || {
        if paused.elapsed() > Duration::from_millis(1_200) {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
    let (socket, same, resumed) = world.connect(Some(&id)).await;
    assert_eq!(socket.headers["Session-Resumed"], "false");
    assert!(resumed && same == id);
}

#[tokio::test]
async fn l11_the_same_voice_again_does_nothing_and_another_replaces_it() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    let again = world.patch(&id, &json!({"voice": voice("t1")})).await;
    assert_eq!(
        (&again["state"]["connected"], &again["voice"]),
        (&json!(true), &voice("t1"))
    );
    assert_eq!(world.events("voice_closed").len(), 0);
    world.switchboard.mint(GUILD, minted("t2"));
    world.patch(&id, &json!({"voice": voice("t2")})).await;
    let closed = socket.event("WebSocketClosedEvent").await;
    assert_eq!((&closed["code"], &closed["byRemote"]), (&json!(1000), &json!(false)));
    let report = world.audio.report(GUILD, 0);
    assert_eq!(report["gaps"], json!([]), "{report}");
    let segments = report["segments"].as_array().unwrap();
    let skipped = segments[1]["position_from_ms"].as_i64().unwrap() - segments[0]["position_to_ms"].as_i64().unwrap();
    assert!((300..=360).contains(&skipped), "N9: {report}");
}

#[tokio::test]
async fn l12_stale_credentials_are_accepted_and_then_closed_with_4006() {
    let world = World::new(quick()).await;
    let (mut socket, id, _) = world.connect(None).await;
    world
        .patch(
            &id,
            &json!({"voice": voice("old"), "track": {"identifier": "sim:A?length=60"}}),
        )
        .await;
    let closed = socket.event("WebSocketClosedEvent").await;
    assert_eq!((&closed["code"], &closed["byRemote"]), (&json!(4006), &json!(true)));
    let (_, player) = world.get(&id).await;
    assert_eq!(
        (&player["state"]["position"], &player["state"]["connected"]),
        (&json!(0), &json!(false))
    );
}

#[tokio::test]
async fn l13_after_4014_the_player_plays_on_to_nobody() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.switchboard.close(GUILD, 4014, false);
    assert_eq!(socket.event("WebSocketClosedEvent").await["code"], 4014);
    assert_eq!(world.audio.report(GUILD, 0)["playing"], false);
    let before = world.get(&id).await.1["state"]["position"].as_u64().unwrap();
    until(async || {
        let state = world.get(&id).await.1["state"].clone();
        if state["position"].as_u64().unwrap() > before + 50 && state["connected"] == false {
            Ok(())
        } else {
            Err(state)
        }
    })
    .await;
    until(async || {
        let report = world.audio.report(GUILD, 0);
        if report["gaps"][0]["to_ms"].is_null() && report["gaps"][0].is_object() {
            Ok(())
        } else {
            Err(report)
        }
    })
    .await;
    world.patch(&id, &json!({"voice": voice("t1")})).await;
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    assert_eq!(
        world.events("voice_closed").len(),
        1,
        "a dead connection is replaced without a word"
    );
}

#[tokio::test]
async fn l14_a_track_that_nobody_pulls_is_cleaned_up() {
    let world = World::new(Timing {
        cleanup_ms: 100,
        ..quick()
    })
    .await;
    let (mut socket, id, _) = world.connect(None).await;
    world
        .patch(&id, &json!({"track": {"identifier": "sim:A?length=60"}}))
        .await;
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "cleanup");
}

#[tokio::test]
async fn l15_tracks_start_replace_and_stop() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.patch(&id, &json!({"paused": true})).await;
    let kept = world
        .player(
            &id,
            "?noReplace=true",
            &json!({"track": {"identifier": "sim:B"}, "volume": 2000}),
        )
        .await
        .1;
    assert_eq!(
        (&kept["track"]["info"]["title"], &kept["volume"], &kept["paused"]),
        (&json!("A"), &json!(1000), &json!(true))
    );
    let new = world
        .patch(&id, &json!({"track": {"identifier": "sim:B", "userData": {"n": 1}}}))
        .await;
    assert_eq!(
        (&new["track"]["info"]["title"], &new["paused"]),
        (&json!("B"), &json!(false))
    );
    assert_eq!(new["track"]["userData"], json!({"n": 1}));
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "replaced");
    assert_eq!(socket.event("TrackStartEvent").await["track"]["info"]["title"], "B");
    for _ in 0..2 {
        assert_eq!(socket.read().await.unwrap()["op"], "playerUpdate", "twice at a start");
    }
    let none = world.patch(&id, &json!({"track": {"encoded": null}})).await;
    assert!(none["track"].is_null());
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "stopped");
    for (identifier, words) in [
        ("nothing", "No matches found for identifier"),
        ("ytsearch:moon", "Cannot play a playlist or search result"),
        ("sim:playlist:x", "Cannot play a playlist or search result"),
    ] {
        let (status, body) = world
            .player(&id, "", &json!({"track": {"identifier": identifier}}))
            .await;
        assert_eq!((status.as_u16(), body["message"].as_str()), (400, Some(words)));
    }
    assert_eq!(
        world.player(&id, "", &json!({"track": {"encoded": "???"}})).await.0,
        500
    );
}

#[tokio::test]
async fn l16_the_position_runs_ahead_of_the_ear_and_counts_output_time() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=3").await;
    world
        .patch(&id, &json!({"filters": {"timescale": {"speed": 2.0}}}))
        .await;
    let end = socket.event("TrackEndEvent").await;
    let position = end["track"]["info"]["position"].as_u64().unwrap();
    assert!(
        (1_400..=1_800).contains(&position),
        "three seconds at twice the speed: {end}"
    );
    let report = until(async || match world.audio.report(GUILD, 0) {
        report if report["playing"] == false => Ok(report),
        report => Err(report),
    })
    .await;
    let heard = report["segments"].as_array().unwrap().last().unwrap().clone();
    let heard_to = heard["position_to_ms"].as_i64().unwrap();
    assert!((2_980..=3_020).contains(&heard_to), "the ear hears it whole: {report}");
    assert_eq!(report["gaps"], json!([]));
}

#[tokio::test]
async fn l17_encoded_tracks_carry_the_position_and_start_there() {
    let world = World::new(quick()).await;
    let (_socket, id) = world.playing("sim:A?length=60").await;
    let encoded = async || {
        let player = world.get(&id).await.1;
        player["track"]["encoded"]
            .as_str()
            .unwrap()
            .replace('+', "%2B")
            .replace('=', "%3D")
    };
    let first = encoded().await;
    let second = until(async || match encoded().await {
        same if same == first => Err(same),
        other => Ok(other),
    })
    .await;
    let decoded = world
        .rest(Method::GET, &format!("/v4/decodetrack?encodedTrack={second}"), None)
        .await
        .1;
    assert!(decoded["info"]["position"].as_u64().unwrap() > 0);
    let body = json!({"track": {"encoded": decoded["encoded"]}});
    assert_eq!(world.patch(&id, &body).await["track"]["info"]["title"], "A");
    assert_eq!(
        world.rest(Method::GET, "/v4/decodetrack?encodedTrack=xx", None).await.0,
        500,
        "N14"
    );
}

#[tokio::test]
async fn l18_loading_has_five_answers() {
    let world = World::new(quick()).await;
    for (identifier, kind) in [
        ("sim:A", "track"),
        ("sim:playlist:P?count=3", "playlist"),
        ("ytsearch:moon", "search"),
        ("nope", "empty"),
        ("sim:error", "error"),
    ] {
        let path = format!(
            "/v4/loadtracks?identifier={}",
            identifier.replace('?', "%3F").replace('=', "%3D")
        );
        let (status, body) = world.rest(Method::GET, &path, None).await;
        assert_eq!(
            (status.as_u16(), body["loadType"].as_str()),
            (200, Some(kind)),
            "{body}"
        );
        match kind {
            "playlist" => assert_eq!(body["data"]["tracks"].as_array().unwrap().len(), 3),
            "empty" => assert!(body.as_object().unwrap()["data"].is_null()),
            _ => assert!(body["data"].is_object() || body["data"].is_array()),
        }
    }
    assert_eq!(world.rest(Method::GET, "/v4/loadtracks", None).await.0, 400);
}

#[tokio::test]
async fn l19_deleting_is_always_204() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    let path = format!("/v4/sessions/{id}/players/{GUILD}");
    for _ in 0..2 {
        assert_eq!(world.rest(Method::DELETE, &path, None).await.0, 204);
    }
    socket.event("WebSocketClosedEvent").await;
    assert_eq!(world.get(&id).await.1["message"], "Player not found");
}

#[tokio::test]
async fn l20_a_server_told_to_stop_says_1001_and_forgets() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    world.fault("restart_node", json!({"graceful": true}));
    let frame = loop {
        if let Err(frame) = socket.read().await {
            break frame;
        }
    };
    assert_eq!(frame.unwrap().code, 1001.into());
    until(async || match world.nodes.world() {
        nodes if nodes[0]["up"] == true && nodes[0]["sessions"] == json!([]) => Ok(()),
        nodes => Err(nodes),
    })
    .await;
    assert!(!world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn l21_l22_stats_count_the_whole_node_and_updates_keep_their_period() {
    let world = World::new(Timing {
        update_ms: 50,
        stats_ms: 100,
        ..quick()
    })
    .await;
    let (_first, id) = world.playing("sim:A?length=60").await;
    let (mut other, ..) = world.connect(None).await;
    let stats = other.next("stats").await;
    assert_eq!((&stats["players"], &stats["playingPlayers"]), (&json!(1), &json!(1)));
    assert!(stats["frameStats"].is_null());
    world.patch(&id, &json!({"paused": true})).await;
    let (_, stats) = world.rest(Method::GET, "/v4/stats", None).await;
    assert_eq!((&stats["players"], &stats["playingPlayers"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_killed_node_is_silent_at_once_and_comes_back_on_its_port() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let end = world.fault("kill_node", json!({}));
    assert_eq!(world.audio.report(GUILD, 0)["playing"], false);
    let broken = loop {
        if let Err(frame) = socket.read().await {
            break frame;
        }
    };
    assert!(broken.is_none(), "no close frame");
    let address = world.node().url.replace("http://", "");
    until(async || match TcpStream::connect(&address).await {
        Err(refused) if refused.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(other),
    })
    .await;
    end.end();
    until(async || {
        if world.nodes.world()[0]["up"] == true {
            Ok(())
        } else {
            Err(world.nodes.world())
        }
    })
    .await;
    assert!(!world.connect(Some(&id)).await.2, "its memory is lost");
    assert_eq!(world.audio.report(GUILD, 0)["gaps"].as_array().unwrap().len(), 1);
    world.nodes.shutdown().await;
}

#[tokio::test]
async fn n1_swallowed_voice_takes_workers_until_rest_is_dead_and_audio_goes_on() {
    let world = World::new(Timing { workers: 3, ..quick() }).await;
    let (_socket, id) = world.playing("sim:A?length=60").await;
    let swallowed = async |guild: u64| {
        let path = format!("/v4/sessions/{id}/players/{guild}");
        let asked = world
            .rest(Method::PATCH, &path, Some(&json!({"voice": voice("x")})))
            .await;
        asked.0
    };
    let end = world.fault("swallow_voice", json!({}));
    let short = Duration::from_millis(150);
    assert!(tokio::time::timeout(short, swallowed(6)).await.is_err());
    end.end();
    assert!(
        tokio::time::timeout(short, swallowed(6)).await.is_err(),
        "the guild is wedged even now"
    );
    assert_eq!(
        world
            .rest(Method::DELETE, &format!("/v4/sessions/{id}/players/6"), None)
            .await
            .0,
        204
    );
    assert_eq!(swallowed(6).await, 200, "the guild is free, the threads are not");
    let _end = world.fault("swallow_voice", json!({}));
    assert!(tokio::time::timeout(short, swallowed(7)).await.is_err());
    assert!(
        tokio::time::timeout(short, world.get(&id)).await.is_err(),
        "no worker is left"
    );
    assert!(tokio::time::timeout(short, world.connect(Some(&id))).await.is_err());
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
}

#[tokio::test]
async fn n2_a_mute_socket_owns_the_session_and_says_nothing() {
    let world = World::new(quick()).await;
    let (mut owner, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let end = world.fault("mute_socket", json!({}));
    let password = world.node().password;
    let headers = [
        ("Authorization", password.as_str()),
        ("User-Id", "1"),
        ("Session-Id", &id),
    ];
    let mut mute = world.try_connect(&headers).await.unwrap();
    assert_eq!(owner.next("ready").await["resumed"], true, "the owner is told twice");
    assert!(mute.silent(50).await);
    mute.close(1000).await;
    world.paused(&id).await;
    assert_eq!(world.get(&id).await.0, 404, "under the owner, whose socket is open");
    end.end();
    assert!(world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn n3_a_lost_resume_succeeds_at_the_next_try_with_the_old_id() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    world.fault("lose_resume", json!({}));
    drop(socket);
    world.paused(&id).await;
    let (loser, _, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed);
    assert_eq!(loser.headers["Session-Resumed"], "true", "N4");
    let (winner, _, resumed) = world.connect(Some(&id)).await;
    assert!(resumed);
    assert_eq!(winner.headers["Session-Resumed"], "false", "N4");
}

#[tokio::test]
async fn n5_opus_cannot_start_in_the_middle_and_counts_from_zero_after_a_seek() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60&format=opus").await;
    let started = Instant::now();
    until(async || {
        if started.elapsed() > Duration::from_millis(50) {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
    let sought = world.patch(&id, &json!({"position": 30_000})).await;
    assert!(sought["state"]["position"].as_u64().unwrap() < 1_000, "{sought}");
    until(async || match world.audio.report(GUILD, 0) {
        report if report["segments"][1]["position_from_ms"] == 30_000 => Ok(()),
        report => Err(report),
    })
    .await;
    let body = json!({"track": {"identifier": "sim:B?length=60&format=opus"}, "position": 5_000});
    world.patch(&id, &body).await;
    socket.event("TrackStartEvent").await;
    socket.event("TrackExceptionEvent").await;
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "loadFailed");
}

#[tokio::test]
async fn n6_a_restored_paused_player_reports_zero_and_starts_where_it_was() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    let body =
        json!({"voice": voice("t1"), "track": {"identifier": "sim:A?length=90"}, "position": 60_000, "paused": true});
    assert_eq!(world.patch(&id, &body).await["state"]["position"], 0);
    world.patch(&id, &json!({"paused": false})).await;
    assert_eq!(world.audio.report(GUILD, 0)["segments"][0]["position_from_ms"], 60_000);
}

#[tokio::test]
async fn n7_a_failed_patch_leaves_a_player() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    assert_eq!(
        world
            .player(&id, "", &json!({"track": {"identifier": "nothing"}}))
            .await
            .0,
        400
    );
    assert_eq!(world.get(&id).await.0, 200);
}

#[tokio::test]
async fn n8_the_end_is_told_before_it_is_heard_and_what_follows_at_once_has_no_gap() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=1").await;
    socket.event("TrackEndEvent").await;
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    world
        .patch(&id, &json!({"track": {"identifier": "sim:B?length=1"}}))
        .await;
    socket.event("TrackEndEvent").await;
    let report = world.audio.report(GUILD, 0);
    assert_eq!(report["gaps"], json!([]), "{report}");
    assert_eq!(report["segments"][0]["position_to_ms"], 1_000);
    assert_eq!(report["segments"][1]["position_from_ms"], 0);
    assert_eq!(report["segments"][0]["to_ms"], report["segments"][1]["from_ms"]);
}

#[tokio::test]
async fn n10_a_missing_channel_is_only_a_bad_request() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    let (status, body) = world
        .player(
            &id,
            "",
            &json!({"voice": {"token": "t", "endpoint": "e", "sessionId": "s"}}),
        )
        .await;
    assert_eq!((status.as_u16(), body["message"].as_str()), (400, Some("Bad Request")));
    let mut named = voice("t1");
    named["channelId"] = json!("general");
    assert_eq!(world.player(&id, "", &json!({"voice": named})).await.0, 500);
}

#[tokio::test]
async fn n11_a_paused_player_is_still_reported() {
    let world = World::new(Timing {
        update_ms: 40,
        ..quick()
    })
    .await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.patch(&id, &json!({"paused": true})).await;
    let mut last = json!(-1);
    until(async || {
        let position = socket.next("playerUpdate").await["state"]["position"].clone();
        let frozen = position == last;
        last = position.clone();
        if frozen { Ok(()) } else { Err(position) }
    })
    .await;
}

#[tokio::test]
async fn a_half_open_socket_keeps_its_session_open() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let end = world.fault("half_open", json!({}));
    drop(socket);
    let (_other, _, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed);
    assert_eq!(world.get(&id).await.0, 200, "REST of the old session works");
    end.end();
    world.paused(&id).await;
}

#[tokio::test]
async fn rest_that_hangs_or_fails_leaves_the_socket_alone() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    let end = world.fault("hang_rest", json!({}));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), world.get(&id))
            .await
            .is_err()
    );
    end.end();
    assert_eq!(world.get(&id).await.0, 200);
    let end = world.fault("fail_rest", json!({"status": 503}));
    assert_eq!(world.get(&id).await.0, 503);
    end.end();
    let end = world.fault("refuse_voice", json!({}));
    let (status, body) = world.player(&id, "", &json!({"voice": voice("t9")})).await;
    assert_eq!(
        (status.as_u16(), body["message"].as_str()),
        (500, Some("Failed to connect to voice server"))
    );
    end.end();
    world.patch(&id, &json!({"position": 1})).await;
    socket.next("playerUpdate").await;
    assert_eq!(
        world.nodes.counters()["PATCH /v4/sessions/{session}/players/{guild}"],
        3
    );
    assert!(world.nodes.fault("drop_gateway", &json!({})).is_none());
    assert!(world.nodes.fault("hang_rest", &json!({"node": "z"})).unwrap().is_err());
}

#[tokio::test]
async fn a_pause_is_a_gap_unless_somebody_asked_for_it() {
    for asked in [false, true] {
        let world = World::new(quick()).await;
        let (_socket, id) = world.playing("sim:A?length=60").await;
        if asked {
            world.audio.mark_interaction(GUILD);
        }
        world.patch(&id, &json!({"paused": true})).await;
        assert_eq!(
            world.audio.report(GUILD, 0)["playing"],
            true,
            "the queue is still heard"
        );
        let report = until(async || match world.audio.report(GUILD, 0) {
            report
                if report["playing"] == false
                    && report["now_ms"].as_u64() > report["segments"][0]["to_ms"].as_u64().map(|to| to + 60) =>
            {
                Ok(report)
            }
            report => Err(report),
        })
        .await;
        assert_eq!(report["gaps"].as_array().unwrap().is_empty(), asked, "{report}");
    }
}

#[tokio::test]
async fn a_resume_is_not_heard() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    drop(socket);
    world.paused(&id).await;
    let (_socket, _, resumed) = world.connect(Some(&id)).await;
    assert!(resumed);
    world.patch(&id, &json!({"voice": voice("t1")})).await;
    let report = world.audio.report(GUILD, 0);
    assert_eq!(
        (report["segments"].as_array().unwrap().len(), &report["gaps"]),
        (1, &json!([])),
        "{report}"
    );
}
