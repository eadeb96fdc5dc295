//! What the bot may do in a channel. Pure.

use crate::model::view::FailReason;
use serde::Deserialize;
use twilight_model::channel::ChannelType;
use twilight_model::channel::permission_overwrite::PermissionOverwrite;
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::RoleMarker;
use twilight_util::permission_calculator::PermissionCalculator;

use crate::model::ids::{ChannelId, GuildId, UserId};

/// Of `GET /channels/{channel}`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Channel {
    pub(super) id: ChannelId,
    #[serde(rename = "type")]
    kind: ChannelType,
    pub(super) guild_id: Option<GuildId>,
    name: Option<String>,
    #[serde(default)]
    permission_overwrites: Vec<PermissionOverwrite>,
    user_limit: Option<u32>,
    pub(super) parent_id: Option<ChannelId>,
}

/// Of `GET /guilds/{guild}/members/{user}`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Member {
    roles: Vec<Id<RoleMarker>>,
    /// Milliseconds do not matter: a member that is timed out is rare, and Discord refuses it anyway.
    communication_disabled_until: Option<String>,
}

/// Of `GET /guilds/{guild}/roles`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Role {
    id: Id<RoleMarker>,
    permissions: Permissions,
}

/// What kind of channel it is, as far as music goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoiceKind {
    /// People talk.
    Voice,
    /// The bot has to be let speak first.
    Stage,
    /// Nobody can join it.
    Other,
}

/// What the bot may do in a voice channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one per permission, independent of each other"
)]
pub struct VoiceAccess {
    /// View Channel.
    pub can_view: bool,
    /// Connect.
    pub can_connect: bool,
    /// Speak; on a stage, Mute Members (which lets it become a speaker by itself).
    pub can_speak: bool,
    /// Move Members: it may join a full channel.
    pub can_move: bool,
    /// How many may be in it; `None` is unlimited.
    pub user_limit: Option<u32>,
    /// Voice, stage or neither.
    pub kind: VoiceKind,
    /// Its name; empty when hidden.
    pub name: String,
}

