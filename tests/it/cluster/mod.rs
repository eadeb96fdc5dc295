//! Many replicas, real processes on one store: what people hear and how fast they are answered while replicas come, go,
//! die and freeze.

mod deaths;
mod moves;
mod nodes;
mod outages;
mod team;
