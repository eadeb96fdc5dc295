//! What ended and was not sent yet, up to a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

use crate::telemetry::kept::Kept;

/// The library's batches with a bound that holds. Cheap to clone: several providers share one queue.
#[derive(Clone, Debug)]
pub(super) struct Bounded {
    batches: Arc<BatchSpanProcessor>,
    kept: Arc<Kept>,
    /// The end was tried: providers that share the queue end it once.
    ended: Arc<AtomicBool>,
}

impl Bounded {
    pub(super) fn new(batches: BatchSpanProcessor, kept: Arc<Kept>) -> Self {
        Self {
            batches: Arc::new(batches),
            kept,
            ended: Arc::default(),
        }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.kept.add() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        if self.ended.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.batches.shutdown_with_timeout(timeout)
    }

    /// It was told to the batches before they were shared.
    fn set_resource(&mut self, _resource: &Resource) {}
}
