//! C11 to C19, C22, C24, C26 to C29, C33: the pods.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::render::{Chart, bot, containers, documents, of_kind, one, pods, variable};
use super::values::ci;

/// The bundled parts as well.
const ALL: &[&str] = &[
    "lavalink.enabled=true",
    "lavalink.existingSecret=l",
    "mongodb.existingSecret=",
    "mongodb.bundled.enabled=true",
];

#[test]
fn c11_the_token_comes_from_a_secret_and_from_nowhere_else() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(&["discord.existingSecret=mine", "discord.secretKey=key"]);
    let token = variable(bot(&objects), "DISCORD_TOKEN").unwrap();
    assert_eq!(
        token["valueFrom"]["secretKeyRef"],
        json!({ "name": "mine", "key": "key" })
    );
    let store = variable(bot(&objects), "SEGUE_STORE").unwrap();
    assert_eq!(
        store["valueFrom"]["secretKeyRef"],
        json!({ "name": "segue-mongodb", "key": "uri" })
    );
}

#[test]
fn c12_no_variable_stands_twice_even_when_a_built_in_one_is_changed_or_taken_away() {
    let Some(chart) = Chart::here() else { return };
    let set = ["env.POD_NAME=x", "env.SECOND=y", "env.NODE_NAME=null", "env.POD_IP="];
    let objects = chart.with(&[&set[..], ALL].concat());
    for (place, container) in containers(&objects) {
        let names: Vec<&str> = container["env"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["name"].as_str())
            .collect();
        let once: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), once.len(), "{place}: {names:?}");
    }
    assert_eq!(variable(bot(&objects), "POD_NAME").unwrap()["value"], "x");
    assert_eq!(variable(bot(&objects), "SECOND").unwrap()["value"], "y");
    assert_eq!(
        variable(bot(&objects), "POD_IP").unwrap()["value"],
        "",
        "empty text is text"
    );
    assert_eq!(variable(bot(&objects), "NODE_NAME"), None);
}

/// Kubernetes fills in `$(NAME)` only from what stands before.
pub(super) fn assert_references_point_backwards(objects: &[Value]) {
    for (place, container) in containers(objects) {
        let mut before = BTreeSet::new();
        for entry in container["env"].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().unwrap();
            let value = entry["value"].as_str().unwrap_or_default();
            for (_, rest) in value.match_indices("$(").map(|(at, _)| (at, &value[at + 2..])) {
                let wanted = rest.split(')').next().unwrap();
                assert!(
                    before.contains(wanted),
                    "{place}: {name} refers to {wanted}, which is not before it"
                );
            }
            before.insert(name.to_owned());
        }
    }
}

#[test]
fn c12_variables_refer_only_to_those_before_them() {
    let Some(chart) = Chart::here() else { return };
    for file in ci() {
        assert_references_point_backwards(&chart.objects(&file, &[]));
    }
}

#[test]
fn c13_c14_every_pod_passes_the_profile_restricted_and_writes_nowhere() {
    let Some(chart) = Chart::here() else { return };
    for file in ci() {
        let objects = chart.objects(&file, &[]);
        for (pod, spec) in pods(&objects) {
            let security = &spec["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{file}: {pod}");
            assert!(security["runAsUser"].as_u64().unwrap() > 0, "{file}: {pod}");
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{file}: {pod}");
            for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(spec[forbidden].is_null(), "{file}: {pod} {forbidden}");
            }
        }
        for (place, container) in containers(&objects) {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{file}: {place}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{file}: {place}");
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{file}: {place}");
        }
    }
}

#[test]
fn c15_services_do_not_leak_into_the_environment() {
    let Some(chart) = Chart::here() else { return };
    for (pod, spec) in pods(&chart.with(ALL)) {
        assert_eq!(spec["enableServiceLinks"], false, "{pod}");
    }
}

#[test]
fn c16_three_probes_ask_three_pages_that_the_bot_serves() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(&[]);
    let path = |probe: &str| bot(&objects)[probe]["httpGet"]["path"].as_str().unwrap().to_owned();
    assert_eq!(
        ["startupProbe", "readinessProbe", "livenessProbe"].map(path),
        ["/startupz", "/readyz", "/livez"]
    );
    let seconds = |objects: &[Value]| {
        let probe = &bot(objects)["startupProbe"];
        probe["periodSeconds"].as_u64().unwrap() * probe["failureThreshold"].as_u64().unwrap()
    };
    assert_eq!(seconds(&objects), 600);
    // 400 shards that log in one by one, 5 s each, on one replica.
    assert!(seconds(&chart.with(&["config.shards=400"])) >= 400 * 5 + 60);
}

