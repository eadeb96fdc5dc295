//! A gateway that only sends: prepared frames, as fast as the other side takes them.
//!
//! Everything is compressed beforehand, as one stream from HELLO to the last event, so that each connection is sent the
//! same bytes and the sender costs next to nothing.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// Guilds of the shard.
const GUILDS: u64 = 1_000;
/// Frames between two flushes of the socket: events of a busy shard come in bunches.
const BUNCH: usize = 32;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is sent, in three parts.
pub(crate) struct Feed {
    listener: TcpListener,
    /// HELLO.
    hello: Vec<Message>,
    /// READY and the guilds, up to sequence number `ready`.
    login: Vec<Message>,
    ready: u64,
    /// The events, up to sequence number `last`.
    events: Vec<Message>,
    last: u64,
}

/// A client that has logged in.
pub(crate) struct Client<'a> {
    feed: &'a Feed,
    socket: WebSocketStream<TcpStream>,
}

impl Feed {
    /// Prepares so many events.
    pub(crate) async fn prepare(count: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = url(&listener);
        let mut stream = Stream::new();
        let hello = vec![stream.frame(&json!({ "op": 10, "d": { "heartbeat_interval": 600_000 } }).to_string())];
        let mut login = vec![stream.dispatch("READY", &ready(&url))];
        login.extend((1..=GUILDS).map(|guild| stream.dispatch("GUILD_CREATE", &guild_create(guild))));
        login.push(stream.question());
        let ready = stream.seq;
        let mut events: Vec<_> = (0..count).map(|nth| stream.event(nth)).collect();
        events.push(stream.question());
        Self {
            listener,
            hello,
            login,
            ready,
            events,
            last: stream.seq,
        }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        url(&self.listener)
    }

    /// Waits for a client and sends it READY and every guild; returns when it has read all of it.
    pub(crate) async fn login(&self) -> Client<'_> {
        let (socket, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let mut client = Client {
            feed: self,
            socket: tokio_tungstenite::accept_async(socket).await.unwrap(),
        };
        client.send(&self.hello).await;
        client.until(|message| message["op"] == 2).await;
        client.send(&self.login).await;
        client.until(|message| has_read(message, self.ready)).await;
        client
    }
}

impl Client<'_> {
    /// Sends every event; returns when the client has read the last one.
    pub(crate) async fn send_events(&mut self) {
        self.send(&self.feed.events).await;
        let last = self.feed.last;
        self.until(|message| has_read(message, last)).await;
    }

    async fn send(&mut self, frames: &[Message]) {
        for bunch in frames.chunks(BUNCH) {
            for frame in bunch {
                self.socket.feed(frame.clone()).await.unwrap();
            }
            self.socket.flush().await.unwrap();
        }
    }

    async fn until(&mut self, is_it: impl Fn(&Value) -> bool) {
        let reading = async {
            while let Some(message) = self.socket.next().await {
                let text = message.unwrap().into_text().unwrap();
                if serde_json::from_str(&text).is_ok_and(|message| is_it(&message)) {
                    return;
                }
            }
            panic!("the client hung up");
        };
        timeout(PATIENCE, reading).await.unwrap();
    }
}

/// Op 1 of the server is answered with a heartbeat, which names the last event that was read.
fn has_read(message: &Value, seq: u64) -> bool {
    message["op"] == 1 && message["d"].as_u64().is_some_and(|read| read >= seq)
}

fn url(listener: &TcpListener) -> String {
    format!("ws://{}", listener.local_addr().unwrap())
}

/// One zstd stream, flushed at each payload.
struct Stream {
    context: CCtx<'static>,
    seq: u64,
}

