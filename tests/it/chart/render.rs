//! Runs Helm, and finds things in what it renders.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::programs;
use crate::skip::skip;

/// The oldest and newest Kubernetes that the chart supports.
pub(super) const KUBERNETES: [&str; 2] = ["1.30.0", "1.37.0"];

/// Helm with the chart.
pub(super) struct Chart(std::path::PathBuf);

/// The repository's root.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub(super) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the files in a folder, in order.
pub(super) fn names(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join(folder))
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

impl Chart {
    /// `None`, said aloud, when there is no Helm.
    pub(super) fn here() -> Option<Self> {
        let helm = programs::helm();
        if helm.is_none() {
            skip("the chart: no Helm 4; set SEGUE_HELM or run `cargo xtask test`");
        }
        helm.map(Self)
    }

    /// Runs Helm in the repository's root.
    pub(super) fn helm(&self, arguments: &[&str]) -> Output {
        Command::new(&self.0)
            .args(arguments)
            .current_dir(root())
            .output()
            .unwrap()
    }

    /// The text of a release `r` in namespace `ns` with a file of `ci/`, and values set on top.
    pub(super) fn text(&self, file: &str, set: &[&str]) -> String {
        let ended = self.template(file, set);
        let words = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{file} with {set:?}: {words}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// The same as objects.
    pub(super) fn objects(&self, file: &str, set: &[&str]) -> Vec<Value> {
        documents(&self.text(file, set))
    }

    /// The default values with more set.
    pub(super) fn with(&self, set: &[&str]) -> Vec<Value> {
        self.objects("default", set)
    }

    /// What Helm says against values that it must refuse.
    pub(super) fn refused(&self, set: &[&str]) -> String {
        let ended = self.template("default", set);
        let words = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success(), "{set:?} was accepted");
        words
    }

    fn template(&self, file: &str, set: &[&str]) -> Output {
        let values = format!("charts/segue/ci/{file}-values.yaml");
        let fixed = [
            "template",
            "r",
            "charts/segue",
            "-n",
            "ns",
            "--kube-version",
            "1.34.0",
            "-f",
            &values,
        ];
        let set = set.iter().flat_map(|value| ["--set", value]);
        self.helm(&fixed.into_iter().chain(set).collect::<Vec<_>>())
    }
}

/// The objects in a text of YAML.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// The objects of a kind.
pub(super) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The only object of this kind and name.
pub(super) fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<&Value> = of_kind(objects, kind)
        .into_iter()
        .filter(|object| object["metadata"]["name"] == name)
        .collect();
    assert_eq!(found.len(), 1, "{kind} {name}: {found:#?}");
    found[0]
}

/// Every pod: whose it is and its spec.
pub(super) fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let spec = |object: &'_ Value| match object["kind"].as_str() {
        Some("Pod") => Some("/spec"),
        Some("StatefulSet" | "Deployment" | "Job" | "DaemonSet") => Some("/spec/template/spec"),
        _ => None,
    };
    let named = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    objects
        .iter()
        .filter_map(|object| Some((named(object), object.pointer(spec(object)?)?)))
        .collect()
}

/// Every container of every pod, also those that run first: where it stands and what it is.
pub(super) fn containers(objects: &[Value]) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (pod, spec) in pods(objects) {
        for list in ["initContainers", "containers"] {
            let all = spec[list].as_array().into_iter().flatten();
            found.extend(all.map(|container| (format!("{pod}/{}", container["name"].as_str().unwrap()), container)));
        }
    }
    found
}

/// The bot's container in the `StatefulSet`.
pub(super) fn bot(objects: &[Value]) -> &Value {
    let set = one(objects, "StatefulSet", "r-segue");
    let first = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(first["name"], "segue");
    first
}

/// A variable of a container.
pub(super) fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container["env"].as_array()?.iter().find(|entry| entry["name"] == name)
}

/// The bot's container in a `StatefulSet` of any name.
pub(super) fn bot_of(set: &Value) -> &Value {
    let all = set["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    all.iter().find(|container| container["name"] == "segue").unwrap()
}
