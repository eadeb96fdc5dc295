//! Traces by OTLP: silent and free without a collector; a collector that is gone costs a warning, never a wait of
//! more than [`FLUSH`] at the end.

pub(super) mod client;
mod export;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::{Key, KeyValue, global};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::metrics::Metrics;
use crate::config::otel::{Collector, OtelSettings, Protocol};
use client::Client;
use export::Watched;

/// How long the last spans may take to be sent; with what else ends then, less than 3 s.
pub const FLUSH: Duration = Duration::from_millis(2_500);

/// The spans that are exported: our own. Those of the HTTP libraries would trace the export itself.
pub(super) fn ours() -> Targets {
    Targets::new().with_target("segue", LevelFilter::INFO)
}

/// The export of traces.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts the export and installs the propagators; `None` without a collector. Call it inside the runtime.
    pub fn start(
        settings: &OtelSettings,
        member: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Self>, ExporterBuildError> {
        global::set_text_map_propagator(propagators(settings));
        let Some(collector) = &settings.traces else {
            return Ok(None);
        };
        let exporter = Watched::new(exporter(collector)?, Arc::clone(metrics));
        // The library's batches: queue 2,048, 512 spans a batch, 5 s; OTEL_BSP_* changes them.
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(settings, member))
            .with_batch_exporter(exporter)
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Some(Self { provider }))
    }

    /// Where tracers come from.
    pub fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// Sends what is left, for at most [`FLUSH`]; whether all of it was sent.
    pub async fn flush(self) -> bool {
        // It blocks on the exporter's thread, whose requests run on this runtime: never block a worker on it.
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH).is_ok());
        flushed.await.unwrap_or(false)
    }
}

fn exporter(collector: &Collector) -> Result<SpanExporter, ExporterBuildError> {
    match collector.protocol {
        Protocol::Http => SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(collector.timeout)?)
            .with_endpoint(&collector.endpoint)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_timeout(collector.timeout)
            .build(),
        Protocol::Grpc => {
            let mut builder = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(&collector.endpoint)
                .with_timeout(collector.timeout);
            if collector.endpoint.starts_with("https:") {
                let roots = opentelemetry_otlp::tonic_types::transport::ClientTlsConfig::new().with_webpki_roots();
                builder = builder.with_tls_config(roots);
            }
            builder.build()
        }
    }
}

fn propagators(settings: &OtelSettings) -> TextMapCompositePropagator {
    let mut wanted: Vec<Box<dyn TextMapPropagator + Send + Sync>> = Vec::new();
    if settings.trace_context {
        wanted.push(Box::new(TraceContextPropagator::new()));
    }
    if settings.baggage {
        wanted.push(Box::new(BaggagePropagator::new()));
    }
    TextMapCompositePropagator::new(wanted)
}

/// `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES` (which the library reads), else `segue`.
pub(super) fn resource(settings: &OtelSettings, member: &str) -> Resource {
    let found = Resource::builder().build();
    let found = found.get(&Key::from_static_str("service.name"));
    let unknown = found.is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let mut builder = Resource::builder().with_attributes([
        KeyValue::new("service.instance.id", member.to_owned()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    if let Some(name) = &settings.service_name {
        builder = builder.with_service_name(name.clone());
    } else if unknown {
        builder = builder.with_service_name("segue");
    }
    builder.build()
}
