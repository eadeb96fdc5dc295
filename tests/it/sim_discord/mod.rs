//! The simulated Discord, over real sockets, by clients that are not ours where there are any.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod faults;
mod gateway;
mod heard;
mod interactions;
mod libraries;
mod repeatable;
mod rest;
mod rest_rows;
mod voice;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Method};
use segue::sim::{Options, Sim, start};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

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

    /// As `api`, and again after as long as a 429 says.
    async fn patient(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        loop {
            let (status, answer) = self.api(method.clone(), path, body.clone()).await;
            match answer["retry_after"].as_f64().filter(|_| status == 429) {
                Some(after) => tokio::time::sleep(Duration::from_secs_f64(after)).await,
                None => return (status, answer),
            }
        }
    }

    async fn end_fault(&self, id: &str) {
        let (status, _) = self
            .control(Method::DELETE, &format!("/faults/{id}"), Value::Null)
            .await;
        assert_eq!(status, 204);
    }

    /// The last event of a kind, once there is one.
    async fn event(&self, kind: &str) -> Value {
        let asking = async {
            loop {
                let log = self.log().await;
                if let Some(found) = log.into_iter().rev().find(|event| event["kind"] == kind) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, asking)
            .await
            .unwrap_or_else(|_| panic!("no {kind} was logged"))
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
        Self::at(&format!("{}//{query}", sim.ready.discord_gateway)).await
    }

    async fn at(url: &str) -> Self {
        Self(connect_async(url).await.unwrap().0)
    }

    /// A client of the first Lavalink node.
    async fn to_node(sim: &Sim) -> Self {
        let node = &sim.ready.lavalink[0];
        let url = format!("{}/v4/websocket", node.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        for (name, value) in [("Authorization", node.password.as_str()), ("User-Id", "1")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        Self(connect_async(request).await.unwrap().0)
    }

    async fn binary(&mut self) -> Vec<u8> {
        match self.frame().await {
            Some(Message::Binary(bytes)) => bytes.to_vec(),
            other => panic!("a binary frame was wanted, not {other:?}"),
        }
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

async fn register(rest: &Rest) -> Value {
    let (_, application) = rest.api(Method::GET, "/applications/@me", None).await;
    let path = format!("/applications/{}/commands", application["id"].as_str().unwrap());
    let (status, first) = rest.api(Method::PUT, &path, Some(commands())).await;
    assert_eq!(status, 200, "{first}");
    application["id"].clone()
}
