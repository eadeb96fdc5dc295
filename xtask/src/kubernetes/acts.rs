//! What happens to the replicas.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::kubectl::{Kubectl, RELEASE};
use super::node::until;
use super::scenario::Stage;

/// One thing that happens; afterwards all is calm again, and nobody noticed.
pub(super) struct Act {
    pub(super) name: &'static str,
    /// How many replicas it takes for nobody to notice.
    pub(super) replicas: u32,
    pub(super) run: fn(&Stage<'_>) -> Result<(), String>,
}

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "helm upgrade replaces every pod",
        replicas: 2,
        run: upgrade,
    },
    Act {
        name: "a pod is deleted without grace",
        replicas: 2,
        run: force_delete,
    },
    Act {
        name: "a process is killed three times within a minute",
        replicas: 2,
        run: kill_thrice,
    },
    Act {
        name: "the node is drained pod by pod",
        replicas: 2,
        run: drain,
    },
    Act {
        name: "the leader's pod is deleted",
        replicas: 2,
        run: delete_leader,
    },
    Act {
        name: "the API server stops for a minute",
        replicas: 1,
        run: stop_the_api,
    },
    Act {
        name: "three replicas become five and then two",
        replicas: 3,
        run: scale,
    },
];

const SET: &str = "statefulset/segue";

fn upgrade(stage: &Stage<'_>) -> Result<(), String> {
    let told = [
        "upgrade",
        RELEASE,
        "charts/segue",
        "--reuse-values",
        "--set",
        "podAnnotations.round=second",
    ];
    stage.kubectl.helm(&told)?;
    stage
        .kubectl
        .here(&["rollout", "status", SET, "--timeout=180s"])
        .map(drop)
}

fn force_delete(stage: &Stage<'_>) -> Result<(), String> {
    let pod = first(stage.kubectl)?;
    stage
        .kubectl
        .here(&["delete", "pod", &name(&pod), "--grace-period=0", "--force"])
        .map(drop)
}

/// The third time the kubelet waits before it starts it again, as it does for everybody. The others carry its guilds.
fn kill_thrice(stage: &Stage<'_>) -> Result<(), String> {
    let pod = first(stage.kubectl)?;
    let (pod, uid) = (name(&pod), text(&pod["metadata"]["uid"]));
    for _ in 0..3 {
        let mut process = None;
        until("the pod's process", || {
            process = process_of(&uid);
            process.map(drop).ok_or_else(|| format!("{pod} has none"))
        })?;
        signal("KILL", process.unwrap_or_default())?;
        until("the end of the process", || match process_of(&uid) {
            now if now == process => Err("it is still there".to_owned()),
            _ => Ok(()),
        })?;
    }
    Ok(())
}

fn drain(stage: &Stage<'_>) -> Result<(), String> {
    for pod in stage.kubectl.pods()? {
        let pod = name(&pod);
        stage
            .kubectl
            .given(&["create", "--raw", &eviction(&pod), "-f", "-"], &evict(&pod))?;
        // While one is away, the budget lets no second one go.
        let other = stage
            .kubectl
            .pods()?
            .into_iter()
            .map(|other| name(&other))
            .find(|other| *other != pod);
        if let Some(other) = other {
            let refused = stage
                .kubectl
                .given(&["create", "--raw", &eviction(&other), "-f", "-"], &evict(&other));
            match refused {
                Err(words) if words.contains("disruption budget") => {}
                other => return Err(format!("a second eviction was not refused: {other:?}")),
            }
        }
        stage.calm(stage.replicas)?;
    }
    Ok(())
}

fn evict(pod: &str) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": super::kubectl::NAMESPACE } })
}

fn eviction(pod: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{pod}/eviction", super::kubectl::NAMESPACE)
}

/// The Lease says who leads: the member's name begins with its pod's, or holds it.
fn delete_leader(stage: &Stage<'_>) -> Result<(), String> {
    let lease = stage.kubectl.json(&["get", "lease", "segue"])?;
    let holder = text(&lease["spec"]["holderIdentity"]);
    let pods = stage.kubectl.pods()?;
    let leads = |pod: &&Value| holder.contains(&name(pod)) || holder.contains(&text(&pod["metadata"]["uid"]));
    let leader = pods
        .iter()
        .find(leads)
        .ok_or_else(|| format!("no pod is the leader {holder}"))?;
    stage.kubectl.here(&["delete", "pod", &name(leader), "--wait=false"])?;
    until("another leader", || {
        let lease = stage.kubectl.json(&["get", "lease", "segue"])?;
        let now = text(&lease["spec"]["holderIdentity"]);
        if now.is_empty() || now == holder {
            Err(format!("it is still {now:?}"))
        } else {
            Ok(())
        }
    })
}

fn stop_the_api(_: &Stage<'_>) -> Result<(), String> {
    let server = process_named("kube-apiserver").ok_or("no API server runs")?;
    signal("STOP", server)?;
    std::thread::sleep(Duration::from_mins(1));
    signal("CONT", server)
}

fn scale(stage: &Stage<'_>) -> Result<(), String> {
    for replicas in [5, 2, stage.replicas] {
        stage.kubectl.here(&["scale", SET, &format!("--replicas={replicas}")])?;
        stage.calm(replicas)?;
    }
    Ok(())
}

fn first(kubectl: &Kubectl) -> Result<Value, String> {
    kubectl
        .pods()?
        .into_iter()
        .next()
        .ok_or_else(|| "there is no pod".to_owned())
}

fn name(pod: &Value) -> String {
    text(&pod["metadata"]["name"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn signal(signal: &str, process: u32) -> Result<(), String> {
    let ended = Command::new("kill")
        .args(["-s", signal, &process.to_string()])
        .status()
        .map_err(|error| format!("kill: {error}"))?;
    if ended.success() {
        Ok(())
    } else {
        Err(format!("kill -s {signal} {process} ended with {ended}"))
    }
}

/// The bot's process in the pod with this UID, by the control group that the kubelet put it in.
fn process_of(uid: &str) -> Option<u32> {
    let in_pod = |process: &u32| {
        let group = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        group.contains(uid) && arguments(*process).first().is_some_and(|program| program == "/segue")
    };
    processes().find(in_pod)
}

fn process_named(program: &str) -> Option<u32> {
    let named = |process: &u32| {
        arguments(*process)
            .first()
            .is_some_and(|first| first.ends_with(program))
    };
    processes().find(named)
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn arguments(process: u32) -> Vec<String> {
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split('\0').map(str::to_owned).collect()
}
