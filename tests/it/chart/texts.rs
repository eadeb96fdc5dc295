//! Values that end where only texts or durations are taken.

use serde_json::{Value, json};

use super::render::{Chart, bot, one, variable};

/// A key, and an object in which its values stand: kind, name and place.
const TEXTS: &[(&str, &str, &str, &str)] = &[
    ("podLabels", "StatefulSet", "r-segue", "/spec/template/metadata/labels"),
    (
        "podAnnotations",
        "StatefulSet",
        "r-segue",
        "/spec/template/metadata/annotations",
    ),
    (
        "nodeSelector",
        "StatefulSet",
        "r-segue",
        "/spec/template/spec/nodeSelector",
    ),
    ("nodeSelector", "Pod", "r-segue-doctor", "/spec/nodeSelector"),
    (
        "lavalink.nodeSelector",
        "StatefulSet",
        "r-segue-lavalink",
        "/spec/template/spec/nodeSelector",
    ),
    (
        "serviceAccount.annotations",
        "ServiceAccount",
        "r-segue",
        "/metadata/annotations",
    ),
    (
        "dashboards.annotations",
        "ConfigMap",
        "r-segue-dashboards",
        "/metadata/annotations",
    ),
    ("metrics.podMonitor.labels", "PodMonitor", "r-segue", "/metadata/labels"),
    (
        "metrics.podMonitor.labels",
        "PodMonitor",
        "r-segue-lavalink",
        "/metadata/labels",
    ),
    (
        "metrics.prometheusRule.labels",
        "PrometheusRule",
        "r-segue",
        "/metadata/labels",
    ),
];

#[test]
fn what_must_be_a_text_is_one_however_it_was_written() {
    let Some(chart) = Chart::here() else { return };
    for (key, kind, name, at) in TEXTS {
        let set = [
            format!("{key}.truth=true"),
            format!("{key}.number=12345678"),
            format!("{key}.word=a"),
        ];
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let objects = chart.objects("full", &set);
        let texts = one(&objects, kind, name).pointer(at).unwrap().as_object().unwrap();
        for (name, value) in [("truth", "true"), ("number", "12345678"), ("word", "a")] {
            assert_eq!(texts[name], value, "{key} in {kind}");
        }
        let nothing = chart.objects("full", &[&format!("{key}.gone=null")]);
        let left = one(&nothing, kind, name).pointer(at);
        assert!(left.is_none_or(|texts| texts.get("gone").is_none()), "{key} in {kind}");
    }
}

/// An alert of the rendered rules.
fn alert(objects: &[Value], name: &str) -> Value {
    let rule = one(objects, "PrometheusRule", "r-segue");
    let groups = rule["spec"]["groups"].as_array().unwrap();
    let mut rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.find(|rule| rule["alert"] == name).unwrap().clone()
}

#[test]
fn an_alerts_labels_are_texts_and_can_be_taken_away() {
    let Some(chart) = Chart::here() else { return };
    let at = "metrics.prometheusRule.overrides.SegueDown.labels";
    let objects = chart.objects("full", &[&format!("{at}.page=true"), &format!("{at}.severity=null")]);
    assert_eq!(alert(&objects, "SegueDown")["labels"], json!({ "page": "true" }));
}

#[test]
fn an_attribute_of_the_traces_resource_is_a_text_or_is_not_there() {
    let Some(chart) = Chart::here() else { return };
    let set = [
        "otel.resourceAttributes.truth=true",
        "otel.resourceAttributes.gone=null",
    ];
    let objects = chart.objects("full", &set);
    let attributes = variable(bot(&objects), "OTEL_RESOURCE_ATTRIBUTES").unwrap()["value"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(attributes.split(',').any(|pair| pair == "truth=true"), "{attributes}");
    assert!(!attributes.contains("gone"), "{attributes}");
}

#[test]
fn how_often_is_scraped_can_be_left_to_prometheus() {
    let Some(chart) = Chart::here() else { return };
    let interval = |set: &str| {
        let objects = chart.objects("full", &[set]);
        let endpoint = |name: &str| one(&objects, "PodMonitor", name)["spec"]["podMetricsEndpoints"][0].clone();
        ["r-segue", "r-segue-lavalink"].map(|name| endpoint(name).get("interval").cloned())
    };
    let told = Some(json!("1m30s"));
    assert_eq!(interval("metrics.podMonitor.interval=1m30s"), [told.clone(), told]);
    assert_eq!(interval("metrics.podMonitor.interval=null"), [None, None]);
}
