//! What faults of Discord's there are, and how each is read from the body of `POST /faults`.

use serde_json::Value;

use super::super::ids::id_of;
use super::super::session::MOST_SHARDS;

/// The kinds that are Discord's, as `POST /faults` names them.
pub(crate) const KINDS: [&str; 29] = [
    "ban",
    "close_gateway",
    "delay_rest",
    "drop_gateway",
    "expire_session",
    "flood",
    "guild_outage",
    "hide_endpoint",
    "identify_budget",
    "invalid_budget",
    "invalidate_session",
    "keep_oldest",
    "note",
    "rate_limit",
    "recommend_shards",
    "reconnect_early",
    "reconnect_gateway",
    "refuse_rest",
    "refuse_resume",
    "refuse_voice_login",
    "request_heartbeat",
    "reset_token",
    "show_scope",
    "silent_voice",
    "swallow_op4",
    "voice_lost",
    "voice_order",
    "voice_parting",
    "withhold",
];

/// What happens at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// TCP of a shard is cut.
    DropGateway(u32),
    /// Sessions of a shard end as if their time were up; their sockets are cut.
    ExpireSession(u32),
    /// `INVALID_SESSION` to a shard.
    InvalidateSession(u32, bool),
    /// We close a shard's sockets with this code.
    CloseGateway(u32, u16),
    /// RECONNECT (op 7) to a shard, and perhaps its voice connections are closed with a code.
    ReconnectGateway(u32, Option<u16>),
    /// A heartbeat is asked for (op 1).
    RequestHeartbeat(u32),
    /// The voice connection of a guild is closed with this code.
    VoiceLost(u64, u16),
    /// So many IDENTIFYs are left for today.
    IdentifyBudget(u64),
    /// So many invalid requests are left before the ban.
    InvalidBudget(u64),
    /// The token is void.
    ResetToken,
}

/// What holds until the fault ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// Each login of a shard is cut.
    CutLogins(u32),
    /// Each RESUME of a shard is cut; an IDENTIFY is let in.
    CutResumes(u32),
    /// Each RESUME of a shard is answered with `INVALID_SESSION`, with this flag.
    RefuseResume(u32, bool),
    /// A RESUME of a session whose socket is there is refused, instead of taking its place.
    KeepOldest(u32),
    /// `hello`, `ready` (also RESUMED), `resumed` or `ack` is not sent, to one shard or to all.
    Withhold(String, Option<u32>),
    /// New sockets get RECONNECT (op 7) in place of HELLO.
    ReconnectEarly,
    /// Op 4 of a guild is not answered.
    SwallowOp4(u64),
    /// Op 4 of a guild is answered oddly: `server_first`, `server_twice`, `no_server` or `no_state`.
    VoiceOrder(u64, String),
    /// How voice connections of a guild end.
    VoiceParting(u64, Parting),
    /// A guild's voice server is gone: its endpoint is null until the fault ends.
    HideEndpoint(u64),
    /// New voice connections of a guild are open, and nobody hears them.
    SilentVoice(u64),
    /// A guild's voice server closes every login with this code.
    RefuseVoiceLogin(u64, u16),
    /// A guild is unavailable.
    GuildOutage(u64),
    /// A route answers late.
    DelayRest(String, u64),
    /// A route answers with this status.
    RefuseRest(String, u16),
    /// A route answers 429 with this scope and `retry_after` in milliseconds.
    RateLimit(String, String, u64),
    /// The address is banned: every request is refused before it reaches Discord.
    Ban,
    /// Answers carry the scope of their limit although Discord promises that for 429 only.
    ShowScope,
    /// `GET /gateway/bot` recommends so many shards.
    RecommendShards(u32),
    /// People come and go: so many events a second, at most 40,000, in the guilds of one shard or of all.
    Flood(u64, Option<u32>),
    /// A harness says what it does; the oracle reads from the log which shards that excuses.
    Note,
}

/// How a voice connection ends when the bot is moved, kicked, or its server changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parting {
    /// The close code in place of the usual one.
    pub(crate) code: Option<u16>,
    /// Whether the connection is closed before the gateway tells of it, as usual, or after.
    pub(crate) close_first: bool,
    /// Time between the two, in ms.
    pub(crate) ms: u64,
}

