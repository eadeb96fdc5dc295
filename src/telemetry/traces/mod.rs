//! Traces by OTLP: silent and free without a collector; a collector that is gone costs a warning, never a wait of
//! more than [`FLUSH`] at the end.

pub(super) mod client;
mod export;
mod ids;
mod outlet;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::{Key, KeyValue, global};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, SpanProcessor as _};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::kept::Kept;
use super::metrics::Metrics;
use crate::config::otel::{Collector, OtelSettings, Protocol};
use client::Client;
use export::Watched;
use ids::Ids;
pub(super) use ids::{Given, reserve};
pub(super) use outlet::Outlet;
use queue::Bounded;

/// How long the last spans may take to be sent; with what else ends then, less than 3 s.
pub const FLUSH: Duration = Duration::from_secs(2);

/// The spans that are exported: our own. Those of the HTTP libraries would trace the export itself.
pub(super) fn ours() -> Targets {
    Targets::new().with_target("segue", LevelFilter::INFO)
}

/// The export of traces.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    /// Of the spans that tell recoveries: all of them are kept, whatever `OTEL_TRACES_SAMPLER` says of others.
    recoveries: SdkTracerProvider,
    outlet: Outlet,
}

impl Traces {
    /// Starts the export; `None` without a collector. Call it inside the runtime.
    pub fn start(
        settings: &OtelSettings,
        member: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Self>, ExporterBuildError> {
        let Some(collector) = &settings.traces else {
            return Ok(None);
        };
        let kept = Arc::new(Kept::new("traces", settings.queue, Arc::clone(metrics)));
        let exporter = Watched::new(exporter(collector)?, Arc::clone(&kept));
        let resource = resource(settings, member);
        // The library's batches: 512 spans a batch, 5 s; OTEL_BSP_* changes them.
        let mut batches = BatchSpanProcessor::builder(exporter).build();
        batches.set_resource(&resource);
        let spans = Bounded::new(batches, Arc::clone(&kept));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_span_processor(spans.clone())
            .build();
        let recoveries = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::AlwaysOn)
            .with_id_generator(Ids::default())
            .with_span_processor(spans)
            .build();
        let outlet = Outlet::new(recoveries.clone(), kept);
        Ok(Some(Self {
            provider,
            recoveries,
            outlet,
        }))
    }

    /// From now on `spans` goes here, for the whole process.
    pub(super) fn install(&self) {
        global::set_tracer_provider(self.recoveries.clone());
        super::spans::install(self.outlet.clone());
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
            if collector.is_encrypted() {
                let roots = opentelemetry_otlp::tonic_types::transport::ClientTlsConfig::new().with_webpki_roots();
                builder = builder.with_tls_config(roots);
            }
            builder.build()
        }
    }
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