#[test]
fn c17_a_grace_period_too_short_for_the_drain_is_refused() {
    let Some(chart) = Chart::here() else { return };
    let words = chart.refused(&["terminationGracePeriodSeconds=20"]);
    assert!(
        words.contains("terminationGracePeriodSeconds: 20 must be >= 60"),
        "{words}"
    );
    let words = chart.refused(&["drain.preStopSleepSeconds=16"]);
    assert!(words.contains("75 must be >= 76"), "{words}");
    let exact = chart.with(&["drain.preStopSleepSeconds=15"]);
    let spec = &one(&exact, "StatefulSet", "r-segue")["spec"]["template"]["spec"];
    assert_eq!(spec["terminationGracePeriodSeconds"], 75);
}

#[test]
fn c18_waiting_before_the_end_needs_no_program_in_the_image() {
    let Some(chart) = Chart::here() else { return };
    assert!(bot(&chart.with(&[]))["lifecycle"].is_null());
    let objects = chart.with(&["drain.preStopSleepSeconds=5"]);
    assert_eq!(
        bot(&objects)["lifecycle"]["preStop"],
        json!({ "sleep": { "seconds": 5 } })
    );
}

#[test]
fn c19_pods_start_together_and_are_replaced_one_by_one() {
    let Some(chart) = Chart::here() else { return };
    for set in of_kind(&chart.with(ALL), "StatefulSet") {
        let spec = &set["spec"];
        assert_eq!(spec["podManagementPolicy"], "Parallel");
        assert!(spec["minReadySeconds"].as_u64().unwrap() >= 10);
        assert!(spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"].is_null());
    }
    let held = chart.with(&["updateStrategy.type=OnDelete"]);
    assert_eq!(
        one(&held, "StatefulSet", "r-segue")["spec"]["updateStrategy"],
        json!({ "type": "OnDelete" })
    );
}

#[test]
fn c22_replicas_are_spread_over_nodes_and_zones_for_each_revision() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(&[]);
    let spread = one(&objects, "StatefulSet", "r-segue")["spec"]["template"]["spec"]["topologySpreadConstraints"]
        .as_array()
        .unwrap();
    let keys: Vec<&str> = spread
        .iter()
        .map(|rule| rule["topologyKey"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    for rule in spread {
        assert_eq!(rule["matchLabelKeys"], json!(["controller-revision-hash"]));
        assert_eq!(
            rule["labelSelector"]["matchLabels"]["app.kubernetes.io/component"],
            "bot"
        );
    }
}

#[test]
fn c24_a_pod_is_told_which_one_it_is() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.with(&[]);
    for (name, path) in [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_UID", "metadata.uid"),
        ("POD_IP", "status.podIP"),
        ("NODE_NAME", "spec.nodeName"),
    ] {
        let told = &variable(bot(&objects), name).unwrap()["valueFrom"]["fieldRef"]["fieldPath"];
        assert_eq!(told, path, "{name}");
        assert!(
            super::render::read("src/config/environment.rs").contains(name),
            "the bot reads {name}"
        );
    }
}

#[test]
fn c25_only_the_bot_may_speak_to_the_kubernetes_api() {
    let Some(chart) = Chart::here() else { return };
    for (pod, spec) in pods(&chart.with(ALL)) {
        let bundled = pod.contains("lavalink") || pod.contains("mongodb");
        assert_eq!(spec["automountServiceAccountToken"], !bundled, "{pod}");
    }
}

#[test]
fn c26_c27_an_image_can_be_pinned_and_mirrored() {
    let Some(chart) = Chart::here() else { return };
    let digest = format!("sha256:{}", "0f".repeat(32));
    let set = [
        format!("image.digest={digest}"),
        "global.imageRegistry=mirror.local".to_owned(),
    ];
    let set: Vec<&str> = set.iter().map(String::as_str).chain(ALL.iter().copied()).collect();
    let objects = chart.with(&set);
    for (place, container) in containers(&objects) {
        assert!(
            container["image"].as_str().unwrap().starts_with("mirror.local/"),
            "{place}"
        );
    }
    assert_eq!(bot(&objects)["image"], format!("mirror.local/segue@{digest}"));
    assert_eq!(
        bot(&chart.with(&[]))["image"],
        format!("segue:{}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn c28_a_changed_setting_replaces_the_pods() {
    let Some(chart) = Chart::here() else { return };
    let mark = |name: &str, set: &[&str]| {
        let objects = chart.with(&[ALL, set].concat());
        let path = "/spec/template/metadata/annotations/checksum~1config";
        one(&objects, "StatefulSet", name).pointer(path).unwrap().clone()
    };
    for (name, changed) in [
        ("r-segue", "config.log=debug"),
        (
            "r-segue-lavalink",
            "lavalink.config.lavalink.server.bufferDurationMs=600",
        ),
    ] {
        assert_eq!(mark(name, &[]), mark(name, &[]), "{name}");
        assert_ne!(mark(name, &[]), mark(name, &[changed]), "{name}");
    }
}

#[test]
fn c29_who_scales_says_the_number() {
    let Some(chart) = Chart::here() else { return };
    let replicas = |set: &[&str]| one(&chart.with(set), "StatefulSet", "r-segue")["spec"]["replicas"].clone();
    assert_eq!(replicas(&[]), 2);
    assert_eq!(replicas(&["autoscaling.enabled=true"]), Value::Null);
    assert_eq!(replicas(&["replicaCount=null"]), Value::Null);
}

#[test]
fn c33_whatever_else_is_hung_on_is_there() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.objects("extras", &[]);
    let spec = &one(&objects, "StatefulSet", "r-segue")["spec"]["template"]["spec"];
    let has = |list: &str, name: &str| spec[list].as_array().unwrap().iter().any(|entry| entry["name"] == name);
    assert!(has("initContainers", "wait") && has("containers", "beside") && has("volumes", "certificates"));
    assert!(
        bot(&objects)["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .any(|mount| mount["name"] == "certificates")
    );
    assert_eq!(
        bot(&objects)["envFrom"],
        json!([{ "configMapRef": { "name": "more" } }])
    );
    assert_eq!(
        variable(bot(&objects), "OTEL_BSP_MAX_QUEUE_SIZE").unwrap()["value"],
        "1024"
    );
    assert_eq!(variable(bot(&objects), "NODE_NAME"), None);
    assert_eq!(
        one(&objects, "ConfigMap", "r-segue-more")["metadata"]["namespace"],
        "ns"
    );
    let gitops = chart.objects("gitops", &[]);
    assert_eq!(
        one(&gitops, "ExternalSecret", "segue-discord")["metadata"]["namespace"],
        "ns"
    );
}

#[test]
fn lavalinks_nodes_are_named_one_by_one_with_their_passwords_left_out() {
    let Some(chart) = Chart::here() else { return };
    let objects = chart.objects("full", &[]);
    let nodes = variable(bot(&objects), "SEGUE_LAVALINK_NODES").unwrap()["value"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        nodes.split(',').collect::<Vec<_>>(),
        [
            "far=https://:$(LAVALINK_PASSWORD_0)@lavalink.example:8443",
            "lavalink-0=http://:$(LAVALINK_PASSWORD)@r-segue-lavalink-0.r-segue-lavalink.ns.svc:2333",
            "lavalink-1=http://:$(LAVALINK_PASSWORD)@r-segue-lavalink-1.r-segue-lavalink.ns.svc:2333",
        ]
    );
    // The bot must understand what Kubernetes makes of it.
    let filled = nodes
        .replace("$(LAVALINK_PASSWORD_0)", "a")
        .replace("$(LAVALINK_PASSWORD)", "b");
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(["config", "--json"])
        .env_clear()
        .env("DISCORD_TOKEN", "t")
        .env("SEGUE_LAVALINK_NODES", filled)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn the_settings_file_is_one_that_the_bot_reads() {
    let Some(chart) = Chart::here() else { return };
    let objects = documents(&chart.text("full", &["config.log=a=\"b\" \\\\ c"]));
    let file = one(&objects, "ConfigMap", "r-segue")["data"]["segue.toml"]
        .as_str()
        .unwrap();
    let table: toml::Table = file.parse().unwrap();
    assert_eq!(table["shards"].as_integer(), Some(32));
    assert_eq!(table["music_auto_resume"].as_bool(), Some(false));
    assert_eq!(table["restore_max_age"].as_str(), Some("2h"));
    assert_eq!(table["log"].as_str(), Some("a=\"b\" \\ c"));
}
