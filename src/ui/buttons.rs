//! Buttons and their rows.

use twilight_model::channel::message::component::{ActionRow, Button, ButtonStyle};
use twilight_model::channel::message::{Component, EmojiReactionType};

use super::clean::plain;
use super::message::LABEL_LIMIT;
use super::speech::Speech;
use crate::command::ComponentAction;

/// What a button looks like.
pub(super) struct Face {
    /// What it does.
    pub(super) action: ComponentAction,
    /// A Unicode emoji.
    pub(super) emoji: &'static str,
    /// Its label, already in the person's language.
    pub(super) label: String,
    /// Stands out.
    pub(super) bright: bool,
    /// Can be pressed.
    pub(super) active: bool,
}

impl Face {
    /// A button that can be pressed and does not stand out.
    pub(super) fn new(action: ComponentAction, emoji: &'static str, label: String) -> Self {
        Self {
            action,
            emoji,
            label,
            bright: false,
            active: true,
        }
    }

    /// Stands out if `bright`.
    pub(super) fn bright(self, bright: bool) -> Self {
        Self { bright, ..self }
    }

    /// Can be pressed if `active`.
    pub(super) fn active(self, active: bool) -> Self {
        Self { active, ..self }
    }

    fn button(self) -> Component {
        Component::Button(Button {
            custom_id: Some(self.action.encode()),
            disabled: !self.active,
            emoji: Some(EmojiReactionType::Unicode {
                name: self.emoji.to_owned(),
            }),
            id: None,
            label: Some(plain(&self.label, LABEL_LIMIT)),
            sku_id: None,
            style: if self.bright {
                ButtonStyle::Primary
            } else {
                ButtonStyle::Secondary
            },
            url: None,
        })
    }
}

/// A row of at most five buttons.
pub(super) fn row(faces: impl IntoIterator<Item = Face>) -> Component {
    Component::ActionRow(ActionRow {
        components: faces.into_iter().take(5).map(Face::button).collect(),
        id: None,
    })
}

/// A row with nothing but Resume.
pub(super) fn resume_row(speech: Speech) -> Component {
    row([Face::new(ComponentAction::Resume, "▶️", speech.say("button-resume")).bright(true)])
}
