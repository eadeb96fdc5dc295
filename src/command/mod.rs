//! The grammar: which commands and buttons there are, and what an interaction asks for. Pure; nothing here waits or looks
//! anything up.
//!
//! [`definitions`] is the one table of commands. Registration is made from it, and [`parse()`] reads interactions by it, so
//! that the two cannot drift apart.

pub mod component;
pub mod definitions;
pub mod link;
pub mod locale;
pub mod options;
pub mod parse;
pub mod position;
pub mod query;
pub mod registration;

pub use component::ComponentAction;
pub use locale::Locale;
pub use parse::{Kind, ParseError, Request, Show, parse};
pub use query::{Query, QueryError};
pub use registration::{registration, registration_hash};
