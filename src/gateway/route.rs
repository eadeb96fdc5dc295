//! What an event means: a signal for a guild, an interaction, or nothing. Pure.

use std::collections::HashSet;

use twilight_gateway::EventTypeFlags;
use twilight_model::gateway::event::DispatchEvent;
use twilight_model::gateway::payload::incoming::{
    GuildCreate, GuildDelete, InteractionCreate, VoiceServerUpdate, VoiceStateUpdate,
};
use twilight_model::guild::Guild;

use super::voices::Voices;
use crate::model::ids::{GuildId, UserId};
use crate::model::signal::Signal;

/// The events that are parsed; all others are only counted. READY and RESUMED are read by the shard itself.
pub const WANTED: EventTypeFlags = EventTypeFlags::GUILD_CREATE
    .union(EventTypeFlags::GUILD_DELETE)
    .union(EventTypeFlags::CHANNEL_DELETE)
    .union(EventTypeFlags::VOICE_STATE_UPDATE)
    .union(EventTypeFlags::VOICE_SERVER_UPDATE)
    .union(EventTypeFlags::INTERACTION_CREATE);

/// Where an event goes.
#[derive(Debug, PartialEq)]
pub enum Routed {
    /// Nowhere.
    Nothing,
    /// To a guild.
    Guild(GuildId, Signal),
    /// To whoever answers interactions.
    Interaction(Box<InteractionCreate>),
}

/// Routes one event and keeps the cache current.
pub fn route(event: DispatchEvent, bot: UserId, voices: &mut Voices) -> Routed {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Discord adds events; only these are wanted"
    )]
    match event {
        DispatchEvent::GuildCreate(create) => guild_create(*create, bot, voices),
        DispatchEvent::GuildDelete(delete) => guild_delete(&delete, voices),
        DispatchEvent::ChannelDelete(channel) => match channel.guild_id {
            Some(guild) => Routed::Guild(guild, Signal::ChannelDeleted { channel: channel.id }),
            None => Routed::Nothing,
        },
        DispatchEvent::VoiceStateUpdate(state) => voice_state(*state, bot, voices),
        DispatchEvent::VoiceServerUpdate(server) => voice_server(server, voices),
        DispatchEvent::InteractionCreate(interaction) => Routed::Interaction(interaction),
        _ => Routed::Nothing,
    }
}

fn guild_create(create: GuildCreate, bot: UserId, voices: &mut Voices) -> Routed {
    match create {
        GuildCreate::Available(guild) => described(&guild, bot, voices),
        GuildCreate::Unavailable(guild) => {
            voices.unavailable(guild.id);
            Routed::Guild(guild.id, Signal::GuildUnavailable)
        }
    }
}

/// Voice states of `GUILD_CREATE` carry no member, but its members hold everybody in voice.
fn described(guild: &Guild, bot: UserId, voices: &mut Voices) -> Routed {
    let bots: HashSet<UserId> = guild
        .members
        .iter()
        .filter(|member| member.user.bot)
        .map(|member| member.user.id)
        .collect();
    let states = guild
        .voice_states
        .iter()
        .filter_map(|state| Some((state.user_id, state.channel_id?, state.member.as_ref())));
    let (mut people, mut own) = (Vec::new(), None);
    for (user, channel, member) in states {
        if user == bot {
            own = Some(channel);
        } else if !bots.contains(&user) && !member.is_some_and(|member| member.user.bot) {
            people.push((user, channel));
        }
    }
    voices.describe(guild.id, people.clone());
    Routed::Guild(
        guild.id,
        Signal::GuildSeen {
            voices: people,
            bot: own,
        },
    )
}

fn guild_delete(delete: &GuildDelete, voices: &mut Voices) -> Routed {
    if delete.unavailable == Some(true) {
        voices.unavailable(delete.id);
        Routed::Guild(delete.id, Signal::GuildUnavailable)
    } else {
        voices.remove(delete.id);
        Routed::Guild(delete.id, Signal::GuildRemoved)
    }
}

fn voice_state(VoiceStateUpdate(state): VoiceStateUpdate, me: UserId, voices: &mut Voices) -> Routed {
    let Some(guild) = state.guild_id else {
        return Routed::Nothing;
    };
    if state.user_id == me {
        voices.seen(guild);
        return Routed::Guild(
            guild,
            Signal::OwnVoice {
                channel: state.channel_id,
                session_id: state.session_id,
                suppressed: state.suppress,
            },
        );
    }
    let bot = state.member.is_some_and(|member| member.user.bot);
    if bot {
        voices.seen(guild);
    } else {
        voices.moved(guild, state.user_id, state.channel_id);
    }
    Routed::Guild(
        guild,
        Signal::MemberVoice {
            user: state.user_id,
            bot,
            channel: state.channel_id,
        },
    )
}

