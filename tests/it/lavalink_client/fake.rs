//! A small scripted node, and a session with it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use segue::lavalink::{Identity, NoMetrics, Node, NodeConfig, NodeMessage, NodeState, Opening, PlayerPatch, open};
use segue::lifecycle::{Authority, NoAuthority};
use segue::model::ids::{ChannelId, GuildId, MemberId, NodeName, ShardId, UserId};
use segue::model::record::VoiceCredentials;
use segue::model::signal::{EndReason, NodeEvent};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub(super) const LIMIT: Duration = Duration::from_secs(8);
pub(super) const GUILD: GuildId = GuildId::new(7);

/// What the node does with the next connection.
#[derive(Clone)]
pub(super) enum Hello {
    Ready {
        id: &'static str,
        resumed: bool,
        then: Vec<Value>,
    },
    Mute,
}

pub(super) fn ready(id: &'static str, resumed: bool) -> Hello {
    Hello::Ready {
        id,
        resumed,
        then: vec![],
    }
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Say(Value),
    Kick,
}

pub(super) type Answer = fn(&str) -> Option<(u16, Value)>;

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) hellos: Arc<Mutex<VecDeque<Hello>>>,
    pub(super) log: Arc<Mutex<Vec<String>>>,
    pub(super) acts: broadcast::Sender<Act>,
    /// `METHOD /path` to an answer; `None` never answers.
    pub(super) answer: Arc<Mutex<Answer>>,
}

