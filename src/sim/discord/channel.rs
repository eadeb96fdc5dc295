//! The bot's messages in channels, over REST.

use serde_json::Value;

use super::message::check;
use super::permission;
use super::respond::unfit;
use super::world::World;
use crate::sim::http::Reply;

impl World {
    /// `POST /channels/{c}/messages`.
    pub(crate) fn post_message(&mut self, channel: u64, body: &Value) -> Result<Reply, Reply> {
        self.may_write(channel)?;
        check(body, true).map_err(|wrong| unfit(&wrong))?;
        let id = self.send_message(channel, body, None, false, false);
        Ok(Reply::json(self.show(id)))
    }

    /// Whether the bot may write in a channel.
    fn may_write(&self, channel: u64) -> Result<(), Reply> {
        if !self.channels.contains_key(&channel) {
            return Err(Reply::refuse(404, 10_003, "Unknown Channel"));
        }
        if self.bot_permissions(channel) & permission::SEND_MESSAGES == 0 {
            return Err(Reply::refuse(403, 50_013, "Missing Permissions"));
        }
        Ok(())
    }

    /// A message of a channel that the bot may see.
    pub(crate) fn channel_message(&self, channel: u64, message: u64) -> Result<u64, Reply> {
        if !self.channels.contains_key(&channel) {
            return Err(Reply::refuse(404, 10_003, "Unknown Channel"));
        }
        if self.bot_permissions(channel) & permission::VIEW_CHANNEL == 0 {
            return Err(Reply::refuse(403, 50_001, "Missing Access"));
        }
        let here = self
            .messages
            .get(&message)
            .filter(|known| known.channel == channel && !known.ephemeral);
        match here {
            Some(_) => Ok(message),
            None => Err(Reply::refuse(404, 10_008, "Unknown Message")),
        }
    }

    /// `PATCH /channels/{c}/messages/{m}`.
    pub(crate) fn patch_message(&mut self, channel: u64, message: u64, body: &Value) -> Result<Reply, Reply> {
        let id = self.channel_message(channel, message)?;
        check(body, false).map_err(|wrong| unfit(&wrong))?;
        self.edit_message(id, body);
        // An edit of the message that a deferred button hangs on is what the person waits for.
        let waiting = self
            .messages
            .get_mut(&id)
            .map(|message| std::mem::take(&mut message.waiting));
        for interaction in waiting.unwrap_or_default() {
            self.shown(interaction, id);
        }
        Ok(Reply::json(self.show(id)))
    }
}
