//! What is shown in Discord: rendered by `ui`, sent by `discord`.

use twilight_model::channel::message::{Component, Embed};

/// One message. It never pings anybody: `discord` sends every one with empty `allowed_mentions`.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub struct Message {
    /// Plain text above the embeds, at most 2,000 characters; may be empty.
    pub content: String,
    /// At most ten.
    pub embeds: Vec<Embed>,
    /// Rows of buttons and menus.
    pub components: Vec<Component>,
    /// Seen only by the person who asked; fixed by the first answer to an interaction.
    pub ephemeral: bool,
}
