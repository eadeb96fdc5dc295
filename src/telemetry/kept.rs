//! How much of a signal waits to be sent. It is bounded, with the batch that is just being sent, and what is lost is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::metrics::Metrics;
use super::metrics::labels::BySignal;

/// Items of one signal that wait, and whether anybody takes them.
#[derive(Debug)]
pub(super) struct Kept {
    signal: BySignal,
    most: usize,
    now: AtomicUsize,
    /// The last attempt to send failed.
    failing: AtomicBool,
    /// Somebody waited in vain for one that is still under way.
    silent: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Kept {
    /// Nothing yet of a signal (`traces`, `logs`), and never more than `most`.
    pub(super) fn new(signal: &'static str, most: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            signal: BySignal { signal },
            most,
            now: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            metrics,
        }
    }

    /// One more; `false` when there is no room, and it is lost.
    pub(super) fn add(&self) -> bool {
        let more = |now| (now < self.most).then_some(now + 1);
        let fits = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if fits.is_err() {
            self.lost(1);
        }
        fits.is_ok()
    }

    /// These are with the collector, or lost. Returns whether that is news: it worked before, or did not.
    pub(super) fn tried(&self, items: usize, sent: bool) -> bool {
        self.now.fetch_sub(items, Ordering::Relaxed);
        if !sent {
            self.lost(items as u64);
        }
        self.silent.store(false, Ordering::Relaxed);
        self.failing.swap(!sent, Ordering::Relaxed) == sent
    }

    /// So many that were never added, or will never be sent.
    pub(super) fn lost(&self, items: u64) {
        let dropped = &self.metrics.process.telemetry_dropped;
        dropped.get_or_create(&self.signal).inc_by(items);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.load(Ordering::Relaxed) == 0
    }

    /// Half of the room is taken.
    pub(super) fn is_filling(&self) -> bool {
        self.now.load(Ordering::Relaxed) >= self.most / 2
    }

    /// Whether it is of no use to wait for the collector.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed) || self.failing.load(Ordering::Relaxed)
    }

    /// Somebody waited in vain.
    pub(super) fn waits(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }
}
