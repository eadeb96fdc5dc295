//! One gateway socket: HELLO, heartbeats, the ops of a client, and the ways a socket ends.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::Discord;
use super::codec::Codec;
use super::session::{Link, Out, Refusal};

/// The longest payload that a client may send, in bytes.
const LONGEST: usize = 4_096;
/// Payloads a client may send in a minute.
const SENDS: usize = 120;
const MINUTE_MS: u64 = 60_000;
/// How long a closing socket waits for its peer.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long an IDENTIFY that came too soon waits for its refusal.
const REFUSAL: Duration = Duration::from_millis(250);
/// How soon a session that was resumed at the general address is told to connect elsewhere.
const EARLY_RECONNECT: Duration = Duration::from_secs(3);
/// How long a socket is kept that was told to reconnect in place of HELLO.
const LEAVE: Duration = Duration::from_secs(2);

/// How a socket ended.
enum End {
    /// TCP is gone, or was cut on purpose.
    Gone,
    /// The client sent a close frame.
    ByClient(u16),
    /// We send a close frame.
    ByUs(u16, &'static str),
}

struct Gateway<'a> {
    discord: &'a Discord,
    link: Link,
    session: Option<String>,
    sent_ms: VecDeque<u64>,
    beat: Instant,
    /// The last sequence number that the client said it has.
    heard: Option<u64>,
    /// Whether it came to the address that is for everybody, not to one that READY gave out.
    general: bool,
    /// What it is told next by itself, and when.
    next: Option<(Instant, Put)>,
}

/// What a socket is told after a while.
#[derive(Clone, Copy, Debug)]
enum Put {
    Invalid,
    Reconnect,
    Close,
}

/// Serves one socket until it ends.
pub(crate) async fn serve(discord: Discord, mut socket: WebSocket, query: HashMap<String, String>, general: bool) {
    let (link, mut orders) = Link::new(discord.next_conn(), discord.stop().child_token());
    let cut = link.cut.clone();
    let mut gateway = Gateway::new(&discord, link, general);
    let mut codec = Codec::new(query.get("compress").map(String::as_str));
    let fields = json!({"conn": gateway.link.conn, "version": query.get("v"), "compress": codec.name()});
    discord.lock().log.append("gateway_opened", fields);
    let end = if let Some(end) = refuse_query(&query) {
        end
    } else {
        gateway.hello();
        tokio::select! {
            () = cut.cancelled() => End::Gone,
            end = gateway.run(&mut socket, &mut orders, &mut codec) => end,
        }
    };
    gateway.over(&end);
    match end {
        End::Gone => {}
        End::ByClient(_) => farewell(&mut socket, None).await,
        End::ByUs(code, reason) => {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            farewell(&mut socket, Some(frame)).await;
        }
    }
}

/// The frames of one connection without its socket, whatever they say: for bytes that nobody sends in good faith.
pub(crate) fn hear<'a>(discord: &Discord, frames: impl Iterator<Item = &'a [u8]>) {
    let (link, _orders) = Link::new(discord.next_conn(), discord.stop().child_token());
    let mut gateway = Gateway::new(discord, link, true);
    gateway.hello();
    let mut ends = frames.map(|frame| gateway.read(frame)).filter_map(Result::err);
    let end = ends.next().unwrap_or(End::Gone);
    gateway.over(&end);
}

fn refuse_query(query: &HashMap<String, String>) -> Option<End> {
    if query.get("v").is_some_and(|version| version != "10") {
        return Some(End::ByUs(4012, "Invalid API version."));
    }
    if query.get("encoding").is_some_and(|encoding| encoding != "json") {
        return Some(End::ByUs(4002, "Only JSON is spoken here."));
    }
    None
}

/// The closing handshake, for a peer that may not answer.
async fn farewell(socket: &mut WebSocket, frame: Option<CloseFrame>) {
    let wait = async {
        if let Some(frame) = frame
            && socket.send(Message::Close(Some(frame))).await.is_err()
        {
            return;
        }
        while let Some(Ok(_)) = socket.recv().await {}
    };
    // A peer that does not answer loses the connection, which needs no word.
    let _ = timeout(FAREWELL, wait).await;
}

async fn write(socket: &mut WebSocket, codec: &mut Codec, orders: &mut Vec<Out>) -> Result<(), End> {
    for order in orders.drain(..) {
        match order {
            Out::Frame(payload) => {
                let frame = codec.frame(payload).ok_or(End::Gone)?;
                socket.feed(frame).await.map_err(|_| End::Gone)?;
            }
            Out::Close(code, reason) => {
                socket.flush().await.map_err(|_| End::Gone)?;
                return Err(End::ByUs(code, reason));
            }
        }
    }
    socket.flush().await.map_err(|_| End::Gone)
}

