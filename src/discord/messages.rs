//! Messages in channels, and the one form in which anything is sent.

use serde::{Deserialize, Serialize};
use twilight_http::routing::Route;
use twilight_model::channel::message::{Component, Embed, MessageFlags};

use super::transport::{Call, Lane, Waits};
use super::{Discord, DiscordError};
use crate::model::ids::{ChannelId, MessageId};
use crate::model::message::Message;

/// What is sent of a [`Message`]. All fields always, so that an edit takes away what is not there any more.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    content: &'a str,
    embeds: &'a [Embed],
    components: &'a [Component],
    allowed_mentions: NoMentions,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<MessageFlags>,
}

/// Pings nobody, whatever the content says.
#[derive(Serialize)]
struct NoMentions {
    parse: [(); 0],
    replied_user: bool,
}

impl<'a> Body<'a> {
    /// `flags` can only be chosen when a message is made.
    pub(super) fn new(message: &'a Message, fresh: bool) -> Self {
        Self {
            content: &message.content,
            embeds: &message.embeds,
            components: &message.components,
            allowed_mentions: NoMentions {
                parse: [],
                replied_user: false,
            },
            flags: (fresh && message.ephemeral).then_some(MessageFlags::EPHEMERAL),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Made {
    pub(super) id: MessageId,
}

impl Discord {
    /// Writes into a channel.
    pub async fn create_message(&self, channel: ChannelId, message: &Message) -> Result<MessageId, DiscordError> {
        let channel_id = channel.get();
        let route = Route::CreateMessage { channel_id };
        let call = Call::new(
            Lane::Bot(Waits::Nobody),
            "/channels/{channel}/messages",
            channel_id,
            &route,
        )
        .json(&Body::new(message, false))?;
        self.0.read(call).await.map(|made: Made| made.id)
    }

    /// Replaces a message of the bot.
    pub async fn edit_message(
        &self,
        channel: ChannelId,
        message: MessageId,
        with: &Message,
    ) -> Result<(), DiscordError> {
        let (channel_id, message_id) = (channel.get(), message.get());
        let route = Route::UpdateMessage { channel_id, message_id };
        let call = Call::new(
            Lane::Bot(Waits::Nobody),
            "/channels/{channel}/messages/{message}",
            channel_id,
            &route,
        )
        .json(&Body::new(with, false))?;
        self.0.act(call).await
    }

    /// Deletes a message of the bot; one that is gone already counts as deleted.
    pub async fn delete_message(&self, channel: ChannelId, message: MessageId) -> Result<(), DiscordError> {
        let (channel_id, message_id) = (channel.get(), message.get());
        let route = Route::DeleteMessage { channel_id, message_id };
        // Discord limits deletions apart from edits.
        let template = "/channels/{channel}/messages/{message} (delete)";
        match self
            .0
            .act(Call::new(Lane::Bot(Waits::Nobody), template, channel_id, &route))
            .await
        {
            Err(DiscordError::Unknown { .. }) => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_is_sent_can_ping_anybody() {
        let message = Message {
            content: "@everyone <@1>".to_owned(),
            ephemeral: true,
            ..Message::default()
        };
        for fresh in [true, false] {
            let sent = serde_json::to_value(Body::new(&message, fresh)).unwrap();
            assert_eq!(sent["allowed_mentions"], json!({"parse": [], "replied_user": false}));
            assert_eq!(sent.get("flags"), fresh.then_some(&json!(64)));
            assert_eq!(sent["embeds"], json!([]));
        }
    }
}
