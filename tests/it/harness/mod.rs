//! A simulated world, a bot as a real process in it, and verbs for what people and machines do.

mod bot;
pub(crate) mod lease_api;
mod wait;
mod world;

pub(crate) use bot::{Bot, Setup};
pub(crate) use wait::{eventually, within};
pub(crate) use world::{World, plain};
