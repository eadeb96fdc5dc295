//! Logs by OTLP, beside the lines on the standard error: the same events, with the ids of their trace and span. Silent and
//! free without a collector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter as Otlp, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLogRecord, SdkLoggerProvider};
use tracing::Subscriber;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, filter::ParseError};

use super::metrics::Metrics;
use super::metrics::labels::BySignal;
use super::traces::client::Client;
use super::traces::{FLUSH, resource};
use crate::config::otel::{Collector, OtelSettings, Protocol};

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
        let exporter = Watched {
            inner: exporter(collector)?,
            metrics: Arc::clone(metrics),
            failing: AtomicBool::new(false),
        };
        // The library's batches: queue 2,048, 512 records a batch, 1 s; OTEL_BLRP_* changes them.
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource(settings, member))
            .with_batch_exporter(exporter)
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
            if collector.endpoint.starts_with("https:") {
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
    metrics: Arc<Metrics>,
    failing: AtomicBool,
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records: Vec<(&SdkLogRecord, &InstrumentationScope)> = batch.iter().collect();
        let result = self.inner.export(LogBatch::new(&records)).await;
        match &result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the log collector answers again");
                }
            }
            Err(error) => {
                let lost = BySignal { signal: "logs" };
                let dropped = &self.metrics.process.telemetry_dropped;
                dropped.get_or_create(&lost).inc_by(records.len() as u64);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "logs cannot be sent; they stand on the standard error, further failures are only counted");
                }
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::body::Bytes;
    use axum::extract::State;
    use axum::routing::post;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    type Received = Arc<Mutex<Vec<u8>>>;

    async fn collector(tasks: &mut JoinSet<()>) -> (String, Received) {
        let received = Received::default();
        let take = |State(received): State<Received>, body: Bytes| async move {
            received.lock().unwrap().extend_from_slice(&body);
        };
        let app = axum::Router::new()
            .route("/v1/logs", post(take))
            .with_state(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (format!("http://{address}/v1/logs"), received)
    }

    fn settings(endpoint: String) -> OtelSettings {
        OtelSettings {
            logs: Some(Collector {
                endpoint,
                protocol: Protocol::Http,
                timeout: Duration::from_secs(10),
            }),
            ..OtelSettings::default()
        }
    }

    fn contains(haystack: &[u8], needle: &[u8]) -> bool {
        haystack.windows(needle.len()).any(|window| window == needle)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_arrives_with_its_fields_and_its_trace_and_what_is_filtered_does_not() {
        let mut tasks = JoinSet::new();
        let (endpoint, received) = collector(&mut tasks).await;
        let logs = Logs::start(&settings(endpoint), "member-7", &Arc::default())
            .unwrap()
            .unwrap();
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(tracer))
            .with(logs.layer("info").unwrap());
        let mut trace = Vec::new();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("guild.recover").in_scope(|| {
                use opentelemetry::trace::TraceContextExt as _;
                let context = opentelemetry::Context::current();
                trace.extend(context.span().span_context().trace_id().to_bytes());
                tracing::warn!(took_ms = 7, "the node is slow");
            });
            tracing::debug!("a detail");
            tracing::error!(target: "hyper_util::client", "a connection");
        });
        assert!(logs.flush().await);
        let bytes = received.lock().unwrap().clone();
        for expected in [
            &b"the node is slow"[..],
            b"took_ms",
            b"WARN",
            b"member-7",
            b"segue",
            &trace,
        ] {
            assert!(contains(&bytes, expected), "{expected:?} is missing");
        }
        for unwanted in [&b"a detail"[..], b"a connection"] {
            assert!(!contains(&bytes, unwanted), "{unwanted:?} was sent");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refusing_port_loses_the_records_counts_them_and_ends_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/logs", listener.local_addr().unwrap());
        drop(listener);
        let metrics = Arc::<Metrics>::default();
        let logs = Logs::start(&settings(endpoint), "m", &metrics).unwrap().unwrap();
        let subscriber = tracing_subscriber::registry().with(logs.layer("info").unwrap());
        tracing::subscriber::with_default(subscriber, || tracing::info!("lost"));
        let began = tokio::time::Instant::now();
        logs.flush().await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let lost = BySignal { signal: "logs" };
        assert_eq!(metrics.process.telemetry_dropped.get_or_create(&lost).get(), 1);
    }

    #[tokio::test]
    async fn without_a_collector_nothing_is_started() {
        let settings = OtelSettings::default();
        assert!(Logs::start(&settings, "m", &Arc::default()).unwrap().is_none());
    }
}
