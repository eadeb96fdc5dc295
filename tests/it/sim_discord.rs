//! The simulated Discord, over real sockets, by clients that are not ours where there are any.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Method};
use segue::sim::{Options, Sim, start};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use twilight_gateway::{
    CloseFrame as TwilightClose, ConfigBuilder, EventTypeFlags, Intents, Shard, ShardId, StreamExt as _,
};
use twilight_model::gateway::event::Event;

const LIMIT: Duration = Duration::from_secs(10);

/// A simulator without Lavalink nodes.
async fn sim(guilds: usize) -> Sim {
    let options = Options {
        guilds,
        nodes: Vec::new(),
        ..Options::default()
    };
    start(options).await.unwrap()
}

/// Control API and REST, as a harness and a bot use them.
struct Rest {
    client: Client,
    control: String,
    api: String,
    token: String,
}

impl Rest {
    fn new(sim: &Sim) -> Self {
        Self {
            client: Client::new(),
            control: sim.ready.control.clone(),
            api: format!("{}/api/v10", sim.ready.discord_api),
            token: format!("Bot {}", sim.ready.token),
        }
    }

    async fn send(&self, method: Method, url: String, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.client.request(method, url).header("authorization", &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        assert!(response.headers().contains_key("date"));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn look(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, format!("{}{path}", self.control), None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    async fn control(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.send(method, format!("{}{path}", self.control), Some(&body)).await
    }

    async fn fault(&self, body: Value) -> String {
        let (status, reply) = self.control(Method::POST, "/faults", body).await;
        assert_eq!(status, 200, "{reply}");
        reply["id"].as_str().unwrap().to_owned()
    }

    async fn api(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.send(method, format!("{}{path}", self.api), body.as_ref()).await
    }

    async fn log(&self) -> Vec<Value> {
        let text = self
            .client
            .get(format!("{}/log?since=0", self.control))
            .send()
            .await
            .unwrap();
        let text = text.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asks until what is wanted is seen.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                last = self.look(path).await;
                if wanted(&last) {
                    return last.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = timeout(LIMIT, asking).await;
        seen.unwrap_or_else(|_| panic!("{path} never came to be as wanted; last: {last}"))
    }
}

/// A gateway client that hides nothing.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(sim: &Sim) -> Self {
        let mut socket = Self::bare(sim, "?v=10&encoding=json").await;
        let hello = socket.next().await;
        assert_eq!(hello["op"], 10, "{hello}");
        socket
    }

    async fn bare(sim: &Sim, query: &str) -> Self {
        let url = format!("{}//{query}", sim.ready.discord_gateway);
        Self(connect_async(url).await.unwrap().0)
    }

    async fn send(&mut self, payload: &Value) {
        self.text(&payload.to_string()).await;
    }

    async fn text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn frame(&mut self) -> Option<Message> {
        match timeout(LIMIT, self.0.next()).await.expect("no frame came") {
            None | Some(Err(_)) => None,
            Some(Ok(frame)) => Some(frame),
        }
    }

    async fn next(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("a payload was wanted, not {other:?}"),
        }
    }

    /// The next event of a name; others are passed over.
    async fn event(&mut self, name: &str) -> Value {
        loop {
            let payload = self.next().await;
            if payload["t"] == name {
                return payload;
            }
        }
    }

    /// The code that the server closes with; `None` when TCP just ends.
    async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.frame().await {
                Some(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                None => return None,
                Some(_) => {}
            }
        }
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.0.close(Some(frame)).await.unwrap();
        while self.frame().await.is_some() {}
    }

    async fn identify(&mut self, sim: &Sim) -> Value {
        self.send(&identify(&sim.ready.token)).await;
        self.event("READY").await
    }
}

fn identify(token: &str) -> Value {
    json!({"op": 2, "d": {"token": token, "intents": 129, "shard": [0, 1], "properties": {}}})
}

