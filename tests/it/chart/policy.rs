//! C20, C21, C23, C32, C34 to C40: budgets, permissions, walls, labels, and the bundled parts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::render::{Chart, bot, containers, names, of_kind, one, pods, read, variable};
use super::values::ci;

const LAVALINK: &[&str] = &["lavalink.enabled=true", "lavalink.existingSecret=l"];

#[test]
fn c20_c21_evictions_take_one_at_a_time_and_a_broken_pod_blocks_none() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(LAVALINK);
    for name in ["r-segue", "r-segue-lavalink"] {
        let spec = &one(&objects, "PodDisruptionBudget", name)["spec"];
        assert_eq!(spec["maxUnavailable"], 1);
        assert_eq!(spec["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    }
    let words = chart.refused(&["podDisruptionBudget.minAvailable=1"]);
    assert!(
        words.contains("podDisruptionBudget.minAvailable: it would stop node drains"),
        "{words}"
    );
    assert!(of_kind(&chart.objects("minimal", &[]), "PodDisruptionBudget").is_empty());
}

#[test]
fn c23_the_role_holds_for_one_namespace_and_one_lease() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(&[]);
    assert!(
        objects
            .iter()
            .all(|object| !object["kind"].as_str().unwrap().starts_with("ClusterRole"))
    );
    let rules = one(&objects, "Role", "r-segue")["rules"].clone();
    assert_eq!(
        rules,
        json!([
            { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"] },
            { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["r-segue"],
              "verbs": ["get", "update"] },
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"] },
        ])
    );
    let binding = one(&objects, "RoleBinding", "r-segue");
    assert_eq!(
        binding["subjects"][0]["name"],
        pods(&objects)[0].1["serviceAccountName"]
    );
}

#[test]
fn c32_the_bot_reaches_what_it_needs_and_is_reached_by_who_may() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.objects("full", &[]);
    let policy = &one(&objects, "NetworkPolicy", "r-segue")["spec"];
    let ports = |direction: &str| -> BTreeSet<u64> {
        let rules = policy[direction].as_array().unwrap();
        let ports = rules.iter().flat_map(|rule| rule["ports"].as_array().unwrap());
        ports.filter_map(|port| port["port"].as_u64()).collect()
    };
    // Names, Discord and the API, its server, MongoDB, the bundled nodes, the far node, the collector, other replicas.
    let expected = [53, 80, 443, 2333, 4318, 6443, 7946, 8443, 27017];
    assert_eq!(ports("egress").into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(ports("ingress").into_iter().collect::<Vec<_>>(), [7946, 8080]);
    let scrapes = policy["ingress"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["ports"][0]["port"] == 8080)
        .unwrap();
    assert_eq!(
        scrapes["from"][1]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        "monitoring"
    );
    assert_eq!(
        policy["podSelector"]["matchExpressions"],
        json!([{ "key": "app.kubernetes.io/component", "operator": "In", "values": ["bot", "doctor"] }]),
        "the doctor of `helm test` is let out as the bot is"
    );
    let node = &one(&objects, "NetworkPolicy", "r-segue-lavalink")["spec"];
    let beside = json!({ "podSelector": {} });
    let scrapes_node = |node: &Value| node["ingress"][0]["from"].as_array().unwrap().contains(&beside);
    assert!(scrapes_node(node), "a Prometheus beside the pods");
    let unwatched = chart.objects("full", &["metrics.podMonitor.enabled=false"]);
    assert!(!scrapes_node(
        &one(&unwatched, "NetworkPolicy", "r-segue-lavalink")["spec"]
    ));
    assert!(
        node["egress"][1]["to"][0]["ipBlock"]["except"]
            .as_array()
            .unwrap()
            .contains(&json!("10.0.0.0/8"))
    );
    assert!(
        of_kind(&chart.with(&[]), "NetworkPolicy").is_empty(),
        "off unless asked for"
    );
}

#[test]
fn every_pod_may_ask_for_names_where_the_clusters_dns_listens() {
    let Some(chart) = Chart::here() else { return };
    let set = [
        "networkPolicy.enabled=true",
        "networkPolicy.dnsPorts={53,5353}",
        "networkPolicy.extraEgress[0].ports[0].port=16443",
    ];
    let objects = chart.objects("mongodb-bundled", &set);
    let port = |port: u64, protocol: &str| json!({ "port": port, "protocol": protocol });
    let expected = [port(53, "UDP"), port(53, "TCP"), port(5353, "UDP"), port(5353, "TCP")];
    for name in ["r-segue", "r-segue-lavalink", "r-segue-mongodb"] {
        let egress = &one(&objects, "NetworkPolicy", name)["spec"]["egress"];
        assert_eq!(egress[0], json!({ "ports": expected }), "{name}");
        // What the bot may reach besides, nobody may who fetches addresses for strangers.
        let more = egress
            .as_array()
            .unwrap()
            .contains(&json!({ "ports": [{ "port": 16443 }] }));
        assert_eq!(more, name == "r-segue", "{name}");
    }
}

#[test]
fn c34_helm_test_runs_the_doctor_with_what_the_bot_has() {
    let Some(chart) = Chart::here() else { return };
    let near = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=a";
    let objects = chart.objects("extras", &[near]);
    let doctor = one(&objects, "Pod", "r-segue-doctor");
    assert_eq!(doctor["metadata"]["annotations"]["helm.sh/hook"], "test");
    let container = &doctor["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["doctor"]));
    for same in ["env", "envFrom", "image", "volumeMounts"] {
        assert!(!container[same].is_null(), "{same}");
        assert_eq!(container[same], bot(&objects)[same], "{same}");
    }
    let pod = &one(&objects, "StatefulSet", "r-segue")["spec"]["template"]["spec"];
    for same in ["serviceAccountName", "volumes", "nodeSelector", "tolerations"] {
        assert!(!pod[same].is_null(), "{same}");
        assert_eq!(doctor["spec"][same], pod[same], "{same}");
    }
    // It need not lie near or far from other pods, only where the bot can be.
    let affinity = |spec: &Value| spec["affinity"]["nodeAffinity"].clone();
    assert!(affinity(pod).is_object());
    assert_eq!(affinity(&doctor["spec"]), affinity(pod));
}

#[test]
fn c35_c36_every_object_says_what_it_belongs_to_and_where_it_is() {
    let Some(chart) = Chart::here() else { return };
    for file in ci() {
        for object in chart.objects(&file, &[]) {
            let (kind, labels) = (&object["kind"], &object["metadata"]["labels"]);
            let own = object["metadata"]["name"].as_str().unwrap().starts_with("r-segue") && file != "extras";
            let wanted = ["name", "instance", "version", "managed-by", "part-of", "component"];
            for label in &wanted[..if own { wanted.len() } else { 1 }] {
                assert!(
                    labels[format!("app.kubernetes.io/{label}")].is_string(),
                    "{file}: {kind} has no {label}"
                );
            }
            assert!(labels["helm.sh/chart"].is_string(), "{file}: {kind}");
            assert_eq!(object["metadata"]["namespace"], "ns", "{file}: {kind}");
        }
    }
}

#[test]
fn c37_lavalink_is_new_enough_and_shows_its_metrics() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(LAVALINK);
    let set = one(&objects, "StatefulSet", "r-segue-lavalink");
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    let value = |name: &str| variable(container, name).unwrap()["value"].clone();
    assert_eq!(value("METRICS_PROMETHEUS_ENABLED"), "true");
    assert_eq!(value("METRICS_PROMETHEUS_ENDPOINT"), "/metrics");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/metrics");
    for old in ["3.7.13", "4.0.8", "4.1.1-alpine", "latest", "4"] {
        let words = chart.refused(&[LAVALINK[0], LAVALINK[1], &format!("lavalink.image.tag={old}")]);
        assert!(words.contains("/lavalink/image/tag"), "{old}: {words}");
    }
    for new in ["4.2.2", "4.10.0-distroless", "5.0.0"] {
        chart.with(&[LAVALINK[0], LAVALINK[1], &format!("lavalink.image.tag={new}")]);
    }
}

#[test]
fn c38_passwords_stand_in_no_object() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(LAVALINK);
    let set = one(&objects, "StatefulSet", "r-segue-lavalink");
    let password = variable(
        &set["spec"]["template"]["spec"]["containers"][0],
        "LAVALINK_SERVER_PASSWORD",
    )
    .unwrap();
    assert_eq!(
        password["valueFrom"]["secretKeyRef"],
        json!({ "name": "l", "key": "password" })
    );
    let text = serde_json::to_string(&objects).unwrap();
    assert!(!text.contains("youshallnotpass"));
    for (key, say) in [
        ("discord.token", "discord.existingSecret"),
        ("mongodb.uri", "mongodb.existingSecret"),
        ("lavalink.password", "lavalink.existingSecret"),
    ] {
        let words = chart.refused(&[&format!("{key}=hunter2")]);
        assert!(words.contains(&format!("{key}:")) && words.contains(say), "{words}");
        assert!(!words.contains("hunter2"), "{words}");
    }
}

#[test]
fn c39_each_node_has_a_name_and_nothing_balances_between_them() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(LAVALINK);
    let services = of_kind(&objects, "Service");
    assert_eq!(services.len(), 2);
    for service in services {
        assert_eq!(service["spec"]["clusterIP"], "None");
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    }
    let set = one(&objects, "StatefulSet", "r-segue-lavalink");
    let spec = &set["spec"]["template"]["spec"];
    assert_eq!(set["spec"]["serviceName"], "r-segue-lavalink");
    assert_eq!(spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 20);
    assert_eq!(spec["terminationGracePeriodSeconds"], 50);
}

