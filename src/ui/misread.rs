//! Why an interaction was not understood, and what to do instead.

use super::Locale;
use super::message::{self, Message};
use super::speech::Speech;
use crate::command::link::LinkRefusal;
use crate::command::{ParseError, QueryError};

/// The reply to an interaction that could not be read.
pub fn misread(error: &ParseError, locale: Locale) -> Message {
    let speech = Speech::of(locale);
    message::quiet(match *error {
        ParseError::NotInGuild => speech.say("misread-not-in-guild"),
        ParseError::Outdated => speech.say("misread-outdated"),
        ParseError::StaleButton => speech.say("misread-stale-button"),
        ParseError::Malformed(_) => speech.say("misread-malformed"),
        ParseError::Missing { option } => speech.with("misread-missing", &[("option", option.into())]),
        ParseError::OutOfRange { option, from, to } => {
            let variables = [("option", option.into()), ("from", from.into()), ("to", to.into())];
            speech.with("misread-out-of-range", &variables)
        }
        ParseError::TooLong { option, limit } => too_long(option, limit, speech),
        ParseError::BadPosition => speech.say("misread-position"),
        ParseError::Query(error) => query(error, speech),
    })
}

fn query(error: QueryError, speech: Speech) -> String {
    use crate::command::definitions::{QUERY, QUERY_LIMIT};
    match error {
        QueryError::Empty => speech.say("misread-query-empty"),
        QueryError::TooLong => too_long(QUERY, QUERY_LIMIT, speech),
        QueryError::Link(LinkRefusal::Malformed) => speech.say("misread-link-malformed"),
        QueryError::Link(LinkRefusal::Scheme) => speech.say("misread-link-scheme"),
        QueryError::Link(LinkRefusal::UserInfo) => speech.say("misread-link-userinfo"),
        QueryError::Link(LinkRefusal::Private) => speech.say("misread-link-private"),
        QueryError::Link(LinkRefusal::OddHost) => speech.say("misread-link-odd"),
    }
}

fn too_long(option: &'static str, limit: u16, speech: Speech) -> String {
    speech.with(
        "misread-too-long",
        &[("option", option.into()), ("limit", limit.into())],
    )
}
