//! What Discord is told: the table of commands in Discord's form, and a hash of it that says whether it has to be told again.

use twilight_model::application::command::{
    Command, CommandOption, CommandOptionChoice, CommandOptionChoiceValue, CommandOptionType, CommandOptionValue,
    CommandType,
};
use twilight_model::application::interaction::InteractionContextType;
use twilight_model::channel::ChannelType;
use twilight_util::builder::command::CommandBuilder;

use super::definitions::{COMMANDS, Choice, Definition, Holds, OptionDefinition};
use super::locale::Wording;

/// All commands as `PUT /applications/{id}/commands` takes them.
pub fn registration() -> Vec<Command> {
    COMMANDS.iter().map(|definition| builder(definition).build()).collect()
}

/// Changes exactly when [`registration`] does; the same for every process of one version. 16 hexadecimal digits.
pub fn registration_hash() -> String {
    let mut hash = Fnv::default();
    for command in registration() {
        hash.value(&serde_json::to_value(command).unwrap_or_default());
    }
    format!("{:016x}", hash.0)
}

fn builder(definition: &Definition) -> CommandBuilder {
    let start = CommandBuilder::new(definition.name, definition.about.en, CommandType::ChatInput)
        .description_localizations(definition.about.localizations())
        .contexts([InteractionContextType::Guild]);
    definition
        .options
        .iter()
        .fold(start, |builder, option| builder.option(option_of(option)))
}

fn option_of(definition: &OptionDefinition) -> CommandOption {
    let mut option = CommandOption {
        autocomplete: None,
        channel_types: None,
        choices: None,
        description: definition.about.en.to_owned(),
        description_localizations: Some(localizations(definition.about)),
        kind: CommandOptionType::String,
        max_length: None,
        max_value: None,
        min_length: None,
        min_value: None,
        name: definition.name.to_owned(),
        name_localizations: None,
        options: None,
        file_types: None,
        required: Some(definition.required),
    };
    match definition.holds {
        Holds::Text { longest, autocomplete } => {
            option.min_length = Some(1);
            option.max_length = Some(longest);
            option.autocomplete = Some(autocomplete);
        }
        Holds::Choice(choices) => option.choices = Some(choices.iter().map(choice_of).collect()),
        Holds::Number { from, to } => {
            option.kind = CommandOptionType::Integer;
            option.min_value = Some(CommandOptionValue::Integer(from));
            option.max_value = Some(CommandOptionValue::Integer(to));
        }
        Holds::Switch => option.kind = CommandOptionType::Boolean,
        Holds::VoiceChannel => {
            option.kind = CommandOptionType::Channel;
            option.channel_types = Some(vec![ChannelType::GuildVoice, ChannelType::GuildStageVoice]);
        }
    }
    option
}

fn choice_of(choice: &Choice) -> CommandOptionChoice {
    CommandOptionChoice {
        name: choice.label.en.to_owned(),
        name_localizations: Some(localizations(choice.label)),
        value: CommandOptionChoiceValue::String(choice.value.to_owned()),
    }
}

fn localizations(wording: Wording) -> std::collections::HashMap<String, String> {
    wording
        .localizations()
        .into_iter()
        .map(|(code, text)| (code.to_owned(), text.to_owned()))
        .collect()
}

/// FNV-1a over JSON with its keys sorted: a hash map's order must not matter, and nobody attacks this hash.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn value(&mut self, value: &serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::Object(fields) => {
                let mut sorted: Vec<_> = fields.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                self.bytes(b"{");
                for (key, field) in sorted {
                    self.bytes(key.as_bytes());
                    self.bytes(b":");
                    self.value(field);
                }
                self.bytes(b"}");
            }
            Value::Array(items) => {
                self.bytes(b"[");
                for item in items {
                    self.value(item);
                }
                self.bytes(b"]");
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.bytes(value.to_string().as_bytes());
                self.bytes(b",");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discord_accepts_every_command() {
        for definition in COMMANDS {
            if let Err(error) = builder(definition).validate() {
                panic!("/{}: {error}", definition.name);
            }
            for option in definition.options {
                assert!(option.about.de.chars().count() <= 100, "{}", option.name);
            }
            assert!(definition.about.de.chars().count() <= 100, "{}", definition.name);
        }
    }

    #[test]
    fn commands_are_for_guilds_only_and_speak_german() {
        for command in registration() {
            assert_eq!(command.contexts, Some(vec![InteractionContextType::Guild]));
            let german = command.description_localizations.unwrap();
            assert!(german.contains_key("de"), "{}", command.name);
        }
    }

    #[test]
    fn names_and_options_are_the_documented_ones() {
        let shown: Vec<String> = registration()
            .into_iter()
            .map(|command| {
                let options = command.options.iter().map(|option| match option.required {
                    Some(true) => format!(" {}", option.name),
                    _ => format!(" [{}]", option.name),
                });
                command.name.clone() + &options.collect::<String>()
            })
            .collect();
        let expected = [
            "play query [when]",
            "pause",
            "resume",
            "skip [to]",
            "previous",
            "stop",
            "seek position",
            "volume [level]",
            "loop mode",
            "shuffle",
            "queue [page]",
            "remove from [to]",
            "move from to",
            "clear",
            "nowplaying",
            "join [channel]",
            "leave",
            "settings [auto-resume]",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn numbers_are_limited_by_discord_too() {
        let volume = registration()
            .into_iter()
            .find(|command| command.name == "volume")
            .unwrap();
        assert_eq!(volume.options[0].min_value, Some(CommandOptionValue::Integer(0)));
        assert_eq!(volume.options[0].max_value, Some(CommandOptionValue::Integer(200)));
    }

    #[test]
    fn the_hash_is_the_same_for_every_map_order_and_changes_with_a_word() {
        let first = registration_hash();
        assert!((0..20).all(|_| registration_hash() == first));
        let mut one = Fnv::default();
        one.value(&serde_json::json!({"a": 1, "b": ["x"]}));
        let mut two = Fnv::default();
        two.value(&serde_json::json!({"b": ["x"], "a": 1}));
        let mut other = Fnv::default();
        other.value(&serde_json::json!({"b": ["y"], "a": 1}));
        assert_eq!(one.0, two.0);
        assert_ne!(one.0, other.0);
    }
}
