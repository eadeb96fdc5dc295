//! Many replicas, real processes on one store: what people hear and how fast they are answered while replicas come, go,
//! die and freeze.

mod apart;
mod clocks;
mod deaths;
mod harm;
mod leaving;
mod logins;
mod moves;
mod nodes;
mod outages;
mod preload;
mod team;
mod traces;
mod tree;
