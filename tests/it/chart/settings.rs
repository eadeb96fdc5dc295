//! The chart's `config` and the bot's settings are the same list: there is one way to say a thing.

use std::collections::BTreeSet;

use segue::config::keys::{Exposure, KEYS};

use super::values::schema;

/// Settings that the chart says itself; OpenTelemetry's are said under `otel`.
const OWNED: &[&str] = &[
    "discord_token",
    "store",
    "lavalink_nodes",
    "name",
    "lease",
    "http_listen",
    "peer_listen",
    "peer_advertise",
];

fn owned(key: &str) -> bool {
    OWNED.contains(&key) || key.starts_with("otel_")
}

#[test]
fn every_setting_is_taken_under_config_or_said_by_the_chart_and_no_other() {
    let schema = schema();
    let known = schema["properties"]["config"]["properties"].as_object().unwrap();
    let refused = |name: &str| {
        known[name]["description"]
            .as_str()
            .is_some_and(|text| text.starts_with("Refused"))
    };
    let settings: BTreeSet<String> = KEYS.iter().map(segue::config::keys::Key::in_file).collect();
    let listed: BTreeSet<String> = known.keys().cloned().collect();
    assert_eq!(
        listed, settings,
        "charts/segue/values.schema.json and src/config/keys.rs differ"
    );
    for name in &settings {
        assert_eq!(refused(name), owned(name), "{name}");
    }
}

#[test]
fn no_secret_can_be_written_into_the_values() {
    for key in KEYS.iter().filter(|key| key.exposure != Exposure::Plain) {
        assert!(owned(&key.in_file()), "{} may hold a secret", key.env);
    }
}
