//! From an interaction to a request. Every payload gives a request or a [`ParseError`] with words for the person who sent it;
//! none can make it panic.

use twilight_model::application::command::CommandType;
use twilight_model::application::interaction::application_command::{CommandData, CommandOptionValue};
use twilight_model::application::interaction::{Interaction, InteractionData, InteractionType};

use super::component::ComponentAction;
use super::definitions::{self as table, Name, QUERY_LIMIT};
use super::locale::Locale;
use super::options::Given;
use super::position::parse_position;
use super::query::{Query, QueryError};
use crate::model::ids::{ChannelId, GuildId, InteractionId};
use crate::model::order::{Asked, Order, When};
use crate::model::record::LoopMode;

/// What somebody asks for, where, and how to answer.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// Who and where; `voice_channel` is still `None`, since an interaction does not say.
    pub asked: Asked,
    /// The guild.
    pub guild: GuildId,
    /// The language to answer in.
    pub locale: Locale,
    /// Secret: whoever has it can answer for 15 minutes.
    pub token: String,
    /// What is asked.
    pub kind: Kind,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("asked", &self.asked)
            .field("guild", &self.guild)
            .field("locale", &self.locale)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What is asked, sorted by what it takes to answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// An order that needs nothing from outside.
    Immediate(Order),
    /// Tracks have to be loaded and a channel checked first.
    Play {
        /// What.
        query: Query,
        /// Where in the queue.
        when: When,
    },
    /// A channel has to be found and checked first.
    Join {
        /// Which; `None` is the one the person is in.
        channel: Option<ChannelId>,
    },
    /// Something to look at; changes nothing.
    Show(Show),
    /// Suggestions while somebody types a `query`.
    Autocomplete {
        /// What is typed so far, at most [`QUERY_LIMIT`] characters.
        text: String,
    },
    /// A button under one of the bot's messages.
    Component(ComponentAction),
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A page of the queue.
    Queue {
        /// From 1.
        page: u32,
    },
    /// The Now Playing message.
    NowPlaying,
    /// The volume.
    Volume,
    /// The guild's settings.
    Settings,
}

/// Why an interaction is not understood. `ui::misread` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// In a private message; commands work in servers.
    NotInGuild,
    /// A command, option or choice that this version does not have: Discord's list is older or newer than the bot.
    Outdated,
    /// A button that this version did not make.
    StaleButton,
    /// The payload contradicts Discord's documentation.
    Malformed(&'static str),
    /// A required option is missing.
    Missing {
        /// Its name.
        option: &'static str,
    },
    /// A number is out of its range.
    OutOfRange {
        /// The option's name.
        option: &'static str,
        /// Smallest.
        from: i64,
        /// Largest.
        to: i64,
    },
    /// A text is too long.
    TooLong {
        /// The option's name.
        option: &'static str,
        /// Most characters.
        limit: u16,
    },
    /// Not a position.
    BadPosition,
    /// Nothing that could be played.
    Query(QueryError),
}

/// Reads an interaction.
///
/// # Errors
/// Each error has a text for people. For an autocomplete the answer to an error is an empty list.
pub fn parse(interaction: &Interaction) -> Result<Request, ParseError> {
    let guild = interaction.guild_id.ok_or(ParseError::NotInGuild)?;
    let user = interaction.author_id().ok_or(ParseError::Malformed("nobody sent it"))?;
    let text_channel = channel_of(interaction).ok_or(ParseError::Malformed("it came from no channel"))?;
    let kind = kind_of(interaction)?;
    Ok(Request {
        asked: Asked {
            interaction: interaction.id,
            user,
            text_channel,
            voice_channel: None,
        },
        guild,
        locale: locale_of(interaction),
        token: interaction.token.clone(),
        kind,
    })
}

/// The language of whoever sent it; also usable where [`parse`] failed.
pub fn locale_of(interaction: &Interaction) -> Locale {
    let code = interaction.locale.as_deref().or(interaction.guild_locale.as_deref());
    code.map_or_else(Locale::default, Locale::from_discord)
}

#[expect(deprecated, reason = "Discord still sends `channel_id` alone in some places")]
fn channel_of(interaction: &Interaction) -> Option<ChannelId> {
    let channel = interaction.channel.as_ref().map(|channel| channel.id);
    channel.or(interaction.channel_id)
}

fn kind_of(interaction: &Interaction) -> Result<Kind, ParseError> {
    match (interaction.kind, interaction.data.as_ref()) {
        (InteractionType::ApplicationCommand, Some(InteractionData::ApplicationCommand(data))) => {
            command(interaction.id, data)
        }
        (InteractionType::ApplicationCommandAutocomplete, Some(InteractionData::ApplicationCommand(data))) => {
            autocomplete(data)
        }
        (InteractionType::MessageComponent, Some(InteractionData::MessageComponent(data))) => {
            ComponentAction::decode(&data.custom_id)
                .map(Kind::Component)
                .ok_or(ParseError::StaleButton)
        }
        (InteractionType::ModalSubmit, _) => Err(ParseError::Outdated),
        (_, _) => Err(ParseError::Malformed("its type and its data do not belong together")),
    }
}

