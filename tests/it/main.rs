//! Whole behaviour, against the simulator, over real sockets and real processes.

mod lavalink_client;
