//! Permissions, as Discord computes them.

use super::world::{Channel, Guild};

pub(crate) const MANAGE_MESSAGES: u64 = 1 << 13;
pub(crate) const ADMINISTRATOR: u64 = 1 << 3;
pub(crate) const VIEW_CHANNEL: u64 = 1 << 10;
pub(crate) const SEND_MESSAGES: u64 = 1 << 11;
pub(crate) const EMBED_LINKS: u64 = 1 << 14;
pub(crate) const CONNECT: u64 = 1 << 20;
pub(crate) const SPEAK: u64 = 1 << 21;
pub(crate) const MUTE_MEMBERS: u64 = 1 << 22;
pub(crate) const MOVE_MEMBERS: u64 = 1 << 24;
const ATTACH_FILES: u64 = 1 << 15;
const READ_MESSAGE_HISTORY: u64 = 1 << 16;
const USE_EXTERNAL_EMOJIS: u64 = 1 << 18;
const USE_VAD: u64 = 1 << 25;
const USE_APPLICATION_COMMANDS: u64 = 1 << 31;
const REQUEST_TO_SPEAK: u64 = 1 << 32;
const SEND_MESSAGES_IN_THREADS: u64 = 1 << 38;

/// What everybody may.
pub(crate) const EVERYONE: u64 = VIEW_CHANNEL
    | SEND_MESSAGES
    | EMBED_LINKS
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | USE_EXTERNAL_EMOJIS
    | CONNECT
    | SPEAK
    | USE_VAD
    | USE_APPLICATION_COMMANDS
    | REQUEST_TO_SPEAK
    | SEND_MESSAGES_IN_THREADS;

/// Everything.
const ALL: u64 = (1 << 50) - 1;

/// The bit of a permission by Discord's name in lower case.
pub(crate) fn named(name: &str) -> Option<u64> {
    Some(match name.to_ascii_lowercase().as_str() {
        "view" | "view_channel" => VIEW_CHANNEL,
        "send" | "send_messages" => SEND_MESSAGES,
        "embed_links" => EMBED_LINKS,
        "attach_files" => ATTACH_FILES,
        "read_message_history" => READ_MESSAGE_HISTORY,
        "connect" => CONNECT,
        "speak" => SPEAK,
        "mute_members" => MUTE_MEMBERS,
        "move_members" => MOVE_MEMBERS,
        "manage_messages" => MANAGE_MESSAGES,
        _ => return None,
    })
}

/// What a user may in a guild, and in one of its channels.
pub(crate) fn of(guild: &Guild, user: u64, roles: &[u64], channel: Option<&Channel>) -> u64 {
    if guild.owner == user {
        return ALL;
    }
    let mut allowed = 0;
    for role in &guild.roles {
        if role.id == guild.id || roles.contains(&role.id) {
            allowed |= role.permissions;
        }
    }
    if allowed & ADMINISTRATOR != 0 {
        return ALL;
    }
    let Some(channel) = channel else { return allowed };
    let mut roles_deny = 0;
    let mut roles_allow = 0;
    for overwrite in channel.overwrites.iter().filter(|overwrite| !overwrite.member) {
        if overwrite.id == guild.id {
            allowed = (allowed & !overwrite.deny) | overwrite.allow;
        } else if roles.contains(&overwrite.id) {
            roles_deny |= overwrite.deny;
            roles_allow |= overwrite.allow;
        }
    }
    allowed = (allowed & !roles_deny) | roles_allow;
    for own in channel
        .overwrites
        .iter()
        .filter(|overwrite| overwrite.member && overwrite.id == user)
    {
        allowed = (allowed & !own.deny) | own.allow;
    }
    // Without a view of the channel nothing in it is allowed.
    if allowed & VIEW_CHANNEL == 0 { 0 } else { allowed }
}
