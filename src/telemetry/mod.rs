//! What operators see: logs, traces, metrics, pages.

pub mod metrics;
