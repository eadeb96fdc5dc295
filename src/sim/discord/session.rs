//! Gateway sessions: what outlives a socket, with its numbered events and their replay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::ws::Utf8Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ids::word;
use super::world::{World, shard_of};
use super::{limits, payload};

const INTENT_GUILDS: u64 = 1;
const INTENT_VOICE_STATES: u64 = 1 << 7;
const INTENT_MESSAGES: u64 = 1 << 9;
/// Members, presences and message content must be switched on for an application; here they are not.
const INTENTS_PRIVILEGED: u64 = (1 << 1) | (1 << 8) | (1 << 15);
const INTENTS_KNOWN: u64 = (1 << 26) - 1;
const GUILDS_A_SHARD: usize = 2_500;
/// Payloads that may wait for a slow client: more than READY with its guilds and a whole replay. One who is further behind
/// loses its connection, and what it missed is its session's replay.
const PATIENCE: usize = 8_192;
/// More shards than anybody has. `GET /world` shows each.
pub(crate) const MOST_SHARDS: u32 = 16_384;
/// Addresses that READY gives out for a later RESUME, as if each were a gateway of its own.
const GATEWAYS: u64 = 3;

/// What a socket's task is told to do.
#[derive(Debug)]
pub(crate) enum Out {
    /// Send a payload.
    Frame(Utf8Bytes),
    /// Close with a code.
    Close(u16, &'static str),
}

/// A socket, as sessions see it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Unique to the socket.
    pub(crate) conn: u64,
    out: mpsc::Sender<Out>,
    /// Cuts the TCP connection without a close frame.
    pub(crate) cut: CancellationToken,
    /// When a heartbeat was asked for that has not come yet, in ms; 0 when none was.
    asked_ms: Arc<AtomicU64>,
}

impl Link {
    /// A socket's both ends.
    pub(crate) fn new(conn: u64, cut: CancellationToken) -> (Self, mpsc::Receiver<Out>) {
        let (out, orders) = mpsc::channel(PATIENCE);
        let asked_ms = Arc::default();
        (
            Self {
                conn,
                out,
                cut,
                asked_ms,
            },
            orders,
        )
    }

    /// Asks for a heartbeat.
    pub(crate) fn ask_heartbeat(&self, now: u64) {
        self.asked_ms.store(now.max(1), Ordering::Relaxed);
        self.op(1, &Value::Null);
    }

    /// A heartbeat came: how long ago it was asked for, if it was.
    pub(crate) fn heartbeat(&self, now: u64) -> Option<u64> {
        match self.asked_ms.swap(0, Ordering::Relaxed) {
            0 => None,
            asked => Some(now.saturating_sub(asked)),
        }
    }

    /// A payload that is no event.
    pub(crate) fn op(&self, op: u8, data: &Value) {
        let frame = json!({"op": op, "d": data, "s": null, "t": null}).to_string();
        self.tell(Out::Frame(frame.into()));
    }

    /// A socket that has ended hears nothing, which is what a real one would hear.
    pub(crate) fn tell(&self, out: Out) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.out.try_send(out) {
            self.cut.cancel();
        }
    }
}

/// Why an IDENTIFY or RESUME did not work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Close the socket.
    Close(u16, &'static str),
    /// `INVALID_SESSION` with its flag; the socket stays open.
    Invalid(bool),
    /// `INVALID_SESSION`, after a moment.
    TooSoon,
    /// Cut the connection.
    Cut,
    /// Say nothing at all.
    Silence,
}

/// A gateway session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) shard: u32,
    pub(crate) shards: u32,
    intents: u64,
    seq: u64,
    ring: VecDeque<(u64, Utf8Bytes)>,
    capacity: usize,
    pub(crate) link: Option<Link>,
    /// When it lost its socket.
    detached_ms: Option<u64>,
    /// Its socket was told op 9 with `true`: it may log in again, in this session or another.
    doubted: bool,
}

impl Session {
    /// Whether this session is told of a guild.
    pub(crate) fn covers(&self, guild: u64) -> bool {
        shard_of(guild, self.shards) == self.shard
    }

