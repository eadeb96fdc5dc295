//! Why an order was not done, and what to do instead.

use super::Locale;
use super::message::{self, Message};
use super::speech::Speech;
use super::time::clock;
use crate::command::definitions::VOLUME_LIMIT;
use crate::model::order::Refusal;

/// The reply to an order that was refused.
pub fn refusal(refusal: &Refusal, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    message::quiet(match refusal {
        Refusal::NothingPlays => speech.say("refuse-nothing-plays"),
        Refusal::QueueEmpty | Refusal::NoSuchPlace { len: 0, .. } => speech.say("refuse-queue-empty"),
        Refusal::NoPrevious => speech.say("refuse-no-previous"),
        Refusal::NoSuchPlace { asked, len } => {
            let variables = [("asked", (*asked).into()), ("count", (*len).into())];
            speech.with("refuse-no-such-place", &variables)
        }
        Refusal::QueueFull { limit } => speech.with("refuse-queue-full", &[("limit", (*limit).into())]),
        Refusal::NotSeekable => speech.say("refuse-not-seekable"),
        Refusal::PastEnd { length_ms } => speech.with("refuse-past-end", &[("length", clock(*length_ms).into())]),
        Refusal::AlreadyPaused => speech.say("refuse-already-paused"),
        Refusal::NotPaused => speech.say("refuse-not-paused"),
        Refusal::NotInVoice => speech.say("refuse-not-in-voice"),
        Refusal::YouAreNotInVoice => speech.say("refuse-you-are-not-in-voice"),
        Refusal::OtherChannel { bot } => {
            speech.with("refuse-other-channel", &[("channel", format!("<#{bot}>").into())])
        }
        Refusal::BadVolume => speech.with("refuse-bad-volume", &[("limit", VOLUME_LIMIT.into())]),
    })
}
