//! Whole behaviour, against the simulator, over real sockets and real processes.

mod gateway;
mod rest;
mod sim_lavalink;
mod sim_discord;
mod browser;
mod demo_feed;
mod demo_page;
mod mongod;
mod skip;
mod store;
mod lavalink_client;
