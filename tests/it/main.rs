//! Whole behaviour, against the simulator, over real sockets and real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browser;
mod chart;
mod commands;
mod demo_feed;
mod demo_page;
mod doctor;
mod gateway;
mod harness;
mod health;
mod lavalink_client;
mod mongod;
mod rest;
mod restart;
mod settings;
mod sim_discord;
mod sim_lavalink;
mod skip;
mod store;
mod tidy;
mod traces;