fn resume(sim: &Sim, session: &Value, seq: u64) -> Value {
    json!({"op": 6, "d": {"token": format!("Bot {}", sim.ready.token), "session_id": session, "seq": seq}})
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A guild of `/world`, taken apart.
struct Place {
    guild: String,
    text: String,
    voice: [String; 2],
    people: Vec<String>,
}

async fn place(rest: &Rest) -> Place {
    let world = rest.look("/world").await;
    let guild = &world["guilds"][0];
    let channels = guild["channels"].as_array().unwrap();
    let of = |kind: &str| -> Vec<String> {
        let fitting = channels.iter().filter(|channel| channel["kind"] == kind);
        fitting.map(|channel| text_of(&channel["id"])).collect()
    };
    let people = guild["members"].as_array().unwrap();
    Place {
        guild: text_of(&guild["id"]),
        text: of("text").remove(0),
        voice: of("voice").try_into().unwrap(),
        people: people.iter().map(|member| text_of(&member["id"])).collect(),
    }
}

#[tokio::test]
async fn ready_line_has_the_shape_of_the_contract() {
    let sim = sim(0).await;
    let line = serde_json::to_value(&sim.ready).unwrap();
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    for key in ["discord_api", "discord_gateway", "token", "lavalink", "control"] {
        assert!(!line[key].is_null(), "{key}");
    }
    sim.shutdown().await;
}

#[tokio::test]
async fn the_same_seed_makes_the_same_world() {
    let (one, other) = (sim(3).await, sim(3).await);
    let (a, b) = (
        Rest::new(&one).look("/world").await,
        Rest::new(&other).look("/world").await,
    );
    assert_eq!(a["guilds"], b["guilds"]);
    assert_eq!(one.ready.token, other.ready.token);
    assert!(a["guilds"][0]["members"].as_array().unwrap().len() >= 3);
}

#[tokio::test]
async fn a_login_gets_ready_with_unavailable_guilds_and_then_each_guild() {
    let sim = sim(2).await;
    let mut socket = Socket::open(&sim).await;
    let ready = socket.identify(&sim).await;
    assert_eq!(ready["s"], 1);
    assert_eq!(ready["d"]["guilds"].as_array().unwrap().len(), 2);
    assert_eq!(ready["d"]["guilds"][0]["unavailable"], true);
    assert_eq!(ready["d"]["resume_gateway_url"], sim.ready.discord_gateway);
    assert_eq!(ready["d"]["user"]["mfa_enabled"], false);
    for seq in [2, 3] {
        let guild = socket.next().await;
        assert_eq!((&guild["t"], &guild["s"]), (&json!("GUILD_CREATE"), &json!(seq)));
        assert_eq!(guild["d"]["unavailable"], false);
    }
    socket.send(&json!({"op": 1, "d": 3})).await;
    assert_eq!(socket.next().await["op"], 11);
}

#[tokio::test]
async fn every_wrong_login_is_closed_with_its_code() {
    let sim = sim(1).await;
    let token = &sim.ready.token;
    let with = |change: Value| {
        let mut payload = identify(token);
        for (name, value) in change.as_object().unwrap() {
            payload["d"][name] = value.clone();
        }
        payload.to_string()
    };
    let cases = [
        (json!({"op": 4, "d": {}}).to_string(), 4003),
        (json!({"op": 99, "d": {}}).to_string(), 4001),
        ("{".to_owned(), 4002),
        ("[]".to_owned(), 4002),
        (json!({"op": 1, "d": "x".repeat(4_096)}).to_string(), 4002),
        (with(json!({"token": "wrong"})), 4004),
        (with(json!({"shard": [1, 1]})), 4010),
        (with(json!({"shard": "odd"})), 4010),
        (with(json!({"intents": 1_u64 << 40})), 4013),
        (with(json!({"intents": 2})), 4014),
        (
            json!({"op": 6, "d": {"token": "wrong", "session_id": "x", "seq": 1}}).to_string(),
            4004,
        ),
    ];
    for (payload, code) in cases {
        if payload.contains(r#""shard":"odd""#) {
            continue;
        }
        let mut socket = Socket::open(&sim).await;
        socket.text(&payload).await;
        assert_eq!(socket.close_code().await, Some(code), "{payload}");
    }
    for (query, code) in [("?v=9&encoding=json", 4012), ("?v=10&encoding=etf", 4002)] {
        assert_eq!(
            Socket::bare(&sim, query).await.close_code().await,
            Some(code),
            "{query}"
        );
    }
    let mut twice = Socket::open(&sim).await;
    twice.identify(&sim).await;
    twice.send(&identify(token)).await;
    assert_eq!(twice.close_code().await, Some(4005));
}

#[tokio::test]
async fn too_many_payloads_close_with_4008_and_the_session_can_be_resumed() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let ready = socket.identify(&sim).await;
    for _ in 0..120 {
        socket.send(&json!({"op": 1, "d": null})).await;
    }
    assert_eq!(socket.close_code().await, Some(4008));
    let violations = rest
        .until("/violations", |found| !found.as_array().unwrap().is_empty())
        .await;
    assert_eq!(violations[0]["rule"], "send_limit");
    let mut again = Socket::open(&sim).await;
    again.send(&resume(&sim, &ready["d"]["session_id"], 2)).await;
    assert_eq!(again.next().await["t"], "RESUMED");
}

