//! REST v10: which request is which, who may ask, how often, and what is logged.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::Discord;
use super::limits::{Bucket, IDENTIFY_TOTAL};
use super::respond::Which;
use super::world::{Guild, World};
use super::{payload, permission};
use crate::sim::http::{Call, Content, Reply};

/// A route as logs, counters and faults name it, and its rate limit.
struct Route {
    name: &'static str,
    bucket: &'static str,
    /// Whether it needs the bot's token and counts against the 50 a second.
    authorised: bool,
}

const fn route(name: &'static str, bucket: &'static str) -> Route {
    Route {
        name,
        bucket,
        authorised: true,
    }
}

const fn open(name: &'static str) -> Route {
    Route {
        name,
        bucket: "webhook",
        authorised: false,
    }
}

/// The route of a request; `None` when there is no such thing.
fn find(method: &str, path: &[&str]) -> Option<Route> {
    Some(match (method, path) {
        ("GET", ["gateway"]) => Route {
            name: "GET /gateway",
            bucket: "other",
            authorised: false,
        },
        ("GET", ["gateway", "bot"]) => route("GET /gateway/bot", "other"),
        ("GET", ["users", "@me"]) => route("GET /users/@me", "other"),
        ("GET", ["applications", "@me"]) => route("GET /applications/@me", "other"),
        ("GET", ["oauth2", "applications", "@me"]) => route("GET /oauth2/applications/@me", "other"),
        ("GET", ["applications", _, "commands"]) => route("GET /applications/{application}/commands", "other"),
        ("PUT", ["applications", _, "commands"]) => route("PUT /applications/{application}/commands", "commands"),
        ("POST", ["interactions", _, _, "callback"]) => open("POST /interactions/{interaction}/{token}/callback"),
        ("POST", ["webhooks", _, _]) => open("POST /webhooks/{application}/{token}"),
        ("GET", ["webhooks", _, _, "messages", _]) => open("GET /webhooks/{application}/{token}/messages/{message}"),
        ("PATCH", ["webhooks", _, _, "messages", _]) => {
            open("PATCH /webhooks/{application}/{token}/messages/{message}")
        }
        ("DELETE", ["webhooks", _, _, "messages", _]) => {
            open("DELETE /webhooks/{application}/{token}/messages/{message}")
        }
        ("GET", ["channels", _]) => route("GET /channels/{channel}", "other"),
        ("GET", ["channels", _, "messages"]) => route("GET /channels/{channel}/messages", "other"),
        ("POST", ["channels", _, "messages"]) => route("POST /channels/{channel}/messages", "messages"),
        ("GET", ["channels", _, "messages", _]) => route("GET /channels/{channel}/messages/{message}", "other"),
        ("PATCH", ["channels", _, "messages", _]) => route("PATCH /channels/{channel}/messages/{message}", "edits"),
        ("DELETE", ["channels", _, "messages", _]) => route("DELETE /channels/{channel}/messages/{message}", "deletes"),
        ("GET", ["guilds", _]) => route("GET /guilds/{guild}", "other"),
        ("GET", ["guilds", _, "channels"]) => route("GET /guilds/{guild}/channels", "other"),
        ("GET", ["guilds", _, "roles"]) => route("GET /guilds/{guild}/roles", "other"),
        ("GET", ["guilds", _, "members", _]) => route("GET /guilds/{guild}/members/{user}", "other"),
        ("GET", ["guilds", _, "voice-states", "@me"]) => route("GET /guilds/{guild}/voice-states/@me", "other"),
        ("PATCH", ["guilds", _, "voice-states", "@me"]) => route("PATCH /guilds/{guild}/voice-states/@me", "other"),
        ("GET", ["guilds", _, "voice-states", _]) => route("GET /guilds/{guild}/voice-states/{user}", "other"),
        _ => return None,
    })
}