    /// Numbers an event, keeps it for replay and sends it when a socket is there.
    pub(crate) fn push(&mut self, event: &str, data: &str) {
        self.seq += 1;
        let seq = self.seq;
        let frame = Utf8Bytes::from(format!(r#"{{"op":0,"s":{seq},"t":"{event}","d":{data}}}"#));
        if let Some(link) = &self.link {
            link.tell(Out::Frame(frame.clone()));
        }
        self.ring.push_back((seq, frame));
        if self.ring.len() > self.capacity {
            self.ring.pop_front();
        }
    }
}

fn intent_of(event: &str) -> u64 {
    match event {
        "VOICE_STATE_UPDATE" => INTENT_VOICE_STATES,
        "MESSAGE_CREATE" | "MESSAGE_UPDATE" | "MESSAGE_DELETE" => INTENT_MESSAGES,
        "INTERACTION_CREATE" | "VOICE_SERVER_UPDATE" => 0,
        _ => INTENT_GUILDS,
    }
}

impl World {
    /// An event of a guild goes to every session of its shard.
    pub(crate) fn dispatch(&mut self, guild: u64, event: &str, data: &Value) {
        let intent = intent_of(event);
        let mut text = None;
        for session in self.sessions.values_mut() {
            if session.covers(guild) && session.intents & intent == intent {
                session.push(event, text.get_or_insert_with(|| data.to_string()));
            }
        }
    }

    /// Whether any session is told of a guild.
    pub(crate) fn is_told(&self, guild: u64) -> bool {
        self.sessions.values().any(|session| session.covers(guild))
    }

    /// An event for one session only.
    pub(crate) fn dispatch_to(&mut self, session: &str, event: &str, data: &Value) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.push(event, &data.to_string());
        }
    }

    /// Whether a token is the bot's, with or without `Bot `.
    pub(crate) fn token_is_right(&self, token: &str) -> bool {
        self.limits.token_is_valid() && token.strip_prefix("Bot ").unwrap_or(token) == self.token
    }

    /// IDENTIFY. On success the session's id.
    pub(crate) fn identify(&mut self, link: &Link, data: &Value) -> Result<String, Refusal> {
        let wish = self.check_identify(data)?;
        let now = self.now();
        let key = wish.shard % self.settings.max_concurrency.max(1);
        let verdict = self.limits.identify(key, now);
        let met = self.faults.on_login(wish.shard, false);
        let outcome = match (verdict, met) {
            (limits::Identify::Spent, _) => Err(Refusal::Close(4004, "Authentication failed.")),
            // Who is cut hears of nothing else.
            (_, Some(Refusal::Cut)) => Err(Refusal::Cut),
            (limits::Identify::TooSoon, _) => Err(Refusal::TooSoon),
            (limits::Identify::Go, Some(refusal)) => Err(refusal),
            (limits::Identify::Go, None) => Ok(()),
        };
        // It is counted and told whatever a fault makes of it: a bot that tries again and again spends its budget.
        let seen = json!({
            "shard": wish.shard, "shards": wish.shards, "key": key, "conn": link.conn,
            "accepted": verdict == limits::Identify::Go, "outcome": word_of(&outcome),
            "remaining": self.limits.identify_left(),
        });
        self.log.append("identify", seen);
        self.counters.identify += 1;
        if verdict == limits::Identify::Spent {
            self.spend_token();
        }
        outcome?;
        Ok(self.open_session(link, &wish))
    }

    fn check_identify(&self, data: &Value) -> Result<Wish, Refusal> {
        let token = data["token"].as_str().unwrap_or_default();
        if !self.token_is_right(token) {
            return Err(Refusal::Close(4004, "Authentication failed."));
        }
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let (shard, shards) = match data["shard"].as_array().map(Vec::as_slice) {
            None if data["shard"].is_null() => (0, 1),
            Some([shard, shards]) => match (number(shard), number(shards)) {
                (Some(shard), Some(shards)) if shard < shards && shards <= MOST_SHARDS => (shard, shards),
                _ => return Err(Refusal::Close(4010, "Invalid shard.")),
            },
            None | Some(_) => return Err(Refusal::Close(4010, "Invalid shard.")),
        };
        let Some(intents) = data["intents"].as_u64().filter(|intents| intents & !INTENTS_KNOWN == 0) else {
            return Err(Refusal::Close(4013, "Invalid intent(s)."));
        };
        if intents & INTENTS_PRIVILEGED != 0 {
            return Err(Refusal::Close(4014, "Disallowed intent(s)."));
        }
        let guilds: Vec<u64> = self
            .guilds
            .keys()
            .copied()
            .filter(|id| shard_of(*id, shards) == shard)
            .collect();
        if guilds.len() > GUILDS_A_SHARD {
            return Err(Refusal::Close(4011, "Sharding required."));
        }
        Ok(Wish {
            shard,
            shards,
            intents,
            guilds,
        })
    }

