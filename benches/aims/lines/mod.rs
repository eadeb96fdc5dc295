//! The lines, one file each. A new one is a file with a `LINE` and an entry in [`ALL`]; `docs/benchmarks.md` explains it.

mod autosave;
mod cluster;
mod events;
mod joins;
mod memory;
mod restore;
mod simulator;
mod telemetry;
mod volume;

use std::pin::Pin;

use crate::figure::Outcome;

/// What runs when a line is measured. It may panic: then the line failed.
pub(crate) type Measuring = Pin<Box<dyn Future<Output = Outcome>>>;

/// A line of the table, which may have several figures.
pub(crate) struct Line {
    /// As it is asked for.
    pub(crate) name: &'static str,
    /// One sentence for `--list`.
    pub(crate) about: &'static str,
    /// Measures it.
    pub(crate) run: fn() -> Measuring,
}

/// All, in the order in which they are measured.
pub(crate) const ALL: &[Line] = &[
    events::LINE,
    memory::LINE,
    volume::LINE,
    autosave::LINE,
    restore::LINE,
    joins::LINE,
    telemetry::LINE,
    telemetry::instructions::LINE,
    simulator::LINE,
    cluster::deaths::LINE,
    cluster::roll::LINE,
    cluster::frozen::LINE,
    cluster::nodes::LINE,
    cluster::outage::LINE,
    cluster::cost::LINE,
];
