//! Interactions: how people's commands, buttons and modals reach the bot, and what became of them.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::ids::{Act, id_of, word};
use super::world::{Kind, World};
use super::{command, payload, permission};
use crate::sim::http::Reply;

/// Time for the first answer.
pub(crate) const DEADLINE_MS: u64 = 3_000;
/// How long a token can be used.
pub(crate) const TOKEN_MS: u64 = 15 * 60 * 1_000;

/// How long an interaction is remembered after its token died, so that a late use is told from a wrong one.
const MEMORY_MS: u64 = 60 * 1_000;

/// The type of an interaction, by Discord's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Command = 2,
    Component = 3,
    Autocomplete = 4,
    Modal = 5,
}

/// An interaction and what became of it.
#[derive(Debug)]
pub(crate) struct Interaction {
    pub(crate) token: String,
    pub(crate) sort: Sort,
    pub(crate) guild: u64,
    pub(crate) channel: u64,
    pub(crate) shard: u32,
    pub(crate) issued_ms: u64,
    pub(crate) acknowledged_ms: Option<u64>,
    pub(crate) replied_ms: Option<u64>,
    /// `reply`, `deferred`, `update`, `modal`, `autocomplete`.
    pub(crate) answer: Option<&'static str>,
    pub(crate) ephemeral: bool,
    /// What `@original` means: the reply, or the message that a component hangs on.
    pub(crate) original: Option<u64>,
    /// The message that the component hangs on.
    pub(crate) source: Option<u64>,
    /// The last message that it brought: a follow-up counts.
    pub(crate) shown: Option<u64>,
    pub(crate) choices: Option<Value>,
    pub(crate) modal: Option<Value>,
    /// A late answer was counted.
    pub(crate) late: bool,
    pub(crate) changed: Arc<Notify>,
}

/// A wish that cannot be issued: status and why.
pub(crate) type Wrong = (u16, String);

/// Commands that change what is heard at once.
const AUDIBLE: [&str; 16] = [
    "play",
    "pause",
    "resume",
    "previous",
    "stop",
    "skip",
    "voteskip",
    "seek",
    "forward",
    "rewind",
    "volume",
    "filters",
    "join",
    "leave",
    "playlist load",
    "clear",
];
/// What the name of a button that changes nothing audible holds.
const SILENT: [&str; 8] = [
    "queue", "page", "history", "lyrics", "shuffle", "loop", "refresh", "help",
];

fn is_audible_command(name: &str) -> bool {
    AUDIBLE
        .iter()
        .any(|known| name == *known || name.split(' ').next() == Some(known))
}

fn is_audible_component(custom_id: &str) -> bool {
    let lower = custom_id.to_ascii_lowercase();
    !SILENT.iter().any(|word| lower.contains(word))
}

impl World {
    /// `POST /guilds/{g}/commands`.
    pub(crate) fn issue_command(&mut self, guild: u64, wish: &Value) -> Result<u64, Wrong> {
        let (user, channel) = self.who_and_where(guild, wish)?;
        let name = wish["name"].as_str().unwrap_or_default().to_owned();
        let focused = wish["focused"].as_str();
        let built = {
            let known = self.guilds.get(&guild).ok_or((404, "no such guild".to_owned()))?;
            command::build(&self.commands, known, self.bot, &name, &wish["options"], focused)?
        };
        let sort = if focused.is_some() {
            Sort::Autocomplete
        } else {
            Sort::Command
        };
        if sort == Sort::Command && is_audible_command(&name) {
            self.audio.mark_interaction(guild);
        }
        let brief = json!({"name": name, "options": wish["options"]});
        self.issue(sort, guild, channel, user, wish, &built, None, &brief)
    }

