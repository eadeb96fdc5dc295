//! C46, C47: the dashboards, and that nobody asks for a metric that there is not.

#[path = "../../../xtask/src/chart/dashboards.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};

use super::render::{documents, names, read};
use super::rules::{alerts, name, promtool};

/// Metrics of Lavalink itself, as it shows them.
const OF_LAVALINK: &[&str] = &[
    "lavalink_cpu_lavalink_load_percentage",
    "lavalink_gc_pauses_seconds_sum",
    "lavalink_memory_allocated_bytes",
    "lavalink_memory_used_bytes",
];
/// Metrics of the bot that no dashboard and no rule asks for, and why.
const NOT_SHOWN: &[(&str, &str)] = &[
    ("segue_build_info", "variables of dashboards"),
    (
        "segue_autosave_round_duration_seconds",
        "for questions by hand: rounds are short",
    ),
    ("process_virtual_memory_bytes", "standard; resident memory says more"),
    ("process_open_fds", "standard; for the cluster's own alerts"),
    ("process_max_fds", "standard; for the cluster's own alerts"),
];

/// A panel's question.
pub(super) struct Query {
    pub(super) place: String,
    pub(super) expr: String,
}

pub(super) fn dashboards() -> Vec<(String, Value)> {
    let names = names("charts/segue/files/dashboards");
    names
        .into_iter()
        .map(|name| {
            let json = serde_json::from_str(&read(&format!("charts/segue/files/dashboards/{name}"))).unwrap();
            (name, json)
        })
        .collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|panel| panel["type"] != "row")
}

pub(super) fn queries() -> Vec<Query> {
    let mut found = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                found.push(Query {
                    place: format!("{name}: {} {}", panel["title"], target["refId"]),
                    expr: target["expr"].as_str().unwrap().to_owned(),
                });
            }
        }
    }
    found
}

/// The names of metrics in a query.
pub(super) fn metrics(expr: &str) -> Vec<(usize, String)> {
    let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = expr[rest..].find(part).map(|at| rest + at) {
        let end = expr[start..]
            .find(|letter| !part(letter))
            .map_or(expr.len(), |at| start + at);
        let word = &expr[start..end];
        if ["segue_", "process_", "lavalink_", "segue:"]
            .iter()
            .any(|prefix| word.starts_with(prefix))
        {
            found.push((start, word.to_owned()));
        }
        rest = end;
    }
    found
}

#[test]
fn the_dashboards_are_what_their_source_says() {
    let made: BTreeMap<String, String> = source::all(&read(source::SOURCE)).unwrap().into_iter().collect();
    let there: BTreeSet<String> = dashboards().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        there,
        made.keys().map(|name| format!("{name}.json")).collect::<BTreeSet<_>>()
    );
    for (name, json) in made {
        let file = format!("charts/segue/files/dashboards/{name}.json");
        assert!(read(&file) == json, "{file}: run `cargo xtask dashboards`");
    }
}

#[test]
fn c46_every_panel_says_what_it_shows_and_follows_the_variables() {
    for (name, dashboard) in dashboards() {
        assert_eq!(dashboard["editable"], false, "{name}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let listed: Vec<&str> = variables
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        assert_eq!(listed, ["datasource", "job", "namespace", "instance"], "{name}");
        for variable in &variables[1..] {
            assert_eq!(variable["refresh"], 2, "{name}: {} follows the time", variable["name"]);
        }
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{name}: two panels {}",
                panel["id"]
            );
        }
        for panel in panels(&dashboard) {
            let place = format!("{name}: {}", panel["title"]);
            assert!(
                panel["description"].as_str().unwrap().ends_with('.'),
                "{place} is not described"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{place} has no unit"
            );
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{place} asks nothing");
            for target in targets {
                check(&place, target["expr"].as_str().unwrap());
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}");
            }
        }
        assert_no_overlap(&name, &dashboard);
    }
}

fn check(place: &str, expr: &str) {
    let counted = ["_total", "_count", "_sum", "_bucket"];
    for (at, metric) in metrics(expr) {
        let after = &expr[at + metric.len()..];
        for matcher in ["job=~", "namespace=~\"$namespace\"", "instance=~"] {
            assert!(
                after.split('}').next().unwrap().contains(matcher),
                "{place}: {metric} ignores {matcher}"
            );
        }
        if counted.iter().any(|ending| metric.ends_with(ending)) {
            let rated = ["rate(", "increase("]
                .iter()
                .any(|function| expr[..at].ends_with(function));
            assert!(rated, "{place}: {metric} is a counter, and is not rated");
        }
    }
    for (at, _) in expr.match_indices('[') {
        let range = &expr[at + 1..at + expr[at..].find(']').unwrap()];
        assert!(
            ["$__rate_interval", "28d"].contains(&range),
            "{place}: the range {range} is fixed"
        );
    }
    assert!(!metrics(expr).is_empty(), "{place}: {expr}");
}

fn assert_no_overlap(name: &str, dashboard: &Value) {
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{name}: {} is too far right", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{name}: {} lies on another panel", panel["title"]);
            }
        }
    }
}

