//! The release: installed with Helm as users do, and removed without a trace.

use std::path::Path;

use serde_json::{Value, json};

use super::kubectl::{Kubectl, NAMESPACE, RELEASE};
use super::music::World;
use super::node::until;
use super::store::Store;

/// Every kind that the chart or the bot makes.
const KINDS: &str = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,leases,\
                     endpointslices,persistentvolumeclaims";
/// What is in the namespace beside the release: Kubernetes' own, and the Secrets that users make.
const NOT_OURS: [&str; 5] = [
    "configmap/kube-root-ca.crt",
    "serviceaccount/default",
    "secret/discord",
    "secret/mongodb",
    "secret/lavalink",
];

/// A release and what it is installed with.
pub(super) struct Release<'a> {
    pub(super) kubectl: &'a Kubectl,
    /// Where values and logs are written.
    pub(super) folder: &'a Path,
    pub(super) values: Value,
}

impl Release<'_> {
    /// Values as Helm reads them.
    pub(super) fn values(world: &World, image: &str, replicas: u32, shards: u32) -> Value {
        let node = |node: &Value| {
            let (name, url) = (&node["name"], &node["url"]);
            json!({ "name": name, "url": url, "existingSecret": "lavalink", "secretKey": name })
        };
        let nodes: Vec<Value> = world.nodes().map(node).collect();
        json!({
            "replicaCount": replicas,
            "image": named(image),
            "discord": { "existingSecret": "discord" },
            "mongodb": { "existingSecret": "mongodb" },
            "lavalink": { "external": nodes },
            "config": {
                "shards": shards,
                "discord_api_url": world.ready["discord_api"],
                "discord_gateway_url": world.ready["discord_gateway"],
            },
            // Nobody waits for a canary.
            "minReadySeconds": 0,
        })
    }

    /// The namespace; one that is there already is somebody's.
    pub(super) fn make_namespace(&self) -> Result<(), String> {
        self.kubectl.ok(&["create", "namespace", NAMESPACE]).map(drop)
    }

    /// Closes it to pods that may do more than they need, and makes the Secrets.
    pub(super) fn place(&self, world: &World, store: &Store) -> Result<(), String> {
        let closed = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl.ok(&["label", "namespace", NAMESPACE, closed])?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.secret("discord", &[("token".to_owned(), text(&world.ready["token"]))])?;
        self.secret("mongodb", &[("uri".to_owned(), store.address())])?;
        let passwords: Vec<_> = world
            .nodes()
            .map(|node| (text(&node["name"]), text(&node["password"])))
            .collect();
        self.secret("lavalink", &passwords)
    }

    fn secret(&self, name: &str, pairs: &[(String, String)]) -> Result<(), String> {
        let literal = |(key, value): &(String, String)| format!("--from-literal={key}={value}");
        let literals: Vec<String> = pairs.iter().map(literal).collect();
        let told = ["create", "secret", "generic", name].into_iter();
        let told: Vec<&str> = told.chain(literals.iter().map(String::as_str)).collect();
        self.kubectl.here(&told).map(drop)
    }

    /// `helm install`.
    pub(super) fn install(&self) -> Result<(), String> {
        self.chart(&["install", "--wait", "--timeout=3m"]).map(drop)
    }

    /// Helm with this chart and these values.
    fn chart(&self, told: &[&str]) -> Result<String, String> {
        let file = self.folder.join("values.json");
        // JSON is YAML.
        std::fs::write(&file, self.values.to_string()).map_err(|error| format!("values: {error}"))?;
        let file = format!("--values={}", file.display());
        self.kubectl.helm(&[told, &[&file, RELEASE, "charts/segue"]].concat())
    }

    /// `helm test`: the doctor in a pod. It looks at what the pod may do, too.
    pub(super) fn test(&self) -> Result<(), String> {
        let told = self.kubectl.helm(&["test", RELEASE, "--logs", "--timeout", "90s"]);
        let told = told.map_err(|words| format!("the doctor in a pod: {words}"))?;
        let judged = told.contains("✓ Kubernetes") && told.contains("All is well");
        judged
            .then_some(())
            .ok_or_else(|| format!("the doctor in a pod does not judge everything well: {told}"))
    }

    /// The same doctor with an account that has no rights says so.
    pub(super) fn test_without_rights(&self) -> Result<(), String> {
        let pod = "segue-doctor";
        let only = "--show-only=templates/tests/doctor.yaml";
        let bare = "--set=rbac.create=false,serviceAccount.create=false,serviceAccount.name=default";
        let manifest = self.chart(&["template", only, bare])?;
        self.kubectl.given(&["apply", "-f", "-"], &manifest)?;
        let ended = "--for=jsonpath={.status.phase}=Failed";
        let failed = self.kubectl.here(&["wait", ended, "--timeout=60s", "pod", pod]);
        let said = self.kubectl.here(&["logs", pod])?;
        self.kubectl.here(&["delete", "pod", pod, "--wait=false"])?;
        let judged = said.contains("✗ Kubernetes") && said.contains("rbac.create");
        match failed {
            Ok(_) if judged => Ok(()),
            Ok(_) => Err(format!("without rights the doctor says: {said}")),
            Err(error) => Err(format!("without rights the doctor does not fail: {error}: {said}")),
        }
    }

    /// Everything in the namespace, such as what a cluster puts into each.
    pub(super) fn there(&self) -> Result<Vec<String>, String> {
        let names = self.kubectl.here(&["get", KINDS, "-o", "name"])?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// `helm uninstall`, and the proof that nothing of it stays: no more than was `before` it was installed.
    pub(super) fn uninstall(&self, before: &[String]) -> Result<(), String> {
        self.kubectl.helm(&["uninstall", RELEASE, "--wait"])?;
        until("the end of every pod", || match self.kubectl.pods()?.len() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        })?;
        until("an empty namespace", || {
            let mut left = self.there()?;
            // Kubernetes' own may have come a moment after the namespace.
            left.retain(|name| !before.contains(name) && !NOT_OURS.iter().any(|other| name.ends_with(other)));
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("helm uninstall left {}", left.join(", ")))
            }
        })
    }

    /// For whoever looks for what went wrong: what pods are there, what happened to them, and what they logged.
    pub(super) fn keep_what_pods_say(&self) {
        let mut said = Vec::new();
        for told in [
            &["get", "pods,leases", "-o", "wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &[
                "logs",
                "-l",
                "app.kubernetes.io/component=bot",
                "--prefix",
                "--tail=-1",
                "--max-log-requests=20",
            ],
        ] {
            said.push(self.kubectl.here(told).unwrap_or_else(|error| error));
        }
        std::fs::write(self.folder.join("log/pods"), said.join("\n")).ok();
    }

    /// In somebody's cluster: it was made by us, and nothing is in it that was there before.
    pub(super) fn leave_no_namespace(&self) -> Result<(), String> {
        self.kubectl
            .here(&["delete", "namespace", NAMESPACE, "--timeout=2m"])
            .map(drop)
    }
}

