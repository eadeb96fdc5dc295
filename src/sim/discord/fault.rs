//! Faults that happen at Discord: what there is, what each does, and when it ends.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ids::id_of;
use super::payload;
use super::session::{Out, Refusal};
use super::world::World;

/// The kinds that are Discord's, as `POST /faults` names them.
pub(crate) const KINDS: [&str; 19] = [
    "close_gateway",
    "delay_rest",
    "drop_gateway",
    "expire_session",
    "guild_outage",
    "hide_endpoint",
    "identify_budget",
    "invalidate_session",
    "note",
    "rate_limit",
    "reconnect_gateway",
    "refuse_resume",
    "refuse_rest",
    "request_heartbeat",
    "reset_token",
    "swallow_op4",
    "voice_lost",
    "voice_order",
    "withhold",
];

/// A fault that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// TCP of a shard is cut; while it lasts every login of the shard is cut too.
    DropGateway(u32),
    /// Sessions of a shard end as if their time were up; their sockets are cut.
    ExpireSession(u32),
    /// `INVALID_SESSION` to a shard.
    InvalidateSession(u32, bool),
    /// We close a shard's sockets with this code.
    CloseGateway(u32, u16),
    /// RECONNECT (op 7) to a shard.
    ReconnectGateway(u32),
    /// A heartbeat is asked for (op 1).
    RequestHeartbeat(u32),
    /// Each RESUME of a shard is answered with `INVALID_SESSION`.
    RefuseResume(u32),
    /// `hello`, `ready` (also RESUMED) or `ack` is not sent.
    Withhold(String),
    /// Op 4 of a guild is not answered.
    SwallowOp4(u64),
    /// Op 4 of a guild is answered oddly: `server_first`, `server_twice`, `no_server` or `no_state`.
    VoiceOrder(u64, String),
    /// A guild's voice server is gone: its endpoint is null until the fault ends.
    HideEndpoint(u64),
    /// The voice connection is closed with this code.
    VoiceLost(u64, u16),
    /// A guild is unavailable.
    GuildOutage(u64),
    /// A route answers late.
    DelayRest(String, u64),
    /// A route answers with this status.
    RefuseRest(String, u16),
    /// A route answers 429 with this scope and `retry_after` in milliseconds.
    RateLimit(String, String, u64),
    /// So many IDENTIFYs are left for today.
    IdentifyBudget(u64),
    /// The token is void.
    ResetToken,
    /// A harness says what it does; with shards that are excused from the 3 s rule while it lasts.
    Note(bool),
    /// One of the nodes'.
    Node,
}

impl Fault {
    /// Reads a fault of Discord's; `None` when the kind is not Discord's.
    pub(crate) fn read(kind: &str, body: &Value) -> Option<Result<Self, String>> {
        if !KINDS.contains(&kind) {
            return None;
        }
        Some(Self::read_known(kind, body).map_err(|missing| format!("{kind} needs {missing}")))
    }

