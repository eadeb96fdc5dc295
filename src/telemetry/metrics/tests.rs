//! What is exposed is what the catalogue says, in both formats.

use std::collections::BTreeSet;
use std::time::Duration;

use super::expose::Format;
use super::labels::{ByInput, Input, Recovered, Trigger};
use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn exercised() -> Metrics {
    let metrics = Metrics::default();
    let recovered = Duration::from_millis(310);
    metrics
        .recoveries
        .ended(Trigger::Crash, Recovered::CarriedOn, recovered, Some(TRACE.to_owned()));
    metrics
        .process
        .bad_input
        .get_or_create(&ByInput {
            source: Input::Lavalink,
        })
        .inc();
    metrics
}

#[test]
fn the_catalogue_has_no_name_twice_and_each_name_is_well_formed() {
    let metrics = Metrics::default();
    let mut names = BTreeSet::new();
    for entry in metrics.catalog() {
        assert!(names.insert(entry.name.clone()), "{} is registered twice", entry.name);
        assert!(
            entry.name.starts_with("segue_") || entry.name.starts_with("process_"),
            "{}",
            entry.name
        );
        assert_eq!(
            entry.kind == "counter",
            entry.name.ends_with("_total"),
            "{}",
            entry.name
        );
        assert!(
            entry.unit != "seconds" || entry.name.contains("_seconds"),
            "{}",
            entry.name
        );
        assert!(
            !entry.labels.iter().any(|label| label.contains("guild")),
            "{}",
            entry.name
        );
    }
}

#[test]
fn what_an_alert_counts_is_there_before_it_happens_for_the_first_time() {
    let text = Metrics::default().expose(Format::OpenMetrics).unwrap();
    for trigger in Trigger::ALL.iter().map(|trigger| trigger.as_str()) {
        let gaps = format!("segue_player_audio_gap_seconds_count{{trigger=\"{trigger}\"}} 0\n");
        assert!(text.contains(&gaps), "{gaps}{text}");
        for outcome in Recovered::ALL.iter().map(|outcome| outcome.as_str()) {
            let of = format!("{{trigger=\"{trigger}\",outcome=\"{outcome}\"}}");
            let ended = format!("segue_guild_recovery_duration_seconds_count{of} 0\n");
            assert!(text.contains(&ended), "{ended}{text}");
        }
    }
    for signal in ["traces", "logs"] {
        let lost = format!("segue_telemetry_dropped_total{{signal=\"{signal}\"}} 0\n");
        assert!(text.contains(&lost), "{lost}{text}");
    }
}

#[test]
fn every_exposed_name_is_in_the_catalogue() {
    let metrics = exercised();
    let text = metrics.expose(Format::Plain).unwrap();
    let typed: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    assert!(typed.len() > 10, "{text}");
    for (name, kind) in typed {
        let entry = metrics.catalog().iter().find(|entry| entry.name == name);
        assert_eq!(entry.map(|entry| entry.kind), Some(kind), "{name}");
    }
}

#[test]
fn openmetrics_carries_the_exemplar_and_the_older_format_does_not() {
    let metrics = exercised();
    let open = metrics.expose(Format::OpenMetrics).unwrap();
    assert!(open.contains(&format!("# {{trace_id=\"{TRACE}\"}} 0.31")), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
    let plain = metrics.expose(Format::Plain).unwrap();
    assert!(
        !plain.contains(TRACE) && !plain.contains("# EOF") && !plain.contains("# UNIT"),
        "{plain}"
    );
    assert!(plain.contains("# TYPE segue_bad_input_total counter"), "{plain}");
    assert!(
        plain.contains("segue_bad_input_total{source=\"lavalink\"} 1\n"),
        "{plain}"
    );
    let bucket =
        "segue_guild_recovery_duration_seconds_bucket{le=\"0.5\",trigger=\"crash\",outcome=\"carried_on\"} 1\n";
    assert!(plain.contains(bucket), "{plain}");
}

#[test]
fn a_label_value_that_looks_like_an_exemplar_stays_whole() {
    let metrics = Metrics::default();
    let reason = "odd \" # {x=\"1\"} \\ end";
    let labels = labels::Reconnect { reason, resumed: true };
    metrics.gateway.reconnects.get_or_create(&labels).inc();
    let plain = metrics.expose(Format::Plain).unwrap();
    let line = plain
        .lines()
        .find(|line| line.starts_with("segue_gateway_reconnects_total"))
        .unwrap();
    assert!(line.ends_with("end\",resumed=\"true\"} 1"), "{line}");
}

#[test]
fn the_format_follows_the_accept_header() {
    let cases = [
        ("", Format::Plain),
        ("*/*", Format::Plain),
        ("text/plain;version=0.0.4", Format::Plain),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::OpenMetrics,
        ),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", Format::Plain),
        ("application/json", Format::Plain),
    ];
    for (accept, expected) in cases {
        assert_eq!(Format::wanted(accept), expected, "{accept}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let text = Metrics::default().expose(Format::Plain).unwrap();
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(value > 0.0 || name.contains("cpu"), "{line}");
    }
}
