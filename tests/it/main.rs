//! Whole behaviour, against the simulator, over real sockets and real processes.

mod mongod;
mod skip;
mod store;
