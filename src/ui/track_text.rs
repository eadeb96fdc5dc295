//! Tracks in words.

use url::Url;

use super::clean::{marked, plain};
use super::speech::Speech;
use super::time::clock;
use crate::model::track::Track;

/// Longest link put under a title, in bytes.
const LINK_LIMIT: usize = 500;
/// Longest title within a sentence, in UTF-16 units with its escapes.
const SENTENCE_LIMIT: usize = 300;

/// The title for a place with markup, at most `limit` units.
pub(super) fn title(track: &Track, limit: usize, speech: Speech) -> String {
    let title = marked(&track.title, limit);
    if title.is_empty() {
        speech.say("untitled")
    } else {
        title
    }
}

/// The title within a sentence.
pub(super) fn in_sentence(track: &Track, speech: Speech) -> String {
    title(track, SENTENCE_LIMIT, speech)
}

/// The title for a place without markup.
pub(super) fn plain_title(track: &Track, limit: usize, speech: Speech) -> String {
    let title = plain(&track.title, limit);
    if title.is_empty() {
        speech.say("untitled")
    } else {
        title
    }
}

/// `3:20`, or that it is live.
pub(super) fn length(track: &Track, speech: Speech) -> String {
    track.length_ms.map_or_else(|| speech.say("live"), clock)
}

/// A link that a person may be shown: `http` or `https`, not too long.
pub(super) fn link(text: Option<&str>) -> Option<String> {
    let url = Url::parse(text?).ok()?;
    let fine = matches!(url.scheme(), "http" | "https") && url.as_str().len() <= LINK_LIMIT;
    fine.then(|| url.to_string())
}
