//! What ended and was not sent yet. It is bounded, with the batch that is just being sent, and what does not fit is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::BySignal;

/// How much waits, and whether anybody takes it.
#[derive(Debug)]
pub(super) struct Kept {
    most: usize,
    now: AtomicUsize,
    /// The last attempt to send failed.
    failing: AtomicBool,
    /// Somebody waited in vain for one that is still under way.
    silent: AtomicBool,
    /// The end was tried: providers that share the queue end it once.
    ended: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Kept {
    pub(super) fn new(most: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            most,
            now: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            metrics,
        }
    }

    /// One more; `false` when there is no room.
    fn add(&self) -> bool {
        let more = |now| (now < self.most).then_some(now + 1);
        let fits = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if fits.is_err() {
            self.lost(1);
        }
        fits.is_ok()
    }

    /// These are with the collector, or lost. Returns whether that is news: it worked before, or did not.
    pub(super) fn tried(&self, spans: usize, sent: bool) -> bool {
        self.now.fetch_sub(spans, Ordering::Relaxed);
        if !sent {
            self.lost(spans as u64);
        }
        self.silent.store(false, Ordering::Relaxed);
        self.failing.swap(!sent, Ordering::Relaxed) == sent
    }

    fn lost(&self, spans: u64) {
        let traces = BySignal { signal: "traces" };
        let dropped = &self.metrics.process.telemetry_dropped;
        dropped.get_or_create(&traces).inc_by(spans);
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

/// The library's batches with a bound that holds. Cheap to clone: several providers share one queue.
#[derive(Clone, Debug)]
pub(super) struct Bounded {
    batches: Arc<BatchSpanProcessor>,
    kept: Arc<Kept>,
}

impl Bounded {
    pub(super) fn new(batches: BatchSpanProcessor, kept: Arc<Kept>) -> Self {
        Self {
            batches: Arc::new(batches),
            kept,
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
        if self.kept.ended.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.batches.shutdown_with_timeout(timeout)
    }

    /// It was told to the batches before they were shared.
    fn set_resource(&mut self, _resource: &Resource) {}
}