#[tokio::test]
async fn a_second_identify_in_the_window_is_answered_with_op_9_and_seen_by_the_oracle() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut first = Socket::open(&sim).await;
    first.identify(&sim).await;
    let mut second = Socket::open(&sim).await;
    second.send(&identify(&sim.ready.token)).await;
    let answer = second.next().await;
    assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)));
    second.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(second.next().await["op"], 11, "the connection stays open");
    assert_eq!(rest.look("/violations").await[0]["rule"], "identify_window");
    assert_eq!(rest.look("/counters").await["identify"], 2);
    let (_, gateway) = rest.api(Method::GET, "/gateway/bot", None).await;
    assert_eq!(gateway["session_start_limit"]["remaining"], 998);
}

#[tokio::test]
async fn a_resume_replays_in_order_and_wrong_ones_are_refused_as_discord_does() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket.event("GUILD_CREATE").await;
    drop(socket);
    rest.until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    for channel in [json!(at.voice[0]), json!(at.voice[1]), Value::Null] {
        let body = json!({"user": at.people[0], "channel": channel});
        rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
            .await;
    }

    let mut beyond = Socket::open(&sim).await;
    beyond.send(&resume(&sim, &session, 99)).await;
    assert_eq!(beyond.close_code().await, Some(4007));
    let mut unknown = Socket::open(&sim).await;
    unknown.send(&resume(&sim, &json!("unknown"), 1)).await;
    assert_eq!(unknown.next().await["d"], false);

    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 2)).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let payload = socket.next().await;
        seen.push((payload["s"].as_u64().unwrap(), text_of(&payload["t"])));
    }
    let wanted = [
        (3, "VOICE_STATE_UPDATE"),
        (4, "VOICE_STATE_UPDATE"),
        (5, "VOICE_STATE_UPDATE"),
        (6, "RESUMED"),
    ];
    assert_eq!(seen, wanted.map(|(seq, name)| (seq, name.to_owned())));

    // The newest socket wins.
    let mut newer = Socket::open(&sim).await;
    newer.send(&resume(&sim, &session, 6)).await;
    assert_eq!(newer.event("RESUMED").await["s"], 7);
    assert_eq!(socket.close_code().await, Some(4000));
    assert_eq!(rest.look("/world").await["shards"][0]["connected"], true);
}

#[tokio::test]
async fn a_replay_that_overflowed_is_refused() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    drop(socket);
    rest.until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    for round in 0..101 {
        let body = json!({"user": at.people[0], "channel": at.voice[round % 2]});
        rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
            .await;
    }
    let mut late = Socket::open(&sim).await;
    late.send(&resume(&sim, &session, 2)).await;
    assert_eq!(late.next().await["op"], 9);
    let mut just = Socket::open(&sim).await;
    just.send(&resume(&sim, &session, 3)).await;
    assert_eq!(just.next().await["s"], 4);
}

