//! What was logged and not sent yet, up to a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogProcessor, SdkLogRecord};

use crate::telemetry::kept::Kept;

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
        if self.ended.load(Ordering::Relaxed) {
            self.kept.lost(1);
        } else if self.kept.add() {
            self.batches.emit(record, scope);
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
