//! What happens to the replicas.

use std::time::Duration;

use serde_json::{Value, json};

use super::kubectl::{NAMESPACE, RELEASE};
use super::node::until;
use super::processes;
use super::scenario::Stage;

/// One thing that happens; afterwards all is calm again, and nobody noticed.
pub(super) struct Act {
    pub(super) name: &'static str,
    /// How many replicas it takes for nobody to notice.
    pub(super) replicas: u32,
    /// Whether it does something to processes of the node, which only our own lets us.
    pub(super) within: bool,
    pub(super) run: fn(&Stage<'_>) -> Result<(), String>,
}

pub(super) const ACTS: &[Act] = &[
    Act {
        name: "helm upgrade replaces every pod",
        replicas: 2,
        within: false,
        run: upgrade,
    },
    Act {
        name: "a pod is deleted without grace",
        replicas: 2,
        within: false,
        run: force_delete,
    },
    Act {
        name: "a process is killed three times within a minute",
        replicas: 2,
        within: true,
        run: kill_thrice,
    },
    Act {
        name: "the node is drained pod by pod",
        replicas: 2,
        within: false,
        run: drain,
    },
    Act {
        name: "the leader's pod is deleted",
        replicas: 2,
        within: false,
        run: delete_leader,
    },
    Act {
        name: "the API server stops for a minute",
        replicas: 1,
        within: true,
        run: stop_the_api,
    },
    Act {
        name: "three replicas become five and then two",
        replicas: 3,
        within: false,
        run: scale,
    },
];

const SET: &str = "statefulset/segue";

/// The acts that the run was asked for, by a part of their names. None is no run.
pub(super) fn asked(only: Option<&str>) -> Result<Vec<&'static Act>, String> {
    let chosen = |act: &&Act| only.is_none_or(|part| act.name.contains(part));
    let acts: Vec<&Act> = ACTS.iter().filter(chosen).collect();
    if acts.is_empty() {
        let names: Vec<&str> = ACTS.iter().map(|act| act.name).collect();
        return Err(format!(
            "no act is called {:?}; there are:\n  {}",
            only.unwrap_or_default(),
            names.join("\n  ")
        ));
    }
    Ok(acts)
}

fn upgrade(stage: &Stage<'_>) -> Result<(), String> {
    let before = stage.kubectl.pods()?;
    let told = [
        "upgrade",
        RELEASE,
        "charts/segue",
        "--reuse-values",
        "--set",
        "podAnnotations.round=second",
    ];
    stage.kubectl.helm(&told)?;
    stage.kubectl.here(&["rollout", "status", SET, "--timeout=180s"])?;
    stage.calm(stage.replicas)?;
    let stayed = stayed(&before, &stage.kubectl.pods()?);
    if stayed.is_empty() {
        Ok(())
    } else {
        Err(format!("not replaced: {}", stayed.join(", ")))
    }
}

/// The names of pods that are the same afterwards; a replaced one has the name and another UID.
fn stayed(before: &[Value], after: &[Value]) -> Vec<String> {
    let same = |pod: &&Value| {
        let mut after = after.iter();
        after.any(|other| other["metadata"]["uid"] == pod["metadata"]["uid"])
    };
    before.iter().filter(same).map(name).collect()
}

fn force_delete(stage: &Stage<'_>) -> Result<(), String> {
    let pod = stage.store.busiest()?;
    stage.strikes()?;
    stage
        .kubectl
        .here(&["delete", "pod", &pod, "--grace-period=0", "--force"])
        .map(drop)
}

