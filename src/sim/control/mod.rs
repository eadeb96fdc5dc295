//! The control API: how a harness looks at the world and changes it.

mod view;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::discord::Discord;
use super::discord::ids::id_of;
use super::discord::permission;
use super::discord::world::{Kind, Overwrite, Size, World};
use super::http::{Call, Content, Reply, serve};
use super::log::Log;
use super::oracle::Oracle;

/// The longest that one call waits.
const LONGEST_WAIT_MS: u64 = 60_000;
/// Events of the log that are read at once.
const PAGE: usize = 2_000;

/// The control API of a simulator. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    discord: Discord,
    log: Log,
    watch: Arc<Mutex<Watch>>,
}

/// The oracle, and how much of the log it has read.
#[derive(Debug, Default)]
struct Watch {
    oracle: Oracle,
    seen: u64,
}

fn missing(what: &str) -> Reply {
    Reply::refuse(404, 0, &format!("no such {what}"))
}

fn bad(why: &str) -> Reply {
    Reply::refuse(400, 0, why)
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

impl Control {
    pub(crate) fn new(discord: Discord, log: Log) -> Self {
        Self {
            discord,
            log,
            watch: Arc::default(),
        }
    }

    /// Serves until the simulator ends.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        serve(listener, stop, move |request: Request| {
            let control = self.clone();
            async move {
                let (parts, body) = request.into_parts();
                let call = Call::read(&parts, body).await;
                control.answer(&call).await.into_response()
            }
        })
        .await
    }

    /// What one call gets.
    pub(super) async fn answer(&self, call: &Call) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let body = match &call.body {
            Ok(body) => body,
            Err(why) => return bad(why),
        };
        if let ("GET", ["interactions", id]) = (call.method.as_str(), path.as_slice()) {
            return self.interaction(number(id), call.number("wait_ms")).await;
        }
        self.look(call, &path)
            .or_else(|| self.act(&call.method, &path, body))
            .or_else(|| self.change(&call.method, &path, body))
            .unwrap_or_else(|| missing("call"))
    }

    /// What only looks.
    fn look(&self, call: &Call, path: &[&str]) -> Option<Reply> {
        if call.method != "GET" {
            return None;
        }
        Some(match path {
            ["world"] => Reply::json(view::world(&self.discord.lock(), &call.query)),
            ["counters"] => Reply::json(view::counters(&self.discord.lock())),
            ["violations"] => Reply::json(self.violations()),
            ["log"] => self.log_since(call.number("since")),
            ["channels", channel, "messages"] => {
                let world = self.discord.lock();
                if world.channels.contains_key(&number(channel)) {
                    Reply::json(world.visible_messages(number(channel)).into())
                } else {
                    missing("channel")
                }
            }
            ["guilds", guild, "audio"] => {
                let world = self.discord.lock();
                let now = world.now();
                let mut report = world.audio.report(number(guild), call.number("since_ms"));
                report["now_ms"] = now.into();
                Reply::json(report)
            }
            _ => return None,
        })
    }

    fn log_since(&self, seq: u64) -> Reply {
        let mut reply = Reply::nothing();
        reply.status = 200;
        reply.headers.push(("x-log-first", self.log.first().to_string()));
        reply.content = Content::Lines(lines_of(self.log.clone(), seq));
        reply
    }

    fn violations(&self) -> Value {
        let now = {
            let mut world = self.discord.lock();
            world.tick();
            world.now()
        };
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let page = self.log.page(watch.seen, PAGE);
            for event in &page {
                watch.seen = event.get("seq").and_then(Value::as_u64).unwrap_or(watch.seen);
                watch.oracle.observe(event);
            }
            if page.is_empty() {
                break;
            }
        }
        watch.oracle.advance(now);
        serde_json::to_value(watch.oracle.violations()).unwrap_or_default()
    }

    /// An interaction, once it was replied to or the wait is over.
    async fn interaction(&self, id: u64, wait_ms: u64) -> Reply {
        let until = Instant::now() + Duration::from_millis(wait_ms.min(LONGEST_WAIT_MS));
        loop {
            let changed = match self.discord.lock().interactions.get(&id) {
                None => return missing("interaction"),
                Some(known) if known.replied_ms.is_some() => None,
                // The permit is taken under the lock, so that no change is missed.
                Some(known) => Some(known.changed.clone().notified_owned()),
            };
            let over = match changed {
                None => true,
                Some(changed) => timeout_at(until, changed).await.is_err(),
            };
            if over {
                let view = self.discord.lock().view_interaction(id);
                return view.map_or_else(|| missing("interaction"), Reply::json);
            }
        }
    }

    /// What people do, and faults.
    fn act(&self, method: &str, path: &[&str], body: &Value) -> Option<Reply> {
        let mut world = self.discord.lock();
        let issued = match (method, path) {
            ("POST", ["guilds", guild, "commands"]) => world.issue_command(number(guild), body),
            ("POST", ["messages", message, "components"]) => world.issue_component(number(message), body),
            ("POST", ["interactions", from, "modal"]) => world.issue_modal(number(from), body),
            ("POST", ["faults"]) => {
                return Some(match world.begin_fault(body) {
                    Ok(id) => Reply::json(json!({"id": id.to_string()})),
                    Err(why) => bad(&why),
                });
            }
            ("DELETE", ["faults", id]) => {
                let known = world.end_fault(number(id)) || world.had_fault(number(id));
                return Some(if known { Reply::nothing() } else { missing("fault") });
            }
            _ => return None,
        };
        Some(match issued {
            Ok(id) => Reply::json(json!({"interaction": id.to_string()})),
            Err(wrong) => wrong.into(),
        })
    }

    /// What an admin changes.
    fn change(&self, method: &str, path: &[&str], body: &Value) -> Option<Reply> {
        let mut world = self.discord.lock();
        let world = &mut *world;
        let changed = match (method, path) {
            ("POST", ["guilds"]) => {
                let size = |name: &str, default: u64| {
                    usize::try_from(body[name].as_u64().unwrap_or(default).min(1_000)).unwrap_or(0)
                };
                let guild = world.create_guild(Size {
                    members: size("members", 3),
                    text: size("text_channels", 1),
                    voice: size("voice_channels", 2),
                });
                Ok(Reply::json(view::guild_by_id(world, guild)))
            }
            ("POST", ["guilds", guild, "voice"]) => voice(world, number(guild), body),
            ("PATCH", ["channels", channel]) => patch_channel(world, number(channel), body),
            ("PATCH", ["guilds", guild, "members", user]) => patch_member(world, number(guild), user, body),
            ("DELETE", ["channels", channel]) => {
                let known = world.delete_channel(number(channel));
                Ok(if known { Reply::nothing() } else { missing("channel") })
            }
            ("DELETE", ["guilds", guild]) => {
                let known = world.remove_guild(number(guild));
                Ok(if known { Reply::nothing() } else { missing("guild") })
            }
            ("DELETE", ["messages", message]) => {
                let known = world.delete_message(number(message), "person");
                Ok(if known { Reply::nothing() } else { missing("message") })
            }
            _ => return None,
        };
        Some(changed.unwrap_or_else(|refusal| refusal))
    }
}

