//! What operators see: logs, traces, metrics, pages. Imported by `app` and `cli` only; everybody else is given handles.

pub mod health;
pub mod http;
mod kept;
pub mod logging;
pub mod logs;
pub mod metrics;
pub mod spans;
pub mod traces;

use std::sync::Arc;

use opentelemetry::trace::TracerProvider as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::{LogSettings, otel::OtelSettings};
use logs::Logs;
use metrics::Metrics;
use traces::Traces;

/// Logs and traces of this process, until [`Telemetry::flush`].
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<Traces>,
    logs: Option<Logs>,
}

/// Why logs or traces cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The filter does not parse; settings that were loaded have one that does.
    #[error("the log filter does not parse")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter of traces or logs cannot be built.
    #[error("traces or logs cannot be exported")]
    Export(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Somebody else set the process's subscriber.
    #[error("logging was started twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Starts logging and, when a collector is set, the export of traces and logs, for the whole process. Call it inside the runtime.
    /// `member` is this incarnation's id.
    pub fn start(
        log: &LogSettings,
        otel: &OtelSettings,
        member: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let traces = Traces::start(otel, member, metrics)?;
        if let Some(traces) = &traces {
            traces.install();
        }
        let spans = traces.as_ref().map(|traces| {
            tracing_opentelemetry::layer()
                .with_tracer(traces.provider().tracer("segue"))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(traces::ours())
        });
        let logs = Logs::start(otel, member, metrics)?;
        // Behind the spans, so that a record knows which one it belongs to.
        let records = logs.as_ref().map(|logs| logs.layer(&log.filter)).transpose()?;
        let lines = logging::layer(log, std::io::stderr)?;
        Registry::default().with(spans).with(records).with(lines).try_init()?;
        Ok(Self { traces, logs })
    }

    /// Sends what is left, for at most [`traces::FLUSH`]; whether all of it was sent.
    pub async fn flush(self) -> bool {
        let traces = async {
            match self.traces {
                Some(traces) => traces.flush().await,
                None => true,
            }
        };
        let logs = async {
            match self.logs {
                Some(logs) => logs.flush().await,
                None => true,
            }
        };
        let (traces, logs) = tokio::join!(traces, logs);
        traces && logs
    }
}
