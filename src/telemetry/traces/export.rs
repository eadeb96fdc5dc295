//! An exporter that counts what is lost and says so once, not with every batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::BySignal;

/// Wraps an exporter.
#[derive(Debug)]
pub(super) struct Watched<E> {
    inner: E,
    metrics: Arc<Metrics>,
    failing: AtomicBool,
}

impl<E> Watched<E> {
    pub(super) fn new(inner: E, metrics: Arc<Metrics>) -> Self {
        Self {
            inner,
            metrics,
            failing: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.inner.export(batch).await;
        match &result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the trace collector answers again");
                }
            }
            Err(error) => {
                let lost = BySignal { signal: "traces" };
                self.metrics
                    .process
                    .telemetry_dropped
                    .get_or_create(&lost)
                    .inc_by(spans);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, spans, "traces cannot be sent; further failures are only counted");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
