//! The world and the counters as the control API shows them.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::sim::discord::channel_payload;
use crate::sim::discord::world::{Channel, Guild, World};

/// `GET /world`. A world of many guilds is large: `?guild=ID` gives one, `?guilds=none` only the rest.
pub(super) fn world(world: &World, query: &HashMap<String, String>) -> Value {
    let newest = world
        .sessions
        .values()
        .map(|session| session.shard + 1)
        .max()
        .unwrap_or(0);
    // A session that has a socket was told READY or RESUMED in the same moment.
    let attached = world.sessions.values().filter(|session| session.link.is_some());
    let attached: BTreeSet<u32> = attached.map(|session| session.shard).collect();
    let shards: Vec<Value> = (0..world.shard_count.max(newest))
        .map(|id| {
            let connected = attached.contains(&id);
            json!({"id": id, "connected": connected, "ready": connected})
        })
        .collect();
    let one = query.get("guild").and_then(|id| id.parse::<u64>().ok());
    let all = query.get("guilds").is_none_or(|wish| wish != "none");
    let wanted = world
        .guilds
        .values()
        .filter(|known| one.map_or(all, |id| known.id == id));
    let guilds: Vec<Value> = wanted.map(|known| guild(world, known)).collect();
    json!({"now_ms": world.now(), "shards": shards, "guilds": guilds, "nodes": world.nodes.world()})
}

/// A guild as in `GET /world`.
pub(super) fn guild_by_id(world: &World, id: u64) -> Value {
    world.guilds.get(&id).map_or(Value::Null, |known| guild(world, known))
}

fn guild(world: &World, guild: &Guild) -> Value {
    let voice = |user: u64| guild.voice.get(&user).map(|state| state.channel.to_string());
    let channels: Vec<Value> = guild
        .channels
        .values()
        .map(|channel| json!({"id": channel.id.to_string(), "name": channel.name, "kind": channel.kind.name()}))
        .collect();
    let members: Vec<Value> = guild
        .members
        .values()
        .map(|member| json!({"id": member.id.to_string(), "name": member.name, "voice": voice(member.id)}))
        .collect();
    let roles: Vec<Value> = guild
        .roles
        .iter()
        .map(|role| json!({"id": role.id.to_string(), "name": role.name}))
        .collect();
    json!({
        "id": guild.id.to_string(), "name": guild.name, "shard": world.shard_of(guild.id), "channels": channels,
        "members": members, "roles": roles, "bot": {"voice": voice(world.bot)},
    })
}

/// A channel as `CHANNEL_UPDATE` shows it.
pub(super) fn channel_update(channel: &Channel, guild: u64) -> Value {
    channel_payload(channel, guild)
}

/// `GET /counters`.
pub(super) fn counters(world: &World) -> Value {
    let counters = &world.counters;
    json!({
        "identify": counters.identify, "resume": counters.resume, "voice_state_update": counters.voice_state_update,
        "closes": counters.closes,
        "interactions": {
            "issued": counters.issued, "acknowledged_in_time": counters.acknowledged_in_time, "late": counters.late,
            "never": counters.never,
        },
        "invalid_requests": world.limits.invalid(), "discord": counters.routes, "lavalink": world.nodes.counters(),
    })
}
