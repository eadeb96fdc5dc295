//! C30, C31: what the chart hands to Prometheus and Grafana. The validator knows no schema of these kinds, so their fields are
//! checked here.

use serde_json::{Value, json};

use super::render::{Chart, of_kind, one};
use super::rules::promtool;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn c30_monitors_and_rules_are_rendered_without_asking_a_cluster() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.objects("full", &[]);
    assert_eq!(of_kind(&objects, "PodMonitor").len(), 2);
    for (name, label) in [
        ("r-segue", "app.kubernetes.io/part-of"),
        ("r-segue-lavalink", "app.kubernetes.io/component"),
    ] {
        let monitor = one(&objects, "PodMonitor", name);
        assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
        assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
        assert_eq!(keys(&monitor["spec"]), ["jobLabel", "podMetricsEndpoints", "selector"]);
        assert_eq!(monitor["spec"]["jobLabel"], label);
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        assert_eq!(keys(endpoint), ["interval", "path", "port", "relabelings"]);
        assert_eq!(
            (&endpoint["port"], &endpoint["path"]),
            (&json!("http"), &json!("/metrics"))
        );
        let labels = &monitor["spec"]["selector"]["matchLabels"];
        let set = one(&objects, "StatefulSet", name);
        assert_eq!(labels, &set["spec"]["selector"]["matchLabels"]);
        let pods = &set["spec"]["template"]["metadata"]["labels"];
        assert!(
            pods[label] == "segue" || pods[label] == "lavalink",
            "the job's name: {pods}"
        );
    }
}

#[test]
fn c30_alerts_can_be_left_out_and_changed_and_their_runbooks_placed() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.objects("full", &[]);
    let rule = one(&objects, "PrometheusRule", "r-segue");
    let groups = rule["spec"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    let alert = |name: &str| rules.iter().find(|rule| rule["alert"] == name);
    assert!(alert("SegueTelemetryDropping").is_none(), "disabled");
    assert_eq!(alert("SegueRecoverySlow").unwrap()["for"], "30m", "overridden");
    assert_eq!(
        alert("SegueRecoverySlow").unwrap()["labels"]["severity"],
        "warning",
        "the rest of it is kept"
    );
    let runbook = &alert("SegueDown").unwrap()["annotations"]["runbook_url"];
    assert_eq!(
        runbook,
        "https://git.example/segue/blob/main/docs/runbooks/SegueDown.md"
    );
    let summary = &alert("SegueSnapshotsStale").unwrap()["annotations"]["description"];
    assert!(
        summary.as_str().unwrap().contains("{{ $value | humanizeDuration }}"),
        "templates reach Prometheus: {summary}"
    );
    let plain = super::render::documents(&super::render::read("charts/segue/files/rules/alerts.yaml"));
    let there = plain[0]["groups"][0]["rules"].as_array().unwrap().len();
    assert_eq!(rules.iter().filter(|rule| rule["alert"].is_string()).count(), there - 1);
}

#[test]
fn c30_a_release_whose_replicas_are_gone_is_missed_for_good_while_another_is_well() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.objects("full", &[]);
    let rule = one(&objects, "PrometheusRule", "r-segue");
    let rules = rule["spec"]["groups"][1]["rules"].as_array().unwrap();
    let down = rules.iter().find(|rule| rule["alert"] == "SegueDown").unwrap();
    let mut annotations = down["annotations"].clone();
    let description = annotations["description"].as_str().unwrap();
    let plain = description.rsplit_once("{{ end }}").unwrap().1;
    annotations["description"] = json!(format!("ns: {plain}"));
    let told = json!({ "exp_labels": { "severity": "critical", "namespace": "ns" }, "exp_annotations": annotations });
    let up = |namespace: &str, values: &str| json!({ "series": format!("up{{job=\"segue\",namespace=\"{namespace}\"}}"), "values": values });
    let asked = |after: &str, expected: &[&Value]| json!({ "alertname": "SegueDown", "eval_time": after, "exp_alerts": expected });
    let tests = json!([
        {
            "name": "its replicas are gone",
            "interval": "1m",
            "input_series": [up("ns", "1x5 stale"), up("other", "1x200")],
            "alert_rule_test": [asked("20m", &[&told]), asked("150m", &[&told])],
        },
        {
            "name": "another's replicas are gone",
            "interval": "1m",
            "input_series": [up("ns", "1x200"), up("other", "1x5 stale")],
            "alert_rule_test": [asked("20m", &[]), asked("150m", &[])],
        },
    ]);
    let folder = tempfile::tempdir().unwrap();
    // JSON is YAML.
    let file = |name: &str, value: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    let rules = file("rules.yaml", &rule["spec"]);
    let tests = json!({ "rule_files": [rules], "evaluation_interval": "1m", "tests": tests });
    promtool(&["test", "rules", file("tests.yaml", &tests).to_str().unwrap()]);
}

#[test]
fn c31_dashboards_are_found_by_the_sidecar_and_fit_into_a_configmap() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.objects("full", &["dashboards.folder=Music"]);
    let map = one(&objects, "ConfigMap", "r-segue-dashboards");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(map["metadata"]["annotations"]["grafana_folder"], "Music");
    let data = map["data"].as_object().unwrap();
    assert_eq!(
        keys(&map["data"]),
        [
            "segue-gateway.json",
            "segue-lavalink.json",
            "segue-overview.json",
            "segue-recovery.json"
        ]
    );
    assert!(data.values().map(|text| text.as_str().unwrap().len()).sum::<usize>() < 900_000);
    for (name, text) in data {
        let dashboard: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        assert_eq!(dashboard["uid"], name.trim_end_matches(".json"));
    }
}