/// The log after `seq` and up to now, read in pages while the client reads.
fn lines_of(log: Log, seq: u64) -> Body {
    let end = log.last();
    let pages = stream::unfold(seq, move |after| {
        let left = usize::try_from(end.saturating_sub(after)).unwrap_or(PAGE);
        let (lines, last) = log.lines(after, left.min(PAGE));
        std::future::ready((!lines.is_empty()).then_some((Ok::<_, Infallible>(lines), last)))
    });
    Body::from_stream(pages)
}

fn voice(world: &mut World, guild: u64, body: &Value) -> Result<Reply, Reply> {
    let known = world.guilds.get(&guild).ok_or_else(|| missing("guild"))?;
    let channel = match Some(&body["channel"]).filter(|wanted| !wanted.is_null()) {
        None => None,
        Some(wanted) => {
            let place = id_of(wanted)
                .and_then(|id| known.channels.get(&id))
                .ok_or_else(|| missing("channel"))?;
            if place.kind == Kind::Text {
                return Err(bad("nobody can speak in a text channel"));
            }
            Some(place.id)
        }
    };
    if body["user"] == "bot" || id_of(&body["user"]) == Some(world.bot) {
        if !world.move_bot(guild, channel) {
            return Err(Reply::refuse(409, 0, "the bot is in no voice channel"));
        }
    } else {
        let user = world.person(guild, &body["user"]).map_err(Reply::from)?;
        world.move_person(guild, user, channel);
    }
    Ok(Reply::nothing())
}

fn patch_channel(world: &mut World, id: u64, body: &Value) -> Result<Reply, Reply> {
    let bot = world.bot;
    let guild = world.channels.get(&id).copied().ok_or_else(|| missing("channel"))?;
    let known = world.guilds.get_mut(&guild).ok_or_else(|| missing("guild"))?;
    let channel = known.channels.get_mut(&id).ok_or_else(|| missing("channel"))?;
    if let Some(kind) = body["kind"].as_str() {
        channel.kind = Kind::named(kind).ok_or_else(|| bad("kind is text, voice or stage"))?;
    }
    if let Some(limit) = body["user_limit"].as_u64() {
        channel.user_limit = limit;
    }
    if let Some(denied) = body["bot_denied"].as_array() {
        let bits = denied
            .iter()
            .map(|name| permission::named(name.as_str().unwrap_or_default()));
        let deny = bits
            .collect::<Option<Vec<u64>>>()
            .ok_or_else(|| bad("bot_denied names an unknown permission"))?;
        channel.overwrites.retain(|overwrite| overwrite.id != bot);
        if !deny.is_empty() {
            channel.overwrites.push(Overwrite {
                id: bot,
                member: true,
                allow: 0,
                deny: deny.into_iter().fold(0, |all, bit| all | bit),
            });
        }
    }
    let told = view::channel_update(channel, guild);
    world.log.append(
        "channel_changed",
        json!({"guild": guild.to_string(), "channel": id.to_string(), "fields": body}),
    );
    world.dispatch(guild, "CHANNEL_UPDATE", &told);
    world.channel_changed(guild);
    Ok(Reply::nothing())
}

fn patch_member(world: &mut World, guild: u64, user: &str, body: &Value) -> Result<Reply, Reply> {
    let user = world.person(guild, &user.into()).map_err(Reply::from)?;
    let known = world.guilds.get_mut(&guild).ok_or_else(|| missing("guild"))?;
    let wanted = body["roles"]
        .as_array()
        .ok_or_else(|| bad("roles is a list of ids or names"))?;
    let find = |wish: &Value| {
        let id = id_of(wish);
        let found = known
            .roles
            .iter()
            .find(|role| Some(role.id) == id || *wish == role.name);
        found.map(|role| role.id)
    };
    let roles = wanted
        .iter()
        .map(find)
        .collect::<Option<Vec<u64>>>()
        .ok_or_else(|| missing("role"))?;
    if let Some(member) = known.members.get_mut(&user) {
        member.roles = roles;
    }
    world.log.append(
        "member_changed",
        json!({"guild": guild.to_string(), "user": user.to_string(), "roles": body["roles"]}),
    );
    Ok(Reply::nothing())
}
