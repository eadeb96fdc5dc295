//! Faults that happen at Discord: what each does, what it keeps from working, and when it ends.

mod read;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::payload;
use super::session::{Link, Out, Refusal};
use super::world::World;
use crate::sim::seam::FaultEnd;
pub(crate) use read::{Act, Fault, KINDS, Lasting, Parting};

/// A fault that lasts or is repeated.
#[derive(Debug)]
struct Active {
    kind: String,
    body: Value,
    until: Option<u64>,
    /// How often it is repeated, and when it is next.
    repeat: Option<(u64, u64)>,
    fault: Fault,
    /// Of a node's fault that lasts.
    end: Option<FaultEnd>,
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
    pub(crate) delay_ms: Option<u64>,
    pub(crate) refuse: Option<u16>,
    /// Scope and milliseconds.
    pub(crate) rate_limit: Option<(String, u64)>,
    pub(crate) ban: bool,
    pub(crate) show_scope: bool,
}

impl Faults {
    /// What lasts, the newest first: where several say different things of the same, that one holds.
    fn lasting(&self) -> impl Iterator<Item = &Lasting> {
        let active = self.active.values().rev();
        active.filter_map(|active| active.fault.lasting.as_ref())
    }

    fn has(&self, wanted: &Lasting) -> bool {
        self.lasting().any(|lasting| lasting == wanted)
    }

    /// What a login (IDENTIFY, or RESUME) of a shard meets.
    pub(crate) fn on_login(&self, shard: u32, resume: bool) -> Option<Refusal> {
        if self.has(&Lasting::CutLogins(shard)) || (resume && self.has(&Lasting::CutResumes(shard))) {
            return Some(Refusal::Cut);
        }
        let silent = self.withholds("ready", Some(shard)) || (resume && self.withholds("resumed", Some(shard)));
        silent.then_some(Refusal::Silence)
    }

    /// Whether each RESUME of a shard is refused, and with which flag.
    pub(crate) fn refuses_resume(&self, shard: u32) -> Option<bool> {
        self.lasting().find_map(|lasting| {
            let Lasting::RefuseResume(of, resumable) = lasting else {
                return None;
            };
            (*of == shard).then_some(*resumable)
        })
    }

    pub(crate) fn keeps_oldest(&self, shard: u32) -> bool {
        self.has(&Lasting::KeepOldest(shard))
    }

    /// Whether something is not sent: to this shard, or where the shard is not known yet.
    pub(crate) fn withholds(&self, what: &str, shard: Option<u32>) -> bool {
        let meant = |of: &Option<u32>| of.is_none() || *of == shard;
        self.lasting()
            .any(|lasting| matches!(lasting, Lasting::Withhold(withheld, of) if withheld == what && meant(of)))
    }

    pub(crate) fn reconnects_early(&self) -> bool {
        self.has(&Lasting::ReconnectEarly)
    }

    pub(crate) fn swallows_op4(&self, guild: u64) -> bool {
        self.has(&Lasting::SwallowOp4(guild))
    }

    pub(crate) fn hides_endpoint(&self, guild: u64) -> bool {
        self.has(&Lasting::HideEndpoint(guild))
    }

    /// How op 4 of a guild is answered when not in order.
    pub(crate) fn voice_order(&self, guild: u64) -> Option<&str> {
        self.lasting().find_map(|lasting| {
            let Lasting::VoiceOrder(of, how) = lasting else {
                return None;
            };
            (*of == guild).then_some(how.as_str())
        })
    }

    /// How voice connections of a guild end.
    pub(crate) fn parting(&self, guild: u64) -> Parting {
        let usual = Parting {
            code: None,
            close_first: true,
            ms: 0,
        };
        let found = self.lasting().find_map(|lasting| {
            let Lasting::VoiceParting(of, parting) = lasting else {
                return None;
            };
            (*of == guild).then_some(*parting)
        });
        found.unwrap_or(usual)
    }

    /// The code that the voice server of a guild closes each login with.
    fn refused_voice(&self, guild: u64) -> Option<u16> {
        self.lasting().find_map(|lasting| {
            let Lasting::RefuseVoiceLogin(of, code) = lasting else {
                return None;
            };
            (*of == guild).then_some(*code)
        })
    }