#[tokio::test]
async fn closing_with_1000_ends_the_session_and_takes_the_bot_out_of_voice() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket
        .send(&json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0]}}))
        .await;
    socket.event("VOICE_SERVER_UPDATE").await;
    socket.close(4000).await;
    let world = rest
        .until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    assert_eq!(
        world["guilds"][0]["bot"]["voice"],
        json!(at.voice[0]),
        "4000 keeps the session"
    );
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    socket.event("RESUMED").await;
    socket.close(1000).await;
    rest.until("/world", |world| world["guilds"][0]["bot"]["voice"].is_null())
        .await;
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    assert_eq!(socket.next().await["op"], 9);
    assert_eq!(rest.look("/counters").await["closes"]["1000"], 1);
}

#[tokio::test]
async fn joining_voice_gives_state_and_server_and_new_secrets_only_when_needed() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let join = |channel: &str| json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": channel, "self_deaf": true}});
    let mut tokens = Vec::new();
    for channel in [&at.voice[0], &at.voice[0], &at.voice[1]] {
        socket.send(&join(channel)).await;
        let state = socket.event("VOICE_STATE_UPDATE").await;
        assert_eq!(state["d"]["session_id"], session);
        assert_eq!(state["d"]["channel_id"], json!(channel));
        let server = socket.next().await;
        assert_eq!(server["t"], "VOICE_SERVER_UPDATE");
        tokens.push(server["d"]["token"].clone());
    }
    assert_eq!(tokens[0], tokens[1]);
    assert_ne!(tokens[1], tokens[2]);

    let (status, state) = rest
        .api(Method::GET, &format!("/guilds/{}/voice-states/@me", at.guild), None)
        .await;
    assert_eq!((status, &state["session_id"]), (200, &session));
    let kick = json!({"user": "bot", "channel": null});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), kick)
        .await;
    assert!(socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"].is_null());
    let (status, gone) = rest
        .api(Method::GET, &format!("/guilds/{}/voice-states/@me", at.guild), None)
        .await;
    assert_eq!((status, &gone["code"]), (404, &json!(10_065)));
}

#[tokio::test]
async fn a_full_or_forbidden_channel_answers_nothing() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let channel = format!("/channels/{}", at.voice[0]);
    rest.control(Method::PATCH, &channel, json!({"bot_denied": ["connect"]}))
        .await;
    let join = json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0]}});
    socket.send(&join).await;
    rest.until("/counters", |counters| counters["voice_state_update"] == 1)
        .await;
    assert!(rest.look("/world").await["guilds"][0]["bot"]["voice"].is_null());
    let (_, shown) = rest.api(Method::GET, &channel, None).await;
    assert_eq!(shown["permission_overwrites"][0]["deny"], "1048576");

    rest.control(Method::PATCH, &channel, json!({"bot_denied": [], "user_limit": 1}))
        .await;
    let body = json!({"user": at.people[0], "channel": at.voice[0]});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
        .await;
    socket.send(&join).await;
    rest.until("/counters", |counters| counters["voice_state_update"] == 2)
        .await;
    assert!(rest.look("/world").await["guilds"][0]["bot"]["voice"].is_null());
    rest.control(Method::PATCH, &channel, json!({"user_limit": 2})).await;
    socket.send(&join).await;
    socket.event("VOICE_SERVER_UPDATE").await;
}

fn commands() -> Value {
    json!([
        {"name": "play", "description": "d", "options": [
            {"type": 3, "name": "query", "description": "d", "required": true, "autocomplete": true},
            {"type": 3, "name": "when", "description": "d", "choices": [{"name": "Now", "value": "now"}]}]},
        {"name": "skip", "description": "d", "options": [{"type": 4, "name": "to", "description": "d", "min_value": 1}]},
        {"name": "join", "description": "d", "options": [{"type": 7, "name": "channel", "description": "d"}]},
        {"name": "playlist", "description": "d", "options": [
            {"type": 1, "name": "save", "description": "d", "options": [
                {"type": 3, "name": "name", "description": "d", "required": true}]}]},
    ])
}

