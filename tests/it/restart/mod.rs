//! Restarts: what people hear, and what the bot does on the wire, when it dies or leaves and comes back.

mod behaviour;
mod chaos;
mod matrix;
mod nodes;
mod resharded;
mod scene;
