//! The metrics: one struct per concern, all in one explicit registry, so that several replicas fit into one process.
//!
//! Handles are cheap to clone and share what they count. The catalogue (`segue metrics-catalog`) is written while
//! metrics are registered.

pub mod age;
pub mod catalog;
pub mod concerns;
pub mod expose;
pub mod labels;
pub mod ownership;
#[cfg(target_os = "linux")]
mod process;
#[cfg(test)]
mod tests;

use prometheus_client::registry::Registry;

use catalog::{Catalog, Entry};
use concerns::{Discord, Gateway, Lavalink, Process, Recoveries, Snapshots};
use ownership::Ownership;

/// Every metric of one replica.
#[derive(Debug)]
pub struct Metrics {
    /// The process as a whole.
    pub process: Process,
    /// Gateway shards.
    pub gateway: Gateway,
    /// Discord's REST API and what people asked.
    pub discord: Discord,
    /// Lavalink nodes.
    pub lavalink: Lavalink,
    /// Snapshots, auto-save and the store.
    pub snapshots: Snapshots,
    /// Recoveries and what listeners heard of them.
    pub recoveries: Recoveries,
    /// Who leads, and what is whose.
    pub ownership: Ownership,
    registry: Registry,
    entries: Vec<Entry>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::with(|_| ())
    }
}

impl Metrics {
    /// All metrics; `more` may register others.
    pub fn with(more: impl FnOnce(&mut Catalog)) -> Self {
        let mut catalog = Catalog::default();
        let process = Process::register(&mut catalog);
        let gateway = Gateway::register(&mut catalog);
        let discord = Discord::register(&mut catalog);
        let lavalink = Lavalink::register(&mut catalog);
        let snapshots = Snapshots::register(&mut catalog);
        let recoveries = Recoveries::register(&mut catalog);
        let ownership = Ownership::register(&mut catalog);
        more(&mut catalog);
        #[cfg(target_os = "linux")]
        process::register(&mut catalog);
        let (registry, entries) = catalog.finish();
        Self {
            process,
            gateway,
            discord,
            lavalink,
            snapshots,
            recoveries,
            ownership,
            registry,
            entries,
        }
    }

    /// Every metric there is, in the order of registration.
    pub fn catalog(&self) -> &[Entry] {
        &self.entries
    }
}
