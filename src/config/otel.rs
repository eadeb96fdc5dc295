//! The `OTEL_*` variables that Segue reads itself; the OpenTelemetry library reads the others (`OTEL_BSP_*`,
//! `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, …).
//!
//! As OpenTelemetry asks, a value that is not understood is a warning and then counts as not set
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use std::time::Duration;

/// Where traces and logs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtelSettings {
    /// The collector of traces; `None` sends nothing and costs nothing.
    pub traces: Option<Collector>,
    /// The collector of logs; `None` leaves them to the standard error, where they are in any case.
    pub logs: Option<Collector>,
    /// The service's name, when somebody chose one by `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// Whether contexts travel as `traceparent` headers.
    pub trace_context: bool,
    /// Whether baggage travels.
    pub baggage: bool,
    /// Most spans that are kept while the collector does not take them: `OTEL_BSP_MAX_QUEUE_SIZE`.
    pub queue: usize,
}

/// What `OTEL_BSP_MAX_QUEUE_SIZE` is when nobody says (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor>).
const QUEUE: usize = 2_048;

impl Default for OtelSettings {
    fn default() -> Self {
        Self {
            traces: None,
            logs: None,
            service_name: None,
            trace_context: false,
            baggage: false,
            queue: QUEUE,
        }
    }
}

/// A collector of one signal.
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

/// What is sent, and the names of the variables that are only about it.
struct Signal {
    name: &'static str,
    path: &'static str,
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
    timeout: &'static str,
}

const TRACES: Signal = Signal {
    name: "traces",
    path: "/v1/traces",
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    timeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
};
const LOGS: Signal = Signal {
    name: "logs",
    path: "/v1/logs",
    exporter: "OTEL_LOGS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    timeout: "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
};

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
    (
        "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
        "own certificates are not supported",
    ),
    (
        "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
        "client certificates are not supported",
    ),
    (
        "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
        "client certificates are not supported",
    ),
    ("OTEL_CONFIG_FILE", "declarative configuration is not supported"),
];

const COMPRESSION: [&str; 3] = [
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
];

/// Reads what `get` knows of the keys; `environment` is looked through for variables without effect.
pub(super) fn read(
    get: &dyn Fn(&str) -> Option<String>,
    environment: &[(String, String)],
    warnings: &mut Vec<String>,
) -> OtelSettings {
    warn_of_the_rest(environment, warnings);
    let (trace_context, baggage) = propagators(&get("OTEL_PROPAGATORS").unwrap_or_default(), warnings);
    let disabled = is_disabled(get, warnings);
    let mut signal = |signal: &Signal| {
        let wanted = is_wanted(signal, get, warnings) && !disabled;
        wanted.then(|| collector(signal, get, environment, warnings)).flatten()
    };
    OtelSettings {
        traces: signal(&TRACES),
        logs: signal(&LOGS),
        service_name: get("OTEL_SERVICE_NAME"),
        trace_context,
        baggage,
        queue: queue(environment),
    }
}

/// As the library reads it, which has a queue of that size beneath.
fn queue(environment: &[(String, String)]) -> usize {
    let told = environment.iter().find(|(name, _)| name == "OTEL_BSP_MAX_QUEUE_SIZE");
    told.and_then(|(_, value)| value.parse().ok()).unwrap_or(QUEUE)
}

fn is_disabled(get: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> bool {
    let disabled = get("OTEL_SDK_DISABLED").unwrap_or_default().to_lowercase();
    if !matches!(disabled.as_str(), "" | "true" | "false") {
        warnings.push(format!(
            "OTEL_SDK_DISABLED: {disabled:?} is neither true nor false; taken as false"
        ));
    }
    disabled == "true"
}

fn is_wanted(signal: &Signal, get: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> bool {
    let exporter = get(signal.exporter).unwrap_or_default().to_lowercase();
    let wanted: Vec<&str> = exporter
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    for name in &wanted {
        if !matches!(*name, "otlp" | "none") {
            warnings.push(format!(
                "{}: {name:?} is not supported; use otlp or none",
                signal.exporter
            ));
        }
    }
    wanted.is_empty() || wanted.contains(&"otlp")
}

fn collector(
    signal: &Signal,
    get: &dyn Fn(&str) -> Option<String>,
    environment: &[(String, String)],
    warnings: &mut Vec<String>,
) -> Option<Collector> {
    let protocol = protocol(signal, get, warnings);
    let (key, endpoint, whole) = match get(signal.endpoint) {
        Some(own) => (signal.endpoint, own, true),
        None => (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            get("OTEL_EXPORTER_OTLP_ENDPOINT")?,
            false,
        ),
    };
    let fits = url::Url::parse(&endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !fits {
        let name = signal.name;
        warnings.push(format!("{key}: not an http:// or https:// URL; no {name} are sent"));
        return None;
    }
    let endpoint = match (protocol, whole) {
        (Protocol::Http, false) => format!("{}{}", endpoint.trim_end_matches('/'), signal.path),
        (Protocol::Http, true) | (Protocol::Grpc, _) => endpoint,
    };
    Some(Collector {
        endpoint,
        protocol,
        timeout: timeout(signal, get, environment, warnings),
    })
}

fn protocol(signal: &Signal, get: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> Protocol {
    let found = [signal.protocol, "OTEL_EXPORTER_OTLP_PROTOCOL"]
        .into_iter()
        .find_map(|key| get(key).map(|value| (key, value)));
    match found.as_ref().map(|(key, value)| (*key, value.as_str())) {
        None | Some((_, "http/protobuf")) => Protocol::Http,
        Some((_, "grpc")) => Protocol::Grpc,
        Some((key, other)) => {
            let warning = format!("{key}: {other:?} is not supported; http/protobuf is used");
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            Protocol::Http
        }
    }
}

/// That of the signal is known to the environment only.
fn timeout(
    signal: &Signal,
    get: &dyn Fn(&str) -> Option<String>,
    environment: &[(String, String)],
    warnings: &mut Vec<String>,
) -> Duration {
    const USUAL: Duration = Duration::from_secs(10);
    let own = environment
        .iter()
        .find(|(name, value)| name == signal.timeout && !value.trim().is_empty());
    let (key, text) = match own {
        Some((key, text)) => (key.as_str(), text.clone()),
        None => (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            get("OTEL_EXPORTER_OTLP_TIMEOUT").unwrap_or_default(),
        ),
    };
    match text.parse() {
        Ok(0) => USUAL,
        Ok(milliseconds) => Duration::from_millis(milliseconds),
        Err(_) => {
            let warning = format!("{key}: {text:?} is no number of milliseconds; 10000 is used");
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
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
        if name == "OTEL_METRICS_EXPORTER" && value.trim() != "none" {
            warnings.push(format!("{name} has no effect: metrics are served at /metrics"));
        }
        if COMPRESSION.contains(&name.as_str()) && value.trim() != "none" {
            warnings.push(format!("{name} has no effect: nothing is compressed"));
        }
    }
}
