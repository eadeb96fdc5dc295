//! What was logged and not sent yet. It is bounded, with the batch that is just being sent, and what does not fit is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogProcessor, SdkLogRecord};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::BySignal;

/// How much waits, and whether anybody takes it.
#[derive(Debug)]
pub(super) struct Kept {
    most: usize,
    now: AtomicUsize,
    /// The last attempt to send failed.
    failing: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Kept {
    pub(super) fn new(most: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            most,
            now: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            metrics,
        }
    }

    /// One more; `false` when there is no room.
    fn add(&self) -> bool {
        let more = |now| (now < self.most).then_some(now + 1);
        self.now
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// These are with the collector, or lost. Returns whether that is news: it worked before, or did not.
    pub(super) fn tried(&self, records: usize, sent: bool) -> bool {
        self.now.fetch_sub(records, Ordering::Relaxed);
        if !sent {
            self.lost(records as u64);
        }
        self.failing.swap(!sent, Ordering::Relaxed) == sent
    }

    fn lost(&self, records: u64) {
        let logs = BySignal { signal: "logs" };
        let dropped = &self.metrics.process.telemetry_dropped;
        dropped.get_or_create(&logs).inc_by(records);
    }
}

/// The library's batches with a bound of ours: theirs drops without a word that a metric could count.
#[derive(Debug)]
pub(super) struct Bounded {
    batches: BatchLogProcessor,
    kept: Arc<Kept>,
    /// Nothing is taken any more.
    ended: AtomicBool,
}

impl Bounded {
    pub(super) fn new(batches: BatchLogProcessor, kept: Arc<Kept>) -> Self {
        Self {
            batches,
            kept,
            ended: AtomicBool::new(false),
        }
    }
}

impl LogProcessor for Bounded {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if !self.ended.load(Ordering::Relaxed) && self.kept.add() {
            self.batches.emit(record, scope);
        } else {
            self.kept.lost(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.ended.store(true, Ordering::Relaxed);
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}