impl Fake {
    pub(super) fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(super) async fn logged(&self, what: &str, times: usize) {
        let began = Instant::now();
        while self.log().iter().filter(|line| line.contains(what)).count() < times {
            assert!(
                began.elapsed() < LIMIT,
                "waited for {times} × `{what}`, saw {:#?}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn place(&self, line: &str) -> usize {
        self.log()
            .iter()
            .position(|seen| seen.starts_with(line))
            .unwrap_or_else(|| panic!("no `{line}` in {:#?}", self.log()))
    }

    pub(super) fn say(&self, message: Value) {
        self.acts.send(Act::Say(message)).unwrap();
    }
}

pub(super) async fn upgrade(State(fake): State<Fake>, headers: HeaderMap, socket: WebSocketUpgrade) -> Response {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("-")
            .to_owned()
    };
    if header("authorization") != "youshallnotpass" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    fake.note(format!(
        "WS {} as {} {}",
        header("session-id"),
        header("user-id"),
        header("client-name")
    ));
    socket.on_upgrade(move |socket| speak(fake, socket))
}

pub(super) async fn speak(fake: Fake, mut socket: WebSocket) {
    let mut acts = fake.acts.subscribe();
    let hello = {
        let mut hellos = fake.hellos.lock().unwrap();
        if hellos.len() > 1 {
            hellos.pop_front()
        } else {
            hellos.front().cloned()
        }
    };
    if let Some(Hello::Ready { id, resumed, then }) = hello {
        let greeting = json!({ "op": "ready", "resumed": resumed, "sessionId": id });
        for message in [vec![json!({ "op": "stats" }), greeting], then].concat() {
            drop(socket.send(Message::Text(message.to_string().into())).await);
        }
    }
    loop {
        tokio::select! {
            act = acts.recv() => match act {
                Ok(Act::Say(message)) => drop(socket.send(Message::Text(message.to_string().into())).await),
                Ok(Act::Kick) | Err(_) => return,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Close(frame))) => fake.note(format!("CLOSE {:?}", frame.map(|frame| frame.code))),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

pub(super) async fn rest(State(fake): State<Fake>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let body: Bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    fake.note(format!("{line} {}", String::from_utf8_lossy(&body)));
    let answer = *fake.answer.lock().unwrap();
    match answer(&line) {
        Some((status, body)) => (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response(),
        None => std::future::pending().await,
    }
}

pub(super) fn player(guild: u64, track: &Value) -> Value {
    json!({ "guildId": guild.to_string(), "track": track, "volume": 100, "paused": false, "filters": {},
        "state": { "time": 1, "position": 5_000, "connected": true, "ping": 1 },
        "voice": { "token": "t", "endpoint": "e:443", "sessionId": "s", "channelId": "5" } })
}

pub(super) fn track() -> Value {
    json!({ "encoded": "QAAA", "info": { "identifier": "id1", "isSeekable": true, "author": "A", "length": 60_000,
        "isStream": false, "position": 0, "title": "T", "sourceName": "http" } })
}

/// A node where nothing is wrong.
#[expect(clippy::unnecessary_wraps, reason = "an `Answer`")]
pub(super) fn healthy(line: &str) -> Option<(u16, Value)> {
    Some(match line.split(' ').next().unwrap() {
        "GET" if line.ends_with("/players") => (200, json!([])),
        "PATCH" if line.contains("/players/") => (200, player(7, &track())),
        "PATCH" => (200, json!({ "resuming": true, "timeout": 120 })),
        "DELETE" => (204, Value::Null),
        _ => (404, json!({ "status": 404, "message": "Not found" })),
    })
}

#[derive(Debug, Default)]
pub(super) struct Permit(pub(super) AtomicBool);

impl Authority for Permit {
    fn check(&self) -> Result<(), NoAuthority> {
        if self.0.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(NoAuthority)
        }
    }
}

pub(super) struct World {
    pub(super) fake: Fake,
    pub(super) node: Node,
    pub(super) messages: mpsc::Receiver<NodeMessage>,
    pub(super) permit: Arc<Permit>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<()>,
    pub(super) server: CancellationToken,
}

#[expect(clippy::disallowed_methods, reason = "a test is where the wall clock comes from")]
pub(super) fn wall() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

pub(super) async fn world(hellos: Vec<Hello>, stored: Option<&str>, answer: Answer) -> World {
    let fake = Fake {
        hellos: Arc::new(Mutex::new(hellos.into())),
        log: Arc::default(),
        acts: broadcast::channel(64).0,
        answer: Arc::new(Mutex::new(answer)),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/v4/websocket", get(upgrade))
        .fallback(rest)
        .with_state(fake.clone());
    let mut tasks = JoinSet::new();
    let server = CancellationToken::new();
    let until = server.clone();
    tasks.spawn(async move {
        until
            .run_until_cancelled(async { axum::serve(listener, app).await.unwrap() })
            .await;
    });
    let (out, messages) = mpsc::channel(1024);
    let permit = Arc::new(Permit(AtomicBool::new(true)));
    let stop = CancellationToken::new();
    let url = format!("http://{address}").parse().unwrap();
    let (node, session) = open(Opening {
        config: NodeConfig::new(NodeName("a".into()), url, "youshallnotpass".into()),
        identity: Identity {
            user: UserId::new(1),
            member: MemberId("m1".into()),
            shard: ShardId::new(0, 4),
        },
        stored_session: stored.map(str::to_owned),
        authority: Arc::clone(&permit) as Arc<dyn Authority>,
        out,
        metrics: Arc::new(NoMetrics),
        wall,
        stop: stop.clone(),
    })
    .unwrap();
    node.register(GUILD);
    tasks.spawn(session);
    World {
        fake,
        node,
        messages,
        permit,
        stop,
        tasks,
        server,
    }
}

impl World {
    /// The next message; sessions are stored at once.
    pub(super) async fn next(&mut self) -> String {
        let message = timeout(LIMIT, self.messages.recv()).await;
        let message =
            message.unwrap_or_else(|_| panic!("no message; state {:?}, log {:#?}", self.node.state(), self.fake.log()));
        match message.expect("the task ended") {
            NodeMessage::Session { session_id, ack, .. } => {
                self.fake.note(format!("STORED {session_id}"));
                ack.send(()).unwrap();
                format!("session {session_id}")
            }
            NodeMessage::Guild { guild, event } => format!("{guild} {}", told(&event.event)),
            NodeMessage::State { state, .. } => format!("state {}", word(state)),
            NodeMessage::Stats { .. } => "stats".to_owned(),
        }
    }

    /// Messages up to and with the first that begins with `last`.
    pub(super) async fn until(&mut self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            seen.push(self.next().await);
            if seen.last().is_some_and(|line| line.starts_with(last)) {
                return seen;
            }
            assert!(seen.len() < 50, "waited for `{last}`, saw {seen:#?}");
        }
    }
}

pub(super) fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Connecting => "connecting",
        NodeState::Ready { resumed: true } => "resumed",
        NodeState::Ready { resumed: false } => "new",
        NodeState::Lost { .. } => "lost",
        NodeState::RestDead => "rest dead",
        NodeState::Gone => "gone",
    }
}

pub(super) fn told(event: &NodeEvent) -> String {
    match event {
        NodeEvent::Ready { resumed, player } => {
            let holds = player.as_ref().map_or(
                "nothing",
                |player| if player.track.is_some() { "a track" } else { "no track" },
            );
            format!("ready resumed={resumed} holding {holds}")
        }
        NodeEvent::Lost { .. } => "lost".into(),
        NodeEvent::Gone { .. } => "gone".into(),
        NodeEvent::Update { position_ms, .. } => format!("at {position_ms}"),
        NodeEvent::Started { identifier } => format!("started {identifier}"),
        NodeEvent::Ended {
            identifier,
            reason: EndReason::Finished,
        } => format!("finished {identifier}"),
        other @ (NodeEvent::Ended { .. }
        | NodeEvent::Failed { .. }
        | NodeEvent::Stuck { .. }
        | NodeEvent::VoiceClosed { .. }) => format!("{other:?}"),
    }
}

pub(super) fn update(guild: u64, position: u64) -> Value {
    json!({ "op": "playerUpdate", "guildId": guild.to_string(), "state": { "time": 1, "position": position, "connected": true, "ping": 1 } })
}

pub(super) fn voice_and_track() -> PlayerPatch {
    PlayerPatch {
        track: Some(Some("QAAA".into())),
        position_ms: Some(0),
        voice: Some(VoiceCredentials {
            session_id: "s".into(),
            token: "t".into(),
            endpoint: "e:443".into(),
            channel: ChannelId::new(5),
        }),
        ..PlayerPatch::default()
    }
}
