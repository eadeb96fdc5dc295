//! The bot's answers to interactions: callbacks, edits of the reply, follow-ups.

use serde_json::{Value, json};

use super::interaction::{DEADLINE_MS, Sort, TOKEN_MS};
use super::message::{Unfit, check};
use super::payload;
use super::world::World;
use crate::sim::http::Reply;

const EPHEMERAL: u64 = 1 << 6;

const MESSAGE: u64 = 4;
const DEFERRED_MESSAGE: u64 = 5;
const DEFERRED_UPDATE: u64 = 6;
const UPDATE: u64 = 7;
const CHOICES: u64 = 8;
const MODAL: u64 = 9;

/// Which message of an interaction's webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// `@original`.
    Original,
    /// A follow-up.
    Id(u64),
}

impl Which {
    /// As in the path.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text == "@original" {
            return Some(Self::Original);
        }
        text.parse().ok().map(Self::Id)
    }
}

pub(super) fn unfit(unfit: &Unfit) -> Reply {
    Reply::with(400, json!({"code": unfit.0, "message": unfit.1, "errors": {}}))
}

fn unknown_interaction() -> Reply {
    Reply::refuse(404, 10_062, "Unknown interaction")
}

impl World {
    /// `POST /interactions/{id}/{token}/callback`.
    pub(crate) fn callback(&mut self, id: u64, token: &str, body: &Value, with_response: bool, by: &str) -> Reply {
        let reply = self.try_callback(id, token, body, with_response);
        let guild = self.interactions.get(&id).map(|known| known.guild.to_string());
        self.log.append(
            "interaction_answered",
            json!({
                "interaction": id.to_string(), "guild": guild, "type": body["type"], "status": reply.status,
                "user_agent": by,
            }),
        );
        reply
    }

    fn try_callback(&mut self, id: u64, token: &str, body: &Value, with_response: bool) -> Reply {
        let now = self.now();
        // What is late was counted as never answered first.
        self.expire_interactions(now);
        let Some(known) = self.interactions.get_mut(&id).filter(|known| known.token == token) else {
            return unknown_interaction();
        };
        if known.acknowledged_ms.is_some() {
            return Reply::refuse(400, 40_060, "Interaction has already been acknowledged.");
        }
        if now > known.issued_ms + DEADLINE_MS {
            if !known.late {
                known.late = true;
                self.counters.late += 1;
                self.counters.never = self.counters.never.saturating_sub(1);
            }
            return unknown_interaction();
        }
        let kind = body["type"].as_u64().unwrap_or(0);
        if let Err(wrong) = fits(known.sort, known.source.is_some(), kind, &body["data"]) {
            return unfit(&wrong);
        }
        known.acknowledged_ms = Some(now);
        self.counters.acknowledged_in_time += 1;
        self.log.append(
            "interaction_acknowledged",
            json!({"interaction": id.to_string(), "guild": known.guild.to_string(), "after_ms": now - known.issued_ms}),
        );
        let message = self.apply(id, kind, &body["data"]);
        if let Some(known) = self.interactions.get(&id) {
            known.changed.notify_waiters();
        }
        if !with_response {
            return Reply::nothing();
        }
        self.callback_response(id, kind, message)
    }

    /// Does what an accepted callback says; the message that came of it.
    fn apply(&mut self, id: u64, kind: u64, data: &Value) -> Option<u64> {
        let now = self.now();
        let ephemeral = data["flags"].as_u64().unwrap_or(0) & EPHEMERAL != 0;
        let (channel, source) = self.interactions.get(&id).map(|known| (known.channel, known.source))?;
        let made = match kind {
            MESSAGE | DEFERRED_MESSAGE => {
                Some(self.send_message(channel, data, Some(id), ephemeral, kind == DEFERRED_MESSAGE))
            }
            UPDATE => {
                if let Some(source) = source {
                    self.edit_message(source, data);
                }
                source
            }
            DEFERRED_UPDATE => {
                if let Some(message) = source.and_then(|id| self.messages.get_mut(&id)) {
                    message.waiting.push(id);
                }
                source
            }
            _ => None,
        };
        let known = self.interactions.get_mut(&id)?;
        known.original = made;
        known.ephemeral = ephemeral;
        known.answer = Some(match kind {
            MESSAGE => "reply",
            UPDATE => "update",
            CHOICES => "autocomplete",
            MODAL => "modal",
            _ => "deferred",
        });
        if kind == CHOICES {
            known.choices = Some(data["choices"].clone());
        }
        if kind == MODAL {
            known.modal = Some(data.clone());
        }
        if kind != DEFERRED_MESSAGE && kind != DEFERRED_UPDATE {
            known.replied_ms = Some(now);
            self.log_reply(id);
        }
        made
    }