    fn open_session(&mut self, link: &Link, wish: &Wish) -> String {
        self.logins += 1;
        let id = word(self.settings.seed, "session", self.logins);
        let gateway = format!("{}/gateway-{}", self.settings.gateway_url, self.logins % GATEWAYS + 1);
        self.shard_count = wish.shards;
        let mut session = Session {
            id: id.clone(),
            shard: wish.shard,
            shards: wish.shards,
            intents: wish.intents,
            seq: 0,
            ring: VecDeque::new(),
            capacity: (75 * wish.guilds.len()).clamp(100, 3_500),
            link: Some(link.clone()),
            detached_ms: None,
            doubted: false,
        };
        let waiting: Vec<Value> = wish
            .guilds
            .iter()
            .map(|guild| json!({"id": guild.to_string(), "unavailable": true}))
            .collect();
        let ready = json!({
            "v": 10, "user": payload::current_user(self), "guilds": waiting, "session_id": id, "session_type": "normal",
            "resume_gateway_url": gateway, "shard": [wish.shard, wish.shards],
            "application": {"id": self.bot.to_string(), "flags": 0}, "private_channels": [], "presences": [],
            "relationships": [], "user_settings": {}, "guild_join_requests": [], "geo_ordered_rtc_regions": [],
            "_trace": [],
        });
        session.push("READY", &ready.to_string());
        for guild in &wish.guilds {
            if self.guilds.get(guild).is_some_and(|guild| !guild.unavailable) && session.intents & INTENT_GUILDS != 0 {
                session.push("GUILD_CREATE", &payload::guild_create(self, *guild).to_string());
            }
        }
        self.sessions.insert(id.clone(), session);
        self.log.append(
            "session_opened",
            json!({"session": id, "shard": wish.shard, "shards": wish.shards, "conn": link.conn}),
        );
        id
    }

    /// RESUME. On success the session's id, with everything missed already sent.
    pub(crate) fn resume(&mut self, link: &Link, data: &Value) -> Result<String, Refusal> {
        let id = data["session_id"].as_str().unwrap_or_default().to_owned();
        let outcome = self.check_resume(&id, data);
        self.counters.resume += 1;
        let word = word_of(&outcome);
        let (shard, shards) = self
            .sessions
            .get(&id)
            .map_or((None, None), |session| (Some(session.shard), Some(session.shards)));
        self.log.append(
            "resume",
            json!({"session": id, "shard": shard, "shards": shards, "after": data["seq"], "conn": link.conn, "outcome": word}),
        );
        outcome?;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Err(Refusal::Invalid(false));
        };
        // The newest socket wins; the older one is closed.
        if let Some(old) = session.link.replace(link.clone()) {
            old.tell(Out::Close(4000, "Session resumed elsewhere."));
        }
        session.detached_ms = None;
        session.doubted = false;
        let from = data["seq"].as_u64().unwrap_or(0);
        for (_, frame) in session.ring.iter().filter(|(seq, _)| *seq > from) {
            link.tell(Out::Frame(frame.clone()));
        }
        session.push("RESUMED", r#"{"_trace":[]}"#);
        Ok(id)
    }

    fn check_resume(&self, id: &str, data: &Value) -> Result<(), Refusal> {
        if !self.token_is_right(data["token"].as_str().unwrap_or_default()) {
            return Err(Refusal::Close(4004, "Authentication failed."));
        }
        let Some(session) = self.sessions.get(id) else {
            return Err(Refusal::Invalid(false));
        };
        if let Some(refusal) = self.faults.on_login(session.shard, true) {
            return Err(refusal);
        }
        if let Some(resumable) = self.faults.refuses_resume(session.shard) {
            return Err(Refusal::Invalid(resumable));
        }
        if session.link.is_some() && self.faults.keeps_oldest(session.shard) {
            return Err(Refusal::Invalid(false));
        }
        let Some(seq) = data["seq"].as_u64().filter(|seq| *seq <= session.seq) else {
            return Err(Refusal::Close(4007, "Invalid seq."));
        };
        let oldest = session.ring.front().map_or(session.seq + 1, |(seq, _)| *seq);
        if seq + 1 < oldest {
            return Err(Refusal::Invalid(false));
        }
        Ok(())
    }