    /// How many shards `GET /gateway/bot` recommends in place of the usual number.
    pub(crate) fn recommends(&self) -> Option<u32> {
        self.lasting().find_map(|lasting| {
            let Lasting::RecommendShards(shards) = lasting else {
                return None;
            };
            Some(*shards)
        })
    }

    /// Floods that are on: events a second, and the shard.
    pub(crate) fn floods(&self) -> Vec<(u64, Option<u32>)> {
        let floods = self.lasting().filter_map(|lasting| {
            let Lasting::Flood(per_s, shard) = lasting else {
                return None;
            };
            Some((*per_s, *shard))
        });
        floods.collect()
    }

    /// What a request of a route meets; `authorised`: it is made with the bot's token.
    pub(crate) fn on_rest(&self, route: &str, authorised: bool) -> RestFault {
        let meets = |pattern: &str| pattern == "*" || route.contains(pattern);
        let mut met = RestFault::default();
        for lasting in self.lasting() {
            met.ban |= *lasting == Lasting::Ban;
            met.show_scope |= *lasting == Lasting::ShowScope;
            if let Lasting::DelayRest(pattern, ms) = lasting
                && meets(pattern)
            {
                met.delay_ms = met.delay_ms.or(Some(*ms));
            } else if let Lasting::RefuseRest(pattern, status) = lasting
                && meets(pattern)
            {
                met.refuse = met.refuse.or(Some(*status));
            } else if let Lasting::RateLimit(pattern, scope, ms) = lasting
                && meets(pattern)
                // The bot's global limit is no limit of interactions and webhooks; one that names their route is.
                && (authorised || scope != "global" || pattern != "*")
            {
                met.rate_limit = met.rate_limit.or_else(|| Some((scope.clone(), *ms)));
            }
        }
        met
    }
}

impl World {
    /// `POST /faults`. The fault's id, or why not.
    pub(crate) fn begin_fault(&mut self, body: &Value) -> Result<u64, String> {
        let kind = body["kind"].as_str().unwrap_or_default().to_owned();
        let (fault, end) = match Fault::read(&kind, body) {
            Some(read) => (read?, None),
            None => match self.nodes.fault(&kind, body) {
                Some(outcome) => (Fault::default(), Some(outcome?)),
                None => return Err(Self::unknown_kind(&kind)),
            },
        };
        let now = self.now();
        let (for_ms, every_ms) = (body["for_ms"].as_u64(), body["every_ms"].as_u64());
        let happens = fault.act.is_some() || end.as_ref().is_some_and(|end| !end.lasts());
        let end = end.filter(FaultEnd::lasts);
        let repeat = every_ms
            .filter(|_| happens)
            .map(|ms| (ms.max(1), now.saturating_add(ms.max(1))));
        let news = fault.lasting.as_ref().is_some_and(|lasting| !self.faults.has(lasting));
        self.faults.last += 1;
        let id = self.faults.last;
        self.log.append(
            "fault_begin",
            json!({"fault": id.to_string(), "what": kind, "fields": body}),
        );
        if fault.lasting.is_some() || end.is_some() || repeat.is_some() {
            let active = Active {
                kind,
                body: body.clone(),
                until: for_ms.map(|ms| now.saturating_add(ms)),
                repeat,
                fault: fault.clone(),
                end,
            };
            self.faults.active.insert(id, active);
        } else {
            self.log
                .append("fault_end", json!({"fault": id.to_string(), "what": kind}));
        }
        if let Some(lasting) = &fault.lasting {
            self.turn(lasting, news, true);
        }
        if let Some(act) = &fault.act {
            self.strike(act);
        }
        Ok(id)
    }

    fn unknown_kind(kind: &str) -> String {
        let known = crate::sim::fault_kinds();
        format!("no fault is called \"{kind}\"; there are: {}", known.join(", "))
    }