/// The third time the kubelet waits before it starts it again, as it does for everybody. The others carry its guilds.
fn kill_thrice(stage: &Stage<'_>) -> Result<(), String> {
    let pod = stage.store.busiest()?;
    let uid = text(&stage.kubectl.json(&["get", "pod", &pod])?["metadata"]["uid"]);
    for _ in 0..3 {
        let mut process = None;
        until("the pod's process", || {
            process = processes::of_pod(&uid);
            process.map(drop).ok_or_else(|| format!("{pod} has none"))
        })?;
        stage.strikes()?;
        processes::signal("KILL", process.unwrap_or_default())?;
        until("the end of the process", || match processes::of_pod(&uid) {
            now if now == process => Err("it is still there".to_owned()),
            _ => Ok(()),
        })?;
    }
    // Until the kubelet's next look the pod passes for ready.
    until("the pod's fourth process", || {
        processes::of_pod(&uid)
            .map(drop)
            .ok_or_else(|| format!("{pod} has none"))
    })
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

fn evict(pod: &str) -> String {
    let of = json!({ "name": pod, "namespace": NAMESPACE });
    json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": of }).to_string()
}

fn eviction(pod: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction")
}

/// The Lease says which member leads, and the store which replica that is.
fn delete_leader(stage: &Stage<'_>) -> Result<(), String> {
    let holder = leader(stage)?;
    let leader_pod = stage.store.name_of(&holder)?;
    stage.strikes()?;
    stage.kubectl.here(&["delete", "pod", &leader_pod, "--wait=false"])?;
    until("another leader", || match leader(stage)? {
        now if now.is_empty() || now == holder => Err(format!("it is still {now:?}")),
        _ => Ok(()),
    })
}

fn leader(stage: &Stage<'_>) -> Result<String, String> {
    Ok(text(&lease(stage)?["holderIdentity"]))
}

fn lease(stage: &Stage<'_>) -> Result<Value, String> {
    Ok(stage.kubectl.json(&["get", "lease", RELEASE])?["spec"].take())
}

/// Afterwards a member that lives must go on renewing the Lease: pods and shards are well without any elector.
fn stop_the_api(stage: &Stage<'_>) -> Result<(), String> {
    let server = processes::named("kube-apiserver").ok_or("no API server runs")?;
    processes::signal("STOP", server)?;
    std::thread::sleep(Duration::from_mins(1));
    processes::signal("CONT", server)?;
    let mut then = Value::Null;
    until("the Lease after the stop", || {
        then = lease(stage)?;
        Ok(())
    })?;
    until("a living leader that renews the Lease", || {
        let now = lease(stage)?;
        let holder = text(&now["holderIdentity"]);
        match stage.store.lives(&holder)? {
            true if renewed(&then, &now) => Ok(()),
            alive => Err(format!("the holder lives: {alive}; it was {then} and is {now}")),
        }
    })
}

/// Whether somebody wrote a later time into it.
fn renewed(then: &Value, now: &Value) -> bool {
    // Always in UTC and of the same length, so that they compare as texts.
    now["renewTime"].is_string() && now["renewTime"].as_str() > then["renewTime"].as_str()
}

fn scale(stage: &Stage<'_>) -> Result<(), String> {
    for replicas in [5, 2, stage.replicas] {
        stage.kubectl.here(&["scale", SET, &format!("--replicas={replicas}")])?;
        stage.calm(replicas)?;
    }
    Ok(())
}

fn name(pod: &Value) -> String {
    text(&pod["metadata"]["name"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_that_no_act_has_is_an_error_that_names_them_all() {
        assert_eq!(asked(None).unwrap().len(), ACTS.len());
        assert_eq!(asked(Some("drained")).unwrap().len(), 1);
        let error = asked(Some("drayned")).err().unwrap();
        assert!(ACTS.iter().all(|act| error.contains(act.name)), "{error}");
    }

    #[test]
    fn a_pod_is_replaced_when_its_name_has_another_uid() {
        let pod = |name: &str, uid: &str| json!({ "metadata": { "name": name, "uid": uid } });
        let before = [pod("segue-0", "a"), pod("segue-1", "b")];
        let after = [pod("segue-0", "c"), pod("segue-1", "b")];
        assert_eq!(stayed(&before, &after), ["segue-1"]);
        assert_eq!(stayed(&before, &after[..1]), [""; 0]);
    }

    #[test]
    fn a_lease_is_renewed_when_its_time_moves_on() {
        let lease = |time: &str| json!({ "renewTime": time });
        let (then, now) = (
            lease("2026-01-01T00:00:09.999999Z"),
            lease("2026-01-01T00:00:10.000000Z"),
        );
        assert!(renewed(&then, &now));
        assert!(!renewed(&now, &now) && !renewed(&now, &then));
        assert!(!renewed(&then, &json!({})));
    }
}
