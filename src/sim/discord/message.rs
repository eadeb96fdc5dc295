//! The message store: what people see in the channels.

use serde_json::{Value, json};

use super::ids::Act;
use super::payload;
use super::world::World;

const EPHEMERAL: u64 = 1 << 6;
const LOADING: u64 = 1 << 7;

/// A message of the bot.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) channel: u64,
    pub(crate) guild: u64,
    pub(crate) content: String,
    pub(crate) embeds: Vec<Value>,
    pub(crate) components: Vec<Value>,
    other_flags: u64,
    pub(crate) ephemeral: bool,
    /// "The bot is thinking".
    pub(crate) loading: bool,
    pub(crate) sent_ms: u64,
    pub(crate) edited_ms: Option<u64>,
    pub(crate) edited_wall_ms: Option<u64>,
    /// The interaction that it answers.
    pub(crate) interaction: Option<u64>,
    /// Interactions that were deferred and are replied to by an edit of this message.
    pub(crate) waiting: Vec<u64>,
}

impl Message {
    pub(crate) fn flags(&self) -> u64 {
        let ephemeral = if self.ephemeral { EPHEMERAL } else { 0 };
        let loading = if self.loading { LOADING } else { 0 };
        self.other_flags | ephemeral | loading
    }

    /// As people see it.
    pub(crate) fn view(&self) -> Value {
        json!({
            "id": self.id.to_string(), "sent_ms": self.sent_ms, "edited_ms": self.edited_ms, "content": self.content,
            "embeds": self.embeds, "components": self.components,
        })
    }

    /// A component by its custom id: its type and whether it is switched off.
    pub(crate) fn component(&self, custom_id: &str) -> Option<(u64, bool)> {
        find_component(&self.components, custom_id)
    }
}

