//! Answers to interactions. The first has to be there within 3 s; the token then serves for 15 minutes
//! (<https://docs.discord.com/developers/interactions/receiving-and-responding>).

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use twilight_http::routing::Route;
use twilight_model::application::command::CommandOptionChoice;
use twilight_model::channel::message::MessageFlags;
use twilight_model::http::interaction::InteractionResponseType as Kind;

use super::messages::{Body, Made};
use super::transport::{Call, Lane};
use super::{Discord, DiscordError};
use crate::model::ids::{ApplicationId, InteractionId, MessageId};
use crate::model::message::Message;

/// How long a first answer may take; what came later would be too late for the person.
const CALLBACK: Duration = Duration::from_secs(2);
/// Most choices of an autocomplete answer.
const CHOICES_LIMIT: usize = 25;

/// The first answer to an interaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// A message.
    Message(Message),
    /// "Thinking…"; the message follows with [`Discord::edit_original`].
    Deferred {
        /// Whether that message will be seen only by the person who asked.
        ephemeral: bool,
    },
    /// A button was heard; its message may be edited later.
    DeferredUpdate,
    /// Replaces the message the button stands on.
    Update(Message),
    /// What the person could be typing; the first 25 count.
    Choices(Vec<CommandOptionChoice>),
}

#[derive(Serialize)]
struct Callback<T> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// The JSON of a first answer.
fn callback(response: &Response) -> Result<Value, DiscordError> {
    let message = |message, fresh| serde_json::to_value(Body::new(message, fresh));
    let (kind, data) = match response {
        Response::Message(with) => (Kind::ChannelMessageWithSource, message(with, true).map(Some)),
        Response::Deferred { ephemeral } => {
            let data = ephemeral.then(|| json!({"flags": MessageFlags::EPHEMERAL}));
            (Kind::DeferredChannelMessageWithSource, Ok(data))
        }
        Response::DeferredUpdate => (Kind::DeferredUpdateMessage, Ok(None)),
        Response::Update(with) => (Kind::UpdateMessage, message(with, false).map(Some)),
        Response::Choices(choices) => {
            let choices: Vec<_> = choices.iter().take(CHOICES_LIMIT).collect();
            (
                Kind::ApplicationCommandAutocompleteResult,
                Ok(Some(json!({"choices": choices}))),
            )
        }
    };
    data.and_then(|data| serde_json::to_value(Callback { kind, data }))
        .map_err(|_| DiscordError::Refused { status: 0, code: 0 })
}

impl Discord {
    /// Answers an interaction for the first time, within 2 s. [`DiscordError::Unknown`]: too late;
    /// [`DiscordError::AlreadyAcknowledged`]: somebody (or an attempt that seemed to fail) was faster.
    pub async fn respond(&self, id: InteractionId, token: &str, response: &Response) -> Result<(), DiscordError> {
        let route = Route::InteractionCallback {
            interaction_id: id.get(),
            interaction_token: token,
            with_response: false,
        };
        let template = "/interactions/{interaction}/{token}/callback";
        let call = Call::new(Lane::Interaction, template, id.get(), &route)
            .json(&callback(response)?)?
            .within(CALLBACK);
        self.0.act(call).await
    }

    /// Replaces the first answer, or fills in a deferred one. Returns the message's id.
    pub async fn edit_original(
        &self,
        app: ApplicationId,
        token: &str,
        message: &Message,
    ) -> Result<MessageId, DiscordError> {
        let route = Route::UpdateInteractionOriginal {
            application_id: app.get(),
            interaction_token: token,
        };
        let template = "/webhooks/{application}/{token}/messages/@original";
        let call = Call::new(Lane::Interaction, template, app.get(), &route).json(&Body::new(message, false))?;
        self.0.read(call).await.map(|made: Made| made.id)
    }

    /// Takes the first answer away; one that is gone already counts as taken.
    pub async fn delete_original(&self, app: ApplicationId, token: &str) -> Result<(), DiscordError> {
        let route = Route::DeleteInteractionOriginal {
            application_id: app.get(),
            interaction_token: token,
        };
        let template = "/webhooks/{application}/{token}/messages/@original";
        match self
            .0
            .act(Call::new(Lane::Interaction, template, app.get(), &route))
            .await
        {
            Err(DiscordError::Unknown { .. }) => Ok(()),
            done => done,
        }
    }

    /// A further message.
    pub async fn followup(
        &self,
        app: ApplicationId,
        token: &str,
        message: &Message,
    ) -> Result<MessageId, DiscordError> {
        let route = Route::ExecuteWebhook {
            thread_id: None,
            token,
            wait: Some(true),
            with_components: None,
            webhook_id: app.get(),
        };
        let template = "/webhooks/{application}/{token}";
        let call = Call::new(Lane::Interaction, template, app.get(), &route).json(&Body::new(message, true))?;
        self.0.read(call).await.map(|made: Made| made.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_answers_have_the_shape_discord_wants() {
        let said = Message {
            content: "hi".into(),
            ephemeral: true,
            ..Message::default()
        };
        let cases = [
            (Response::Message(said.clone()), 4, json!(64)),
            (Response::Deferred { ephemeral: true }, 5, json!(64)),
            (Response::Deferred { ephemeral: false }, 5, Value::Null),
            (Response::DeferredUpdate, 6, Value::Null),
            (Response::Update(said), 7, Value::Null),
        ];
        for (response, kind, flags) in cases {
            let sent = callback(&response).unwrap();
            assert_eq!(sent["type"], kind, "{response:?}");
            assert_eq!(sent["data"]["flags"], flags, "{response:?}");
        }
        assert_eq!(
            callback(&Response::Choices(Vec::new())).unwrap()["data"],
            json!({"choices": []})
        );
    }
}
