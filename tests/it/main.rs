//! Whole behaviour, against the simulator, over real sockets and real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browser;
mod chart;
mod cluster;
mod commands;
mod demo_feed;
mod demo_page;
mod doctor;
mod dst;
mod elector;
mod gateway;
mod harness;
mod health;
mod lavalink_client;
mod model;
mod mongod;
mod rest;
mod restart;
mod settings;
mod sim_discord;
mod sim_document;
mod sim_lavalink;
mod sim_robustness;
mod skip;
mod status_page;
mod store;
mod stories;
mod tidy;
mod traces;
mod versions;
