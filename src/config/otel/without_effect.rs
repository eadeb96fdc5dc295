//! What OpenTelemetry has and Segue has not; whoever sets it should know.

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

/// Looks through the environment for them.
pub(super) fn warn_of_variables(environment: &[(String, String)], warnings: &mut Vec<String>) {
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

/// Trace contexts stand as `traceparent` in the rows that replicas share, or a recovery could not be told by one trace;
/// and no baggage is ever made. So a list that has `tracecontext` in it is followed whatever it says of baggage.
pub(super) fn warn_of_propagators(list: &str, warnings: &mut Vec<String>) {
    let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let followed =
        names.contains(&"tracecontext") && names.iter().all(|name| matches!(*name, "tracecontext" | "baggage"));
    if !followed {
        warnings.push(format!(
            "OTEL_PROPAGATORS: {list:?} has no effect: trace contexts always travel as tracecontext, and nothing else does"
        ));
    }
}
