//! The options of one interaction, checked against the table: Discord's clients keep to the limits, but nothing says that
//! whoever sent this payload is one.

use twilight_model::application::interaction::application_command::{CommandDataOption, CommandOptionValue};

use super::definitions::{Definition, Holds, OptionDefinition};
use super::parse::ParseError;
use crate::model::ids::ChannelId;

/// The options a person gave, each known, within its limits and given once.
#[derive(Debug)]
pub(super) struct Given<'a> {
    values: Vec<(&'static str, Value<'a>)>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Text(&'a str),
    Number(i64),
    Switch(bool),
    Channel(ChannelId),
}

impl<'a> Given<'a> {
    /// Checks all options of a command.
    pub(super) fn check(definition: &Definition, options: &'a [CommandDataOption]) -> Result<Self, ParseError> {
        let mut values: Vec<(&'static str, Value<'a>)> = Vec::new();
        for option in options {
            let known = definition
                .options
                .iter()
                .find(|known| known.name == option.name)
                .ok_or(ParseError::Outdated)?;
            if values.iter().any(|(name, _)| *name == known.name) {
                return Err(ParseError::Malformed("an option was given twice"));
            }
            values.push((known.name, value_of(known, &option.value)?));
        }
        let missing = definition
            .options
            .iter()
            .find(|known| known.required && !values.iter().any(|(name, _)| *name == known.name));
        match missing {
            Some(missing) => Err(ParseError::Missing { option: missing.name }),
            None => Ok(Self { values }),
        }
    }

    /// A text or a chosen word.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        match self.find(name)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Switch(_) | Value::Channel(_) => None,
        }
    }

    /// A number that counts something, never negative.
    pub(super) fn count<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        match self.find(name)? {
            Value::Number(number) => T::try_from(number).ok(),
            Value::Text(_) | Value::Switch(_) | Value::Channel(_) => None,
        }
    }

    /// Yes or no.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        match self.find(name)? {
            Value::Switch(on) => Some(on),
            Value::Text(_) | Value::Number(_) | Value::Channel(_) => None,
        }
    }

    /// A channel.
    pub(super) fn channel(&self, name: &str) -> Option<ChannelId> {
        match self.find(name)? {
            Value::Channel(channel) => Some(channel),
            Value::Text(_) | Value::Number(_) | Value::Switch(_) => None,
        }
    }

    fn find(&self, name: &str) -> Option<Value<'a>> {
        self.values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }
}

fn value_of<'a>(known: &OptionDefinition, value: &'a CommandOptionValue) -> Result<Value<'a>, ParseError> {
    match (known.holds, value) {
        (Holds::Text { longest, .. }, CommandOptionValue::String(text)) => {
            if text.chars().count() > usize::from(longest) {
                Err(ParseError::TooLong {
                    option: known.name,
                    limit: longest,
                })
            } else {
                Ok(Value::Text(text))
            }
        }
        (Holds::Choice(choices), CommandOptionValue::String(text)) => {
            if choices.iter().any(|choice| choice.value == text) {
                Ok(Value::Text(text))
            } else {
                Err(ParseError::Outdated)
            }
        }
        (Holds::Number { from, to }, CommandOptionValue::Integer(number)) => {
            if (from..=to).contains(number) {
                Ok(Value::Number(*number))
            } else {
                Err(ParseError::OutOfRange {
                    option: known.name,
                    from,
                    to,
                })
            }
        }
        (Holds::Switch, CommandOptionValue::Boolean(on)) => Ok(Value::Switch(*on)),
        (Holds::VoiceChannel, CommandOptionValue::Channel(channel)) => Ok(Value::Channel(*channel)),
        (Holds::Text { .. } | Holds::Choice(_) | Holds::Number { .. } | Holds::Switch | Holds::VoiceChannel, _) => {
            Err(ParseError::Malformed("an option is of another type"))
        }
    }
}