    /// What happens at once.
    fn strike(&mut self, act: &Act) {
        match act {
            Act::DropGateway(shard) => self.cut_shard(*shard),
            Act::ExpireSession(shard) => {
                self.cut_shard(*shard);
                for id in self.sessions_of(*shard) {
                    self.end_session(&id, "expired");
                }
            }
            Act::InvalidateSession(shard, resumable) => {
                self.tell_shard(*shard, |link| link.op(9, &Value::Bool(*resumable)));
                for id in self.sessions_of(*shard) {
                    if *resumable {
                        self.doubt_session(&id);
                    } else {
                        self.end_session(&id, "invalidated");
                    }
                }
            }
            Act::CloseGateway(shard, code) => {
                self.tell_shard(*shard, |link| link.tell(Out::Close(*code, "A fault.")));
            }
            Act::ReconnectGateway(shard, voice) => {
                self.tell_shard(*shard, |link| link.op(7, &Value::Null));
                for guild in voice.iter().flat_map(|_| self.connected_guilds(*shard)) {
                    self.switchboard.close(guild, voice.unwrap_or(4014), false);
                }
            }
            Act::RequestHeartbeat(shard) => {
                let now = self.now();
                self.tell_shard(*shard, |link| link.ask_heartbeat(now));
            }
            Act::VoiceLost(guild, code) => self.switchboard.close(*guild, *code, *code == 4006),
            Act::IdentifyBudget(remaining) => self.limits.leave(*remaining),
            Act::InvalidBudget(remaining) => {
                let now = self.now();
                self.limits.leave_invalid(*remaining, now);
            }
            Act::ResetToken => self.spend_token(),
        }
    }

    /// What a lasting fault does where its beginning or end is felt at once. Only `changed` where no other of the same does it
    /// already, or still does.
    fn turn(&mut self, lasting: &Lasting, changed: bool, on: bool) {
        if let Lasting::RefuseVoiceLogin(guild, _) = lasting {
            self.switchboard.refuse(*guild, self.faults.refused_voice(*guild));
        } else if !changed {
            // Another like it lasts.
        } else if let Lasting::HideEndpoint(guild) = lasting {
            self.tell_endpoint(*guild);
        } else if let Lasting::GuildOutage(guild) = lasting {
            self.set_outage(*guild, on);
        } else if let Lasting::SilentVoice(guild) = lasting {
            self.switchboard.hush(*guild, on);
        }
    }

    fn tell_shard(&self, shard: u32, tell: impl Fn(&Link)) {
        let of_shard = self.sessions.values().filter(|session| session.shard == shard);
        for link in of_shard.filter_map(|session| session.link.as_ref()) {
            tell(link);
        }
    }

    fn cut_shard(&self, shard: u32) {
        self.tell_shard(shard, |link| link.cut.cancel());
    }

    /// The guilds of a shard in whose voice the bot is.
    fn connected_guilds(&self, shard: u32) -> Vec<u64> {
        let with_bot = self.guilds.values().filter(|guild| guild.voice.contains_key(&self.bot));
        with_bot
            .map(|guild| guild.id)
            .filter(|id| self.shard_of(*id) == shard)
            .collect()
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

    /// Whether there ever was a fault of this id. Ending one that is over is no mistake: its time may just have been up.
    pub(crate) fn had_fault(&self, id: u64) -> bool {
        id > 0 && id <= self.faults.last
    }

    /// A fault ends by `DELETE /faults/{id}`, or because its time is up. `false` when none of this id lasts.
    pub(crate) fn end_fault(&mut self, id: u64) -> bool {
        let Some(active) = self.faults.active.remove(&id) else {
            return false;
        };
        if let Some(end) = active.end {
            end.end();
        }
        if let Some(lasting) = &active.fault.lasting {
            let changed = !self.faults.has(lasting);
            self.turn(lasting, changed, false);
        }
        self.log
            .append("fault_end", json!({"fault": id.to_string(), "what": active.kind}));
        true
    }

    /// Repeats the faults that are due, and ends those whose time is up.
    pub(crate) fn bring_faults_on(&mut self, now: u64) {
        let mut due = Vec::new();
        for active in self.faults.active.values_mut() {
            if let Some((every, next)) = active.repeat.as_mut().filter(|(_, next)| *next <= now) {
                *next = now.saturating_add(*every);
                due.push((active.fault.act.clone(), active.kind.clone(), active.body.clone()));
            }
        }
        for (act, kind, body) in due {
            match act {
                Some(act) => self.strike(&act),
                // It was understood when it began, and what happens to a node leaves nothing to end.
                None => drop(self.nodes.fault(&kind, &body)),
            }
        }
        let over = |(id, active): (&u64, &Active)| active.until.is_some_and(|until| now >= until).then_some(*id);
        let ended: Vec<u64> = self.faults.active.iter().filter_map(over).collect();
        for id in ended {
            self.end_fault(id);
        }
    }
}
