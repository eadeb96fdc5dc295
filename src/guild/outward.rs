//! What a guild does outside of its node: op 4, permission checks, notices, reports.

use tokio::sync::mpsc::error::TrySendError;
use tracing::{info, warn};

use super::actor::{Actor, Done};
use super::{Recovery, Surroundings};
use crate::discord::Waits;
use crate::gateway::{self, VoiceRequest};
use crate::model::ids::{ChannelId, GuildId};
use crate::model::signal::Signal;
use crate::model::view::{FailReason, Notice};
use crate::player::{Priority, Recovered, Trigger};
use crate::telemetry::spans;
use crate::ui;

/// A finished permission check.
pub(super) struct AccessDone {
    pub(super) channel: ChannelId,
    pub(super) result: Result<(), FailReason>,
}

pub(super) fn send_voice(
    around: &Surroundings,
    guild: GuildId,
    channel: Option<ChannelId>,
    priority: Priority,
    leave_first: bool,
) {
    if around.permit.check().is_err() {
        return;
    }
    let priority = match priority {
        Priority::Person => gateway::Priority::Person,
        Priority::Listeners => gateway::Priority::Listeners,
        Priority::Background => gateway::Priority::Background,
    };
    if around
        .gateway
        .voice(VoiceRequest {
            guild,
            channel,
            leave_first,
            priority,
        })
        .is_err()
    {
        warn!(%guild, "too many voice requests are waiting; this one is tried again later");
    }
}

/// May the bot see, join and speak there, and is there room? When Discord does not answer, the attempt itself decides.
pub(super) async fn check_access(
    around: &Surroundings,
    guild: GuildId,
    channel: ChannelId,
    waits: Waits,
) -> AccessDone {
    let asked = around.discord.voice_permissions(guild, channel, around.bot, waits);
    let result = match asked.await {
        Ok(access) => access.verdict(present(around, guild, channel)),
        Err(error) if error.is_unknown() => Err(FailReason::ChannelGone),
        Err(error) => {
            warn!(%guild, %error, "cannot check permissions; joining anyway");
            Ok(())
        }
    };
    AccessDone { channel, result }
}

pub(super) async fn unsuppress(around: &Surroundings, guild: GuildId, channel: ChannelId) {
    if around.permit.check().is_ok()
        && let Err(error) = around.discord.unsuppress(guild, channel).await
    {
        warn!(%guild, %error, "cannot speak on the stage");
    }
}

/// People in a channel, as far as the gateway knows.
pub(crate) fn present(around: &Surroundings, guild: GuildId, channel: ChannelId) -> usize {
    around
        .gateway
        .voices(guild)
        .map_or(0, |known| known.people.iter().filter(|(_, at)| *at == channel).count())
}

/// The people that the gateway saw in the guild's voice channels, if it knows all of them.
pub(super) fn voices(around: &Surroundings, guild: GuildId) -> Option<Signal> {
    let known = around.gateway.voices(guild)?;
    known.complete.then(|| Signal::GuildSeen {
        voices: known.people.clone(),
        bot: None,
    })
}

pub(super) fn report(around: &Surroundings, guild: GuildId, recovered: Recovered) {
    let ended_ms = crate::lifecycle::wall_ms();
    let takeover = match recovered.trigger {
        Trigger::Crash | Trigger::Handover | Trigger::Rebalance | Trigger::Start => {
            around.takeover.over(guild, ended_ms)
        }
        Trigger::NodeLost | Trigger::NodeDrain | Trigger::SessionLost => None,
    };
    spans::within(takeover.as_deref(), || {
        info!(
            %guild,
            trigger = recovered.trigger.name(),
            outcome = recovered.outcome.name(),
            gap_ms = recovered.gap_ms,
            took_ms = ended_ms - recovered.began_ms,
            "recovered"
        );
    });
    let recovery = Recovery {
        shard: around.shard,
        guild,
        recovered,
        ended_ms,
        takeover,
    };
    // Whoever keeps recoveries also counts them, with the trace that tells each. Those beyond what it can take have none.
    if let Err(TrySendError::Full(recovery) | TrySendError::Closed(recovery)) = around.recoveries.try_send(recovery) {
        recovery.count(&around.metrics, None);
    }
}

impl Actor {
    pub(super) fn notice(&mut self, notice: &Notice) {
        let view = self.player.view(crate::lifecycle::wall_ms());
        let Some(channel) = view.text_channel else { return };
        let locale = super::locale_of(&view.settings);
        let message = ui::notice(notice, locale);
        let (around, guild) = (self.around.clone(), self.guild);
        self.jobs.spawn(async move {
            if around.permit.check().is_ok()
                && let Err(error) = around.discord.create_message(channel, &message).await
            {
                info!(%guild, %error, "cannot write into the text channel");
            }
            Done::Nothing
        });
    }
}
