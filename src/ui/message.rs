//! A message, ready for Discord's REST, and its limits (<https://docs.discord.com/developers/resources/message#embed-object-embed-limits>).
//! Lengths are UTF-16 units, the strictest way Discord might count.

use twilight_model::channel::message::embed::Embed;

/// Longest content.
pub(super) const CONTENT_LIMIT: usize = 2_000;
/// Longest embed title.
pub(super) const EMBED_TITLE_LIMIT: usize = 256;
/// Longest embed description.
pub(super) const DESCRIPTION_LIMIT: usize = 4_096;
/// Longest label of a button.
pub(super) const LABEL_LIMIT: usize = 80;

/// Segue's colour, and the one of things that stand still.
const ACCENT: u32 = 0x004f_8cff;
const QUIET: u32 = 0x0080_8590;

pub use crate::model::message::Message;

/// Text everybody may see.
pub(super) fn open(content: String) -> Message {
    Message {
        content: super::clean::cut(content, CONTENT_LIMIT),
        ..Message::default()
    }
}

/// Text for whoever asked.
pub(super) fn quiet(content: String) -> Message {
    Message {
        ephemeral: true,
        ..open(content)
    }
}

/// An embed with only a title and a description, both cut to their limits.
pub(super) fn embed(title: String, description: String, lively: bool) -> Embed {
    Embed {
        author: None,
        color: Some(if lively { ACCENT } else { QUIET }),
        description: Some(super::clean::cut(description, DESCRIPTION_LIMIT)),
        fields: Vec::new(),
        flags: None,
        footer: None,
        image: None,
        kind: "rich".to_owned(),
        provider: None,
        thumbnail: None,
        timestamp: None,
        title: Some(super::clean::cut(title, EMBED_TITLE_LIMIT)),
        url: None,
        video: None,
    }
}
