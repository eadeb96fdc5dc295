//! The `OTEL_*` variables that Segue reads itself; the OpenTelemetry library reads the others (`OTEL_BSP_*`,
//! `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, …).
//!
//! As OpenTelemetry asks, a value that is not understood is a warning and then counts as not set
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

mod without_effect;

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
    /// Most spans that are kept while the collector does not take them: `OTEL_BSP_MAX_QUEUE_SIZE`.
    pub queue: usize,
    /// Most log records that are kept while the collector does not take them: `OTEL_BLRP_MAX_QUEUE_SIZE`.
    pub log_queue: usize,
}

/// What `OTEL_BSP_MAX_QUEUE_SIZE` and `OTEL_BLRP_MAX_QUEUE_SIZE` are when nobody says (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor>).
const QUEUE: usize = 2_048;

impl Default for OtelSettings {
    fn default() -> Self {
        Self {
            traces: None,
            logs: None,
            service_name: None,
            queue: QUEUE,
            log_queue: QUEUE,
        }
    }
}

/// A collector of one signal.
#[derive(Clone, PartialEq, Eq)]
pub struct Collector {
    /// The whole URL for HTTP; scheme, host and port for gRPC.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// How long one export may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector")
            .field("endpoint", &super::show::without_user(&self.endpoint))
            .field("protocol", &self.protocol)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Collector {
    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        let scheme = self.endpoint.split_once("://").map_or("", |(scheme, _)| scheme);
        scheme.eq_ignore_ascii_case("https")
    }
}

/// A protocol of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`.
    Http,
    /// `grpc`.
    Grpc,
}

impl Protocol {
    /// What is wrong with an endpoint that is none.
    fn expected(self) -> &'static str {
        match self {
            Self::Http => "not an http:// or https:// URL",
            Self::Grpc => "neither HOST:PORT nor an http:// or https:// URL",
        }
    }
}

/// What is sent, and the names of the variables that are only about it.
struct Signal {
    name: &'static str,
    path: &'static str,
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
    timeout: &'static str,
    insecure: &'static str,
}

const TRACES: Signal = Signal {
    name: "traces",
    path: "/v1/traces",
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    timeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    insecure: "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
};
const LOGS: Signal = Signal {
    name: "logs",
    path: "/v1/logs",
    exporter: "OTEL_LOGS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    timeout: "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
    insecure: "OTEL_EXPORTER_OTLP_LOGS_INSECURE",
};

/// Exporters that OpenTelemetry knows and Segue has not.
const UNSUPPORTED: [&str; 6] = ["console", "logging", "otlp/stdout", "zipkin", "jaeger", "prometheus"];

/// Reads what `get` knows of the keys; `environment` is looked through for variables without effect.
pub(super) fn read(
    get: &dyn Fn(&str) -> Option<String>,
    environment: &[(String, String)],
    warnings: &mut Vec<String>,
) -> OtelSettings {
    without_effect::warn_of_variables(environment, warnings);
    without_effect::warn_of_propagators(&get("OTEL_PROPAGATORS").unwrap_or_default(), warnings);
    let disabled = is_disabled(get, warnings);
    let mut signal = |signal: &Signal| {
        let wanted = is_wanted(signal, get, warnings) && !disabled;
        wanted.then(|| collector(signal, get, environment, warnings)).flatten()
    };
    OtelSettings {
        traces: signal(&TRACES),
        logs: signal(&LOGS),
        service_name: get("OTEL_SERVICE_NAME"),
        queue: queue("OTEL_BSP_MAX_QUEUE_SIZE", environment),
        log_queue: queue("OTEL_BLRP_MAX_QUEUE_SIZE", environment),
    }
}

/// As the library reads it, which has a queue of that size beneath.
fn queue(key: &str, environment: &[(String, String)]) -> usize {
    let told = environment.iter().find(|(name, _)| name == key);
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

/// An exporter that is known but not supported sends nothing: whoever chose it does not want OTLP. A name that nobody knows
/// is not understood, and counts as not set.
fn is_wanted(signal: &Signal, get: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> bool {
    let exporter = get(signal.exporter).unwrap_or_default().to_lowercase();
    let names = exporter.split(',').map(str::trim).filter(|name| !name.is_empty());
    let (mut understood, mut wanted) = (false, false);
    for name in names {
        let key = signal.exporter;
        match name {
            "otlp" => wanted = true,
            "none" => {}
            name if UNSUPPORTED.contains(&name) => {
                warnings.push(format!("{key}: {name:?} is not supported; use otlp or none"));
            }
            unknown => {
                warnings.push(format!(
                    "{key}: {unknown:?} is not known and counts as not set; use otlp or none"
                ));
                continue;
            }
        }
        understood = true;
    }
    wanted || !understood
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
    let endpoint = match protocol {
        Protocol::Http => endpoint,
        Protocol::Grpc => with_scheme(endpoint, || is_insecure(signal, environment, warnings)),
    };
    let fits = url::Url::parse(&endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !fits {
        let (name, expected) = (signal.name, protocol.expected());
        warnings.push(format!("{key}: {expected}; no {name} are sent"));
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

/// As the specification and the library have it: what carries a scheme is left to it, anything else is a host and a port.
fn with_scheme(endpoint: String, is_insecure: impl FnOnce() -> bool) -> String {
    let has_scheme = endpoint
        .split_once("://")
        .is_some_and(|(scheme, _)| !scheme.contains(['/', '?', '#']));
    // Who writes a password before the host must say how it is sent; it is masked in a URL only.
    if has_scheme || endpoint.contains('@') {
        return endpoint;
    }
    format!("{}://{endpoint}", if is_insecure() { "http" } else { "https" })
}

/// Whether what has no scheme is spoken to without TLS. Known to the environment only.
fn is_insecure(signal: &Signal, environment: &[(String, String)], warnings: &mut Vec<String>) -> bool {
    let said = [signal.insecure, "OTEL_EXPORTER_OTLP_INSECURE"]
        .into_iter()
        .find_map(|key| {
            let mut set = environment.iter().filter(|(_, value)| !value.trim().is_empty());
            set.find(|(name, _)| name == key)
        });
    let Some((key, value)) = said else {
        return false;
    };
    let value = value.trim().to_lowercase();
    if !matches!(value.as_str(), "true" | "false") {
        let warning = format!("{key}: {value:?} is neither true nor false; taken as false");
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    value == "true"
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
