//! Logs by OTLP, beside the lines on the standard error: the same events, with the ids of their trace and span. Silent and
//! free without a collector.

mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter as Otlp, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogBatch, LogExporter, SdkLogRecord, SdkLoggerProvider};
use tracing::Subscriber;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, filter::ParseError};

use super::kept::Kept;
use super::metrics::Metrics;
use super::traces::client::Client;
use super::traces::{FLUSH, resource};
use crate::config::otel::{Collector, OtelSettings, Protocol};
use queue::Bounded;

/// What carries the export must not be exported, or every batch would bring the next one.
const NEVER: &str = ",opentelemetry=off,hyper=off,hyper_util=off,h2=off,tonic=off,tower=off";

/// The export of logs.
#[derive(Debug)]
pub struct Logs {
    provider: SdkLoggerProvider,
}

impl Logs {
    /// Starts the export; `None` without a collector. Call it inside the runtime.
    pub fn start(
        settings: &OtelSettings,
        member: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Self>, ExporterBuildError> {
        let Some(collector) = &settings.logs else {
            return Ok(None);
        };
        let kept = Arc::new(Kept::new("logs", settings.log_queue, Arc::clone(metrics)));
        let exporter = Watched {
            inner: exporter(collector)?,
            kept: Arc::clone(&kept),
        };
        // The library's batches: 512 records a batch, 1 s; OTEL_BLRP_* changes them.
        let batches = BatchLogProcessor::builder(exporter).build();
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource(settings, member))
            .with_log_processor(Bounded::new(batches, kept))
            .build();
        Ok(Some(Self { provider }))
    }

    /// The layer that hands events on, as far as `filter` (that of the lines) lets them through.
    pub fn layer<S>(&self, filter: &str) -> Result<impl Layer<S> + Send + Sync + use<S>, ParseError>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let filter = EnvFilter::builder().parse(format!("{filter}{NEVER}"))?;
        Ok(OpenTelemetryTracingBridge::new(&self.provider).with_filter(filter))
    }

    /// Sends what is left, for at most [`FLUSH`]; whether all of it was sent.
    pub async fn flush(self) -> bool {
        // It blocks on the exporter's thread, whose requests run on this runtime: never block a worker on it.
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH).is_ok());
        flushed.await.unwrap_or(false)
    }
}

fn exporter(collector: &Collector) -> Result<Otlp, ExporterBuildError> {
    match collector.protocol {
        Protocol::Http => Otlp::builder()
            .with_http()
            .with_http_client(Client::new(collector.timeout)?)
            .with_endpoint(&collector.endpoint)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_timeout(collector.timeout)
            .build(),
        Protocol::Grpc => {
            let mut builder = Otlp::builder()
                .with_tonic()
                .with_endpoint(&collector.endpoint)
                .with_timeout(collector.timeout);
            if collector.is_encrypted() {
                let roots = opentelemetry_otlp::tonic_types::transport::ClientTlsConfig::new().with_webpki_roots();
                builder = builder.with_tls_config(roots);
            }
            builder.build()
        }
    }
}

/// Counts what is lost and says so once, not with every batch.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    kept: Arc<Kept>,
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records: Vec<(&SdkLogRecord, &InstrumentationScope)> = batch.iter().collect();
        let result = self.inner.export(LogBatch::new(&records)).await;
        let news = self.kept.tried(records.len(), result.is_ok());
        match &result {
            Ok(()) if news => tracing::info!("the log collector answers again"),
            Err(error) if news => {
                tracing::warn!(%error, "logs cannot be sent; they stand on the standard error, further failures are only counted");
            }
            Ok(()) | Err(_) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