    fn read_known(kind: &str, body: &Value) -> Result<Self, &'static str> {
        let shard = || {
            let number = body["shard"].as_u64().and_then(|shard| u32::try_from(shard).ok());
            number.ok_or("shard, a number")
        };
        let guild = || id_of(&body["guild"]).ok_or("guild, an id");
        let route = || body["route"].as_str().map(str::to_owned).ok_or("route, a text");
        let code = |name: &str| body[name].as_u64().and_then(|code| u16::try_from(code).ok());
        Ok(match kind {
            "drop_gateway" => Self::DropGateway(shard()?),
            "expire_session" => Self::ExpireSession(shard()?),
            "invalidate_session" => Self::InvalidateSession(shard()?, body["resumable"].as_bool().unwrap_or(false)),
            "close_gateway" => Self::CloseGateway(shard()?, code("code").ok_or("code, a close code")?),
            "reconnect_gateway" => Self::ReconnectGateway(shard()?),
            "request_heartbeat" => Self::RequestHeartbeat(shard()?),
            "refuse_resume" => Self::RefuseResume(shard()?),
            "withhold" => match body["what"].as_str() {
                Some(what @ ("hello" | "ready" | "ack")) => Self::Withhold(what.to_owned()),
                _ => return Err("what: hello, ready or ack"),
            },
            "swallow_op4" => Self::SwallowOp4(guild()?),
            "hide_endpoint" => Self::HideEndpoint(guild()?),
            "voice_order" => match body["how"].as_str() {
                Some(how @ ("server_first" | "server_twice" | "no_server" | "no_state")) => {
                    Self::VoiceOrder(guild()?, how.to_owned())
                }
                _ => return Err("how: server_first, server_twice, no_server or no_state"),
            },
            "voice_lost" => Self::VoiceLost(guild()?, code("code").unwrap_or(4006)),
            "guild_outage" => Self::GuildOutage(guild()?),
            "delay_rest" => Self::DelayRest(route()?, body["ms"].as_u64().ok_or("ms, a number")?),
            "refuse_rest" => match code("status") {
                Some(status @ 400..=599) => Self::RefuseRest(route()?, status),
                _ => return Err("status, from 400 to 599"),
            },
            "rate_limit" => {
                let scope = body["scope"].as_str().unwrap_or("user").to_owned();
                if !["user", "shared", "global"].contains(&scope.as_str()) {
                    return Err("scope: user, shared or global");
                }
                let route = body["route"].as_str().unwrap_or("*").to_owned();
                Self::RateLimit(route, scope, body["retry_after_ms"].as_u64().unwrap_or(1_000))
            }
            "identify_budget" => Self::IdentifyBudget(body["remaining"].as_u64().ok_or("remaining, a number")?),
            "reset_token" => Self::ResetToken,
            _ => Self::Note(body["excuse"].as_array().is_some_and(|shards| !shards.is_empty())),
        })
    }

    /// Whether it goes on until it is ended; the others are over at once.
    fn lasts(&self, for_ms: Option<u64>) -> bool {
        match self {
            Self::DropGateway(_) => for_ms.is_some(),
            Self::Note(excuses) => *excuses || for_ms.is_some(),
            Self::RefuseResume(_)
            | Self::Withhold(_)
            | Self::SwallowOp4(_)
            | Self::HideEndpoint(_)
            | Self::VoiceOrder(..)
            | Self::GuildOutage(_)
            | Self::DelayRest(..)
            | Self::RefuseRest(..)
            | Self::RateLimit(..)
            | Self::Node => true,
            Self::ExpireSession(_)
            | Self::InvalidateSession(..)
            | Self::CloseGateway(..)
            | Self::ReconnectGateway(_)
            | Self::RequestHeartbeat(_)
            | Self::VoiceLost(..)
            | Self::IdentifyBudget(_)
            | Self::ResetToken => false,
        }
    }
}

#[derive(Debug)]
struct Active {
    kind: String,
    body: Value,
    until: Option<u64>,
    fault: Fault,
}

/// The faults that last.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last: u64,
    active: BTreeMap<u64, Active>,
}

/// What a REST fault does to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestFault {
    pub(crate) delay_ms: u64,
    pub(crate) refuse: Option<u16>,
    /// Scope and milliseconds.
    pub(crate) rate_limit: Option<(String, u64)>,
}

impl Faults {
    fn any(&self, wanted: impl Fn(&Fault) -> bool) -> bool {
        self.active.values().any(|active| wanted(&active.fault))
    }

    /// What a login (IDENTIFY or RESUME) of a shard meets.
    pub(crate) fn on_login(&self, shard: u32) -> Option<Refusal> {
        if self.any(|fault| *fault == Fault::DropGateway(shard)) {
            return Some(Refusal::Cut);
        }
        self.withholds("ready").then_some(Refusal::Silence)
    }

    pub(crate) fn refuses_resume(&self, shard: u32) -> bool {
        self.any(|fault| *fault == Fault::RefuseResume(shard))
    }

