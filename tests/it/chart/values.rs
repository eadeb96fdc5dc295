//! C01 to C10: the schema, the documentation of values, and what is refused.

#[path = "../../../xtask/src/chart/documented.rs"]
mod documented;

use std::process::Command;

use serde_json::Value;

use super::programs;
use super::render::{Chart, KUBERNETES, names, of_kind, read};
use crate::skip::skip;

/// The names of the files in `ci/`, without their ending.
pub(super) fn ci() -> Vec<String> {
    let names = names("charts/segue/ci");
    names
        .iter()
        .map(|name| name.strip_suffix("-values.yaml").unwrap().to_owned())
        .collect()
}

pub(super) fn schema() -> Value {
    serde_json::from_str(&read("charts/segue/values.schema.json")).unwrap()
}

/// Validates a text of YAML for one version of Kubernetes; `false`, said aloud, when there is no validator.
pub(super) fn validated(text: &str, version: &str) -> bool {
    let Some(modules) = programs::validator() else {
        skip("manifests against Kubernetes' schemas: no kubernetes-validate; run `cargo xtask test`");
        return false;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, text).unwrap();
    let minor = version.rsplit_once('.').unwrap().0;
    let ended = Command::new("python3")
        .args([
            "-m",
            "kubernetes_validate",
            "--strict",
            "--no-warn",
            "--quiet",
            "-k",
            minor,
        ])
        .arg(&file)
        .env("PYTHONPATH", modules)
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    assert!(
        ended.status.success(),
        "Kubernetes {version}: {}",
        String::from_utf8_lossy(&said)
    );
    true
}

#[test]
fn c01_the_schema_is_strict_at_the_root_and_lets_parent_charts_speak() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    for open in ["global", "enabled", "tags"] {
        assert!(schema["properties"][open].is_object(), "{open}");
    }
    assert_ne!(schema["properties"]["global"]["additionalProperties"], false);
}

#[test]
fn c02_a_typo_is_refused_and_named_at_every_depth() {
    let Some(chart) = Chart::here() else { return };
    for (typo, named) in [
        ("nosuchkey=1", "nosuchkey"),
        ("discord.exisitngSecret=a", "exisitngSecret"),
        ("lavalink.image.tga=4.2.2", "tga"),
        ("lavalink.external[0].nmae=a", "nmae"),
        ("metrics.podMonitor.enable=true", "enable"),
        ("config.restore_maxage=1h", "restore_maxage"),
        ("resources.limit.memory=1Gi", "limit"),
    ] {
        let words = chart.refused(&[typo]);
        assert!(words.contains(&format!("'{named}' not allowed")), "{typo}: {words}");
    }
}

#[test]
fn c03_it_works_below_a_parent_chart() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(&["global.anything=1", "enabled=true", "tags.music=true"]);
    assert!(!objects.is_empty());
}

#[test]
fn c04_helm_lint_finds_nothing() {
    let Some(chart) = Chart::here() else { return };
    for file in ci() {
        let values = format!("charts/segue/ci/{file}-values.yaml");
        let ended = chart.helm(&["lint", "--strict", "charts/segue", "-f", &values]);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !said.contains("[WARNING]"), "{file}: {said}");
    }
}

#[test]
fn c05_every_file_of_values_renders_what_the_oldest_and_the_newest_kubernetes_accept() {
    let Some(chart) = Chart::here() else { return };
    let all: String = ci().iter().map(|file| chart.text(file, &[])).collect();
    for version in KUBERNETES {
        if !validated(&all, version) {
            return;
        }
    }
    // The validator must be able to say no.
    let wrong = all.replace("podManagementPolicy: Parallel", "podManagementPolice: Parallel");
    assert!(std::panic::catch_unwind(|| validated(&wrong, KUBERNETES[1])).is_err());
}

#[test]
fn c06_the_page_is_what_the_values_say() {
    let page = documented::page(&read("charts/segue/values.yaml")).unwrap();
    let there = read("charts/segue/README.md");
    assert_eq!(there, page, "run `cargo xtask chart-docs`");
}

#[test]
fn c07_every_value_is_documented_and_in_the_schema() {
    let entries = documented::entries(&read("charts/segue/values.yaml")).unwrap();
    let schema = schema();
    for entry in &entries {
        assert!(
            entry.meaning.ends_with('.') || entry.meaning.ends_with("`."),
            "{}: {}",
            entry.key,
            entry.meaning
        );
        assert!(
            allowed(&schema, &schema, &entry.key),
            "{} is not in the schema",
            entry.key
        );
    }
    let mut undocumented = Vec::new();
    leaves(&schema, "", &mut undocumented);
    undocumented.retain(|key| {
        !entries
            .iter()
            .any(|entry| key == &entry.key || key.starts_with(&format!("{}.", entry.key)))
    });
    assert_eq!(
        undocumented,
        ["enabled", "tags"],
        "in the schema, but not in values.yaml"
    );
}

/// Whether the schema has a place for the key.
fn allowed(root: &Value, at: &Value, key: &str) -> bool {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    match &at["properties"][first] {
        Value::Null => at["$ref"]
            .as_str()
            .is_some_and(|name| allowed(root, defined(root, name), key)),
        _ if rest.is_empty() => true,
        next @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            allowed(root, next, rest)
        }
    }
}

fn defined<'a>(root: &'a Value, reference: &str) -> &'a Value {
    &root["$defs"][reference.trim_start_matches("#/$defs/")]
}

/// Every key of the schema that is taken, down to where it is open.
fn leaves(at: &Value, path: &str, found: &mut Vec<String>) {
    for (name, next) in at["properties"].as_object().unwrap() {
        let key = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let refused = next["description"]
            .as_str()
            .is_some_and(|text| text.starts_with("Refused"));
        match next["properties"].is_object() {
            true => leaves(next, &key, found),
            false if !refused => found.push(key),
            false => {}
        }
    }
}

#[test]
fn c09_what_is_missing_is_said_with_its_key_and_what_to_do() {
    let Some(chart) = Chart::here() else { return };
    let ended = chart.helm(&["template", "r", "charts/segue"]);
    let words = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success());
    for expected in [
        "3 thing(s) to correct",
        "discord.existingSecret: name the Secret with the bot's token; kubectl -n default create secret",
        "mongodb.existingSecret: name the Secret with MongoDB's address",
        "lavalink.external: name at least one node",
    ] {
        assert!(words.contains(expected), "no {expected:?} in {words}");
    }
}

#[test]
fn c10_no_secret_is_ever_rendered() {
    let Some(chart) = Chart::here() else { return };
    for file in ci() {
        let objects = chart.objects(&file, &[]);
        assert!(of_kind(&objects, "Secret").is_empty(), "{file}");
    }
}
