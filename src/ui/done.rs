//! What was done, said to everybody in the channel.

use fluent_bundle::FluentValue;

use super::Locale;
use super::clean::marked;
use super::message::{self, Message};
use super::now_playing::loop_word;
use super::speech::Speech;
use super::time::clock;
use super::track_text::{in_sentence, length};
use crate::model::order::Done;
use crate::model::track::{QUEUE_LIMIT, Track};

/// Longest playlist name, in UTF-16 units with its escapes.
const LIST_NAME_LIMIT: usize = 200;

/// The reply to an order that was carried out.
pub fn done(done: &Done, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    if *done == Done::Already {
        return message::quiet(speech.say("done-already"));
    }
    message::open(sentence(done, speech))
}

fn sentence(done: &Done, speech: Speech) -> String {
    match done {
        Done::Queued { .. } => queued(done, speech),
        Done::Paused { track, position_ms } => at("done-paused", track, *position_ms, speech),
        Done::Resumed { track, position_ms } => at("done-resumed", track, *position_ms, speech),
        Done::Skipped { to: Some(track), .. } => titled("done-skipped", track, [], speech),
        Done::Skipped { to: None, .. } => speech.say("done-skipped-end"),
        Done::Stopped { dropped } => speech.with("done-stopped", &[("count", (*dropped).into())]),
        Done::Sought { position_ms } => speech.with("done-sought", &[("at", clock(*position_ms).into())]),
        Done::Volume { level } => speech.with("volume-is", &[("level", (*level).into())]),
        Done::Loop { mode } => speech.with("done-loop", &[("loop", loop_word(*mode, speech).into())]),
        Done::Shuffled { count } => speech.with("done-shuffled", &[("count", (*count).into())]),
        Done::Removed { first, count: 1 } => titled("done-removed", first, [], speech),
        Done::Removed { first, count } => titled("done-removed-many", first, [("count", (*count).into())], speech),
        Done::Moved { track, to } => titled("done-moved", track, [("place", (*to).into())], speech),
        Done::Cleared { count } => speech.with("done-cleared", &[("count", (*count).into())]),
        Done::Joined { channel } => speech.with("done-joined", &[("channel", format!("<#{channel}>").into())]),
        Done::Left { channel, kept } => {
            let left = speech.with("done-left", &[("channel", format!("<#{channel}>").into())]);
            let kept = (*kept > 0).then(|| speech.with("done-left-kept", &[("count", (*kept).into())]));
            both(left, kept)
        }
        Done::AutoResume { on: true } => speech.say("done-auto-resume-on"),
        Done::AutoResume { on: false } => speech.say("done-auto-resume-off"),
        Done::Already => speech.say("done-already"),
    }
}

fn queued(done: &Done, speech: Speech) -> String {
    let Done::Queued {
        first,
        count,
        playlist,
        place,
        left_out,
    } = done
    else {
        return String::new();
    };
    let added = if *count > 1 || playlist.is_some() {
        let name = playlist.as_deref().map(|name| marked(name, LIST_NAME_LIMIT));
        let list = match name.filter(|name| !name.is_empty()) {
            Some(name) => format!("**{name}**"),
            None => speech.say("done-list-unnamed"),
        };
        let variables = [("count", (*count).into()), ("list", list.into())];
        titled("done-list", first, variables, speech)
    } else if *place == 0 {
        titled(
            "done-playing",
            first,
            [("length", length(first, speech).into())],
            speech,
        )
    } else {
        let variables = [("length", length(first, speech).into()), ("place", (*place).into())];
        titled("done-queued", first, variables, speech)
    };
    let rest = (*left_out > 0).then(|| {
        let variables = [("count", (*left_out).into()), ("limit", QUEUE_LIMIT.into())];
        speech.with("done-left-out", &variables)
    });
    both(added, rest)
}

fn at(key: &str, track: &Track, position_ms: u64, speech: Speech) -> String {
    titled(key, track, [("at", clock(position_ms).into())], speech)
}

fn titled<'a, const N: usize>(
    key: &str,
    track: &Track,
    others: [(&'static str, FluentValue<'a>); N],
    speech: Speech,
) -> String {
    let mut variables: Vec<(&'static str, FluentValue<'a>)> = vec![("title", in_sentence(track, speech).into())];
    variables.extend(others);
    speech.with(key, &variables)
}

fn both(first: String, second: Option<String>) -> String {
    match second {
        Some(second) => format!("{first} {second}"),
        None => first,
    }
}
