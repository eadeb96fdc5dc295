//! What people read: pure functions from what is to a message in somebody's language. No I/O, no clock.
//!
//! Everything strangers wrote (titles, authors, playlist names, search words) passes through `clean` before it is shown.
//! Whoever sends a [`Message`] sends it with empty `allowed_mentions`.

mod buttons;
mod choices;
mod clean;
mod done;
mod message;
mod misread;
mod notice;
mod now_playing;
mod queue_page;
mod refusal;
mod settings;
mod speech;
mod time;
mod track_text;
mod trouble;

pub use choices::choices;
pub use done::done;
pub use message::Message;
pub use misread::misread;
pub use notice::notice;
pub use now_playing::now_playing;
pub use queue_page::{PAGE_SIZE, pages, queue_page};
pub use refusal::refusal;
pub use settings::{settings, volume};
pub use trouble::{ReplyText, reply};

pub use crate::command::Locale;

#[cfg(test)]
mod tests;