/// Answers one request.
pub(crate) async fn answer(discord: &Discord, call: Call) -> Reply {
    let parts: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let found = match parts.as_slice() {
        ["api", "v10", path @ ..] => find(&call.method, path).map(|route| (route, path)),
        _ => None,
    };
    let Some((route, path)) = found else {
        let reply = Reply::refuse(404, 0, "404: Not Found");
        discord.lock().log_rest("unknown", &call, reply.status);
        return reply;
    };
    let fault = discord.lock().faults.on_rest(route.name, route.authorised);
    if let Some(ms) = fault.delay_ms {
        sleep(Duration::from_millis(ms)).await;
    }
    let mut world = discord.lock();
    let now = world.now();
    if let Some(ms) = world.limits.banned(now).or(fault.ban.then_some(600_000)) {
        let reply = banned(ms);
        world.log_rest(route.name, &call, reply.status);
        return reply;
    }
    let mut reply = if let Some(status) = fault.refuse {
        Reply::refuse(status, 0, "refused by a fault")
    } else if let Some((scope, ms)) = &fault.rate_limit {
        too_many(scope, *ms)
    } else {
        world.admit(&route, path, &call)
    };
    if let (Content::Json(body), 429) = (&reply.content, reply.status) {
        world.log.append(
            "rest_limited",
            json!({
                "route": route.name, "user_agent": call.user_agent, "global": body["global"],
                "by_fault": fault.rate_limit.is_some() || fault.refuse.is_some(),
            }),
        );
    }
    world.count_invalid(&reply);
    world.log_rest(route.name, &call, reply.status);
    reply.headers.push(("via", "1.1 simulated".to_owned()));
    if fault.show_scope && reply.status < 300 {
        reply.headers.push(("x-ratelimit-scope", "user".to_owned()));
    }
    reply
}

/// What is said in Discord's stead to an address that sent too many invalid requests: no JSON, no limit headers.
fn banned(for_ms: u64) -> Reply {
    let mut reply = Reply::nothing();
    reply.status = 429;
    reply.content = Content::Text("error code: 1015".to_owned());
    reply.headers.push(("retry-after", for_ms.div_ceil(1_000).to_string()));
    reply
}

/// 429 as Discord words it.
fn too_many(scope: &str, after_ms: u64) -> Reply {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few seconds")]
    let seconds = after_ms as f64 / 1_000.0;
    let global = scope == "global";
    let body = json!({"message": "You are being rate limited.", "retry_after": seconds, "global": global});
    let mut reply = Reply::with(429, body);
    reply
        .headers
        .push(("retry-after", after_ms.div_ceil(1_000).to_string()));
    reply.headers.push(("x-ratelimit-scope", scope.to_owned()));
    if global {
        reply.headers.push(("x-ratelimit-global", "true".to_owned()));
    }
    reply
}