impl Stream {
    fn new() -> Self {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(1)).unwrap();
        Self { context, seq: 0 }
    }

    fn frame(&mut self, payload: &str) -> Message {
        let mut done = vec![0; zstd_safe::compress_bound(payload.len()) + 64];
        let mut input = InBuffer::around(payload.as_bytes());
        let mut output = OutBuffer::around(done.as_mut_slice());
        let flush = ZSTD_EndDirective::ZSTD_e_flush;
        while self.context.compress_stream2(&mut output, &mut input, flush).unwrap() > 0 {}
        let length = output.pos();
        done.truncate(length);
        done.shrink_to_fit();
        Message::Binary(done.into())
    }

    fn dispatch(&mut self, name: &str, data: &Value) -> Message {
        self.seq += 1;
        let payload = format!(r#"{{"t":"{name}","s":{},"op":0,"d":{data}}}"#, self.seq);
        self.frame(&payload)
    }

    /// Op 1: asks for a heartbeat.
    fn question(&mut self) -> Message {
        self.frame(&json!({ "op": 1, "d": null }).to_string())
    }

    /// What a shard with `GUILDS` and `GUILD_VOICE_STATES` is sent: mostly people who come, go and mute themselves, and
    /// one event in ten that a music bot has no use for.
    fn event(&mut self, nth: u64) -> Message {
        let guild = 1 + nth * 7_919 % GUILDS;
        match nth % 20 {
            6 => self.dispatch("CHANNEL_UPDATE", &channel(guild)),
            13 => self.dispatch(
                "GUILD_ROLE_UPDATE",
                &json!({ "guild_id": id(guild), "role": role(guild) }),
            ),
            _ => self.dispatch("VOICE_STATE_UPDATE", &voice_state(guild, nth)),
        }
    }
}

/// Ids as long as real ones.
fn id(number: u64) -> String {
    (1_100_000_000_000_000_000 + (number << 22)).to_string()
}

fn ready(url: &str) -> Value {
    let guilds: Vec<_> = (1..=GUILDS)
        .map(|guild| json!({ "id": id(guild), "unavailable": true }))
        .collect();
    let bot = json!({ "id": id(0), "username": "bot", "discriminator": "0", "avatar": null, "bot": true, "mfa_enabled": true });
    json!({
        "v": 10, "user": bot, "guilds": guilds, "session_id": "b7d0f4a2c1e84a5f9d3e6c7b8a9f0e1d", "shard": [0, 1],
        "resume_gateway_url": url, "application": { "id": id(0), "flags": 0 },
    })
}

fn role(guild: u64) -> Value {
    json!({
        "id": id(guild), "name": "listeners", "color": 0, "hoist": false, "position": 1, "permissions": "6479573639233",
        "colors": { "primary_color": 0, "secondary_color": null, "tertiary_color": null }, "managed": false,
        "mentionable": false, "flags": 0, "icon": null, "unicode_emoji": null,
    })
}

fn channel(guild: u64) -> Value {
    json!({
        "id": id(guild + 5_000), "type": 2, "name": "Lounge", "position": 3, "guild_id": id(guild), "bitrate": 64_000,
        "user_limit": 0, "permission_overwrites": [], "parent_id": null, "nsfw": false, "last_message_id": null, "flags": 0,
        "rate_limit_per_user": 0, "rtc_region": null,
    })
}

fn guild_create(guild: u64) -> Value {
    json!({
        "id": id(guild), "name": format!("Guild {guild}"), "unavailable": false, "afk_timeout": 300, "emojis": [],
        "default_message_notifications": 0, "explicit_content_filter": 0, "features": [], "large": false, "mfa_level": 0,
        "nsfw_level": 0, "owner_id": id(1), "preferred_locale": "en-US", "premium_progress_bar_enabled": false,
        "premium_tier": 0, "roles": [role(guild)], "system_channel_flags": 0, "verification_level": 0,
        "joined_at": "2024-01-01T00:00:00.000000+00:00", "channels": [channel(guild)], "presences": [], "threads": [],
        "stage_instances": [], "members": [], "voice_states": [],
    })
}

/// Of one of four people a guild, who is in or out by turns.
fn voice_state(guild: u64, nth: u64) -> Value {
    let (person, turn) = (guild * 4 + nth % 4, nth / GUILDS);
    let inside = !(turn + nth).is_multiple_of(3);
    let user = json!({
        "id": id(person), "username": format!("listener{person}"), "global_name": format!("Listener {person}"), "bot": false,
        "avatar": "a_1269e74af4df7417b13759eae50c83dc", "discriminator": "0", "public_flags": 0,
    });
    let member = json!({
        "user": user, "roles": [id(guild)], "joined_at": "2024-01-01T00:00:00.000000+00:00", "deaf": false, "mute": false,
        "flags": 0, "nick": null, "avatar": null, "premium_since": null, "pending": false,
        "communication_disabled_until": null,
    });
    json!({
        "guild_id": id(guild), "user_id": id(person), "channel_id": inside.then(|| id(guild + 5_000)), "member": member,
        "session_id": format!("{nth:032x}"), "deaf": false, "mute": false, "self_deaf": false, "self_mute": turn % 2 == 0,
        "self_video": false, "self_stream": false, "suppress": false, "request_to_speak_timestamp": null,
    })
}