fn voice_server(server: VoiceServerUpdate, voices: &mut Voices) -> Routed {
    voices.seen(server.guild_id);
    Routed::Guild(
        server.guild_id,
        Signal::VoiceServer {
            token: server.token,
            endpoint: server.endpoint,
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use twilight_gateway::parse;
    use twilight_model::gateway::event::GatewayEvent;
    use twilight_model::id::Id;

    use super::*;

    const BOT: UserId = Id::new(99);

    fn user(id: u64, bot: bool) -> Value {
        json!({"id": id.to_string(), "username": "u", "discriminator": "0", "avatar": null, "bot": bot})
    }

    fn member(id: u64, bot: bool) -> Value {
        json!({"user": user(id, bot), "roles": [], "joined_at": "2024-01-01T00:00:00.000000+00:00", "deaf": false,
            "mute": false, "flags": 0})
    }

    fn voice(id: u64, channel: Option<u64>) -> Value {
        json!({"user_id": id.to_string(), "channel_id": channel.map(|id| id.to_string()), "session_id": "s", "deaf": false,
            "mute": false, "self_deaf": false, "self_mute": false, "self_video": false, "suppress": true,
            "request_to_speak_timestamp": null})
    }

    fn guild(unavailable: bool) -> Value {
        if unavailable {
            return json!({"id": "1", "unavailable": true});
        }
        json!({"id": "1", "name": "g", "unavailable": false, "afk_timeout": 300, "default_message_notifications": 0,
            "emojis": [], "explicit_content_filter": 0, "features": [], "large": false, "mfa_level": 0, "nsfw_level": 0,
            "owner_id": "5", "preferred_locale": "en-US", "premium_progress_bar_enabled": false, "premium_tier": 0,
            "roles": [], "system_channel_flags": 0, "verification_level": 0, "joined_at": "2024-01-01T00:00:00.000000+00:00",
            "channels": [], "presences": [], "threads": [], "stage_instances": [],
            "members": [member(99, true), member(7, false), member(8, true)],
            "voice_states": [voice(99, Some(10)), voice(7, Some(10)), voice(8, Some(10)), voice(9, None)]})
    }

    fn with(mut state: Value, extra: Value) -> Value {
        let (Some(state_map), Value::Object(extra)) = (state.as_object_mut(), extra) else {
            panic!("objects")
        };
        state_map.extend(extra);
        state
    }

    fn routed(name: &str, data: &Value, voices: &mut Voices) -> Routed {
        let text = json!({"op": 0, "s": 5, "t": name, "d": data}).to_string();
        match parse(text, WANTED).unwrap() {
            Some(GatewayEvent::Dispatch(_, event)) => route(event, BOT, voices),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_described_guild_gives_its_people_and_the_bots_own_channel() {
        let mut voices = Voices::default();
        let people = vec![(Id::new(7), Id::new(10))];
        let seen = Signal::GuildSeen {
            voices: people.clone(),
            bot: Some(Id::new(10)),
        };
        assert_eq!(
            routed("GUILD_CREATE", &guild(false), &mut voices),
            Routed::Guild(Id::new(1), seen)
        );
        assert_eq!(voices.guild(Id::new(1)).unwrap().people, people);
        assert!(voices.guild(Id::new(1)).unwrap().complete);
    }

    #[test]
    fn an_outage_is_not_a_removal() {
        let mut voices = Voices::default();
        let cases = [
            ("GUILD_CREATE", guild(true), Signal::GuildUnavailable),
            (
                "GUILD_DELETE",
                json!({"id": "1", "unavailable": true}),
                Signal::GuildUnavailable,
            ),
            ("GUILD_DELETE", json!({"id": "1"}), Signal::GuildRemoved),
        ];
        for (name, data, signal) in cases {
            assert_eq!(routed(name, &data, &mut voices), Routed::Guild(Id::new(1), signal));
        }
        assert_eq!(voices.guild(Id::new(1)), None);
    }

    #[test]
    fn voice_states_are_told_apart_by_whose_they_are() {
        let mut voices = Voices::default();
        let own = with(voice(99, Some(10)), json!({"guild_id": "1"}));
        let signal = Signal::OwnVoice {
            channel: Some(Id::new(10)),
            session_id: "s".into(),
            suppressed: true,
        };
        assert_eq!(
            routed("VOICE_STATE_UPDATE", &own, &mut voices),
            Routed::Guild(Id::new(1), signal)
        );
        for (id, bot) in [(7, false), (8, true)] {
            let other = with(voice(id, Some(10)), json!({"guild_id": "1", "member": member(id, bot)}));
            let signal = Signal::MemberVoice {
                user: Id::new(id),
                bot,
                channel: Some(Id::new(10)),
            };
            assert_eq!(
                routed("VOICE_STATE_UPDATE", &other, &mut voices),
                Routed::Guild(Id::new(1), signal)
            );
        }
        assert_eq!(voices.guild(Id::new(1)).unwrap().people, [(Id::new(7), Id::new(10))]);
        assert_eq!(
            routed("VOICE_STATE_UPDATE", &voice(7, None), &mut voices),
            Routed::Nothing,
            "no guild: a call"
        );
    }

    #[test]
    fn a_voice_server_without_an_endpoint_is_still_told() {
        let server = json!({"guild_id": "1", "token": "t", "endpoint": null});
        let signal = Signal::VoiceServer {
            token: "t".into(),
            endpoint: None,
        };
        assert_eq!(
            routed("VOICE_SERVER_UPDATE", &server, &mut Voices::default()),
            Routed::Guild(Id::new(1), signal)
        );
    }

    #[test]
    fn events_nobody_wants_are_not_parsed() {
        for name in ["GUILD_UPDATE", "MESSAGE_CREATE", "TYPING_START", "SOMETHING_NEW"] {
            let text = json!({"op": 0, "s": 5, "t": name, "d": {"broken": true}}).to_string();
            assert!(parse(text, WANTED).unwrap().is_none(), "{name}");
        }
    }
}
