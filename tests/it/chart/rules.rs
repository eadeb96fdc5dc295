//! C43 to C45: the rules and their pages.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::programs;
use super::render::{documents, names, read, root};
use crate::skip::skip;

/// The alerts as they are written.
pub(super) fn alerts() -> Vec<Value> {
    let file = documents(&read("charts/segue/files/rules/alerts.yaml")).remove(0);
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

pub(super) fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

/// Prometheus and promtool of Debian.
pub(super) fn prometheus() -> Option<[&'static Path; 2]> {
    let programs = programs::PROMETHEUS.map(Path::new);
    programs.iter().all(|program| program.is_file()).then_some(programs)
}

/// Runs promtool in a folder of the repository; `false`, said aloud, when there is none.
pub(super) fn promtool(arguments: &[&str]) -> bool {
    let Some([_, promtool]) = prometheus() else {
        skip("alert rules: no promtool; install Debian's prometheus or run `cargo xtask test`");
        return false;
    };
    let ended = Command::new(promtool)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&said));
    true
}

#[test]
fn c43_prometheus_reads_the_rules() {
    promtool(&[
        "check",
        "rules",
        "charts/segue/files/rules/recording.yaml",
        "charts/segue/files/rules/alerts.yaml",
    ]);
}

#[test]
fn c44_every_alert_fires_when_it_should_and_is_silent_when_it_should() {
    let files = ["alerts", "namespaces"].map(|name| format!("charts/segue/files/rules/tests/{name}.yaml"));
    if !promtool(&["test", "rules", &files[0], &files[1]]) {
        return;
    }
    let tests = documents(&read("charts/segue/files/rules/tests/alerts.yaml")).remove(0);
    let cases: Vec<&Value> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for alert in alerts() {
        let of = |fires: bool| {
            let mine = cases.iter().filter(|case| case["alertname"] == alert["alert"]);
            mine.filter(|case| case["exp_alerts"].as_array().unwrap().is_empty() != fires)
                .count()
        };
        assert_eq!(of(true), 1, "{}: cases that fire", name(&alert));
        assert!(of(false) > 0, "{}: no case that stays silent", name(&alert));
    }
}

#[test]
fn every_alert_tells_the_releases_of_two_namespaces_apart() {
    let file = documents(&read("charts/segue/files/rules/tests/alerts.yaml")).remove(0);
    let tests = file["tests"].as_array().unwrap();
    let both: Vec<Value> = alerts()
        .iter()
        .flat_map(|alert| beside_another(tests, name(alert)))
        .collect();
    let rules = ["recording", "alerts"].map(|name| root().join(format!("charts/segue/files/rules/{name}.yaml")));
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let text = json!({ "rule_files": rules, "evaluation_interval": "1m", "tests": both });
    std::fs::write(file.path(), text.to_string()).unwrap();
    promtool(&["test", "rules", file.path().to_str().unwrap()]);
}

/// What an alert says of prod, once broken and once well, each time beside a staging that is well.
fn beside_another(tests: &[Value], alert: &str) -> [Value; 2] {
    let (broken, fires) = case(tests, alert, true);
    let (well, silent) = case(tests, alert, false);
    assert_eq!(broken["interval"], well["interval"], "{alert}");
    let mut fires = fires.clone();
    let told = &mut fires["exp_alerts"][0];
    told["exp_labels"]["namespace"] = json!("prod");
    let description = &mut told["exp_annotations"]["description"];
    *description = json!(format!("prod: {}", description.as_str().unwrap()));
    let both = |how: &str, prod: &Value, asked: &Value| {
        let all = [series(prod, "prod"), series(well, "staging")].concat();
        json!({
            "name": format!("{alert}: {how}"),
            "interval": prod["interval"],
            "input_series": all,
            "alert_rule_test": [asked],
        })
    };
    [
        both("one is broken", broken, &fires),
        both("both are well", well, silent),
    ]
}

/// The test in which an alert fires, or one in which it does not, and what is asked there.
fn case<'a>(tests: &'a [Value], alert: &str, fires: bool) -> (&'a Value, &'a Value) {
    for test in tests {
        for asked in test["alert_rule_test"].as_array().unwrap() {
            if asked["alertname"] == alert && asked["exp_alerts"].as_array().unwrap().is_empty() != fires {
                return (test, asked);
            }
        }
    }
    panic!("{alert}: no case for fires: {fires}")
}

/// The series of a test, in a namespace.
fn series(test: &Value, namespace: &str) -> Vec<Value> {
    let labels = format!("{{namespace=\"{namespace}\",");
    let all = test["input_series"].as_array().unwrap();
    all.iter()
        .map(|one| {
            let series = one["series"].as_str().unwrap().replacen('{', &labels, 1);
            json!({ "series": series, "values": one["values"] })
        })
        .collect()
}

#[test]
fn c45_every_alert_says_how_bad_it_is_and_leads_to_a_page() {
    for alert in alerts() {
        let (name, annotations) = (name(&alert), &alert["annotations"]);
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity}"
        );
        let summary = annotations["summary"].as_str().unwrap();
        assert!(
            !summary.contains("{{"),
            "{name}: a summary stays the same, so that alerts group by it"
        );
        assert!(
            annotations["description"].as_str().unwrap().len() > summary.len() / 2,
            "{name}"
        );
        assert_eq!(annotations["runbook_url"], format!("docs/runbooks/{name}.md"));
        let page = read(&format!("docs/runbooks/{name}.md"));
        assert!(
            page.starts_with(&format!("# {name}\n\n{severity}, ")),
            "{name}: severity on its page"
        );
        assert!(page.contains(summary), "{name}: its page has the summary");
        let lasts = alert["for"]
            .as_str()
            .map_or("at once".to_owned(), |lasts| format!("after {lasts}"));
        assert!(page.contains(&lasts), "{name}: its page says {lasts}");
        for part in [
            "## What it means",
            "## What people notice",
            "## What to ask first",
            "## What to do",
            "## When you know",
        ] {
            assert!(page.contains(part), "{name}: no {part:?}");
        }
        assert_eq!(page.matches("```promql\n").count(), 3, "{name}: three questions");
    }
}

#[test]
fn every_page_belongs_to_an_alert() {
    let pages: BTreeSet<String> = names("docs/runbooks").into_iter().collect();
    let alerts: BTreeSet<String> = alerts().iter().map(|alert| format!("{}.md", name(alert))).collect();
    assert_eq!(pages, alerts);
}