    fn callback_response(&self, id: u64, kind: u64, message: Option<u64>) -> Reply {
        let stored = message.and_then(|id| self.messages.get(&id));
        let mut body = json!({
            "interaction": {"id": id.to_string(), "type": self.interactions.get(&id).map(|known| known.sort as u8)},
            "resource": {"type": kind},
        });
        if let Some(stored) = stored {
            body["interaction"]["response_message_id"] = stored.id.to_string().into();
            body["interaction"]["response_message_loading"] = stored.loading.into();
            body["interaction"]["response_message_ephemeral"] = stored.ephemeral.into();
            body["resource"]["message"] = payload::message(self, stored);
        }
        Reply::json(body)
    }

    fn log_reply(&self, id: u64) {
        if let Some(known) = self.interactions.get(&id) {
            self.log.append(
                "interaction_replied",
                json!({
                    "interaction": id.to_string(), "guild": known.guild.to_string(), "answer": known.answer,
                    "after_ms": self.now().saturating_sub(known.issued_ms),
                }),
            );
        }
    }

    /// The bot showed something for an interaction: its reply counts from the first time.
    pub(super) fn shown(&mut self, id: u64, message: u64) {
        let now = self.now();
        let Some(known) = self.interactions.get_mut(&id) else {
            return;
        };
        known.shown = Some(message);
        let first = known.replied_ms.is_none();
        known.replied_ms.get_or_insert(now);
        known.changed.notify_waiters();
        if first {
            self.log_reply(id);
        }
    }

    /// The interaction of a webhook's token, while it can be used.
    fn by_token(&self, application: &str, token: &str) -> Result<u64, Reply> {
        let unknown = || Reply::refuse(404, 10_015, "Unknown Webhook");
        if application != self.bot.to_string() {
            return Err(unknown());
        }
        let id = self.interaction_tokens.get(token).copied().ok_or_else(unknown)?;
        let known = self.interactions.get(&id).ok_or_else(unknown)?;
        if self.now() > known.issued_ms + TOKEN_MS {
            return Err(Reply::refuse(401, 50_027, "Invalid Webhook Token"));
        }
        if known.acknowledged_ms.is_none() {
            return Err(unknown());
        }
        Ok(id)
    }

    fn message_of(&self, interaction: u64, which: Which) -> Result<u64, Reply> {
        let known = self.interactions.get(&interaction);
        let id = match which {
            Which::Original => known.and_then(|known| known.original),
            Which::Id(id) => Some(id).filter(|id| {
                let by_it = |message: &super::message::Message| message.interaction == Some(interaction);
                known.and_then(|known| known.original) == Some(*id) || self.messages.get(id).is_some_and(by_it)
            }),
        };
        let id = id.filter(|id| self.messages.contains_key(id));
        id.ok_or_else(|| Reply::refuse(404, 10_008, "Unknown Message"))
    }

    /// `POST /webhooks/{app}/{token}`: a follow-up. After a deferral the first one is the reply.
    pub(crate) fn follow_up(&mut self, application: &str, token: &str, body: &Value, by: &str) -> Result<Reply, Reply> {
        let id = self.by_token(application, token)?;
        check(body, true).map_err(|wrong| unfit(&wrong))?;
        let known = self.interactions.get(&id).ok_or_else(unknown_interaction)?;
        let (channel, original) = (known.channel, known.original);
        let waiting = original.filter(|id| self.messages.get(id).is_some_and(|message| message.loading));
        let message = if let Some(waiting) = waiting {
            self.edit_message(waiting, body);
            waiting
        } else {
            let ephemeral = body["flags"].as_u64().unwrap_or(0) & EPHEMERAL != 0;
            self.send_message(channel, body, Some(id), ephemeral, false)
        };
        self.shown(id, message);
        self.log_write(id, if waiting.is_some() { "reply" } else { "follow_up" }, by);
        Ok(Reply::json(self.show(message)))
    }

    /// Who wrote for an interaction after its callback: the `reply` that was deferred, another message, or an edit of one.
    fn log_write(&self, id: u64, how: &str, by: &str) {
        let guild = self.interactions.get(&id).map(|known| known.guild.to_string());
        self.log.append(
            "interaction_written",
            json!({"interaction": id.to_string(), "guild": guild, "how": how, "user_agent": by}),
        );
    }