    pub(crate) fn withholds(&self, what: &str) -> bool {
        self.any(|fault| matches!(fault, Fault::Withhold(withheld) if withheld == what))
    }

    pub(crate) fn swallows_op4(&self, guild: u64) -> bool {
        self.any(|fault| *fault == Fault::SwallowOp4(guild))
    }

    pub(crate) fn hides_endpoint(&self, guild: u64) -> bool {
        self.any(|fault| *fault == Fault::HideEndpoint(guild))
    }

    /// How op 4 of a guild is answered when not in order.
    pub(crate) fn voice_order(&self, guild: u64) -> Option<&str> {
        let of_guild = |active: &'_ Active| matches!(active.fault, Fault::VoiceOrder(of, _) if of == guild);
        let active = self.active.values().find(|active| of_guild(active))?;
        active.body["how"].as_str()
    }

    /// What a request of a route meets.
    pub(crate) fn on_rest(&self, route: &str) -> RestFault {
        let meets = |pattern: &str| pattern == "*" || route.contains(pattern);
        let mut met = RestFault::default();
        for active in self.active.values() {
            match &active.fault {
                Fault::DelayRest(pattern, ms) if meets(pattern) => met.delay_ms = met.delay_ms.max(*ms),
                Fault::RefuseRest(pattern, status) if meets(pattern) => met.refuse = Some(*status),
                Fault::RateLimit(pattern, scope, ms) if meets(pattern) => met.rate_limit = Some((scope.clone(), *ms)),
                Fault::DelayRest(..)
                | Fault::RefuseRest(..)
                | Fault::RateLimit(..)
                | Fault::DropGateway(_)
                | Fault::ExpireSession(_)
                | Fault::InvalidateSession(..)
                | Fault::CloseGateway(..)
                | Fault::ReconnectGateway(_)
                | Fault::RequestHeartbeat(_)
                | Fault::RefuseResume(_)
                | Fault::Withhold(_)
                | Fault::SwallowOp4(_)
                | Fault::VoiceOrder(..)
                | Fault::HideEndpoint(_)
                | Fault::VoiceLost(..)
                | Fault::GuildOutage(_)
                | Fault::IdentifyBudget(_)
                | Fault::ResetToken
                | Fault::Note(_)
                | Fault::Node => {}
            }
        }
        met
    }
}

impl World {
    /// `POST /faults`. The fault's id, or why not.
    pub(crate) fn begin_fault(&mut self, body: &Value) -> Result<u64, String> {
        let kind = body["kind"].as_str().unwrap_or_default().to_owned();
        let fault = match Fault::read(&kind, body) {
            Some(read) => read?,
            None => match self.nodes.fault(&kind, body) {
                Some(outcome) => outcome.map(|()| Fault::Node)?,
                None => return Err(Self::unknown_kind(&kind)),
            },
        };
        let for_ms = body["for_ms"].as_u64();
        self.faults.last += 1;
        let id = self.faults.last;
        self.log.append(
            "fault_begin",
            json!({"fault": id.to_string(), "what": kind, "fields": body}),
        );
        if fault.lasts(for_ms) {
            let until = for_ms.map(|ms| self.now().saturating_add(ms));
            let active = Active {
                kind,
                body: body.clone(),
                until,
                fault: fault.clone(),
            };
            self.faults.active.insert(id, active);
        } else {
            self.log
                .append("fault_end", json!({"fault": id.to_string(), "what": kind}));
        }
        self.strike(&fault);
        Ok(id)
    }

    fn unknown_kind(kind: &str) -> String {
        let known = crate::sim::fault_kinds();
        format!("no fault is called \"{kind}\"; there are: {}", known.join(", "))
    }

