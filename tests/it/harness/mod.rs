//! A simulated world, a bot as a real process in it, and verbs for what people and machines do.

mod bot;
mod collector;
mod kube;
pub(crate) mod lease_api;
mod proxy;
mod stored;
mod wait;
mod world;

pub(crate) use bot::{Bot, Setup};
pub(crate) use collector::{Collector, Otlp, Span};
pub(crate) use kube::KubeApi;
pub(crate) use proxy::Proxy;
pub(crate) use stored::titles;
pub(crate) use wait::{PACE, eventually, paced, within};
pub(crate) use world::{World, plain};