/// An image's name as the chart takes it: registry, repository, tag or digest.
fn named(image: &str) -> Value {
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    // A colon before the last slash belongs to the registry's port.
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        Some(_) | None => (name, ""),
    };
    let (registry, repository) = match name.split_once('/') {
        Some((registry, repository)) if registry.contains(['.', ':']) => (registry, repository),
        Some(_) | None => ("", name),
    };
    json!({ "registry": registry, "repository": repository, "tag": tag, "digest": digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_name_is_taken_apart_wherever_its_colons_are() {
        let table = [
            ("localhost/segue:test", ["", "localhost/segue", "test", ""]),
            ("segue", ["", "segue", "", ""]),
            (
                "registry.example/music/segue:1",
                ["registry.example", "music/segue", "1", ""],
            ),
            ("registry:5000/segue", ["registry:5000", "segue", "", ""]),
            ("192.0.2.7:5000/segue:1", ["192.0.2.7:5000", "segue", "1", ""]),
            (
                "registry.example/segue@sha256:ab",
                ["registry.example", "segue", "", "sha256:ab"],
            ),
        ];
        for (image, parts) in table {
            let value = named(image);
            let seen = ["registry", "repository", "tag", "digest"].map(|key| value[key].as_str().unwrap());
            assert_eq!(seen, parts, "{image}");
        }
    }
}