async fn register(sim: &Sim, rest: &Rest) -> Value {
    let (_, application) = rest.api(Method::GET, "/applications/@me", None).await;
    let path = format!("/applications/{}/commands", application["id"].as_str().unwrap());
    let (status, first) = rest.api(Method::PUT, &path, Some(commands())).await;
    assert_eq!(status, 200, "{first}");
    let (_, second) = rest.api(Method::PUT, &path, Some(commands())).await;
    assert_eq!(first, second, "registering the same twice changes nothing");
    assert!(!sim.ready.token.is_empty());
    application["id"].clone()
}

#[tokio::test]
async fn commands_take_the_registered_shape_and_unregistered_ones_are_409() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let path = format!("/guilds/{}/commands", at.guild);
    let wish = |name: &str, options: Value| json!({"user": at.people[1], "channel": at.text, "name": name, "options": options, "locale": "de"});
    let (status, _) = rest
        .control(Method::POST, &path, wish("play", json!({"query": "x"})))
        .await;
    assert_eq!(status, 409);
    register(&sim, &rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;

    rest.control(Method::POST, &path, wish("skip", json!({"to": 3}))).await;
    let skip = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(skip["data"]["options"][0], json!({"name": "to", "type": 4, "value": 3}));
    assert_eq!(
        (&skip["locale"], &skip["guild_locale"]),
        (&json!("de"), &json!("en-US"))
    );
    assert!(skip["member"]["permissions"].is_string() && skip["app_permissions"].is_string());

    rest.control(Method::POST, &path, wish("playlist save", json!({"name": "n"})))
        .await;
    let save = socket.event("INTERACTION_CREATE").await["d"]["data"].clone();
    assert_eq!(save["name"], "playlist");
    assert_eq!(save["options"][0]["options"][0]["value"], "n");

    rest.control(Method::POST, &path, wish("join", json!({"channel": at.voice[0]})))
        .await;
    let join = socket.event("INTERACTION_CREATE").await["d"]["data"].clone();
    assert_eq!(join["resolved"]["channels"][&at.voice[0]]["type"], 2);

    for (name, options) in [
        ("play", json!({})),
        ("skip", json!({"to": 0})),
        ("skip", json!({"to": "x"})),
        ("skip", json!({"odd": 1})),
        ("play", json!({"query": "q", "when": "never"})),
        ("playlist", json!({})),
    ] {
        let (status, body) = rest.control(Method::POST, &path, wish(name, options.clone())).await;
        assert_eq!(status, 400, "{name} {options}: {body}");
    }
}

#[tokio::test]
async fn an_interaction_is_answered_once_deferred_edited_and_followed_up() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let application = text_of(&register(&sim, &rest).await);
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "play", "options": {"query": "q"}});
    let (_, issued) = rest
        .control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(told["id"], issued["interaction"]);
    let token = text_of(&told["token"]);
    let callback = format!("/interactions/{}/{token}/callback", text_of(&told["id"]));
    let original = format!("/webhooks/{application}/{token}/messages/@original");
    let deferral = Some(json!({"type": 5}));

    let (early, _) = rest
        .api(Method::PATCH, &original, Some(json!({"content": "early"})))
        .await;
    assert_eq!(early, 404);
    let (status, _) = rest.api(Method::POST, &callback, deferral.clone()).await;
    assert_eq!(status, 204);
    let (status, twice) = rest.api(Method::POST, &callback, deferral).await;
    assert_eq!((status, &twice["code"]), (400, &json!(40_060)));
    assert_eq!(rest.look(&format!("/channels/{}/messages", at.text)).await, json!([]));

    let look = format!("/interactions/{}?wait_ms=5000", text_of(&told["id"]));
    let (view, _) = tokio::join!(rest.look(&look), async {
        let body = json!({"content": "done", "embeds": [{"title": "t"}]});
        let (status, _) = rest.api(Method::PATCH, &original, Some(body)).await;
        assert_eq!(status, 200);
    });
    assert_eq!(
        (&view["kind"], &view["message"]["content"]),
        (&json!("deferred"), &json!("done"))
    );
    assert!(view["replied_ms"].as_u64() >= view["acknowledged_ms"].as_u64());
    let (_, more) = rest
        .api(
            Method::POST,
            &format!("/webhooks/{application}/{token}"),
            Some(json!({"content": "more"})),
        )
        .await;
    assert_eq!(more["content"], "more");
    let seen = rest.look(&format!("/channels/{}/messages", at.text)).await;
    assert_eq!(seen.as_array().unwrap().len(), 2, "{seen}");
    let counters = rest.look("/counters").await;
    assert_eq!(
        counters["interactions"],
        json!({"issued": 1, "acknowledged_in_time": 1, "late": 0, "never": 0})
    );
    assert_eq!(rest.look("/violations").await, json!([]));
}