fn bucket_headers(reply: &mut Reply, name: &'static str, bucket: Bucket, wall_ms: u64) {
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
    reply.headers.push(("x-ratelimit-bucket", format!("sim{name}")));
    reply.headers.push(("x-ratelimit-limit", bucket.limit.to_string()));
    reply
        .headers
        .push(("x-ratelimit-remaining", bucket.remaining.to_string()));
    reply
        .headers
        .push(("x-ratelimit-reset-after", seconds(bucket.reset_after_ms)));
    reply
        .headers
        .push(("x-ratelimit-reset", seconds(wall_ms + bucket.reset_after_ms)));
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn unknown_guild() -> Reply {
    Reply::refuse(404, 10_004, "Unknown Guild")
}

fn unknown_voice_state() -> Reply {
    Reply::refuse(404, 10_065, "Unknown Voice State")
}

impl World {
    fn log_rest(&mut self, route: &'static str, call: &Call, status: u16) {
        *self.counters.routes.entry(route.to_owned()).or_insert(0) += 1;
        self.log.append(
            "rest",
            json!({"route": route, "path": public_path(&call.path), "status": status, "user_agent": call.user_agent}),
        );
    }

    /// Counts what Discord calls invalid: 401, 403, and 429 unless it is the limit of something that all bots share.
    fn count_invalid(&mut self, reply: &Reply) {
        let shared = reply.headers.contains(&("x-ratelimit-scope", "shared".to_owned()));
        if matches!(reply.status, 401 | 403 | 429) && !shared {
            let now = self.now();
            self.limits.count_invalid(now);
            if let Some(for_ms) = self.limits.banned(now) {
                self.log.append("rest_banned", json!({"for_ms": for_ms}));
            }
        }
    }

    /// The token, the limits, then the request itself.
    fn admit(&mut self, route: &Route, path: &[&str], call: &Call) -> Reply {
        let now = self.now();
        if route.authorised {
            let token = call.authorization.strip_prefix("Bot ");
            if !token.is_some_and(|token| self.token_is_right(token)) {
                return Reply::refuse(401, 0, "401: Unauthorized");
            }
            let global = self.limits.global(now);
            if global.exceeded {
                return too_many("global", global.reset_after_ms);
            }
        }
        let major = match path {
            ["webhooks", _, token, ..] => self.interaction_tokens.get(*token).copied().unwrap_or(0),
            ["interactions" | "channels" | "guilds", id, ..] => number(id),
            _ => 0,
        };
        let bucket = self.limits.bucket(route.bucket, major, now);
        let wall = self.ids.wall_ms();
        let mut reply = if bucket.exceeded {
            too_many("user", bucket.reset_after_ms)
        } else {
            match &call.body {
                Err(_) => Reply::refuse(400, 50_109, "The request body contains invalid JSON."),
                Ok(body) => self.perform(path, call, body).unwrap_or_else(|refusal| refusal),
            }
        };
        bucket_headers(&mut reply, route.bucket, bucket, wall);
        reply
    }

    fn perform(&mut self, path: &[&str], call: &Call, body: &Value) -> Result<Reply, Reply> {
        let method = call.method.as_str();
        match (method, path) {
            (_, ["gateway", ..]) => Ok(self.gateway_reply(path.len() == 2)),
            (_, ["users", ..]) => Ok(Reply::json(payload::current_user(self))),
            (_, ["applications", "@me"] | ["oauth2", ..]) => Ok(Reply::json(payload::application(self))),
            ("PUT", ["applications", ..]) => self.put_commands(body),
            (_, ["applications", ..]) => Ok(Reply::json(Value::Array(self.commands.clone()))),
            (_, ["interactions", id, token, _]) => {
                let with_response = call.query.get("with_response").is_some_and(|wish| wish == "true");
                Ok(self.callback(number(id), token, body, with_response, &call.user_agent))
            }
            (_, ["webhooks", application, token]) => self.follow_up(application, token, body, &call.user_agent),
            (_, ["webhooks", application, token, _, which]) => {
                let unknown = || Reply::refuse(404, 10_008, "Unknown Message");
                let which = Which::read(which).ok_or_else(unknown)?;
                match method {
                    "PATCH" => self.edit_reply(application, token, which, body, &call.user_agent),
                    "DELETE" => self.delete_reply(application, token, which),
                    _ => self.get_reply(application, token, which),
                }
            }
            (_, ["channels", channel, rest @ ..]) => self.perform_channel(method, number(channel), rest, body),
            (_, ["guilds", guild, rest @ ..]) => self.perform_guild(method, number(guild), rest, body),
            _ => Err(Reply::refuse(404, 0, "404: Not Found")),
        }
    }

    fn perform_channel(&mut self, method: &str, channel: u64, rest: &[&str], body: &Value) -> Result<Reply, Reply> {
        match (method, rest) {
            ("POST", ["messages"]) => self.post_message(channel, body),
            ("PATCH", [_, message]) => self.patch_message(channel, number(message), body),
            ("DELETE", [_, message]) => {
                let message = self.channel_message(channel, number(message))?;
                self.delete_message(message, "bot");
                Ok(Reply::nothing())
            }
            (_, [_, message]) => {
                let message = self.channel_message(channel, number(message))?;
                Ok(Reply::json(self.show(message)))
            }
            (_, ["messages"]) => {
                let ids = self.in_channel.get(&channel).map_or(&[][..], Vec::as_slice);
                Ok(Reply::json(
                    ids.iter().rev().take(50).map(|id| self.show(*id)).collect(),
                ))
            }
            _ => {
                let (guild, known) = self
                    .channel(channel)
                    .ok_or_else(|| Reply::refuse(404, 10_003, "Unknown Channel"))?;
                Ok(Reply::json(payload::channel(known, Some(guild.id))))
            }
        }
    }

    fn perform_guild(&mut self, method: &str, guild: u64, rest: &[&str], body: &Value) -> Result<Reply, Reply> {
        let known = self.guilds.get(&guild).ok_or_else(unknown_guild)?;
        Ok(match (method, rest) {
            (_, ["channels"]) => {
                let channels = known.channels.values();
                Reply::json(channels.map(|channel| payload::channel(channel, Some(guild))).collect())
            }
            (_, ["roles"]) => Reply::json(payload::roles(known).into()),
            (_, ["members", user]) => {
                let user = if *user == "@me" { self.bot } else { number(user) };
                let member = payload::member(known, self.bot, user);
                Reply::json(member.ok_or_else(|| Reply::refuse(404, 10_007, "Unknown Member"))?)
            }
            ("PATCH", ["voice-states", _]) => {
                let voice = known.voice.get(&self.bot).ok_or_else(unknown_voice_state)?;
                let lifts = body["suppress"] == false;
                if lifts && self.bot_permissions(voice.channel) & permission::MUTE_MEMBERS == 0 {
                    return Err(Reply::refuse(403, 50_013, "Missing Permissions"));
                }
                self.patch_bot_voice(guild, body);
                Reply::nothing()
            }
            (_, ["voice-states", user]) => {
                let user = if *user == "@me" { self.bot } else { number(user) };
                Reply::json(voice_state(known, self.bot, user).ok_or_else(unknown_voice_state)?)
            }
            _ => Reply::json(Value::Object(payload::guild(known))),
        })
    }

    fn gateway_reply(&self, for_bot: bool) -> Reply {
        if !for_bot {
            return Reply::json(json!({"url": self.settings.gateway_url}));
        }
        Reply::json(json!({
            "url": self.settings.gateway_url, "shards": self.faults.recommends().unwrap_or(self.settings.shards),
            "session_start_limit": {
                "total": IDENTIFY_TOTAL, "remaining": self.limits.identify_left(),
                "reset_after": self.limits.identify_reset_after(self.now()),
                "max_concurrency": self.settings.max_concurrency,
            },
        }))
    }
}

fn voice_state(guild: &Guild, bot: u64, user: u64) -> Option<Value> {
    let state = guild.voice.get(&user)?;
    Some(payload::voice_state(guild, bot, user, &state.session))
}

/// A path for the log: an interaction's token is a secret.
fn public_path(path: &[String]) -> String {
    let mut text = String::new();
    for (index, part) in path.iter().enumerate() {
        let secret = index == 4
            && path
                .get(2)
                .is_some_and(|kind| kind == "webhooks" || kind == "interactions");
        text.push('/');
        text.push_str(if secret { "…" } else { part });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_reach_the_log() {
        let path = ["api", "v10", "interactions", "1", "secret", "callback"].map(str::to_owned);
        assert_eq!(public_path(&path), "/api/v10/interactions/1/…/callback");
    }

    #[test]
    fn routes_are_told_apart() {
        let name = |method, path: &[&str]| find(method, path).map(|route| route.name);
        assert_eq!(
            name("GET", &["guilds", "1", "voice-states", "@me"]),
            Some("GET /guilds/{guild}/voice-states/@me")
        );
        assert_eq!(
            name("GET", &["guilds", "1", "voice-states", "2"]),
            Some("GET /guilds/{guild}/voice-states/{user}")
        );
        assert_eq!(name("DELETE", &["guilds", "1"]), None);
    }
}
