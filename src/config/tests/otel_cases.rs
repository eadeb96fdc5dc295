//! What the variables of OpenTelemetry mean here.

use super::World;
use crate::config::otel::Protocol;

#[test]
fn traces_go_where_opentelemetry_says() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<(&'a str, Protocol)>);
    let cases: [Case<'_>; 9] = [
        (&[], None),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/")],
            Some(("http://c:4318/v1/traces", Protocol::Http)),
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/x"),
            ],
            Some(("http://d/x", Protocol::Http)),
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ],
            Some(("http://c:4317", Protocol::Grpc)),
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ],
            Some(("http://c/v1/traces", Protocol::Http)),
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
                ("OTEL_SDK_DISABLED", "TRUE"),
            ],
            None,
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
                ("OTEL_TRACES_EXPORTER", "none"),
            ],
            None,
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
                ("OTEL_TRACES_EXPORTER", "console"),
            ],
            None,
        ),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317")], None),
    ];
    for (variables, expected) in cases {
        let world = variables
            .iter()
            .fold(World::new(), |world, (name, value)| world.env(name, value));
        let collector = world.settings().otel.traces;
        let found = collector
            .as_ref()
            .map(|collector| (collector.endpoint.as_str(), collector.protocol));
        assert_eq!(found, expected, "{variables:?}");
    }
}

#[test]
fn logs_go_the_same_way_unless_they_are_told_apart() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, Option<&'a str>);
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    let (traces, logs) = (Some("http://c:4318/v1/traces"), Some("http://c:4318/v1/logs"));
    let cases: [Case<'_>; 6] = [
        (&[all], traces, logs),
        (&[all, ("OTEL_LOGS_EXPORTER", "none")], traces, None),
        (&[all, ("OTEL_TRACES_EXPORTER", "none")], None, logs),
        (&[all, ("OTEL_SDK_DISABLED", "true")], None, None),
        (
            &[all, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://d/x")],
            traces,
            Some("http://d/x"),
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://d"),
                ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
            ],
            None,
            Some("http://d"),
        ),
    ];
    for (variables, traces, logs) in cases {
        let world = variables
            .iter()
            .fold(World::new(), |world, (name, value)| world.env(name, value));
        let otel = world.settings().otel;
        let at = |collector: &Option<crate::config::otel::Collector>| {
            collector.as_ref().map(|collector| collector.endpoint.clone())
        };
        assert_eq!(at(&otel.traces).as_deref(), traces, "{variables:?}");
        assert_eq!(at(&otel.logs).as_deref(), logs, "{variables:?}");
    }
}

#[test]
fn what_opentelemetry_has_and_segue_has_not_is_warned_of() {
    let cases = [
        ("OTEL_TRACES_EXPORTER", "console", 1),
        ("OTEL_TRACES_EXPORTER", "otlp", 0),
        ("OTEL_PROPAGATORS", "b3", 1),
        ("OTEL_PROPAGATORS", "tracecontext", 0),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", 0),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca", 1),
        ("OTEL_METRICS_EXPORTER", "otlp", 1),
        ("OTEL_METRICS_EXPORTER", "none", 0),
        ("OTEL_LOGS_EXPORTER", "console", 1),
        ("OTEL_LOGS_EXPORTER", "otlp", 0),
        ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "/ca", 1),
        ("OTEL_SDK_DISABLED", "yes", 1),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1", 0),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", 1),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none", 0),
    ];
    for (name, value, expected) in cases {
        let effective = World::new().env(name, value).load();
        let collectorless = name == "OTEL_EXPORTER_OTLP_PROTOCOL";
        assert!(effective.settings.is_some());
        assert_eq!(
            effective.warnings.len(),
            expected + usize::from(collectorless),
            "{name}={value} {:?}",
            effective.warnings
        );
    }
}
