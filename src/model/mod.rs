//! The words everyone shares: ids, tracks, positions, records, orders and signals. No async, no I/O, no clock.

pub mod ids;
pub mod message;
pub mod order;
pub mod position;
pub mod record;
pub mod signal;
pub mod track;
pub mod view;
