//! Whole behaviour, against the simulator, over real sockets and real processes.

mod browser;
mod demo_feed;
mod demo_page;
