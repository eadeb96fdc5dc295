//! Segue: a self-hosted Discord music bot that does not stop when its pods do.

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