    /// `PATCH /webhooks/{app}/{token}/messages/{m}`.
    pub(crate) fn edit_reply(
        &mut self,
        application: &str,
        token: &str,
        which: Which,
        body: &Value,
        by: &str,
    ) -> Result<Reply, Reply> {
        let id = self.by_token(application, token)?;
        let message = self.message_of(id, which)?;
        check(body, false).map_err(|wrong| unfit(&wrong))?;
        let fills = self.messages.get(&message).is_some_and(|message| message.loading);
        self.edit_message(message, body);
        self.shown(id, message);
        self.log_write(id, if fills { "reply" } else { "edit" }, by);
        Ok(Reply::json(self.show(message)))
    }

    /// `GET /webhooks/{app}/{token}/messages/{m}`.
    pub(crate) fn get_reply(&self, application: &str, token: &str, which: Which) -> Result<Reply, Reply> {
        let id = self.by_token(application, token)?;
        let message = self.message_of(id, which)?;
        Ok(Reply::json(self.show(message)))
    }

    /// `DELETE /webhooks/{app}/{token}/messages/{m}`.
    pub(crate) fn delete_reply(&mut self, application: &str, token: &str, which: Which) -> Result<Reply, Reply> {
        let id = self.by_token(application, token)?;
        let message = self.message_of(id, which)?;
        self.delete_message(message, "bot");
        Ok(Reply::nothing())
    }

    /// A message as REST shows it.
    pub(crate) fn show(&self, id: u64) -> Value {
        self.messages
            .get(&id)
            .map_or(Value::Null, |message| payload::message(self, message))
    }
}

/// Whether an answer of this type fits an interaction of that sort.
fn fits(sort: Sort, on_message: bool, kind: u64, data: &Value) -> Result<(), Unfit> {
    let fitting = match kind {
        MESSAGE | DEFERRED_MESSAGE => sort != Sort::Autocomplete,
        DEFERRED_UPDATE | UPDATE => sort == Sort::Component || (sort == Sort::Modal && on_message),
        CHOICES => sort == Sort::Autocomplete,
        MODAL => sort == Sort::Command || sort == Sort::Component,
        _ => false,
    };
    if !fitting {
        return Err(Unfit(
            50_035,
            "Invalid Form Body: this type of answer does not fit the interaction",
        ));
    }
    match kind {
        MESSAGE => check(data, true),
        UPDATE if !data.is_null() => check(data, false),
        CHOICES => check_choices(data),
        MODAL if data["custom_id"].as_str().is_none() || data["title"].as_str().is_none() => {
            Err(Unfit(50_035, "Invalid Form Body: a modal needs custom_id and title"))
        }
        _ => Ok(()),
    }
}

fn check_choices(data: &Value) -> Result<(), Unfit> {
    let Some(choices) = data["choices"].as_array() else {
        return Err(Unfit(50_035, "Invalid Form Body: choices is no list"));
    };
    let fine = |choice: &Value| {
        let name = choice["name"].as_str().map_or(0, |name| name.chars().count());
        let value = choice["value"].as_str().map_or(1, |value| value.chars().count());
        (1..=100).contains(&name) && value <= 100
    };
    if choices.len() > 25 || !choices.iter().all(fine) {
        return Err(Unfit(
            50_035,
            "Invalid Form Body: too many choices, or one is too long or empty",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::world;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fills_a_deferred_reply_is_told_apart_from_a_later_edit() {
        for by_edit in [true, false] {
            let mut world = world(1).await;
            let guild = world.guilds.values().next().unwrap();
            let (guild, person) = (guild.id, *guild.members.keys().next().unwrap());
            world
                .put_commands(&json!([{"name": "stop", "description": "d"}]))
                .unwrap();
            let wish = json!({"user": person.to_string(), "name": "stop"});
            let id = world.issue_command(guild, &wish).unwrap();
            let (token, bot) = (world.interactions[&id].token.clone(), world.bot.to_string());
            assert_eq!(world.callback(id, &token, &json!({"type": 5}), false, "").status, 204);
            let words = json!({"content": "x"});
            if by_edit {
                world.edit_reply(&bot, &token, Which::Original, &words, "").unwrap();
            } else {
                world.follow_up(&bot, &token, &words, "").unwrap();
            }
            world.edit_reply(&bot, &token, Which::Original, &words, "").unwrap();
            world.follow_up(&bot, &token, &words, "").unwrap();
            let log = world.log.since(0);
            let written = log.iter().filter(|event| event["kind"] == "interaction_written");
            let how: Vec<&Value> = written.map(|event| &event["how"]).collect();
            assert_eq!(how, ["reply", "edit", "follow_up"], "by edit: {by_edit}");
        }
    }
}