/// What dashboards and runbooks ask.
fn questions() -> Vec<String> {
    let mut exprs: Vec<String> = queries().into_iter().map(|query| query.expr).collect();
    for alert in alerts() {
        let page = read(&format!("docs/runbooks/{}.md", name(&alert)));
        exprs.extend(
            page.split("```promql\n")
                .skip(1)
                .map(|rest| rest.split("\n```").next().unwrap().to_owned()),
        );
    }
    exprs
}

#[test]
fn players_are_counted_once_for_each_node_although_every_replica_says_them() {
    let keda = documents(&read("charts/segue/examples/keda.yaml")).remove(0);
    let scaled = &keda["spec"]["triggers"][0]["metadata"]["query"];
    let asked: Vec<String> = questions()
        .into_iter()
        .chain([scaled.as_str().unwrap().to_owned()])
        .filter(|expr| expr.contains("segue_lavalink_players"))
        .collect();
    assert!(asked.len() > 5, "{asked:#?}");
    let said = [
        ("a", "playing", 3),
        ("a", "idle", 2),
        ("b", "playing", 4),
        ("b", "idle", 0),
    ];
    let series = ["segue-0", "segue-1"].into_iter().flat_map(|instance| {
        said.map(|(node, state, players)| {
            let labels = format!("namespace=\"music\",instance=\"{instance}\",node=\"{node}\",state=\"{state}\"");
            json!({ "series": format!("segue_lavalink_players{{{labels}}}"), "values": format!("{players}x5") })
        })
    });
    let counted = asked.iter().map(|expr| {
        let expected = if expr.contains("state=\"playing\"") { 7 } else { 9 };
        let expr = ["$job", "$namespace", "$instance"]
            .iter()
            .fold(expr.clone(), |expr, variable| expr.replace(variable, ".*"));
        // However a question splits them, these are all.
        json!({
            "expr": format!("sum({expr})"),
            "eval_time": "2m",
            "exp_samples": [{ "labels": "{}", "value": expected }],
        })
    });
    let test = json!({
        "interval": "1m",
        "input_series": series.collect::<Vec<_>>(),
        "promql_expr_test": counted.collect::<Vec<_>>(),
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "tests": [test] }).to_string()).unwrap();
    promtool(&["test", "rules", file.path().to_str().unwrap()]);
}

#[test]
fn c46_prometheus_reads_every_question_of_a_dashboard_and_of_a_runbook() {
    let exprs = questions();
    let rules: Vec<Value> = exprs
        .iter()
        .enumerate()
        .map(|(n, expr)| json!({ "record": format!("q{n}"), "expr": expr.replace("$__rate_interval", "1m") }))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let text = json!({ "groups": [{ "name": "queries", "rules": rules }] });
    std::fs::write(file.path(), text.to_string()).unwrap();
    promtool(&["check", "rules", "--lint=none", file.path().to_str().unwrap()]);
}

fn catalogue() -> BTreeMap<String, String> {
    let ended = Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(["metrics-catalog", "--json"])
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let entries = json
        .as_array()
        .or_else(|| json["metrics"].as_array())
        .unwrap_or_else(|| panic!("{json}"));
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| (text(entry, "name"), text(entry, "type")))
        .collect()
}

/// The catalogue's name for a name in a query.
fn family<'a>(catalogue: &'a BTreeMap<String, String>, metric: &str) -> Option<&'a str> {
    let plain = catalogue.get_key_value(metric).filter(|(_, kind)| *kind != "histogram");
    let histogram = || {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|ending| metric.strip_suffix(ending))?;
        catalogue.get_key_value(base).filter(|(_, kind)| *kind == "histogram")
    };
    plain.or_else(histogram).map(|(name, _)| name.as_str())
}

#[test]
fn c47_every_metric_that_is_asked_for_exists_and_every_one_that_exists_is_used_or_listed() {
    let catalogue = catalogue();
    let mut asked: Vec<(String, String)> = queries().into_iter().map(|query| (query.place, query.expr)).collect();
    for file in ["alerts", "recording"] {
        let rules = documents(&read(&format!("charts/segue/files/rules/{file}.yaml"))).remove(0);
        let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
        asked.extend(
            rules
                .iter()
                .map(|rule| (file.to_owned(), rule["expr"].as_str().unwrap().to_owned())),
        );
    }
    let mut used = BTreeSet::new();
    for (place, expr) in &asked {
        for (_, metric) in metrics(expr) {
            if OF_LAVALINK.contains(&metric.as_str()) || metric.starts_with("segue:") {
                continue;
            }
            let known = family(&catalogue, &metric);
            used.insert(known.unwrap_or_else(|| panic!("{place}: there is no metric {metric}")));
        }
    }
    let unused: BTreeSet<&str> = catalogue
        .keys()
        .map(String::as_str)
        .filter(|name| !used.contains(name))
        .collect();
    let listed: BTreeSet<&str> = NOT_SHOWN.iter().map(|(name, _)| *name).collect();
    assert_eq!(unused, listed, "metrics that nobody asks for, and those listed as such");
}

#[test]
fn names_of_metrics_are_found_in_queries() {
    let found: Vec<String> = metrics("sum(rate(segue_a_total{job=\"segue\"}[5m])) / segue:b:c > process_d")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(found, ["segue_a_total", "segue:b:c", "process_d"]);
}
