//! A Discord and any number of Lavalink nodes that speak the real wire, with faults, a log and an oracle.
//!
//! It shares no code with the bot: the only thing of the bot that it may import is `lifecycle`.

pub mod audio;
pub mod clock;
pub mod discord;
pub mod lavalink;
pub mod log;
pub mod voice;
