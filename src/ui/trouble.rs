//! What went wrong around an order, and what to do about it.

use super::Locale;
use super::clean::marked;
use super::message::{self, Message};
use super::notice::fail_reason;
use super::speech::Speech;
use crate::model::ids::ChannelId;
use crate::model::view::FailReason;

/// Longest repetition of what a person searched for, in UTF-16 units with its escapes.
const QUERY_SHOWN: usize = 200;

/// Answers that are neither done nor refused by the player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyText {
    /// The store does not answer; nothing was changed.
    StoreDown,
    /// The order was carried out in memory, but nothing durable says so. Not a confirmation.
    NotSavedYet,
    /// No Lavalink node can be reached.
    NodeDown,
    /// Discord no longer waits for the answer, or the order's deadline passed; nothing was changed.
    TooLate,
    /// The search or link gave nothing.
    NothingFound {
        /// What was searched for, as the person typed it.
        query: String,
    },
    /// The node could not load it.
    LoadFailed,
    /// The voice channel cannot be used.
    NoPermission {
        /// Which.
        channel: ChannelId,
        /// Why.
        reason: FailReason,
    },
    /// Discord does not say whether whoever asked is in a voice channel.
    VoiceUnknown,
    /// The channel given is no voice channel.
    NotVoice {
        /// Which.
        channel: ChannelId,
    },
    /// The bot is no longer a member of the guild.
    LeftGuild,
    /// The guild's mailbox is full.
    Busy,
    /// The guild changes hands at this moment.
    Moving,
    /// Whoever had the order died before finishing it.
    Interrupted,
    /// A fault of the bot's own, which is in the log.
    Internal,
}

/// The message for it. Shown to whoever asked.
pub fn reply(text: &ReplyText, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    let mention = |channel: &ChannelId| format!("<#{channel}>").into();
    message::quiet(match text {
        ReplyText::StoreDown => speech.say("trouble-store-down"),
        ReplyText::NotSavedYet => speech.say("trouble-not-saved-yet"),
        ReplyText::NodeDown => speech.say("trouble-node-down"),
        ReplyText::TooLate => speech.say("trouble-too-late"),
        ReplyText::NothingFound { query } => {
            let query = match marked(query, QUERY_SHOWN) {
                query if query.is_empty() => "…".to_owned(),
                query => query,
            };
            speech.with("trouble-nothing-found", &[("query", query.into())])
        }
        ReplyText::LoadFailed => speech.say("trouble-load-failed"),
        ReplyText::NoPermission { channel, reason } => {
            let reason = fail_reason(*reason, speech);
            let variables = [("channel", mention(channel)), ("reason", reason.into())];
            speech.with("trouble-cannot-join", &variables)
        }
        ReplyText::VoiceUnknown => speech.say("trouble-voice-unknown"),
        ReplyText::NotVoice { channel } => speech.with("trouble-not-voice", &[("channel", mention(channel))]),
        ReplyText::LeftGuild => speech.say("trouble-left-guild"),
        ReplyText::Busy => speech.say("trouble-busy"),
        ReplyText::Moving => speech.say("trouble-moving"),
        ReplyText::Interrupted => speech.say("trouble-interrupted"),
        ReplyText::Internal => speech.say("trouble-internal"),
    })
}
