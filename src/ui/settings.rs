//! What a guild chose, and the volume.

use super::Locale;
use super::message::{self, Message, embed};
use super::speech::Speech;
use crate::model::view::View;

/// The settings of a guild, each with where it comes from. Shown to whoever asked.
pub fn settings(view: &View, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    let on = view.settings.auto_resume.unwrap_or(view.auto_resume_default);
    let word = if on {
        speech.say("settings-on")
    } else {
        speech.say("settings-off")
    };
    let value = [("value", word.into())];
    let value = if view.settings.auto_resume.is_some() {
        speech.with("settings-chosen", &value)
    } else {
        speech.with("settings-default", &value)
    };
    let lines = [
        format!("**{}:** {value}", speech.say("settings-auto-resume")),
        speech.say("settings-hint"),
    ];
    Message {
        embeds: vec![embed(speech.say("settings-title"), lines.join("\n"), true)],
        ephemeral: true,
        ..Message::default()
    }
}

/// How loud it is. Shown to whoever asked.
pub fn volume(view: &View, locale: Locale) -> Message {
    let level = [("level", view.volume.into())];
    message::quiet(Speech::of(locale).with("volume-is", &level))
}
