//! What Discord writes: objects and events as JSON, complete enough for unmodified libraries.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use rand::rngs::SmallRng;
use serde_json::{Map, Value, json};

use super::ids::{timestamp, timestamp_of};
use super::message::Message;
use super::permission;
use super::world::{Channel, Guild, Kind, Role, VoiceState, World};

/// A token of the real shape: the id, then two secrets.
pub(crate) fn bot_token(bot: u64, rng: &mut SmallRng) -> String {
    let first = URL_SAFE_NO_PAD.encode(bot.to_string());
    let moment = URL_SAFE_NO_PAD.encode(rng.random::<u32>().to_be_bytes());
    let secret: [u8; 28] = rng.random();
    format!("{first}.{moment}.{}", URL_SAFE_NO_PAD.encode(secret))
}

/// A user.
pub(crate) fn user(id: u64, name: &str, bot: bool) -> Value {
    json!({
        "id": id.to_string(), "username": name, "discriminator": "0", "global_name": if bot { Value::Null } else { name.into() },
        "avatar": null, "bot": bot, "public_flags": 0,
    })
}

/// The bot as `/users/@me` and READY show it.
pub(crate) fn current_user(world: &World) -> Value {
    json!({
        "id": world.bot.to_string(), "username": "Segue", "discriminator": "0", "global_name": null, "avatar": null,
        "bot": true, "flags": 0, "mfa_enabled": false, "verified": true, "email": null,
    })
}

/// The bot's application.
pub(crate) fn application(world: &World) -> Value {
    json!({
        "id": world.bot.to_string(), "name": "Segue", "icon": null, "description": "", "summary": "", "type": null,
        "bot": user(world.bot, "Segue", true), "bot_public": true, "bot_require_code_grant": false,
        "verify_key": "0".repeat(64), "flags": 0, "hook": true, "rpc_origins": [], "tags": [], "team": null,
        "owner": user(1, "owner", false), "approximate_guild_count": world.guilds.len(),
    })
}

fn member_with(user: Value, user_id: u64, roles: &[u64]) -> Value {
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    json!({
        "user": user, "roles": roles, "joined_at": timestamp_of(user_id), "deaf": false, "mute": false, "flags": 0,
        "nick": null, "avatar": null, "banner": null, "premium_since": null, "communication_disabled_until": null,
        "pending": false,
    })
}

/// A member of a guild, the bot too.
pub(crate) fn member(guild: &Guild, bot: u64, id: u64) -> Option<Value> {
    if id == bot {
        return Some(member_with(user(bot, "Segue", true), bot, &guild.bot_roles));
    }
    let person = guild.members.get(&id)?;
    Some(member_with(user(id, &person.name, false), id, &person.roles))
}

/// A role.
pub(crate) fn role(role: &Role, position: usize) -> Value {
    json!({
        "id": role.id.to_string(), "name": role.name, "color": 0,
        "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
        "hoist": false, "icon": null, "unicode_emoji": null, "position": position,
        "permissions": role.permissions.to_string(), "managed": role.managed, "mentionable": false, "flags": 0,
    })
}

/// A guild's roles.
pub(crate) fn roles(guild: &Guild) -> Vec<Value> {
    guild
        .roles
        .iter()
        .enumerate()
        .map(|(position, each)| role(each, position))
        .collect()
}

/// A channel; those in GUILD_CREATE have no `guild_id`.
pub(crate) fn channel(channel: &Channel, guild: Option<u64>) -> Value {
    let overwrites: Vec<Value> = channel
        .overwrites
        .iter()
        .map(|overwrite| {
            json!({
                "id": overwrite.id.to_string(), "type": u8::from(overwrite.member),
                "allow": overwrite.allow.to_string(), "deny": overwrite.deny.to_string(),
            })
        })
        .collect();
    let mut fields = json!({
        "id": channel.id.to_string(), "name": channel.name, "position": channel.position,
        "permission_overwrites": overwrites, "parent_id": null, "flags": 0, "nsfw": false, "last_message_id": null,
        "rate_limit_per_user": 0, "type": match channel.kind { Kind::Text => 0, Kind::Voice => 2, Kind::Stage => 13 },
    });
    if channel.kind == Kind::Text {
        fields["topic"] = Value::Null;
    } else {
        fields["bitrate"] = 64_000.into();
        fields["user_limit"] = channel.user_limit.into();
        fields["rtc_region"] = Value::Null;
    }
    if let Some(guild) = guild {
        fields["guild_id"] = guild.to_string().into();
    }
    fields
}