    /// What a fault does at its beginning.
    fn strike(&mut self, fault: &Fault) {
        match fault {
            Fault::DropGateway(shard) => self.cut_shard(*shard),
            Fault::ExpireSession(shard) => {
                self.cut_shard(*shard);
                for id in self.sessions_of(*shard) {
                    self.end_session(&id, "expired");
                }
            }
            Fault::InvalidateSession(shard, resumable) => {
                self.tell_shard(*shard, |link| link.op(9, &Value::Bool(*resumable)));
                if !resumable {
                    for id in self.sessions_of(*shard) {
                        self.end_session(&id, "invalidated");
                    }
                }
            }
            Fault::CloseGateway(shard, code) => {
                let code = *code;
                self.tell_shard(*shard, |link| link.tell(Out::Close(code, "A fault.")));
            }
            Fault::ReconnectGateway(shard) => self.tell_shard(*shard, |link| link.op(7, &Value::Null)),
            Fault::RequestHeartbeat(shard) => self.tell_shard(*shard, |link| link.op(1, &Value::Null)),
            Fault::VoiceLost(guild, code) => self.switchboard.close(*guild, *code, *code == 4006),
            Fault::HideEndpoint(guild) => self.tell_endpoint(*guild),
            Fault::GuildOutage(guild) => self.set_outage(*guild, true),
            Fault::IdentifyBudget(remaining) => self.limits.leave(*remaining),
            Fault::ResetToken => self.spend_token(),
            Fault::RefuseResume(_)
            | Fault::Withhold(_)
            | Fault::SwallowOp4(_)
            | Fault::VoiceOrder(..)
            | Fault::DelayRest(..)
            | Fault::RefuseRest(..)
            | Fault::RateLimit(..)
            | Fault::Note(_)
            | Fault::Node => {}
        }
    }

    fn tell_shard(&self, shard: u32, tell: impl Fn(&super::session::Link)) {
        let of_shard = self.sessions.values().filter(|session| session.shard == shard);
        for link in of_shard.filter_map(|session| session.link.as_ref()) {
            tell(link);
        }
    }

    fn cut_shard(&self, shard: u32) {
        self.tell_shard(shard, |link| link.cut.cancel());
    }

    fn set_outage(&mut self, guild: u64, unavailable: bool) {
        let Some(known) = self.guilds.get_mut(&guild) else {
            return;
        };
        known.unavailable = unavailable;
        if unavailable {
            self.dispatch(
                guild,
                "GUILD_DELETE",
                &json!({"id": guild.to_string(), "unavailable": true}),
            );
        } else {
            let back = payload::guild_create(self, guild);
            self.dispatch(guild, "GUILD_CREATE", &back);
        }
    }

    /// `DELETE /faults/{id}`, or its time is up. `false` when there is none (any more).
    pub(crate) fn end_fault(&mut self, id: u64) -> bool {
        let Some(active) = self.faults.active.remove(&id) else {
            return id > 0 && id <= self.faults.last;
        };
        match active.fault {
            Fault::GuildOutage(guild) => self.set_outage(guild, false),
            Fault::HideEndpoint(guild) => self.tell_endpoint(guild),
            Fault::Node => self.nodes.end_fault(&active.kind, &active.body),
            Fault::DropGateway(_)
            | Fault::ExpireSession(_)
            | Fault::InvalidateSession(..)
            | Fault::CloseGateway(..)
            | Fault::ReconnectGateway(_)
            | Fault::RequestHeartbeat(_)
            | Fault::RefuseResume(_)
            | Fault::Withhold(_)
            | Fault::SwallowOp4(_)
            | Fault::VoiceOrder(..)
            | Fault::VoiceLost(..)
            | Fault::DelayRest(..)
            | Fault::RefuseRest(..)
            | Fault::RateLimit(..)
            | Fault::IdentifyBudget(_)
            | Fault::ResetToken
            | Fault::Note(_) => {}
        }
        self.log
            .append("fault_end", json!({"fault": id.to_string(), "what": active.kind}));
        true
    }

    /// Ends the faults whose time is up.
    pub(crate) fn end_faults(&mut self, now: u64) {
        let over = |(id, active): (&u64, &Active)| active.until.is_some_and(|until| now >= until).then_some(*id);
        let ended: Vec<u64> = self.faults.active.iter().filter_map(over).collect();
        for id in ended {
            self.end_fault(id);
        }
    }
}