#[test]
fn c40_mongodb_is_a_trial_only_when_asked_for_and_then_walled_in() {
    let Some(chart) = Chart::here() else { return };
    let plain = chart.with(&[]);
    assert!(
        plain
            .iter()
            .all(|object| !object["metadata"]["name"].as_str().unwrap().contains("mongo"))
    );
    let objects = chart.objects("mongodb-bundled", &[]);
    let image = containers(&objects)
        .iter()
        .find(|(place, _)| place.contains("mongodb"))
        .unwrap()
        .1["image"]
        .clone();
    assert_eq!(image, "docker.io/library/mongo:8.0");
    let wall = &one(&objects, "NetworkPolicy", "r-segue-mongodb")["spec"];
    let from: Vec<&Value> = wall["ingress"][0]["from"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| &peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"])
        .collect();
    assert_eq!(from, ["bot", "doctor", "mongodb"]);
    let store = variable(bot(&objects), "SEGUE_STORE").unwrap()["value"]
        .as_str()
        .unwrap();
    assert_eq!(
        store,
        "mongodb://r-segue-mongodb-0.r-segue-mongodb.ns.svc:27017/segue?replicaSet=rs0"
    );
    for file in names("charts/segue").iter().filter(|name| name.contains('.')) {
        assert!(
            !read(&format!("charts/segue/{file}")).to_lowercase().contains("bitnami"),
            "{file}"
        );
    }
}