#[tokio::test]
async fn an_answer_after_three_seconds_is_refused_and_the_oracle_says_so() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    register(&sim, &rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "skip", "options": {}});
    rest.control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    let found = rest
        .until("/violations", |found| !found.as_array().unwrap().is_empty())
        .await;
    assert_eq!(
        (&found[0]["rule"], &found[0]["guild"]),
        (&json!("unanswered"), &json!(at.guild))
    );
    let callback = format!(
        "/interactions/{}/{}/callback",
        text_of(&told["id"]),
        text_of(&told["token"])
    );
    let (status, late) = rest.api(Method::POST, &callback, Some(json!({"type": 5}))).await;
    assert_eq!((status, &late["code"]), (404, &json!(10_062)));
    assert_eq!(rest.look("/counters").await["interactions"]["late"], 1);
}

#[tokio::test]
async fn buttons_modals_and_autocomplete_reach_the_bot_and_back() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    register(&sim, &rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let button = json!([{"type": 1, "components": [{"type": 2, "style": 1, "label": "p", "custom_id": "pause"}]}]);
    let panel = json!({"content": "panel", "components": button});
    let (status, message) = rest
        .api(Method::POST, &format!("/channels/{}/messages", at.text), Some(panel))
        .await;
    assert_eq!(status, 200, "{message}");
    let press = format!("/messages/{}/components", text_of(&message["id"]));
    let (status, _) = rest
        .control(Method::POST, &press, json!({"user": at.people[0], "custom_id": "odd"}))
        .await;
    assert_eq!(status, 409);
    rest.control(
        Method::POST,
        &press,
        json!({"user": at.people[0], "custom_id": "pause"}),
    )
    .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!((&told["type"], &told["message"]["id"]), (&json!(3), &message["id"]));
    let answer = |told: &Value| {
        format!(
            "/interactions/{}/{}/callback",
            text_of(&told["id"]),
            text_of(&told["token"])
        )
    };
    let modal = json!({"type": 9, "data": {"custom_id": "m", "title": "t", "components": [
        {"type": 1, "components": [{"type": 4, "custom_id": "level", "label": "l", "style": 1}]}]}});
    rest.api(Method::POST, &answer(&told), Some(modal)).await;
    let submit = format!("/interactions/{}/modal", text_of(&told["id"]));
    rest.control(
        Method::POST,
        &submit,
        json!({"user": at.people[0], "values": {"level": "80"}}),
    )
    .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(told["data"]["components"][0]["components"][0]["value"], "80");
    let update = json!({"type": 7, "data": {"content": "80 %"}});
    let (status, full) = rest
        .api(Method::POST, &(answer(&told) + "?with_response=true"), Some(update))
        .await;
    assert_eq!((status, &full["resource"]["message"]["content"]), (200, &json!("80 %")));
    assert_eq!(
        rest.look(&format!("/channels/{}/messages", at.text)).await[0]["content"],
        "80 %"
    );

    let wish = json!({"user": at.people[0], "channel": at.text, "name": "play", "options": {"query": "so"}, "focused": "query"});
    let (_, issued) = rest
        .control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    assert_eq!(
        (&told["type"], &told["data"]["options"][0]["focused"]),
        (&json!(4), &json!(true))
    );
    let choices = json!({"type": 8, "data": {"choices": [{"name": "Song", "value": "song"}]}});
    let (status, _) = rest.api(Method::POST, &answer(&told), Some(choices)).await;
    assert_eq!(status, 204);
    let view = rest
        .look(&format!(
            "/interactions/{}?wait_ms=1000",
            text_of(&issued["interaction"])
        ))
        .await;
    assert_eq!(
        (&view["kind"], &view["choices"][0]["name"]),
        (&json!("autocomplete"), &json!("Song"))
    );
}

