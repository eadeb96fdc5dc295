//! Voice states and permissions, asked of Discord when the gateway did not tell (after a RESUME in a new process).

use serde::Deserialize;
use serde_json::json;
use twilight_http::routing::Route;

use super::permissions::{Channel, Member, Role, TextAccess, VoiceAccess, text_access, voice_access};
use super::transport::{Call, Lane, Waits};
use super::{Discord, DiscordError};
use crate::model::ids::{ChannelId, GuildId, UserId};

#[derive(Deserialize)]
struct VoiceState {
    channel_id: Option<ChannelId>,
    session_id: String,
}

impl Discord {
    /// The voice channel a person is in.
    pub async fn user_voice(&self, guild: GuildId, user: UserId) -> Result<Option<ChannelId>, DiscordError> {
        let route = Route::GetUserVoiceState {
            guild_id: guild.get(),
            user_id: user.get(),
        };
        let state = self
            .voice_state("/guilds/{guild}/voice-states/{user}", guild, &route)
            .await?;
        Ok(state.and_then(|state| state.channel_id))
    }

    /// The voice channel the bot is in, and the gateway session that holds the connection.
    pub async fn own_voice(&self, guild: GuildId) -> Result<Option<(ChannelId, String)>, DiscordError> {
        let route = Route::GetCurrentUserVoiceState { guild_id: guild.get() };
        let state = self
            .voice_state("/guilds/{guild}/voice-states/@me", guild, &route)
            .await?;
        Ok(state.and_then(|state| Some((state.channel_id?, state.session_id))))
    }

    async fn voice_state(
        &self,
        template: &'static str,
        guild: GuildId,
        route: &Route<'_>,
    ) -> Result<Option<VoiceState>, DiscordError> {
        match self
            .0
            .read(Call::new(Lane::Bot(Waits::Person), template, guild.get(), route))
            .await
        {
            Ok(state) => Ok(Some(state)),
            // 10065, and 404 without a code: in no channel. Not 10004, an unknown guild.
            Err(DiscordError::Unknown { code: 10_065 | 0 }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets the bot speak on a stage; needed after every join. Needs Mute Members.
    pub async fn unsuppress(&self, guild: GuildId, channel: ChannelId) -> Result<(), DiscordError> {
        let route = Route::UpdateCurrentUserVoiceState { guild_id: guild.get() };
        let call = Call::new(
            Lane::Bot(Waits::Person),
            "/guilds/{guild}/voice-states/@me (update)",
            guild.get(),
            &route,
        )
        .json(&json!({"channel_id": channel, "suppress": false}))?;
        self.0.act(call).await
    }

    /// What the bot may do in a voice channel. [`DiscordError::Unknown`]: the channel is gone or of another guild.
    pub async fn voice_permissions(
        &self,
        guild: GuildId,
        channel: ChannelId,
        bot: UserId,
        waits: Waits,
    ) -> Result<VoiceAccess, DiscordError> {
        match tokio::try_join!(
            self.channel(guild, channel, waits),
            self.member(guild, bot, waits),
            self.roles(guild, waits)
        ) {
            Ok((channel, member, roles)) => Ok(voice_access(guild, bot, &channel, &member, &roles)),
            Err(DiscordError::Forbidden { code: 50_001 }) => Ok(VoiceAccess::hidden()),
            Err(error) => Err(error),
        }
    }

    /// What the bot may do in a text channel or thread. [`DiscordError::Unknown`]: it is gone or of another guild.
    pub async fn text_permissions(
        &self,
        guild: GuildId,
        channel: ChannelId,
        bot: UserId,
    ) -> Result<TextAccess, DiscordError> {
        let waits = Waits::Person;
        let found = async {
            let channel = self.channel(guild, channel, waits).await?;
            match channel.parent_id.filter(|_| channel.is_thread()) {
                Some(parent) => Ok((self.channel(guild, parent, waits).await?, true)),
                None => Ok((channel, false)),
            }
        };
        match tokio::try_join!(found, self.member(guild, bot, waits), self.roles(guild, waits)) {
            Ok(((channel, thread), member, roles)) => Ok(text_access(guild, bot, (&channel, thread), &member, &roles)),
            Err(DiscordError::Forbidden { code: 50_001 }) => Ok(TextAccess::default()),
            Err(error) => Err(error),
        }
    }

    async fn channel(&self, guild: GuildId, channel: ChannelId, waits: Waits) -> Result<Channel, DiscordError> {
        let route = Route::GetChannel {
            channel_id: channel.get(),
        };
        let found: Channel = self
            .0
            .read(Call::new(
                Lane::Bot(waits),
                "/channels/{channel}",
                channel.get(),
                &route,
            ))
            .await?;
        if found.guild_id == Some(guild) && found.id == channel {
            Ok(found)
        } else {
            Err(DiscordError::Unknown { code: 10_003 })
        }
    }

    async fn member(&self, guild: GuildId, user: UserId, waits: Waits) -> Result<Member, DiscordError> {
        let route = Route::GetMember {
            guild_id: guild.get(),
            user_id: user.get(),
        };
        let call = Call::new(Lane::Bot(waits), "/guilds/{guild}/members/{user}", guild.get(), &route);
        self.0.read(call).await
    }

    async fn roles(&self, guild: GuildId, waits: Waits) -> Result<Vec<Role>, DiscordError> {
        let route = Route::GetGuildRoles { guild_id: guild.get() };
        let call = Call::new(Lane::Bot(waits), "/guilds/{guild}/roles", guild.get(), &route);
        self.0.read(call).await
    }
}