    /// `POST /messages/{m}/components`.
    pub(crate) fn issue_component(&mut self, message: u64, wish: &Value) -> Result<u64, Wrong> {
        let custom_id = wish["custom_id"].as_str().unwrap_or_default().to_owned();
        let known = self.messages.get(&message).ok_or((404, "no such message".to_owned()))?;
        let (guild, channel) = (known.guild, known.channel);
        let Some((kind, disabled)) = known.component(&custom_id) else {
            return Err((409, format!("the message has no component \"{custom_id}\"")));
        };
        if disabled {
            return Err((409, format!("the component \"{custom_id}\" is switched off")));
        }
        let user = self.person(guild, &wish["user"])?;
        let mut data = json!({"custom_id": custom_id, "component_type": kind, "id": 1});
        if kind != 2 {
            data["values"] = wish["values"].as_array().cloned().unwrap_or_default().into();
        }
        if is_audible_component(&custom_id) {
            self.audio.mark_interaction(guild);
        }
        let brief = json!({"custom_id": custom_id, "values": wish["values"]});
        self.issue(
            Sort::Component,
            guild,
            channel,
            user,
            wish,
            &data,
            Some(message),
            &brief,
        )
    }

    /// `POST /interactions/{i}/modal`.
    pub(crate) fn issue_modal(&mut self, from: u64, wish: &Value) -> Result<u64, Wrong> {
        let known = self
            .interactions
            .get(&from)
            .ok_or((404, "no such interaction".to_owned()))?;
        let Some(modal) = known.modal.clone() else {
            return Err((409, "the interaction was not answered with a modal".to_owned()));
        };
        let (guild, channel, source) = (known.guild, known.channel, known.source);
        let user = self.person(guild, &wish["user"])?;
        let data = json!({
            "custom_id": modal["custom_id"], "components": command::modal_rows(&modal["components"], &wish["values"]),
        });
        self.audio.mark_interaction(guild);
        let brief = json!({"custom_id": modal["custom_id"], "values": wish["values"]});
        self.issue(Sort::Modal, guild, channel, user, wish, &data, source, &brief)
    }

    /// A person of a guild, by id or name.
    pub(crate) fn person(&self, guild: u64, user: &Value) -> Result<u64, Wrong> {
        let known = self.guilds.get(&guild).ok_or((404, "no such guild".to_owned()))?;
        let by_id = id_of(user).filter(|id| known.members.contains_key(id));
        let by_name = || {
            known
                .members
                .values()
                .find(|member| *user == member.name)
                .map(|member| member.id)
        };
        by_id.or_else(by_name).ok_or((404, "no such member".to_owned()))
    }

    fn who_and_where(&self, guild: u64, wish: &Value) -> Result<(u64, u64), Wrong> {
        let user = self.person(guild, &wish["user"])?;
        let known = self.guilds.get(&guild).ok_or((404, "no such guild".to_owned()))?;
        let first = || {
            known
                .channels
                .values()
                .find(|channel| channel.kind == Kind::Text)
                .map(|channel| channel.id)
        };
        let channel = if wish["channel"].is_null() {
            first()
        } else {
            id_of(&wish["channel"])
        };
        let channel = channel.filter(|id| known.channels.contains_key(id));
        Ok((user, channel.ok_or((404, "no such channel".to_owned()))?))
    }

    #[expect(clippy::too_many_arguments, reason = "an interaction is made of these")]
    fn issue(
        &mut self,
        sort: Sort,
        guild: u64,
        channel: u64,
        user: u64,
        wish: &Value,
        data: &Value,
        source: Option<u64>,
        brief: &Value,
    ) -> Result<u64, Wrong> {
        let id = self.ids.act(Act::Interaction);
        let nth = self.counters.issued;
        let secret = |half: &str| word(self.settings.seed, half, nth);
        let token = format!("aW50ZXJhY3Rpb246{}{}", secret("interaction"), secret("token"));
        let locale = wish["locale"].as_str().unwrap_or("en-US");
        let told = self.describe(id, &token, sort, (guild, channel, user), locale, data, source);
        let told = told.ok_or((404, "no such member or channel".to_owned()))?;
        let now = self.now();
        let shard = self.shard_of(guild);
        let interaction = Interaction {
            token: token.clone(),
            sort,
            guild,
            channel,
            shard,
            issued_ms: now,
            acknowledged_ms: None,
            replied_ms: None,
            answer: None,
            ephemeral: false,
            original: None,
            source,
            shown: None,
            choices: None,
            modal: None,
            late: false,
            changed: Arc::default(),
        };
        self.log.append(
            "interaction_issued",
            json!({
                "interaction": id.to_string(), "guild": guild.to_string(), "shard": shard, "channel": channel.to_string(),
                "type": sort as u8, "user": user.to_string(), "message": source.map(|id| id.to_string()), "brief": brief,
            }),
        );
        self.counters.issued += 1;
        self.open.push_back((now + DEADLINE_MS, id));
        self.remembered.push_back((now + TOKEN_MS + MEMORY_MS, id));
        self.interactions.insert(id, interaction);
        self.interaction_tokens.insert(token, id);
        self.dispatch(guild, "INTERACTION_CREATE", &told);
        Ok(id)
    }

