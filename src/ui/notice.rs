//! What happened without being asked for, told in the guild's text channel.

use super::Locale;
use super::buttons::resume_row;
use super::message::{self, Message};
use super::speech::Speech;
use super::time::clock;
use super::track_text::in_sentence;
use crate::model::record::PauseReason;
use crate::model::track::Track;
use crate::model::view::{FailReason, Notice};

/// A message about it, with a Resume button wherever the music waits for somebody.
pub fn notice(notice: &Notice, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    match notice {
        Notice::Restored {
            track,
            position_ms,
            paused,
        } => restored(track, *position_ms, *paused, speech),
        Notice::RestoreFailed { reason } => {
            let reason = fail_reason(*reason, speech);
            let text = speech.with("notice-restore-failed", &[("reason", reason.into())]);
            with_resume(text, speech)
        }
        Notice::TrackFailed { track } => {
            let title = in_sentence(track, speech);
            message::open(speech.with("notice-track-failed", &[("title", title.into())]))
        }
        Notice::LeftEmpty { channel } => {
            let channel = format!("<#{channel}>");
            let text = speech.with("notice-left-empty", &[("channel", channel.into())]);
            with_resume(text, speech)
        }
        Notice::NoNode => message::open(speech.say("notice-no-node")),
        Notice::Kicked => with_resume(speech.say("notice-kicked"), speech),
    }
}

/// Why a voice channel could not be joined, and what to do.
pub(super) fn fail_reason(reason: FailReason, speech: Speech) -> String {
    match reason {
        FailReason::ChannelGone => speech.say("fail-channel-gone"),
        FailReason::CannotView => speech.say("fail-cannot-view"),
        FailReason::CannotConnect => speech.say("fail-cannot-connect"),
        FailReason::CannotSpeak => speech.say("fail-cannot-speak"),
        FailReason::ChannelFull => speech.say("fail-channel-full"),
        FailReason::NoAnswer => speech.say("fail-no-answer"),
        FailReason::NodeRefused => speech.say("fail-node-refused"),
    }
}

fn restored(track: &Track, position_ms: u64, paused: Option<PauseReason>, speech: Speech) -> Message {
    let variables = [
        ("title", in_sentence(track, speech).into()),
        ("at", clock(position_ms).into()),
    ];
    match paused {
        None => message::open(speech.with("notice-restored", &variables)),
        Some(PauseReason::Restored) => with_resume(speech.with("notice-restored-paused", &variables), speech),
        Some(PauseReason::Kept) => with_resume(speech.with("notice-kept", &variables), speech),
        Some(PauseReason::Person) => with_resume(speech.with("notice-paused", &variables), speech),
    }
}

fn with_resume(text: String, speech: Speech) -> Message {
    Message {
        components: vec![resume_row(speech)],
        ..message::open(text)
    }
}
