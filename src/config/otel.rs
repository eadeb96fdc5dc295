//! The `OTEL_*` variables that Segue reads itself; the OpenTelemetry library reads the others (`OTEL_BSP_*`,
//! `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, …).
//!
//! As OpenTelemetry asks, a value that is not understood is a warning and then counts as not set
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use std::time::Duration;

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtelSettings {
    /// The collector; `None` sends nothing and costs nothing.
    pub traces: Option<Collector>,
    /// The service's name, when somebody chose one by `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// Whether contexts travel as `traceparent` headers.
    pub trace_context: bool,
    /// Whether baggage travels.
    pub baggage: bool,
}

/// A collector of traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// The whole URL for HTTP; scheme, host and port for gRPC.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// How long one export may take.
    pub timeout: Duration,
}

/// A protocol of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`.
    Http,
    /// `grpc`.
    Grpc,
}

/// Variables of OpenTelemetry that do nothing here, and why; whoever sets them should know.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "own certificates are not supported"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "client certificates are not supported"),
    (
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "client certificates are not supported",
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "own certificates are not supported",
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
        "client certificates are not supported",
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
        "client certificates are not supported",
    ),
    ("OTEL_CONFIG_FILE", "declarative configuration is not supported"),
];

/// Reads what `get` knows of the keys; `environment` is looked through for variables without effect.
pub(super) fn read(
    get: &dyn Fn(&str) -> Option<String>,
    environment: &[(String, String)],
    warnings: &mut Vec<String>,
) -> OtelSettings {
    warn_of_the_rest(environment, warnings);
    let (trace_context, baggage) = propagators(&get("OTEL_PROPAGATORS").unwrap_or_default(), warnings);
    let mut settings = OtelSettings {
        traces: None,
        service_name: get("OTEL_SERVICE_NAME"),
        trace_context,
        baggage,
    };
    if !is_off(get, warnings) {
        settings.traces = collector(get, warnings);
    }
    settings
}

fn is_off(get: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> bool {
    let disabled = get("OTEL_SDK_DISABLED").unwrap_or_default().to_lowercase();
    if !matches!(disabled.as_str(), "" | "true" | "false") {
        warnings.push(format!(
            "OTEL_SDK_DISABLED: {disabled:?} is neither true nor false; taken as false"
        ));
    }
    let exporter = get("OTEL_TRACES_EXPORTER").unwrap_or_default().to_lowercase();
    let wanted: Vec<&str> = exporter
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    for name in &wanted {
        if !matches!(*name, "otlp" | "none") {
            warnings.push(format!(
                "OTEL_TRACES_EXPORTER: {name:?} is not supported; use otlp or none"
            ));
        }
    }
    disabled == "true" || (!wanted.is_empty() && !wanted.contains(&"otlp"))
}

fn collector(get: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> Option<Collector> {
    let protocol_key = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]
        .into_iter()
        .find_map(|key| get(key).map(|value| (key, value)));
    let protocol = match protocol_key.as_ref().map(|(key, value)| (*key, value.as_str())) {
        None | Some((_, "http/protobuf")) => Protocol::Http,
        Some((_, "grpc")) => Protocol::Grpc,
        Some((key, other)) => {
            warnings.push(format!("{key}: {other:?} is not supported; http/protobuf is used"));
            Protocol::Http
        }
    };
    let own = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let (key, endpoint, whole) = match own {
        Some(own) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own, true),
        None => (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            get("OTEL_EXPORTER_OTLP_ENDPOINT")?,
            false,
        ),
    };
    let fits = url::Url::parse(&endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !fits {
        warnings.push(format!("{key}: not an http:// or https:// URL; no traces are sent"));
        return None;
    }
    let endpoint = match (protocol, whole) {
        (Protocol::Http, false) => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        (Protocol::Http, true) | (Protocol::Grpc, _) => endpoint,
    };
    Some(Collector {
        endpoint,
        protocol,
        timeout: timeout(get, warnings),
    })
}

fn timeout(get: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> Duration {
    const USUAL: Duration = Duration::from_secs(10);
    let text = get("OTEL_EXPORTER_OTLP_TIMEOUT").unwrap_or_default();
    match text.parse() {
        Ok(0) => USUAL,
        Ok(milliseconds) => Duration::from_millis(milliseconds),
        Err(_) => {
            warnings.push(format!(
                "OTEL_EXPORTER_OTLP_TIMEOUT: {text:?} is no number of milliseconds; 10000 is used"
            ));
            USUAL
        }
    }
}

fn propagators(list: &str, warnings: &mut Vec<String>) -> (bool, bool) {
    let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    for name in &names {
        if !matches!(*name, "tracecontext" | "baggage" | "none") {
            warnings.push(format!(
                "OTEL_PROPAGATORS: {name:?} is not supported; use tracecontext, baggage or none"
            ));
        }
    }
    if names.contains(&"none") {
        return (false, false);
    }
    (names.contains(&"tracecontext"), names.contains(&"baggage"))
}

fn warn_of_the_rest(environment: &[(String, String)], warnings: &mut Vec<String>) {
    for (name, value) in environment.iter().filter(|(_, value)| !value.trim().is_empty()) {
        if let Some((_, why)) = WITHOUT_EFFECT.iter().find(|(known, _)| known == name) {
            warnings.push(format!("{name} has no effect: {why}"));
        }
        let other = match name.as_str() {
            "OTEL_METRICS_EXPORTER" => "metrics are served at /metrics",
            "OTEL_LOGS_EXPORTER" => "logs are written to the standard error",
            _ => continue,
        };
        if value.trim() != "none" {
            warnings.push(format!("{name} has no effect: {other}"));
        }
    }
}