fn find_component(components: &[Value], custom_id: &str) -> Option<(u64, bool)> {
    for component in components {
        if component["custom_id"] == custom_id {
            let disabled = component["disabled"].as_bool().unwrap_or(false);
            return Some((component["type"].as_u64().unwrap_or(2), disabled));
        }
        if component["accessory"]["custom_id"] == custom_id {
            let accessory = &component["accessory"];
            let disabled = accessory["disabled"].as_bool().unwrap_or(false);
            return Some((accessory["type"].as_u64().unwrap_or(2), disabled));
        }
        let inner = component["components"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(found) = find_component(inner, custom_id) {
            return Some(found);
        }
    }
    None
}

/// A content that Discord would not take: its code and words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) u32, pub(crate) &'static str);

/// Checks what a message is to hold; `None` fields are left out or null.
pub(crate) fn check(body: &Value, must_hold_something: bool) -> Result<(), Unfit> {
    let invalid = |why| Err(Unfit(50_035, why));
    if !body.is_object() {
        return invalid("Invalid Form Body");
    }
    let content = &body["content"];
    if !content.is_null() && !content.is_string() {
        return invalid("Invalid Form Body: content is no string");
    }
    if content.as_str().is_some_and(|text| text.chars().count() > 2_000) {
        return invalid("Invalid Form Body: content is longer than 2000");
    }
    let list = |name: &str| body[name].as_array().map_or(&[][..], Vec::as_slice);
    for name in ["embeds", "components"] {
        if !body[name].is_null() && !body[name].is_array() {
            return invalid("Invalid Form Body: embeds or components is no list");
        }
    }
    if list("embeds").len() > 10 {
        return invalid("Invalid Form Body: more than 10 embeds");
    }
    let longer = |value: &Value, limit: usize| value.as_str().is_some_and(|text| text.chars().count() > limit);
    for embed in list("embeds") {
        let fields = embed["fields"].as_array().map_or(0, Vec::len);
        if longer(&embed["title"], 256) || longer(&embed["description"], 4_096) || fields > 25 {
            return invalid("Invalid Form Body: an embed is too large");
        }
    }
    for row in list("components") {
        let inside = row["components"].as_array().map_or(&[][..], Vec::as_slice);
        if row["type"] == 1 && inside.len() > 5 {
            return invalid("Invalid Form Body: more than 5 components in a row");
        }
        if inside
            .iter()
            .any(|each| longer(&each["custom_id"], 100) || longer(&each["label"], 80))
        {
            return invalid("Invalid Form Body: a component is too large");
        }
    }
    let empty = content.as_str().unwrap_or_default().is_empty();
    if must_hold_something && empty && list("embeds").is_empty() && list("components").is_empty() {
        return Err(Unfit(50_006, "Cannot send an empty message"));
    }
    Ok(())
}

fn embeds_of(body: &Value) -> Vec<Value> {
    let mut embeds = body["embeds"].as_array().cloned().unwrap_or_default();
    for embed in &mut embeds {
        if embed.is_object() && embed["type"].is_null() {
            embed["type"] = "rich".into();
        }
    }
    embeds
}

impl World {
    /// The bot sends a message.
    pub(crate) fn send_message(
        &mut self,
        channel: u64,
        body: &Value,
        interaction: Option<u64>,
        ephemeral: bool,
        loading: bool,
    ) -> u64 {
        let id = self.ids.act(Act::Message);
        let guild = self.channels.get(&channel).copied().unwrap_or(0);
        let message = Message {
            id,
            channel,
            guild,
            content: body["content"].as_str().unwrap_or_default().to_owned(),
            embeds: embeds_of(body),
            components: body["components"].as_array().cloned().unwrap_or_default(),
            other_flags: body["flags"].as_u64().unwrap_or(0) & !(EPHEMERAL | LOADING),
            ephemeral,
            loading,
            sent_ms: self.now(),
            edited_ms: None,
            edited_wall_ms: None,
            interaction,
            waiting: Vec::new(),
        };
        self.log_message("message_created", &message);
        let told = (!ephemeral).then(|| payload::message(self, &message));
        if !ephemeral {
            self.in_channel.entry(channel).or_default().push(id);
        }
        self.messages.insert(id, message);
        if let Some(mut told) = told {
            told["guild_id"] = guild.to_string().into();
            self.dispatch(guild, "MESSAGE_CREATE", &told);
        }
        id
    }

    /// The bot edits a message; what is missing in the body stays.
    pub(crate) fn edit_message(&mut self, id: u64, body: &Value) {
        let now = self.now();
        let wall = self.ids.wall_ms();
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        if let Some(content) = body.get("content") {
            content.as_str().unwrap_or_default().clone_into(&mut message.content);
        }
        if body.get("embeds").is_some() {
            message.embeds = embeds_of(body);
        }
        if let Some(components) = body.get("components") {
            message.components = components.as_array().cloned().unwrap_or_default();
        }
        if message.loading {
            // The first content of a deferred reply is no edit to those who read it.
            message.loading = false;
            message.sent_ms = now;
        } else {
            message.edited_ms = Some(now);
            message.edited_wall_ms = Some(wall);
        }
        let message = message.clone();
        self.log_message("message_edited", &message);
        if !message.ephemeral {
            let mut told = payload::message(self, &message);
            told["guild_id"] = message.guild.to_string().into();
            self.dispatch(message.guild, "MESSAGE_UPDATE", &told);
        }
    }

    fn log_message(&self, kind: &str, message: &Message) {
        self.log.append(
            kind,
            json!({
                "guild": message.guild.to_string(), "channel": message.channel.to_string(),
                "message": message.id.to_string(), "content": message.content, "embeds": message.embeds,
                "components": !message.components.is_empty(), "ephemeral": message.ephemeral, "loading": message.loading,
                "interaction": message.interaction.map(|id| id.to_string()),
            }),
        );
    }

    /// A message is deleted: by the bot, or by a person.
    pub(crate) fn delete_message(&mut self, id: u64, by: &str) -> bool {
        let Some(message) = self.messages.remove(&id) else {
            return false;
        };
        if let Some(list) = self.in_channel.get_mut(&message.channel) {
            list.retain(|each| *each != id);
        }
        let (guild, channel) = (message.guild.to_string(), message.channel.to_string());
        let told = json!({"id": id.to_string(), "channel_id": channel, "guild_id": guild});
        self.log.append(
            "message_deleted",
            json!({"guild": guild, "channel": channel, "message": id.to_string(), "by": by}),
        );
        self.dispatch(message.guild, "MESSAGE_DELETE", &told);
        true
    }

    /// The messages of a channel as people see them.
    pub(crate) fn visible_messages(&self, channel: u64) -> Vec<Value> {
        let ids = self.in_channel.get(&channel).map_or(&[][..], Vec::as_slice);
        let seen = ids
            .iter()
            .filter_map(|id| self.messages.get(id))
            .filter(|message| !message.loading);
        seen.map(Message::view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_checked_as_discord_does() {
        assert_eq!(check(&json!({"content": "hi"}), true), Ok(()));
        assert_eq!(check(&json!({"embeds": [{}]}), true), Ok(()));
        assert_eq!(check(&json!({}), true).unwrap_err().0, 50_006);
        assert_eq!(check(&json!({}), false), Ok(()));
        assert_eq!(
            check(&json!({"content": "x".repeat(2_001)}), true).unwrap_err().0,
            50_035
        );
        assert_eq!(check(&json!({"content": 4}), true).unwrap_err().0, 50_035);
        assert_eq!(check(&json!([]), true).unwrap_err().0, 50_035);
    }

    #[test]
    fn a_component_is_found_wherever_it_is_nested() {
        let rows = [json!({"type": 17, "components": [{"type": 1, "components": [
            {"type": 2, "custom_id": "a"}, {"type": 3, "custom_id": "b", "disabled": true}]}]})];
        assert_eq!(find_component(&rows, "a"), Some((2, false)));
        assert_eq!(find_component(&rows, "b"), Some((3, true)));
        assert_eq!(find_component(&rows, "c"), None);
    }
}
