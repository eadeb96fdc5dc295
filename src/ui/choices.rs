//! Suggestions while a person types.

use twilight_model::application::command::{CommandOptionChoice, CommandOptionChoiceValue};

use super::Locale;
use super::clean::{isolated, plain, units};
use super::speech::Speech;
use super::track_text::{length, plain_title};
use crate::command::Query;
use crate::model::track::Track;

/// Most suggestions Discord takes.
const CHOICES_LIMIT: usize = 25;
/// Longest name or value of one, in UTF-16 units.
const CHOICE_LIMIT: usize = 100;
/// Longest author in a name.
const AUTHOR_LIMIT: usize = 30;

/// Found tracks as suggestions. Choosing one sends its value back as `query`: a link or an identifier where one is short
/// enough and would be accepted, otherwise the title as words to search for.
pub fn choices(tracks: &[Track], locale: Locale) -> Vec<CommandOptionChoice> {
    let speech = Speech::of(locale);
    let mut seen: Vec<String> = Vec::new();
    let mut choices = Vec::new();
    for track in tracks {
        let Some(value) = value(track).filter(|value| !seen.contains(value)) else {
            continue;
        };
        if choices.len() == CHOICES_LIMIT {
            break;
        }
        choices.push(CommandOptionChoice {
            name: name(track, speech),
            name_localizations: None,
            value: CommandOptionChoiceValue::String(value.clone()),
        });
        seen.push(value);
    }
    choices
}

/// `Title – Author (3:20)`; the title gives way first.
fn name(track: &Track, speech: Speech) -> String {
    let author = plain(&track.author, AUTHOR_LIMIT);
    let tail = match author.as_str() {
        "" => format!(" ({})", length(track, speech)),
        author => format!(" – {author} ({})", length(track, speech)),
    };
    let room = CHOICE_LIMIT.saturating_sub(units(&tail) + 2);
    let title = plain_title(track, room, speech);
    // Only another writing direction needs to be kept apart from what follows.
    if title.is_ascii() {
        title + &tail
    } else {
        isolated(&title) + &tail
    }
}

fn value(track: &Track) -> Option<String> {
    let accepted = |text: &&str| {
        units(text) <= CHOICE_LIMIT && matches!(Query::classify(text), Ok(Query::Link(_) | Query::Identifier(_)))
    };
    let exact = [track.uri.as_deref(), Some(track.identifier.as_str())];
    if let Some(exact) = exact.into_iter().flatten().find(accepted) {
        return Some(exact.to_owned());
    }
    let words = plain(&track.title, CHOICE_LIMIT - 1);
    Query::classify(&words).is_ok().then_some(words)
}
