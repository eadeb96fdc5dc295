//! Whole behaviour, against the simulator, over real sockets and real processes.

mod gateway;
mod rest;
mod sim_lavalink;
mod sim_discord;