    #[expect(clippy::too_many_arguments, reason = "an interaction is made of these")]
    fn describe(
        &self,
        id: u64,
        token: &str,
        sort: Sort,
        (guild_id, channel_id, user): (u64, u64, u64),
        locale: &str,
        data: &Value,
        source: Option<u64>,
    ) -> Option<Value> {
        let guild = self.guilds.get(&guild_id)?;
        let channel = guild.channels.get(&channel_id)?;
        let member = payload::interaction_member(guild, user, channel)?;
        let app = permission::of(guild, self.bot, &guild.bot_roles, Some(channel));
        let mut place = payload::channel(channel, Some(guild_id));
        place["permissions"] = member["permissions"].clone();
        let mut told = json!({
            "id": id.to_string(), "application_id": self.bot.to_string(), "type": sort as u8, "token": token,
            "version": 1, "guild_id": guild_id.to_string(), "channel_id": channel_id.to_string(), "channel": place,
            "guild": {"id": guild_id.to_string(), "locale": "en-US", "features": []}, "guild_locale": "en-US",
            "locale": locale, "member": member, "app_permissions": app.to_string(), "context": 0,
            "authorizing_integration_owners": {"0": guild_id.to_string()}, "entitlements": [],
            "attachment_size_limit": 10_485_760, "data": data,
        });
        if let Some(message) = source.and_then(|id| self.messages.get(&id)) {
            told["message"] = payload::message(self, message);
        }
        Some(told)
    }

    /// Closes the interactions whose 3 s are over, and forgets those whose token died long ago.
    pub(crate) fn expire_interactions(&mut self, now: u64) {
        while let Some((_, id)) = self.open.pop_front_if(|(deadline, _)| *deadline < now) {
            let Some(interaction) = self.interactions.get(&id) else {
                continue;
            };
            if interaction.acknowledged_ms.is_none() {
                self.counters.never += 1;
                self.log.append(
                    "interaction_expired",
                    json!({
                        "interaction": id.to_string(), "guild": interaction.guild.to_string(), "shard": interaction.shard,
                    }),
                );
                interaction.changed.notify_waiters();
            }
        }
        while let Some((_, id)) = self.remembered.pop_front_if(|(until, _)| *until <= now) {
            let Some(gone) = self.interactions.remove(&id) else {
                continue;
            };
            self.interaction_tokens.remove(&gone.token);
            // What only one person saw can be reached by nobody any more.
            for message in [gone.original, gone.shown].into_iter().flatten() {
                if self.messages.get(&message).is_some_and(|known| known.ephemeral) {
                    self.messages.remove(&message);
                }
            }
        }
    }

    /// `GET /interactions/{i}`.
    pub(crate) fn view_interaction(&self, id: u64) -> Option<Value> {
        let known = self.interactions.get(&id)?;
        let shown = known.shown.or(known.original).and_then(|id| self.messages.get(&id));
        let message = shown.filter(|message| !message.loading && known.replied_ms.is_some());
        let mut view = json!({
            "id": id.to_string(), "issued_ms": known.issued_ms, "acknowledged_ms": known.acknowledged_ms,
            "replied_ms": known.replied_ms, "kind": known.answer, "ephemeral": known.ephemeral,
            "message": message.map(super::message::Message::view),
        });
        if let Some(choices) = &known.choices {
            view["choices"] = choices.clone();
        }
        if let Some(modal) = &known.modal {
            view["modal"] = modal.clone();
        }
        Some(view)
    }
}

impl From<Wrong> for Reply {
    fn from((status, why): Wrong) -> Self {
        Self::refuse(status, 0, &why)
    }
}
