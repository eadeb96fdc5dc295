//! C41, C42: the manifests without Helm.

#[path = "../../../xtask/src/chart/manifests.rs"]
mod source;

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::pods::assert_references_point_backwards;
use super::programs;
use super::render::{Chart, KUBERNETES, bot_of, documents, names, of_kind, one, read, root, variable};
use super::values::validated;
use crate::skip::skip;

fn built(overlay: &str) -> Option<String> {
    let Some(kubectl) = programs::kubectl() else {
        skip("kustomize overlays: no kubectl; set SEGUE_KUBECTL or run `cargo xtask test`");
        return None;
    };
    let ended = Command::new(kubectl)
        .args(["kustomize", overlay])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        ended.status.success(),
        "{overlay}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    Some(String::from_utf8(ended.stdout).unwrap())
}

#[test]
fn c41_every_overlay_builds_what_the_oldest_and_the_newest_kubernetes_accept() {
    let mut all = String::new();
    for overlay in names("k8s/overlays") {
        let Some(text) = built(&format!("k8s/overlays/{overlay}")) else {
            return;
        };
        let objects = documents(&text);
        assert_references_point_backwards(&objects);
        for object in &objects {
            assert_eq!(
                object["metadata"]["namespace"], "segue",
                "{overlay}: {}",
                object["kind"]
            );
        }
        all += "---\n";
        all += &text;
    }
    for version in KUBERNETES {
        if !validated(&all, version) {
            return;
        }
    }
}

#[test]
fn every_component_is_used_by_an_overlay_or_builds_on_the_base() {
    for component in names("k8s/components") {
        if composed(&[&component]).is_none() {
            return;
        }
    }
}

/// The base with some components.
fn composed(components: &[&str]) -> Option<String> {
    let folder = tempfile::tempdir_in(root().join("k8s")).unwrap();
    let listed: Vec<String> = components.iter().map(|name| format!("../components/{name}")).collect();
    let text = format!(
        "namespace: music\nresources: [../base]\ncomponents: [{}]\n",
        listed.join(", ")
    );
    std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
    built(folder.path().to_str().unwrap())
}

#[test]
fn the_trial_overlay_names_its_own_nodes_and_its_own_store() {
    let Some(text) = built("k8s/overlays/dev") else { return };
    let objects = documents(&text);
    let set = one(&objects, "StatefulSet", "segue");
    assert_eq!(set["spec"]["replicas"], 1);
    let bot = bot_of(set);
    let store = variable(bot, "SEGUE_STORE").unwrap();
    assert_eq!(
        store["value"],
        "mongodb://segue-mongodb-0.segue-mongodb:27017/segue?replicaSet=rs0"
    );
    assert!(store["valueFrom"].is_null());
    let nodes = variable(bot, "SEGUE_LAVALINK_NODES").unwrap()["value"]
        .as_str()
        .unwrap();
    assert_eq!(nodes.matches("@segue-lavalink-").count(), 2, "{nodes}");
    assert_eq!(
        one(&objects, "StatefulSet", "segue-lavalink")["spec"]["replicas"],
        2,
        "as many as are named"
    );
}

/// Ports in the rules of one direction that hold for a peer; a rule without peers holds for all.
fn ports(rules: &Value, peer: &Value) -> BTreeSet<u64> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let holds = |rule: &Value| {
        let peers = [list(&rule["from"]), list(&rule["to"])].concat();
        peers.is_empty() || peers.contains(peer)
    };
    let rules = list(rules).into_iter().filter(holds);
    rules
        .flat_map(|rule| list(&rule["ports"]))
        .filter_map(|port| port["port"].as_u64())
        .collect()
}

/// Whether a selector takes a pod with these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let every = selector["matchLabels"].as_object().unwrap();
    let some = selector["matchExpressions"].as_array();
    every.iter().all(|(key, value)| labels[key] == *value)
        && some.into_iter().flatten().all(|one| {
            assert_eq!(one["operator"], "In", "no other is used");
            let among = one["values"].as_array().unwrap();
            among.contains(&labels[one["key"].as_str().unwrap()])
        })
}

#[test]
fn in_production_prometheus_reaches_whatever_it_is_told_to_scrape() {
    let Some(text) = built("k8s/overlays/production") else {
        return;
    };
    let objects = documents(&text);
    let monitoring = json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "monitoring" } } });
    let monitors = of_kind(&objects, "PodMonitor");
    assert_eq!(monitors.len(), 2);
    for monitor in monitors {
        let name = monitor["metadata"]["name"].as_str().unwrap();
        let selected = &monitor["spec"]["selector"]["matchLabels"];
        let wanted = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
        let container = &one(&objects, "StatefulSet", name)["spec"]["template"]["spec"]["containers"][0];
        let open = container["ports"].as_array().unwrap().iter();
        let [port] = open.filter(|port| port["name"] == *wanted).collect::<Vec<_>>()[..] else {
            panic!("{name}: no port {wanted}");
        };
        let policy = &one(&objects, "NetworkPolicy", name)["spec"];
        assert!(selects(&policy["podSelector"], selected), "{name}: {policy}");
        let port = port["containerPort"].as_u64().unwrap();
        for from in [&monitoring, &json!({ "podSelector": {} })] {
            assert!(
                ports(&policy["ingress"], from).contains(&port),
                "{name}: {port} from {from}"
            );
        }
    }
}

#[test]
fn traces_reach_the_collector_through_the_network_policy() {
    let components = ["networkpolicy", "otel-collector"];
    let Some(text) = composed(&components) else { return };
    let objects = documents(&text);
    let endpoint = variable(
        bot_of(one(&objects, "StatefulSet", "segue")),
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    .unwrap();
    let port = endpoint["value"].as_str().unwrap().rsplit(':').next().unwrap();
    let egress = &one(&objects, "NetworkPolicy", "segue")["spec"]["egress"];
    let anywhere = ports(egress, &Value::Null);
    assert!(
        anywhere.contains(&port.parse().unwrap()),
        "{port} is not in {anywhere:?}"
    );
}

#[test]
fn c42_the_manifests_are_what_the_chart_renders() {
    let Some(chart) = Chart::here() else { return };
    for part in source::PARTS {
        let arguments = source::arguments(part.values);
        let ended = chart.helm(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let files = source::files(part, &String::from_utf8(ended.stdout).unwrap());
        assert_eq!(
            files.len(),
            part.templates.len(),
            "{}: a template rendered nothing",
            part.folder
        );
        for (path, text) in &files {
            assert_eq!(&read(path), text, "{path}: run `cargo xtask k8s-render`");
        }
        let made: BTreeSet<String> = files.into_iter().map(|(path, _)| path).collect();
        for name in names(part.folder)
            .iter()
            .filter(|name| *name != "kustomization.yaml" && *name != "segue.toml")
        {
            assert!(
                made.contains(&format!("{}/{name}", part.folder)),
                "{name} in {} is made from nothing",
                part.folder
            );
        }
    }
}