impl<'a> Gateway<'a> {
    fn new(discord: &'a Discord, link: Link, general: bool) -> Self {
        Self {
            discord,
            link,
            session: None,
            sent_ms: VecDeque::new(),
            beat: Instant::now(),
            heard: None,
            general,
            next: None,
        }
    }

    fn hello(&mut self) {
        let world = self.discord.lock();
        if world.faults.reconnects_early() {
            self.link.op(7, &Value::Null);
            self.next = Some((Instant::now() + LEAVE, Put::Close));
        } else if !world.faults.withholds("hello", None) {
            let interval = world.settings.heartbeat_ms;
            self.link.op(10, &json!({"heartbeat_interval": interval, "_trace": []}));
        }
    }

    async fn run(&mut self, socket: &mut WebSocket, orders: &mut mpsc::Receiver<Out>, codec: &mut Codec) -> End {
        // A client that misses two heartbeats is gone.
        let patience = Duration::from_millis(self.discord.lock().settings.heartbeat_ms.saturating_mul(2));
        let mut batch = Vec::with_capacity(64);
        loop {
            tokio::select! {
                _ = orders.recv_many(&mut batch, 64) => {
                    // A client that reads nothing any more (it is frozen) is gone as well.
                    match timeout(patience, write(socket, codec, &mut batch)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(end)) => return end,
                        Err(_) => return End::Gone,
                    }
                }
                frame = socket.recv() => {
                    let read = match frame {
                        None | Some(Err(_)) => Err(End::Gone),
                        Some(Ok(Message::Text(text))) => self.read(text.as_bytes()),
                        Some(Ok(Message::Binary(bytes))) => self.read(&bytes),
                        Some(Ok(Message::Close(frame))) => Err(End::ByClient(frame.map_or(1005, |frame| frame.code))),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                    };
                    if let Err(end) = read {
                        return end;
                    }
                }
                () = sleep_until(self.next.map_or(self.beat + patience, |(at, _)| at)), if self.next.is_some() => {
                    match self.next.take() {
                        Some((_, Put::Invalid)) => self.link.op(9, &Value::Bool(false)),
                        Some((_, Put::Reconnect)) => self.link.op(7, &Value::Null),
                        Some((_, Put::Close)) => return End::ByUs(4000, "Reconnect."),
                        None => {}
                    }
                }
                () = sleep_until(self.beat + patience) => return End::Gone,
            }
        }
    }

    /// A payload from the client.
    fn read(&mut self, bytes: &[u8]) -> Result<(), End> {
        let now = self.discord.now();
        while self.sent_ms.front().is_some_and(|at| *at + MINUTE_MS <= now) {
            self.sent_ms.pop_front();
        }
        self.sent_ms.push_back(now);
        if self.sent_ms.len() > SENDS {
            return Err(End::ByUs(4008, "Rate limited."));
        }
        if bytes.len() > LONGEST {
            return Err(End::ByUs(4002, "Error while decoding payload."));
        }
        let Ok(payload) = serde_json::from_slice::<Value>(bytes) else {
            return Err(End::ByUs(4002, "Error while decoding payload."));
        };
        let Some(op) = payload["op"].as_u64() else {
            return Err(End::ByUs(4002, "Error while decoding payload."));
        };
        let data = &payload["d"];
        if matches!(op, 2 | 6) {
            self.log_out();
        }
        match (op, self.session.is_some()) {
            (1, _) => self.heartbeat(data),
            (2 | 6, true) => return Err(End::ByUs(4005, "Already authenticated.")),
            (2, false) => return self.log_in(data, true),
            (6, false) => return self.log_in(data, false),
            (3 | 4 | 8 | 31, false) => return Err(End::ByUs(4003, "Not authenticated.")),
            (4, true) => self.voice(data),
            (3 | 8 | 31, true) => {}
            _ => return Err(End::ByUs(4001, "Unknown opcode.")),
        }
        Ok(())
    }

    fn heartbeat(&mut self, data: &Value) {
        self.beat = Instant::now();
        self.heard = data.as_u64().or(self.heard);
        let world = self.discord.lock();
        let shard = self
            .session
            .as_ref()
            .and_then(|id| world.sessions.get(id))
            .map(|session| session.shard);
        if let Some(after_ms) = self.link.heartbeat(world.now()) {
            let fields = json!({"shard": shard, "conn": self.link.conn, "after_ms": after_ms, "heard": self.heard});
            world.log.append("heartbeat_answered", fields);
        }
        if !world.faults.withholds("ack", shard) {
            self.link.op(11, &Value::Null);
        }
    }

    /// Whom op 9 was sent to may log in again on the same socket.
    fn log_out(&mut self) {
        let conn = self.link.conn;
        self.session
            .take_if(|session| self.discord.lock().leave_session(session, conn));
    }

    fn log_in(&mut self, data: &Value, fresh: bool) -> Result<(), End> {
        let mut world = self.discord.lock();
        let outcome = if fresh {
            world.identify(&self.link, data)
        } else {
            world.resume(&self.link, data)
        };
        drop(world);
        match outcome {
            Ok(session) => {
                self.session = Some(session);
                // The refusal of an earlier IDENTIFY that has not been told yet is not this one's.
                self.next.take_if(|(_, put)| matches!(put, Put::Invalid));
                if self.general && !fresh {
                    self.next = Some((Instant::now() + EARLY_RECONNECT, Put::Reconnect));
                }
                Ok(())
            }
            Err(Refusal::Invalid(resumable)) => {
                self.link.op(9, &Value::Bool(resumable));
                Ok(())
            }
            Err(Refusal::TooSoon) => {
                self.next = Some((Instant::now() + REFUSAL, Put::Invalid));
                Ok(())
            }
            Err(Refusal::Close(code, reason)) => Err(End::ByUs(code, reason)),
            Err(Refusal::Cut) => Err(End::Gone),
            Err(Refusal::Silence) => Ok(()),
        }
    }

    fn voice(&self, data: &Value) {
        if let Some(session) = &self.session {
            self.discord.lock().voice_request(session, self.link.conn, data);
        }
    }

    /// The socket is over: the log, the counters and the session learn it.
    fn over(&self, end: &End) {
        let (by, code, reason) = match end {
            End::Gone => ("none", None, ""),
            End::ByClient(code) => ("client", Some(*code), ""),
            End::ByUs(code, reason) => ("server", Some(*code), *reason),
        };
        let mut world = self.discord.lock();
        let known = self.session.as_ref().and_then(|id| world.sessions.get(id));
        let attached = known.filter(|session| session.link.as_ref().is_some_and(|link| link.conn == self.link.conn));
        let fields = json!({
            "by": by, "code": code, "reason": reason, "conn": self.link.conn, "session": self.session,
            "shard": known.map(|session| session.shard), "shards": known.map(|session| session.shards),
            "attached": attached.is_some(), "heard": self.heard,
        });
        world.log.append("gateway_closed", fields);
        let name = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        *world.counters.closes.entry(name).or_insert(0) += 1;
        let for_good = matches!(end, End::ByClient(1000 | 1001));
        world.detach(self.session.as_deref(), self.link.conn, for_good);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::super::tests::world;
    use super::*;

    /// What a socket was told last, without events.
    fn ops(orders: &mut mpsc::Receiver<Out>) -> Vec<u64> {
        let mut ops = Vec::new();
        while let Ok(order) = orders.try_recv() {
            if let Out::Frame(text) = order {
                let payload: Value = serde_json::from_str(&text).unwrap();
                ops.extend(payload["op"].as_u64().filter(|op| *op > 0));
            }
        }
        ops
    }

    #[tokio::test(start_paused = true)]
    async fn after_op_9_a_socket_may_log_in_again() {
        for (resumable, resumes) in [(false, false), (true, false), (true, true)] {
            let discord = Discord::new(world(1).await, CancellationToken::new());
            let (link, mut orders) = Link::new(1, CancellationToken::new());
            let mut gateway = Gateway::new(&discord, link, false);
            let token = discord.lock().token.clone();
            let identify = json!({"op": 2, "d": {"token": token, "intents": 129}}).to_string();
            assert!(gateway.read(identify.as_bytes()).is_ok());
            let first = gateway.session.clone().unwrap();
            let fault = json!({"kind": "invalidate_session", "shard": 0, "resumable": resumable});
            discord.lock().begin_fault(&fault).unwrap();
            assert_eq!(ops(&mut orders), [9]);
            tokio::time::advance(Duration::from_secs(5)).await;
            let login = if resumes {
                json!({"op": 6, "d": {"token": token, "session_id": first, "seq": 2}}).to_string()
            } else {
                identify.clone()
            };
            assert!(gateway.read(login.as_bytes()).is_ok(), "{resumable} {resumes}");
            assert_eq!(gateway.session.as_ref() == Some(&first), resumes);
            let world = discord.lock();
            let attached = world.sessions.values().filter(|session| session.link.is_some());
            assert_eq!(attached.count(), 1, "{resumable} {resumes}: one socket, one session");
            assert_eq!(world.sessions.contains_key(&first), resumable);
            drop(world);
            assert!(orders.try_recv().is_ok(), "it is told READY or RESUMED");
            let again = gateway.read(identify.as_bytes());
            assert!(matches!(again, Err(End::ByUs(4005, _))), "and then not a second time");
            let mut told = Vec::new();
            while let Ok(order) = orders.try_recv() {
                told.push(order);
            }
            assert!(!told.iter().any(|order| matches!(order, Out::Close(..))), "{told:?}");
        }
    }
}
