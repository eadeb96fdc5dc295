//! C54 to C56: the chart's own papers, and upgrades.

use serde_json::Value;

use super::render::{Chart, bot, documents, of_kind, one, read, root};
use super::values::ci;

#[test]
fn c55_the_package_says_what_changed_and_what_is_in_it() {
    let chart = &documents(&read("charts/segue/Chart.yaml"))[0];
    assert_eq!(
        chart["appVersion"],
        env!("CARGO_PKG_VERSION"),
        "the chart is released with the bot"
    );
    let annotation = |name: &str| {
        chart["annotations"][format!("artifacthub.io/{name}")]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(annotation("license"), "MIT OR Apache-2.0");
    let changes = &documents(&annotation("changes"))[0];
    assert!(
        changes
            .as_array()
            .unwrap()
            .iter()
            .all(|change| change["kind"].is_string())
    );
    let images = &documents(&annotation("images"))[0];
    let listed: Vec<&str> = images
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["image"].as_str().unwrap())
        .collect();
    let values = &documents(&read("charts/segue/values.yaml"))[0];
    let of = |at: &str| {
        let image = values.pointer(at).unwrap();
        let text = |key: &str| image[key].as_str().unwrap().to_owned();
        format!("{}/{}:{}", text("registry"), text("repository"), text("tag"))
    };
    let version = format!("segue:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(listed, [version, of("/lavalink/image"), of("/mongodb/bundled/image")]);
}

#[test]
fn the_package_holds_the_chart_and_none_of_its_tests() {
    let Some(chart) = Chart::here() else { return };
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let ended = chart.helm(&["package", "charts/segue", "--destination", to]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let file = std::fs::read_dir(to).unwrap().next().unwrap().unwrap().path();
    let listed = std::process::Command::new("tar")
        .arg("-tzf")
        .arg(&file)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for wanted in [
        "segue/values.schema.json",
        "segue/README.md",
        "segue/files/rules/alerts.yaml",
        "segue/files/dashboards/overview.json",
    ] {
        assert!(
            listed.lines().any(|line| line == wanted),
            "{wanted} is missing: {listed}"
        );
    }
    for unwanted in ["segue/ci/", "segue/examples/", "segue/files/rules/tests/"] {
        assert!(!listed.contains(unwanted), "{unwanted}");
    }
    assert!(root().join("charts/segue/examples/README.md").is_file());
}

#[test]
fn a_new_version_restarts_the_bot_and_neither_lavalink_nor_mongodb() {
    let Some(chart) = Chart::here() else { return };
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let bump = "package charts/segue --version 99.0.0 --app-version 99.0.0 --destination";
    let ended = chart.helm(&bump.split(' ').chain([to]).collect::<Vec<_>>());
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let of = |chart_at: &str| {
        let told = "-n ns --kube-version 1.34.0 -f charts/segue/ci/mongodb-bundled-values.yaml";
        let ended = chart.helm(
            &["template", "r", chart_at]
                .into_iter()
                .chain(told.split(' '))
                .collect::<Vec<_>>(),
        );
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        documents(&String::from_utf8(ended.stdout).unwrap())
    };
    let (old, new) = (of("charts/segue"), of(&format!("{to}/segue-99.0.0.tgz")));
    for name in ["r-segue-lavalink", "r-segue-mongodb"] {
        let (old, new) = (one(&old, "StatefulSet", name), one(&new, "StatefulSet", name));
        assert_ne!(
            old["metadata"]["labels"], new["metadata"]["labels"],
            "{name}: the version is new"
        );
        assert_eq!(old["spec"], new["spec"], "{name} would restart");
    }
    assert_ne!(bot(&old)["image"], bot(&new)["image"]);
}

/// What Kubernetes lets nobody change of a `StatefulSet`.
fn fixed(set: &Value) -> Value {
    let mut spec = set["spec"].clone();
    for changeable in [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ] {
        spec.as_object_mut().unwrap().remove(changeable);
    }
    spec
}

#[test]
fn c56_no_value_but_a_volume_changes_what_cannot_be_changed() {
    let Some(chart) = Chart::here() else { return };
    let of = |file: &str| {
        let objects = chart.objects(file, &["lavalink.persistence.enabled=false"]);
        let sets = of_kind(&objects, "StatefulSet");
        sets.iter()
            .map(|set| (set["metadata"]["name"].clone(), fixed(set)))
            .collect::<Vec<_>>()
    };
    let all: Vec<(Value, Value)> = ci().iter().flat_map(|file| of(file)).collect();
    for (name, spec) in &all {
        let first = &all.iter().find(|(known, _)| known == name).unwrap().1;
        assert_eq!(first, spec, "{name}: an upgrade would be refused");
    }
}