impl VoiceAccess {
    /// Whether there is room for the bot beside `others` (bots included).
    pub fn has_room(&self, others: usize) -> bool {
        self.can_move
            || self
                .user_limit
                .is_none_or(|limit| others < usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Why the bot may not speak there beside `others`, or `Ok`.
    pub fn verdict(&self, others: usize) -> Result<(), FailReason> {
        match self {
            Self { can_view: false, .. } => Err(FailReason::CannotView),
            Self { kind: VoiceKind::Other, .. } => Err(FailReason::ChannelGone),
            Self { can_connect: false, .. } => Err(FailReason::CannotConnect),
            Self { can_speak: false, kind: VoiceKind::Voice, .. } => Err(FailReason::CannotSpeak),
            access if !access.has_room(others) => Err(FailReason::ChannelFull),
            _ => Ok(()),
        }
    }

    /// What is known of a channel that Discord does not show to the bot.
    pub(super) fn hidden() -> Self {
        Self {
            can_view: false,
            can_connect: false,
            can_speak: false,
            can_move: false,
            user_limit: None,
            kind: VoiceKind::Voice,
            name: String::new(),
        }
    }
}

/// What the bot may do in a text channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextAccess {
    /// View Channel.
    pub can_view: bool,
    /// Send Messages (in Threads).
    pub can_send: bool,
    /// Embed Links.
    pub can_embed: bool,
}

/// The bot's permissions in a channel. `guild` has the id of the `@everyone` role.
fn permissions(guild: GuildId, bot: UserId, channel: &Channel, member: &Member, roles: &[Role]) -> Permissions {
    let everyone = roles
        .iter()
        .find(|role| role.id == guild.cast())
        .map_or(Permissions::empty(), |role| role.permissions);
    let own: Vec<_> = roles
        .iter()
        .filter(|role| member.roles.contains(&role.id))
        .map(|role| (role.id, role.permissions))
        .collect();
    PermissionCalculator::new(guild, bot, everyone, &own).in_channel(channel.kind, &channel.permission_overwrites)
}

/// See [`VoiceAccess`].
pub(super) fn voice_access(
    guild: GuildId,
    bot: UserId,
    channel: &Channel,
    member: &Member,
    roles: &[Role],
) -> VoiceAccess {
    let has = permissions(guild, bot, channel, member, roles);
    #[expect(clippy::wildcard_enum_match_arm, reason = "nobody can join any other kind")]
    let (kind, speak) = match channel.kind {
        ChannelType::GuildVoice => (VoiceKind::Voice, Permissions::SPEAK),
        ChannelType::GuildStageVoice => (VoiceKind::Stage, Permissions::MUTE_MEMBERS),
        _ => (VoiceKind::Other, Permissions::SPEAK),
    };
    let can_view = has.contains(Permissions::VIEW_CHANNEL);
    let can_connect = can_view && has.contains(Permissions::CONNECT) && member.communication_disabled_until.is_none();
    VoiceAccess {
        can_view,
        can_connect,
        can_speak: can_connect && has.contains(speak),
        can_move: has.contains(Permissions::MOVE_MEMBERS),
        user_limit: channel.user_limit.filter(|limit| *limit > 0),
        kind,
        name: channel.name.clone().unwrap_or_default(),
    }
}

/// See [`TextAccess`]. For a thread `channel` is its parent's, with `thread` set.
pub(super) fn text_access(
    guild: GuildId,
    bot: UserId,
    (channel, thread): (&Channel, bool),
    member: &Member,
    roles: &[Role],
) -> TextAccess {
    let has = permissions(guild, bot, channel, member, roles);
    let send = if thread {
        Permissions::SEND_MESSAGES_IN_THREADS
    } else {
        Permissions::SEND_MESSAGES
    };
    let can_view = has.contains(Permissions::VIEW_CHANNEL);
    let can_send = can_view && has.contains(send);
    TextAccess {
        can_view,
        can_send,
        can_embed: can_send && has.contains(Permissions::EMBED_LINKS),
    }
}

impl Channel {
    /// Threads have the permissions of their parent.
    pub(super) fn is_thread(&self) -> bool {
        matches!(
            self.kind,
            ChannelType::AnnouncementThread | ChannelType::PublicThread | ChannelType::PrivateThread
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GUILD: GuildId = Id::new(1);
    const BOT: UserId = Id::new(99);

    fn role(id: u64, permissions: Permissions) -> Role {
        serde_json::from_value(json!({"id": id.to_string(), "permissions": permissions})).unwrap()
    }

    fn channel(kind: u8, deny: Permissions, user_limit: u32) -> Channel {
        serde_json::from_value(
            json!({"id": "5", "type": kind, "guild_id": "1", "name": "music", "user_limit": user_limit,
            "permission_overwrites": [{"id": "1", "type": 0, "allow": "0", "deny": deny}]}),
        )
        .unwrap()
    }

    fn member() -> Member {
        serde_json::from_value(json!({"roles": ["2"]})).unwrap()
    }

    #[test]
    fn what_is_missing_is_named() {
        let all = Permissions::VIEW_CHANNEL | Permissions::CONNECT | Permissions::SPEAK;
        let none = Permissions::empty();
        let cases = [
            (2, all, none, (true, true, true)),
            (2, all, Permissions::SPEAK, (true, true, false)),
            (2, all, Permissions::CONNECT, (true, false, false)),
            (2, all, Permissions::VIEW_CHANNEL, (false, false, false)),
            (2, none, none, (false, false, false)),
            (13, all, none, (true, true, false)),
            (13, all | Permissions::MUTE_MEMBERS, none, (true, true, true)),
            (2, Permissions::ADMINISTRATOR, all, (true, true, true)),
        ];
        for (kind, has, deny, expected) in cases {
            let roles = [
                role(1, Permissions::empty()),
                role(2, has),
                role(3, Permissions::ADMINISTRATOR),
            ];
            let access = voice_access(GUILD, BOT, &channel(kind, deny, 0), &member(), &roles);
            let got = (access.can_view, access.can_connect, access.can_speak);
            assert_eq!(got, expected, "{kind} {has:?} {deny:?}");
        }
    }

    #[test]
    fn a_full_channel_has_no_room_unless_the_bot_may_move_members() {
        let can = Permissions::VIEW_CHANNEL | Permissions::CONNECT | Permissions::SPEAK;
        for (has, others, room) in [
            (can, 1, true),
            (can, 2, false),
            (can | Permissions::MOVE_MEMBERS, 2, true),
        ] {
            let roles = [role(1, has)];
            let access = voice_access(GUILD, BOT, &channel(2, Permissions::empty(), 2), &member(), &roles);
            assert_eq!(access.has_room(others), room);
        }
        let roles = [role(1, can)];
        let unlimited = voice_access(GUILD, BOT, &channel(2, Permissions::empty(), 0), &member(), &roles);
        assert!(unlimited.has_room(1_000));
    }

    #[test]
    fn writing_needs_another_permission_in_a_thread() {
        let roles = [role(
            1,
            Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES | Permissions::EMBED_LINKS,
        )];
        let channel = channel(0, Permissions::empty(), 0);
        let text = text_access(GUILD, BOT, (&channel, false), &member(), &roles);
        assert_eq!(
            text,
            TextAccess {
                can_view: true,
                can_send: true,
                can_embed: true
            }
        );
        assert!(!text_access(GUILD, BOT, (&channel, true), &member(), &roles).can_send);
    }
}
