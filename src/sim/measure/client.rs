//! A bot as small as it can be: it logs in, joins voice, plays, and counts what it hears.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::super::Ready;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(30);
/// Below what HELLO asks for.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Guilds and voice states.
const INTENTS: u32 = 129;

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} did not come"))
}

async fn next(socket: &mut Socket) -> io::Result<Value> {
    loop {
        let message = timeout(LIMIT, socket.next()).await.map_err(|_| broken("a message"))?;
        match message {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(io::Error::other),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) | None => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Err(why)) => return Err(io::Error::other(why)),
        }
    }
}

async fn send(socket: &mut Socket, payload: &Value) -> io::Result<()> {
    socket
        .send(Message::text(payload.to_string()))
        .await
        .map_err(io::Error::other)
}

/// A guild as `GUILD_CREATE` tells it.
#[derive(Debug)]
pub(super) struct Guild {
    id: Value,
    channel: Value,
}

/// A shard.
pub(super) struct Gateway {
    socket: Socket,
    waiting: usize,
}

impl Gateway {
    pub(super) async fn login(ready: &Ready, shard: usize, shards: usize) -> io::Result<Self> {
        let url = format!("{}/?v=10&encoding=json", ready.discord_gateway);
        let (mut socket, _) = connect_async(url).await.map_err(io::Error::other)?;
        let identify = json!({"op": 2, "d": {
            "token": ready.token, "intents": INTENTS, "shard": [shard, shards], "properties": {},
        }});
        send(&mut socket, &identify).await?;
        loop {
            let payload = next(&mut socket).await?;
            if payload["t"] == "READY" {
                let waiting = payload["d"]["guilds"].as_array().map_or(0, Vec::len);
                return Ok(Self { socket, waiting });
            }
        }
    }

    /// The guilds that follow READY.
    pub(super) async fn guilds(&mut self) -> io::Result<Vec<Guild>> {
        let mut guilds = Vec::with_capacity(self.waiting);
        while guilds.len() < self.waiting {
            let payload = self.event("GUILD_CREATE").await?;
            let mut channels = payload["channels"].as_array().into_iter().flatten();
            let channel = channels
                .find(|channel| channel["type"] == 2)
                .map(|channel| channel["id"].clone());
            guilds.push(Guild {
                id: payload["id"].clone(),
                channel: channel.unwrap_or_default(),
            });
        }
        Ok(guilds)
    }

    async fn event(&mut self, name: &str) -> io::Result<Value> {
        loop {
            let mut payload = next(&mut self.socket).await?;
            if payload["t"] == name {
                return Ok(payload["d"].take());
            }
        }
    }

    /// Joins a guild's voice channel: the credentials as a node wants them.
    pub(super) async fn join(&mut self, guild: &Guild) -> io::Result<Value> {
        let join = json!({"op": 4, "d": {
            "guild_id": guild.id, "channel_id": guild.channel, "self_mute": false, "self_deaf": true,
        }});
        send(&mut self.socket, &join).await?;
        let state = self.event("VOICE_STATE_UPDATE").await?;
        let server = self.event("VOICE_SERVER_UPDATE").await?;
        Ok(json!({
            "token": server["token"], "endpoint": server["endpoint"], "sessionId": state["session_id"],
            "channelId": state["channel_id"],
        }))
    }

    /// Counts what comes and heartbeats, until the socket ends.
    pub(super) async fn read(mut self, received: Arc<AtomicU64>) {
        let mut beats = interval(HEARTBEAT);
        loop {
            tokio::select! {
                _ = beats.tick() => {
                    if send(&mut self.socket, &json!({"op": 1, "d": null})).await.is_err() {
                        return;
                    }
                }
                message = self.socket.next() => match message {
                    Some(Ok(_)) => {
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Err(_)) | None => return,
                },
            }
        }
    }
}

/// A session of a node.
pub(super) struct Node {
    socket: Socket,
    http: Client,
    players: String,
    password: String,
}

impl Node {
    pub(super) async fn connect(ready: &Ready, shard: usize, shards: usize) -> io::Result<Self> {
        let node = ready.lavalink.first().ok_or_else(|| broken("a node"))?;
        let url = format!("{}/v4/websocket", node.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().map_err(io::Error::other)?;
        let client = format!("measure/1 member=measure shard={shard}/{shards}");
        for (name, value) in [
            ("Authorization", node.password.as_str()),
            ("User-Id", "1"),
            ("Client-Name", &client),
        ] {
            request
                .headers_mut()
                .insert(name, value.parse().map_err(io::Error::other)?);
        }
        let (mut socket, _) = connect_async(request).await.map_err(io::Error::other)?;
        loop {
            let message = next(&mut socket).await?;
            if message["op"] == "ready" {
                let session = message["sessionId"].as_str().unwrap_or_default();
                return Ok(Self {
                    players: format!("{}/v4/sessions/{session}/players", node.url),
                    http: Client::new(),
                    password: node.password.clone(),
                    socket,
                });
            }
        }
    }

    /// Plays a track that is longer than any measurement.
    pub(super) async fn play(&mut self, guild: &Guild, voice: &Value) -> io::Result<()> {
        let url = format!("{}/{}", self.players, guild.id.as_str().unwrap_or_default());
        let body = json!({"voice": voice, "track": {"identifier": "sim:Measured?length=36000"}});
        let request = self.http.patch(url).header("Authorization", &self.password).json(&body);
        let answer = request.send().await.map_err(io::Error::other)?;
        answer.error_for_status().map(drop).map_err(io::Error::other)
    }

    /// Reads until the socket ends.
    pub(super) async fn read(mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

/// Begins a fault.
pub(super) async fn fault(ready: &Ready, body: &Value) -> io::Result<()> {
    let url = format!("{}/faults", ready.control);
    let answer = Client::new()
        .post(url)
        .json(body)
        .send()
        .await
        .map_err(io::Error::other)?;
    answer.error_for_status().map(drop).map_err(io::Error::other)
}

/// How many players the nodes have.
pub(super) async fn players(ready: &Ready) -> io::Result<usize> {
    let url = format!("{}/world?guilds=none", ready.control);
    let answer = Client::new().get(url).send().await.map_err(io::Error::other)?;
    let world: Value = answer.json().await.map_err(io::Error::other)?;
    let nodes = world["nodes"].as_array().into_iter().flatten();
    let sessions = nodes.flat_map(|node| node["sessions"].as_array().into_iter().flatten());
    let count = sessions.filter_map(|session| session["players"].as_u64()).sum::<u64>();
    usize::try_from(count).map_err(io::Error::other)
}