fn command(id: InteractionId, data: &CommandData) -> Result<Kind, ParseError> {
    if data.kind != CommandType::ChatInput {
        return Err(ParseError::Outdated);
    }
    let definition = table::find(&data.name).ok_or(ParseError::Outdated)?;
    let given = Given::check(definition, &data.options)?;
    kind_of_command(id, definition.command, &given)
}

fn kind_of_command(id: InteractionId, command: Name, given: &Given<'_>) -> Result<Kind, ParseError> {
    let order = match command {
        Name::Play => return play(given),
        Name::Join => {
            let channel = given.channel(table::CHANNEL);
            return Ok(Kind::Join { channel });
        }
        Name::Queue => {
            let page = given.count(table::PAGE).unwrap_or(1);
            return Ok(Kind::Show(Show::Queue { page }));
        }
        Name::NowPlaying => return Ok(Kind::Show(Show::NowPlaying)),
        Name::Volume => match given.count(table::LEVEL) {
            Some(level) => Order::Volume { level },
            None => return Ok(Kind::Show(Show::Volume)),
        },
        Name::Settings => match given.switch(table::AUTO_RESUME) {
            Some(on) => Order::AutoResume { on },
            None => return Ok(Kind::Show(Show::Settings)),
        },
        Name::Pause => Order::Pause,
        Name::Resume => Order::Resume,
        Name::Skip => Order::Skip {
            to: given.count(table::TO),
        },
        Name::Previous => Order::Previous,
        Name::Stop => Order::Stop,
        Name::Seek => seek(given)?,
        Name::Loop => Order::Loop { mode: mode(given)? },
        // An interaction's id differs every time and is the same when the interaction is applied again elsewhere.
        Name::Shuffle => Order::Shuffle { seed: id.get() },
        Name::Remove => remove(given)?,
        Name::Move => Order::Move {
            from: place(given, table::FROM)?,
            to: place(given, table::TO)?,
        },
        Name::Clear => Order::Clear,
        Name::Leave => Order::Leave,
    };
    Ok(Kind::Immediate(order))
}

fn play(given: &Given<'_>) -> Result<Kind, ParseError> {
    let text = given
        .text(table::QUERY)
        .ok_or(ParseError::Missing { option: table::QUERY })?;
    let query = Query::classify(text).map_err(ParseError::Query)?;
    let when = match given.text(table::WHEN) {
        None | Some(table::WHEN_QUEUE) => When::Queue,
        Some(table::WHEN_NEXT) => When::Next,
        Some(table::WHEN_NOW) => When::Now,
        Some(_) => return Err(ParseError::Outdated),
    };
    Ok(Kind::Play { query, when })
}

fn seek(given: &Given<'_>) -> Result<Order, ParseError> {
    let text = given.text(table::POSITION).ok_or(ParseError::Missing {
        option: table::POSITION,
    })?;
    let position_ms = parse_position(text).ok_or(ParseError::BadPosition)?;
    Ok(Order::Seek { position_ms })
}

fn mode(given: &Given<'_>) -> Result<LoopMode, ParseError> {
    match given.text(table::MODE) {
        Some(table::LOOP_OFF) => Ok(LoopMode::Off),
        Some(table::LOOP_TRACK) => Ok(LoopMode::Track),
        Some(table::LOOP_QUEUE) => Ok(LoopMode::Queue),
        Some(_) => Err(ParseError::Outdated),
        None => Err(ParseError::Missing { option: table::MODE }),
    }
}

/// `7 to 3` means the same as `3 to 7`.
fn remove(given: &Given<'_>) -> Result<Order, ParseError> {
    let one = place(given, table::FROM)?;
    let other = given.count(table::TO).unwrap_or(one);
    Ok(Order::Remove {
        from: one.min(other),
        to: one.max(other),
    })
}

fn place(given: &Given<'_>, option: &'static str) -> Result<usize, ParseError> {
    given.count(option).ok_or(ParseError::Missing { option })
}

/// While a person types, anything may stand in the options; only the focused text counts.
fn autocomplete(data: &CommandData) -> Result<Kind, ParseError> {
    let definition = table::find(&data.name).ok_or(ParseError::Outdated)?;
    let focused = data.options.iter().find_map(|option| {
        if let CommandOptionValue::Focused(text, _) = &option.value {
            Some((&option.name, text))
        } else {
            None
        }
    });
    match focused {
        Some((name, text)) if definition.command == Name::Play && name == table::QUERY => Ok(Kind::Autocomplete {
            text: text.chars().take(usize::from(QUERY_LIMIT)).collect(),
        }),
        Some(_) => Err(ParseError::Outdated),
        None => Err(ParseError::Malformed("nothing is being typed")),
    }
}

#[cfg(test)]
mod tests;
