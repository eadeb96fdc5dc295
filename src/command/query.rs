//! What a person asked `play` for: a link, words to search for, or an identifier a node understands.

use url::Url;

use super::definitions::QUERY_LIMIT;
use super::link::{self, LinkRefusal};

/// What nodes are asked to search with when a person only typed words.
pub const DEFAULT_SEARCH: &str = "ytsearch:";

/// Identifiers a person may write out. Everything else before a colon is just words: a node may know prefixes that open
/// local files or speak text.
const KNOWN_PREFIXES: &[&str] = &["ytsearch:", "ytmsearch:", "scsearch:", "sim:"];

/// A query that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// To be fetched by the node; checked by [`link::check`].
    Link(Url),
    /// Words, on one line.
    Search(String),
    /// An identifier with one of the known prefixes.
    Identifier(String),
}

/// Why a query was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryError {
    /// There is nothing in it.
    Empty,
    /// Longer than [`QUERY_LIMIT`] characters.
    TooLong,
    /// The link must not be opened.
    Link(LinkRefusal),
}

impl Query {
    /// Reads what a person typed. Links may stand in angle brackets or begin with `www.`.
    ///
    /// # Errors
    /// If there is nothing, too much, or a link that must not be opened.
    pub fn classify(text: &str) -> Result<Self, QueryError> {
        if text.chars().count() > usize::from(QUERY_LIMIT) {
            return Err(QueryError::TooLong);
        }
        let text = one_line(text);
        let bare = text
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'))
            .unwrap_or(&text);
        if bare.is_empty() {
            return Err(QueryError::Empty);
        }
        if let Some(link) = as_link(bare) {
            return link::check(&link).map(Query::Link).map_err(QueryError::Link);
        }
        let known = KNOWN_PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        match known.map(str::trim) {
            Some("") => Err(QueryError::Empty),
            Some(_) => Ok(Query::Identifier(text)),
            None => Ok(Query::Search(text)),
        }
    }

    /// What was asked for, in a form that [`Query::classify`] reads back.
    pub fn words(&self) -> String {
        self.identifier("")
    }

    /// What `loadtracks` is asked for; words are searched with `search_prefix` (`ytsearch:`).
    pub fn identifier(&self, search_prefix: &str) -> String {
        match self {
            Query::Link(url) => url.to_string(),
            Query::Search(words) => format!("{search_prefix}{words}"),
            Query::Identifier(identifier) => identifier.clone(),
        }
    }
}

/// Words with single spaces and without control characters.
fn one_line(text: &str) -> String {
    let spaced = text.replace(char::is_control, " ");
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The link in `text`, if it is meant as one: one word with a scheme, or one that begins with `www.`.
fn as_link(text: &str) -> Option<String> {
    if let Some((scheme, _)) = text.split_once("://") {
        let named = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        return named.then(|| text.to_owned());
    }
    let lower = text.get(..4)?.to_ascii_lowercase();
    (lower == "www." && !text.contains(' ')).then(|| format!("https://{text}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identifier(text: &str) -> Result<String, QueryError> {
        Query::classify(text).map(|query| query.identifier(DEFAULT_SEARCH))
    }

    #[test]
    fn queries_become_what_a_node_is_asked_for() {
        let table = [
            ("never gonna", "ytsearch:never gonna"),
            ("  never \n\t gonna  ", "ytsearch:never gonna"),
            ("scsearch:lofi", "scsearch:lofi"),
            ("ytmsearch:lofi beats", "ytmsearch:lofi beats"),
            ("sim:Aurora?length=30", "sim:Aurora?length=30"),
            ("https://youtu.be/x", "https://youtu.be/x"),
            ("<https://youtu.be/x>", "https://youtu.be/x"),
            ("www.youtube.com/watch?v=x", "https://www.youtube.com/watch?v=x"),
            ("www. what?", "ytsearch:www. what?"),
            ("local:/etc/passwd", "ytsearch:local:/etc/passwd"),
            ("speak:hello", "ytsearch:speak:hello"),
            ("AC/DC: Thunderstruck", "ytsearch:AC/DC: Thunderstruck"),
            ("what is :// about", "ytsearch:what is :// about"),
            ("<3", "ytsearch:<3"),
            ("🎵", "ytsearch:🎵"),
        ];
        for (text, expected) in table {
            assert_eq!(identifier(text).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        let table = [
            ("", QueryError::Empty),
            (" \n ", QueryError::Empty),
            ("<>", QueryError::Empty),
            ("sim:", QueryError::Empty),
            ("ytsearch:  ", QueryError::Empty),
            ("http://127.0.0.1:2333/", QueryError::Link(LinkRefusal::Private)),
            ("<http://localhost/>", QueryError::Link(LinkRefusal::Private)),
            ("www.local", QueryError::Link(LinkRefusal::Private)),
            ("file:///etc/passwd", QueryError::Link(LinkRefusal::Scheme)),
            ("http://example.com/ and more", QueryError::Link(LinkRefusal::Malformed)),
        ];
        for (text, expected) in table {
            assert_eq!(identifier(text), Err(expected), "{text:?}");
        }
        assert!(Query::classify(&"ä".repeat(500)).is_ok());
        assert_eq!(Query::classify(&"ä".repeat(501)), Err(QueryError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_every_answer_is_one_line(text in any::<String>()) {
            if let Ok(query) = Query::classify(&text) {
                prop_assert!(!query.identifier(DEFAULT_SEARCH).contains(char::is_control));
            }
        }
    }
}