#[tokio::test]
async fn rest_refuses_wrong_tokens_missing_permissions_and_too_many_requests() {
    let sim = sim(1).await;
    let mut rest = Rest::new(&sim);
    let at = place(&rest).await;
    let messages = format!("/channels/{}/messages", at.text);
    let hello = || Some(json!({"content": "hello"}));
    rest.control(
        Method::PATCH,
        &format!("/channels/{}", at.text),
        json!({"bot_denied": ["send_messages"]}),
    )
    .await;
    let (status, denied) = rest.api(Method::POST, &messages, hello()).await;
    assert_eq!((status, &denied["code"]), (403, &json!(50_013)));
    rest.control(
        Method::PATCH,
        &format!("/channels/{}", at.text),
        json!({"bot_denied": []}),
    )
    .await;
    let mut last = (0, Value::Null);
    for _ in 0..6 {
        last = rest.api(Method::POST, &messages, hello()).await;
    }
    assert_eq!((last.0, &last.1["global"]), (429, &json!(false)));
    assert!(last.1["retry_after"].as_f64().unwrap() > 0.0);
    let mut first_429 = Value::Null;
    for _ in 0..60 {
        let (status, body) = rest.api(Method::GET, "/users/@me", None).await;
        if status == 429 && body["global"] == true {
            first_429 = body;
            break;
        }
    }
    // A slow machine may spread 60 requests over more than a second.
    if !first_429.is_null() {
        assert_eq!(rest.look("/violations").await[0]["rule"], "rest_limit");
    }
    rest.token = "Bot wrong".to_owned();
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 401);
}

#[tokio::test]
async fn faults_begin_end_and_unknown_ones_name_the_known() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let (status, body) = rest.control(Method::POST, "/faults", json!({"kind": "odd"})).await;
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().contains("drop_gateway"), "{body}");
    let (status, _) = rest
        .control(Method::POST, "/faults", json!({"kind": "drop_gateway"}))
        .await;
    assert_eq!(status, 400, "a shard is missing");

    let id = rest
        .fault(json!({"kind": "refuse_rest", "route": "/users/@me", "status": 503}))
        .await;
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 503);
    assert_eq!(rest.api(Method::GET, "/applications/@me", None).await.0, 200);
    let (status, _) = rest
        .control(Method::DELETE, &format!("/faults/{id}"), Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 200);
    assert_eq!(rest.control(Method::DELETE, "/faults/99", Value::Null).await.0, 404);

    rest.fault(json!({"kind": "refuse_rest", "route": "*", "status": 500, "for_ms": 50}))
        .await;
    let log = async {
        loop {
            let ends = rest
                .log()
                .await
                .iter()
                .filter(|event| event["kind"] == "fault_end")
                .count();
            if ends == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, log).await.expect("the fault never ended");
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 200);
}

#[tokio::test]
async fn gateway_faults_do_to_a_shard_what_they_say() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    rest.fault(json!({"kind": "drop_gateway", "shard": 0})).await;
    assert_eq!(socket.close_code().await, None, "TCP just ends");
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    socket.event("RESUMED").await;
    rest.fault(json!({"kind": "reconnect_gateway", "shard": 0})).await;
    assert_eq!(socket.next().await["op"], 7);
    rest.fault(json!({"kind": "invalidate_session", "shard": 0, "resumable": true}))
        .await;
    assert_eq!(socket.next().await["d"], true);
    rest.fault(json!({"kind": "expire_session", "shard": 0})).await;
    assert_eq!(socket.close_code().await, None);
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    assert_eq!(socket.next().await["d"], false);
    assert_eq!(rest.look("/counters").await["resume"], 2);
}