    /// A socket is gone. With `for_good` (the client sent 1000 or 1001) its session ends too.
    pub(crate) fn detach(&mut self, session: Option<&str>, conn: u64, for_good: bool) {
        let now = self.now();
        let Some(session) = session.and_then(|id| self.sessions.get_mut(id)) else {
            return;
        };
        if session.link.as_ref().is_none_or(|link| link.conn != conn) {
            return;
        }
        session.link = None;
        session.detached_ms = Some(now);
        session.doubted = false;
        let id = session.id.clone();
        if for_good {
            self.end_session(&id, "closed_by_client");
        }
    }

    /// The socket of a session was told that the session is invalid, and may be resumed.
    pub(crate) fn doubt_session(&mut self, id: &str) {
        if let Some(session) = self.sessions.get_mut(id).filter(|session| session.link.is_some()) {
            session.doubted = true;
        }
    }

    /// A socket that logged in wants to do so again. It may, where its session ended or is doubted since: op 9 was sent to it.
    /// Then the session has no socket any more; otherwise `false`.
    pub(crate) fn leave_session(&mut self, id: &str, conn: u64) -> bool {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(id) else {
            return true;
        };
        if !session.doubted || session.link.as_ref().is_none_or(|link| link.conn != conn) {
            return false;
        }
        session.link = None;
        session.detached_ms = Some(now);
        session.doubted = false;
        let fields = json!({"session": id, "shard": session.shard, "shards": session.shards, "conn": conn});
        self.log.append("session_left", fields);
        true
    }

    /// A session ends: the bot leaves the voice channels that it holds.
    pub(crate) fn end_session(&mut self, id: &str, why: &str) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        self.log.append(
            "session_ended",
            json!({"session": id, "shard": session.shard, "shards": session.shards, "why": why}),
        );
        let bot = self.bot;
        let held: Vec<u64> = self
            .guilds
            .values()
            .filter(|guild| guild.voice.get(&bot).is_some_and(|state| state.session == id))
            .map(|guild| guild.id)
            .collect();
        for guild in held {
            self.remove_bot_voice(guild);
        }
    }

    /// Sessions of a shard.
    pub(crate) fn sessions_of(&self, shard: u32) -> Vec<String> {
        let of_shard = self.sessions.values().filter(|session| session.shard == shard);
        of_shard.map(|session| session.id.clone()).collect()
    }

    /// Ends the sessions that were without a socket for too long.
    pub(crate) fn expire_sessions(&mut self, now: u64) {
        let limit = self.settings.session_ttl_ms;
        let late = |session: &&Session| {
            let until = session.detached_ms.map(|since| since.saturating_add(limit));
            until.is_some_and(|until| now >= until)
        };
        let gone: Vec<String> = self
            .sessions
            .values()
            .filter(late)
            .map(|session| session.id.clone())
            .collect();
        for id in gone {
            self.end_session(&id, "expired");
        }
    }

    /// The IDENTIFY budget is spent: every session ends and the token is void.
    pub(crate) fn spend_token(&mut self) {
        self.limits.void_token();
        self.log.append("token_reset", json!({}));
        let all: Vec<String> = self.sessions.keys().cloned().collect();
        for id in all {
            if let Some(link) = self.sessions.get(&id).and_then(|session| session.link.clone()) {
                link.tell(Out::Close(4004, "Authentication failed."));
            }
            self.end_session(&id, "token_reset");
        }
    }
}

/// What became of a login, as the log says it.
fn word_of(outcome: &Result<(), Refusal>) -> &'static str {
    match outcome {
        Ok(()) => "ok",
        Err(Refusal::Close(..)) => "closed",
        Err(Refusal::Invalid(_) | Refusal::TooSoon) => "invalid",
        Err(Refusal::Cut) => "cut",
        Err(Refusal::Silence) => "silence",
    }
}

/// An IDENTIFY that was understood.
struct Wish {
    shard: u32,
    shards: u32,
    intents: u64,
    guilds: Vec<u64>,
}
