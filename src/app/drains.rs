//! Nodes that are to be empty before they stop: those that `segue drain NODE` names in the store, where every replica looks,
//! and those whose pod is leaving.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use url::{Host, Url};

use super::{Process, RunError};
use crate::store::{SharedStore, StoreError};

/// Where it stands: `{"nodes": ["a"]}`.
const META: &str = "draining_nodes";
/// How often every replica looks. Does not grow with guilds.
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn start(
    process: &Arc<Process>,
    leaving: watch::Receiver<BTreeSet<String>>,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) {
    let (process, stop) = (Arc::clone(process), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_empty(&process, leaving) => {}
        }
        Ok(())
    });
}

/// Goes on until dropped. What is known of the store stays while it does not answer, and it is waited for beside the pods:
/// these have little time.
async fn keep_empty(process: &Process, mut leaving: watch::Receiver<BTreeSet<String>>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let store = &process.store;
    let looked = stream::unfold(looks, |mut looks| async move {
        looks.tick().await;
        Some((drained(store).await, looks))
    });
    let mut looked = std::pin::pin!(looked);
    let (mut stored, mut known) = (BTreeSet::new(), BTreeSet::new());
    loop {
        tokio::select! {
            Some(found) = looked.next() => match found {
                Ok(nodes) => stored = nodes,
                Err(error) => debug!(%error, "cannot see which nodes are to be emptied"),
            },
            // Nobody watches pods: there are none, or this member has ended.
            Ok(()) = leaving.changed() => {}
        }
        let nodes = process.nodes.iter().map(|node| (node.name.0.as_str(), &node.url));
        let nodes = to_be_empty(nodes, &stored, &leaving.borrow_and_update());
        if nodes != known {
            apply(process, &nodes);
            known = nodes;
        }
    }
}

/// Which of the nodes are to be empty, given those that the store names and the pods that are leaving.
fn to_be_empty<'a>(
    nodes: impl Iterator<Item = (&'a str, &'a Url)>,
    stored: &BTreeSet<String>,
    leaving: &BTreeSet<String>,
) -> BTreeSet<String> {
    let leaves = |url| pod(url).is_some_and(|pod| leaving.contains(pod));
    let empty = nodes.filter(|(name, url)| stored.contains(*name) || leaves(url));
    empty.map(|(name, _)| name.to_owned()).collect()
}

/// The pod that an address would be of: in Kubernetes its name begins the host name, as in `POD.SERVICE.NAMESPACE.svc`.
fn pod(url: &Url) -> Option<&str> {
    match url.host()? {
        Host::Domain(name) => name.split('.').next(),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

fn apply(process: &Process, nodes: &BTreeSet<String>) {
    info!(?nodes, "nodes that are to be emptied");
    for node in process.nodes.iter() {
        node.drain(nodes.contains(&node.name.0));
    }
    for (_, shard) in process.driven.all() {
        shard.guilds.nodes_changed();
    }
}

/// The nodes that an operator wants to be empty.
pub async fn drained(store: &SharedStore) -> Result<BTreeSet<String>, StoreError> {
    let stored = store.meta(META).await?;
    let nodes = stored.as_ref().and_then(|value| value["nodes"].as_array());
    let names = nodes.into_iter().flatten().filter_map(|name| name.as_str());
    Ok(names.map(ToOwned::to_owned).collect())
}

/// Says that a node is to be empty, or that it may be used again. Returns those that are to be empty now.
pub async fn set_drained(store: &SharedStore, node: &str, empty: bool) -> Result<BTreeSet<String>, StoreError> {
    loop {
        let stored = store.meta(META).await?;
        let mut nodes = drained(store).await?;
        let changed = if empty {
            nodes.insert(node.to_owned())
        } else {
            nodes.remove(node)
        };
        if !changed
            || store
                .put_meta(META, stored.as_ref(), &serde_json::json!({ "nodes": nodes }))
                .await?
        {
            return Ok(nodes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which nodes of the chart, and of two that are elsewhere, are to be empty.
    fn empty(stored: &[&str], leaving: &[&str]) -> Vec<String> {
        let nodes = [
            ("lavalink-0", "http://music-lavalink-0.music-lavalink.default.svc:2333"),
            ("lavalink-1", "http://music-lavalink-1.music-lavalink.default.svc:2333"),
            ("short", "https://Elsewhere"),
            ("plain", "http://10.0.0.7:2333"),
        ]
        .map(|(name, url)| (name, url.parse().unwrap()));
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let nodes = nodes.iter().map(|(name, url)| (*name, url));
        to_be_empty(nodes, &set(stored), &set(leaving)).into_iter().collect()
    }

    #[test]
    fn a_node_is_emptied_while_its_pod_is_leaving() {
        assert_eq!(empty(&[], &["music-lavalink-1"]), ["lavalink-1"]);
        assert_eq!(empty(&[], &["elsewhere"]), ["short"]);
        assert_eq!(empty(&[], &[]), Vec::<String>::new());
    }

    #[test]
    fn a_node_that_the_operator_emptied_stays_so_whatever_pods_do() {
        assert_eq!(
            empty(&["lavalink-0"], &["music-lavalink-1"]),
            ["lavalink-0", "lavalink-1"]
        );
        assert_eq!(empty(&["lavalink-0"], &["music-lavalink-0"]), ["lavalink-0"]);
        assert_eq!(empty(&["lavalink-0"], &[]), ["lavalink-0"]);
    }

    #[test]
    fn only_a_whole_name_is_a_pods_and_only_a_pods_name_counts() {
        for strange in [
            "music-lavalink",
            "music-lavalink-10",
            "lavalink-0",
            "10",
            "10.0.0.7",
            "",
        ] {
            assert_eq!(empty(&[], &[strange]), Vec::<String>::new(), "{strange:?}");
        }
        assert_eq!(empty(&["gone-from-the-settings"], &[]), Vec::<String>::new());
    }
}