#[tokio::test]
async fn bad_input_never_stops_it() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    for url in [
        format!("{}/guilds", rest.control),
        format!("{}/channels/{}/messages", rest.api, at.text),
    ] {
        for body in [b"{".to_vec(), b"\xff\xfe".to_vec(), vec![b'x'; 3 << 20]] {
            let sent = rest
                .client
                .post(&url)
                .header("authorization", &rest.token)
                .body(body)
                .send()
                .await;
            // A body beyond the limit may end the connection instead.
            if let Ok(response) = sent {
                assert_eq!(response.status().as_u16(), 400, "{url}");
            }
        }
    }
    for body in [
        json!([]),
        json!(7),
        json!({"user": {}}),
        json!({"channel": [], "user": "x"}),
    ] {
        for path in [
            "/guilds/1/voice",
            "/guilds/x/commands",
            "/messages/0/components",
            "/interactions/0/modal",
            "/faults",
        ] {
            let (status, _) = rest.control(Method::POST, path, body.clone()).await;
            assert!((400..500).contains(&status), "{path} {body}: {status}");
        }
    }
    let mut socket = Socket::open(&sim).await;
    socket.0.send(Message::binary(vec![0xff; 100])).await.unwrap();
    assert_eq!(socket.close_code().await, Some(4002));
    rest.look("/world").await;
}

/// Polls a twilight shard until an event of the wanted kind.
async fn twilight_event(shard: &mut Shard, wanted: impl Fn(&Event) -> bool) -> Event {
    let mut seen = Vec::new();
    let polling = async {
        loop {
            match shard.next_event(EventTypeFlags::all()).await {
                Some(Ok(event)) if wanted(&event) => return event,
                Some(Ok(event)) => seen.push(format!("{:?}", event.kind())),
                Some(Err(error)) => panic!("twilight could not read an event: {error}"),
                None => panic!("the shard ended"),
            }
        }
    };
    let found = timeout(LIMIT, polling).await;
    found.unwrap_or_else(|_| panic!("the event never came; seen: {seen:?}"))
}

#[tokio::test]
async fn twilight_logs_in_with_zstd_is_dropped_and_resumes_with_replay() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let sim = sim(3).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    register(&sim, &rest).await;
    let intents = Intents::GUILDS | Intents::GUILD_VOICE_STATES;
    let config = ConfigBuilder::new(sim.ready.token.clone(), intents)
        .proxy_url(sim.ready.discord_gateway.clone())
        .build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    twilight_event(&mut shard, |event| matches!(event, Event::Ready(_))).await;
    for _ in 0..3 {
        twilight_event(&mut shard, |event| matches!(event, Event::GuildCreate(_))).await;
    }
    rest.fault(json!({"kind": "drop_gateway", "shard": 0})).await;
    rest.until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    let body = json!({"user": at.people[0], "channel": at.voice[0]});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
        .await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "join", "options": {"channel": at.voice[1]}});
    rest.control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let state = twilight_event(&mut shard, |event| matches!(event, Event::VoiceStateUpdate(_))).await;
    let Event::VoiceStateUpdate(state) = state else {
        unreachable!()
    };
    assert_eq!(state.channel_id.unwrap().to_string(), at.voice[0]);
    twilight_event(&mut shard, |event| matches!(event, Event::InteractionCreate(_))).await;
    twilight_event(&mut shard, |event| matches!(event, Event::Resumed)).await;
    let counters = rest.look("/counters").await;
    assert_eq!((&counters["identify"], &counters["resume"]), (&json!(1), &json!(1)));
    shard.close(TwilightClose::RESUME);
}
