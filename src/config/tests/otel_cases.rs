//! What the variables of OpenTelemetry mean here.

use super::World;
use crate::config::otel::Protocol;

#[test]
fn traces_go_where_opentelemetry_says() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<(&'a str, Protocol)>);
    let cases: [Case<'_>; 7] = [
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
fn an_exporter_that_is_known_and_not_supported_sends_nothing_and_an_unknown_one_counts_as_not_set() {
    let cases = [
        ("otlp", true, 0),
        ("", true, 0),
        ("none", false, 0),
        ("console", false, 1),
        ("zipkin", false, 1),
        ("otlp,console", true, 1),
        ("oltp", true, 1),
        ("oltp, none", false, 1),
        ("oltp,console", false, 2),
    ];
    for (exporter, expected, warnings) in cases {
        let world = World::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        let effective = world.env("OTEL_TRACES_EXPORTER", exporter).load();
        assert_eq!(
            effective.warnings.len(),
            warnings,
            "{exporter}: {:?}",
            effective.warnings
        );
        assert_eq!(
            effective.settings.unwrap().otel.traces.is_some(),
            expected,
            "{exporter}"
        );
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
fn over_grpc_a_host_and_a_port_are_enough_and_insecure_says_how_they_are_spoken_to() {
    const ALL: &str = "OTEL_EXPORTER_OTLP_INSECURE";
    const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_INSECURE";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<(&'a str, bool)>, usize);
    let cases: [Case<'_>; 15] = [
        ("c:4317", &[], Some(("https://c:4317", true)), 0),
        ("c", &[], Some(("https://c", true)), 0),
        ("[::1]:4317", &[(ALL, "true")], Some(("http://[::1]:4317", false)), 0),
        ("c:4317", &[(ALL, "TRUE")], Some(("http://c:4317", false)), 0),
        ("c:4317", &[(ALL, "false")], Some(("https://c:4317", true)), 0),
        ("c:4317", &[(ALL, "")], Some(("https://c:4317", true)), 0),
        ("c:4317", &[(ALL, "yes")], Some(("https://c:4317", true)), 1),
        (
            "c:4317",
            &[(ALL, "true"), (OWN, "false")],
            Some(("https://c:4317", true)),
            0,
        ),
        (
            "c:4317",
            &[(ALL, "true"), (OWN, " ")],
            Some(("http://c:4317", false)),
            0,
        ),
        ("http://c:4317", &[(ALL, "false")], Some(("http://c:4317", false)), 0),
        ("HTTPS://c:4317", &[(ALL, "true")], Some(("HTTPS://c:4317", true)), 0),
        ("unix:///run/c", &[], None, 1),
        (":4317", &[], None, 1),
        ("c:port", &[], None, 1),
        ("u:p@c:4317", &[], None, 1),
    ];
    for (endpoint, variables, expected, warnings) in cases {
        let world = variables
            .iter()
            .fold(World::new(), |world, (name, value)| world.env(name, value))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            .env("OTEL_LOGS_EXPORTER", "none")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        let effective = world.load();
        assert_eq!(
            effective.warnings.len(),
            warnings,
            "{endpoint}: {:?}",
            effective.warnings
        );
        let collector = effective.settings.unwrap().otel.traces;
        let found = collector
            .as_ref()
            .map(|collector| (collector.endpoint.as_str(), collector.is_encrypted()));
        assert_eq!(found, expected, "{endpoint} {variables:?}");
    }
}

#[test]
fn the_queues_are_as_long_as_the_library_takes_them_to_be() {
    let queues = |world: World| {
        let otel = world.settings().otel;
        (otel.queue, otel.log_queue)
    };
    assert_eq!(queues(World::new()), (2_048, 2_048));
    let told = World::new()
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "7")
        .env("OTEL_BLRP_MAX_QUEUE_SIZE", "9");
    assert_eq!(queues(told), (7, 9));
}

#[test]
fn what_opentelemetry_has_and_segue_has_not_is_warned_of() {
    let cases = [
        ("OTEL_TRACES_EXPORTER", "console", 1),
        ("OTEL_TRACES_EXPORTER", "otlp", 0),
        ("OTEL_TRACES_EXPORTER", "otlp,oltp", 1),
        ("OTEL_PROPAGATORS", "b3", 1),
        ("OTEL_PROPAGATORS", "none", 1),
        ("OTEL_PROPAGATORS", "baggage", 1),
        ("OTEL_PROPAGATORS", "tracecontext,b3", 1),
        ("OTEL_PROPAGATORS", "tracecontext", 0),
        ("OTEL_PROPAGATORS", "baggage, tracecontext", 0),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", 0),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca", 1),
        ("OTEL_METRICS_EXPORTER", "otlp", 1),
        ("OTEL_METRICS_EXPORTER", "none", 0),
        ("OTEL_LOGS_EXPORTER", "console", 1),
        ("OTEL_LOGS_EXPORTER", "otlp", 0),
        ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "/ca", 1),
        ("OTEL_SDK_DISABLED", "yes", 1),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1", 0),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "1", 0),
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