/// A fault that was understood: what it does at once, what it does while it lasts, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) act: Option<Act>,
    pub(crate) lasting: Option<Lasting>,
}

impl From<Act> for Fault {
    fn from(act: Act) -> Self {
        Self {
            act: Some(act),
            ..Self::default()
        }
    }
}

impl From<Lasting> for Fault {
    fn from(lasting: Lasting) -> Self {
        Self {
            lasting: Some(lasting),
            ..Self::default()
        }
    }
}

impl Fault {
    /// Reads a fault of Discord's; `None` when the kind is not Discord's.
    pub(crate) fn read(kind: &str, body: &Value) -> Option<Result<Self, String>> {
        if !KINDS.contains(&kind) {
            return None;
        }
        let body = Body(body);
        let read = body
            .gateway(kind)
            .or_else(|| body.voice(kind))
            .or_else(|| body.rest(kind));
        let read = read.unwrap_or_else(|| Ok(body.note()));
        Some(read.map_err(|missing| format!("{kind} needs {missing}")))
    }
}

/// The body of a fault.
struct Body<'a>(&'a Value);

type Read = Option<Result<Fault, &'static str>>;

impl Body<'_> {
    fn number(&self, name: &str) -> Option<u64> {
        self.0[name].as_u64()
    }

    fn code(&self, name: &str) -> Option<u16> {
        self.number(name).and_then(|code| u16::try_from(code).ok())
    }

    fn some_shard(&self) -> Option<u32> {
        self.number("shard").and_then(|shard| u32::try_from(shard).ok())
    }

    fn shard(&self) -> Result<u32, &'static str> {
        self.some_shard().ok_or("shard, a number")
    }

    fn guild(&self) -> Result<u64, &'static str> {
        id_of(&self.0["guild"]).ok_or("guild, an id")
    }

    fn route(&self) -> Result<String, &'static str> {
        self.0["route"].as_str().map(str::to_owned).ok_or("route, a text")
    }

    fn one_of(&self, name: &str, known: &[&str], missing: &'static str) -> Result<String, &'static str> {
        let word = self.0[name].as_str().unwrap_or_default();
        known.contains(&word).then(|| word.to_owned()).ok_or(missing)
    }

    fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or(false)
    }

    fn note(&self) -> Fault {
        let excuses = self.0["excuse"].as_array().is_some_and(|shards| !shards.is_empty());
        if excuses || self.number("for_ms").is_some() {
            Lasting::Note.into()
        } else {
            Fault::default()
        }
    }

    fn drop_gateway(&self) -> Result<Fault, &'static str> {
        let shard = self.shard()?;
        // While it lasts logins are cut too; what is only repeated lets them in between.
        let lasts = self.number("for_ms").is_some() && self.number("every_ms").is_none();
        let cut = match self.0["only"].as_str() {
            Some("resume") if lasts => Lasting::CutResumes(shard),
            None if self.0["only"].is_null() => Lasting::CutLogins(shard),
            Some(_) | None => return Err("only: resume, and with it for_ms and no every_ms"),
        };
        Ok(Fault {
            act: Some(Act::DropGateway(shard)),
            lasting: lasts.then_some(cut),
        })
    }

    /// What happens at the gateway.
    fn gateway(&self, kind: &str) -> Read {
        let read = || {
            Ok(Some(match kind {
                "drop_gateway" => self.drop_gateway()?,
                "expire_session" => Act::ExpireSession(self.shard()?).into(),
                "invalidate_session" => Act::InvalidateSession(self.shard()?, self.flag("resumable")).into(),
                "close_gateway" => {
                    Act::CloseGateway(self.shard()?, self.code("code").ok_or("code, a close code")?).into()
                }
                "reconnect_gateway" => Act::ReconnectGateway(self.shard()?, self.code("voice")).into(),
                "reconnect_early" => Lasting::ReconnectEarly.into(),
                "request_heartbeat" => Act::RequestHeartbeat(self.shard()?).into(),
                "refuse_resume" => Lasting::RefuseResume(self.shard()?, self.flag("resumable")).into(),
                "keep_oldest" => Lasting::KeepOldest(self.shard()?).into(),
                "withhold" => {
                    let known = ["hello", "ready", "resumed", "ack"];
                    let what = self.one_of("what", &known, "what: hello, ready, resumed or ack")?;
                    if what == "hello" && !self.0["shard"].is_null() {
                        return Err("no shard where hello is withheld: what a socket is for is known only after it");
                    }
                    Lasting::Withhold(what, self.some_shard()).into()
                }
                "identify_budget" => Act::IdentifyBudget(self.number("remaining").ok_or("remaining, a number")?).into(),
                "recommend_shards" => match self.number("shards").and_then(|shards| u32::try_from(shards).ok()) {
                    Some(shards @ 1..=MOST_SHARDS) => Lasting::RecommendShards(shards).into(),
                    Some(_) | None => return Err("shards, a number from 1 to 16384"),
                },
                "flood" => {
                    let per_s = self.number("per_s").ok_or("per_s, a number")?;
                    Lasting::Flood(per_s.min(40_000), self.some_shard()).into()
                }
                "reset_token" => Act::ResetToken.into(),
                _ => return Ok(None),
            }))
        };
        read().transpose()
    }

    /// What happens to guilds and their voice.
    fn voice(&self, kind: &str) -> Read {
        let read = || {
            Ok(Some(match kind {
                "swallow_op4" => Lasting::SwallowOp4(self.guild()?).into(),
                "hide_endpoint" => Lasting::HideEndpoint(self.guild()?).into(),
                "voice_order" => {
                    let known = ["server_first", "server_twice", "no_server", "no_state"];
                    let how = self.one_of("how", &known, "how: server_first, server_twice, no_server or no_state")?;
                    Lasting::VoiceOrder(self.guild()?, how).into()
                }
                "voice_parting" => {
                    let order = self.one_of(
                        "order",
                        &["close_first", "close_last"],
                        "order: close_first or close_last",
                    )?;
                    let parting = Parting {
                        code: self.code("code"),
                        close_first: order == "close_first",
                        ms: self.number("ms").unwrap_or(0),
                    };
                    Lasting::VoiceParting(self.guild()?, parting).into()
                }
                "voice_lost" => Act::VoiceLost(self.guild()?, self.code("code").unwrap_or(4006)).into(),
                "silent_voice" => Lasting::SilentVoice(self.guild()?).into(),
                "refuse_voice_login" => {
                    Lasting::RefuseVoiceLogin(self.guild()?, self.code("code").unwrap_or(4015)).into()
                }
                "guild_outage" => Lasting::GuildOutage(self.guild()?).into(),
                _ => return Ok(None),
            }))
        };
        read().transpose()
    }

    /// What happens to requests.
    fn rest(&self, kind: &str) -> Read {
        let read = || {
            Ok(Some(match kind {
                "delay_rest" => Lasting::DelayRest(self.route()?, self.number("ms").ok_or("ms, a number")?).into(),
                "refuse_rest" => match self.code("status") {
                    Some(status @ 400..=599) => Lasting::RefuseRest(self.route()?, status).into(),
                    Some(_) | None => return Err("status, from 400 to 599"),
                },
                "rate_limit" => {
                    let scope = self.0["scope"].as_str().unwrap_or("user").to_owned();
                    if !["user", "shared", "global"].contains(&scope.as_str()) {
                        return Err("scope: user, shared or global");
                    }
                    let route = self.0["route"].as_str().unwrap_or("*").to_owned();
                    Lasting::RateLimit(route, scope, self.number("retry_after_ms").unwrap_or(1_000)).into()
                }
                "invalid_budget" => Act::InvalidBudget(self.number("remaining").ok_or("remaining, a number")?).into(),
                "ban" => Lasting::Ban.into(),
                "show_scope" => Lasting::ShowScope.into(),
                _ => return Ok(None),
            }))
        };
        read().transpose()
    }
}
