//! Segue: a self-hosted Discord music bot that does not stop when its processes do.
//!
//! Data goes one way:
//!
//! ```text
//! event → guild → player → effect → world → event
//! ```
//!
//! Discord's gateway, Lavalink's nodes and people's commands send events. One actor per guild feeds them to a pure player,
//! which answers with effects. The actor carries those out: it tells a node to play, saves a snapshot, edits a message.
//! What comes of it is the next event. Nobody asks a guild, a shard or a node for its state in order to decide.
//!
//! # The modules
//!
//! Lowest first. A module imports only from above it in this list; `tests/it/tidy/layers.rs` has the exact table.
//!
//! * [`model`]: the words that everybody shares: ids, tracks, orders, signals, and what is stored of a player
//! * [`lifecycle`]: readiness, authority that is asked at the act, the wall clock
//! * [`sim`]: a Discord and Lavalink nodes that speak the real wire, with faults and an oracle
//! * [`config`]: settings: defaults, file, environment, flags, each value with its source
//! * [`telemetry`]: logs, traces, metrics and the pages for operators
//! * [`player`]: what one guild's music does next; pure
//! * [`command`]: what people can say, and how it is understood; pure
//! * [`ui`]: what people see; pure
//! * [`store`]: the members, shards, guilds and snapshots, in SQLite or MongoDB
//! * [`lavalink`]: one session per shard and node, its socket, and the calls to it
//! * [`discord`]: REST: replies, messages, permissions, the registration of commands
//! * [`cluster`]: who is a member, what it may do until when, whose shard it takes over
//! * [`gateway`]: one task per shard; events go out in Discord's order
//! * [`guild`]: one actor per guild; carries effects out
//! * [`interact`]: from an interaction to its answer, within Discord's three seconds
//! * [`doctor`]: checks a set-up and says what to do
//! * [`app`]: builds a replica, owns its tasks, takes it down in order
//! * [`demo`]: a cluster on this machine, with a page to watch and break it
//! * [`cli`]: the command line
//!
//! # What always holds
//!
//! 1. [`player`] decides and does nothing else: no async, no clock, no I/O, no randomness that it was not given.
//! 2. A position is an anchor, a place in the track at a moment, and never a number that ticks.
//! 3. A state carries its data. There is no boolean beside an enum that could say otherwise.
//! 4. Authority is asked at every outward act ([`lifecycle::Authority`]) and remembered by nobody.
//! 5. A write names its owner and its epoch, and the store refuses an older one.
//! 6. A person sees an order confirmed only when it is durable.
//! 7. No task is detached, and every queue between tasks has a bound.
//! 8. A shutdown keeps the sessions: the gateway is closed with 4000, and players are left playing.
//! 9. [`sim`] shares no code with the clients that it tests; of the bot it may import [`lifecycle`] alone.
//! 10. A crate of the outside has one owner: only `lavalink/client.rs` names `lavalink_rs`, only [`store`] names a
//!     database, only [`config`] reads the environment.

pub mod app;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod config;
pub mod demo;
pub mod discord;
pub mod doctor;
pub mod gateway;
pub mod guild;
pub mod interact;
pub mod lavalink;
pub mod lifecycle;
pub mod model;
pub mod player;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod ui;
