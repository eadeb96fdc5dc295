//! An exporter that counts what is lost and says so once, not with every batch.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::telemetry::kept::Kept;

/// Wraps an exporter.
#[derive(Debug)]
pub(super) struct Watched<E> {
    inner: E,
    kept: Arc<Kept>,
}

impl<E> Watched<E> {
    pub(super) fn new(inner: E, kept: Arc<Kept>) -> Self {
        Self { inner, kept }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        let news = self.kept.tried(spans, result.is_ok());
        match &result {
            Ok(()) if news => tracing::info!("the trace collector answers again"),
            Err(error) if news => {
                tracing::warn!(%error, spans, "traces cannot be sent; further failures are only counted");
            }
            Ok(()) | Err(_) => {}
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