/// A voice state without guild and member, as in GUILD_CREATE.
fn voice_fields(user: u64, state: Option<&VoiceState>, session: &str) -> Value {
    json!({
        "user_id": user.to_string(), "channel_id": state.map(|state| state.channel.to_string()), "session_id": session,
        "deaf": false, "mute": false, "self_deaf": state.is_some_and(|state| state.self_deaf),
        "self_mute": state.is_some_and(|state| state.self_mute), "self_video": false, "self_stream": false,
        "suppress": state.is_some_and(|state| state.suppress),
        "request_to_speak_timestamp": state.and_then(|state| state.asked_to_speak).map(timestamp),
    })
}

/// A voice state as an event and REST show it; without a state it is that of one who left.
pub(crate) fn voice_state(guild: &Guild, bot: u64, id: u64, session: &str) -> Value {
    let mut fields = voice_fields(id, guild.voice.get(&id), session);
    fields["guild_id"] = guild.id.to_string().into();
    if let Some(member) = member(guild, bot, id) {
        fields["member"] = member;
    }
    fields
}

/// What REST and GUILD_CREATE both say of a guild.
pub(crate) fn guild(guild: &Guild) -> Map<String, Value> {
    let fields = json!({
        "id": guild.id.to_string(), "name": guild.name, "owner_id": guild.owner.to_string(), "icon": null,
        "splash": null, "discovery_splash": null, "banner": null, "description": null, "features": [], "emojis": [],
        "stickers": [], "afk_channel_id": null, "afk_timeout": 300, "application_id": null,
        "default_message_notifications": 0, "explicit_content_filter": 0, "mfa_level": 0, "nsfw_level": 0,
        "preferred_locale": "en-US", "premium_progress_bar_enabled": false, "premium_subscription_count": 0,
        "premium_tier": 0, "public_updates_channel_id": null, "rules_channel_id": null, "safety_alerts_channel_id": null,
        "system_channel_flags": 0, "system_channel_id": null, "vanity_url_code": null, "verification_level": 0,
        "widget_enabled": false, "widget_channel_id": null, "max_members": 500_000, "max_video_channel_users": 25,
        "roles": roles(guild),
    });
    match fields {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// GUILD_CREATE of a guild. Without the presences intent its members are the bot and whoever is in voice.
pub(crate) fn guild_create(world: &World, id: u64) -> Value {
    let Some(known) = world.guilds.get(&id) else {
        return Value::Null;
    };
    let mut fields = guild(known);
    let present = known.voice.keys().filter(|user| **user != world.bot);
    let members: Vec<Value> = std::iter::once(&world.bot)
        .chain(present)
        .filter_map(|user| member(known, world.bot, *user))
        .collect();
    let voice: Vec<Value> = known
        .voice
        .iter()
        .map(|(user, state)| voice_fields(*user, Some(state), &state.session))
        .collect();
    let channels: Vec<Value> = known.channels.values().map(|each| channel(each, None)).collect();
    let extra = json!({
        "joined_at": timestamp_of(id), "large": false, "unavailable": false, "member_count": known.members.len() + 1,
        "members": members, "voice_states": voice, "channels": channels, "threads": [], "presences": [],
        "stage_instances": [], "guild_scheduled_events": [], "soundboard_sounds": [],
    });
    if let Value::Object(extra) = extra {
        fields.extend(extra);
    }
    Value::Object(fields)
}

/// A message.
pub(crate) fn message(world: &World, message: &Message) -> Value {
    let mut fields = json!({
        "id": message.id.to_string(), "channel_id": message.channel.to_string(), "author": user(world.bot, "Segue", true),
        "content": message.content, "timestamp": timestamp_of(message.id),
        "edited_timestamp": message.edited_wall_ms.map(timestamp), "tts": false, "mention_everyone": false,
        "mentions": [], "mention_roles": [], "attachments": [], "embeds": message.embeds,
        "components": message.components, "pinned": false, "type": if message.interaction.is_some() { 20 } else { 0 },
        "flags": message.flags(), "reactions": [],
    });
    if message.interaction.is_some() {
        fields["webhook_id"] = world.bot.to_string().into();
        fields["application_id"] = world.bot.to_string().into();
    }
    fields
}

/// A member as an interaction shows it: with what he may in that channel.
pub(crate) fn interaction_member(guild: &Guild, id: u64, channel: &Channel) -> Option<Value> {
    let person = guild.members.get(&id)?;
    let mut fields = member_with(user(id, &person.name, false), id, &person.roles);
    fields["permissions"] = permission::of(guild, id, &person.roles, Some(channel))
        .to_string()
        .into();
    Some(fields)
}
