//! Whole behaviour, against the simulator, over real sockets and real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod health;
mod settings;
