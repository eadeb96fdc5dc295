//! A node of the simulator behaves as Lavalink 4.2.2 does, row by row.
#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod faults;
mod measured;
mod rows;

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

    /// A handshake that names a session and is no upgrade.
    async fn aborts(&self, session: &str) -> reqwest::Response {
        let node = self.node();
        self.http
            .get(format!("{}/v4/websocket", node.url))
            .header("Authorization", node.password)
            .header("User-Id", "1")
            .header("Session-Id", session)
            .send()
            .await
            .unwrap()
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

    /// A session that plays `identifier` in the guild, and is heard.
    async fn playing(&self, identifier: &str) -> (Socket, String) {
        let (mut socket, session, _) = self.connect(None).await;
        self.patch(
            &session,
            &json!({"voice": voice("t1"), "track": {"identifier": identifier}}),
        )
        .await;
        socket.event("TrackStartEvent").await;
        until(async || match self.audio.report(GUILD, 0) {
            report if report["segments"][0]["position_to_ms"].as_u64() > Some(0) => Ok(()),
            report => Err(report),
        })
        .await;
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
