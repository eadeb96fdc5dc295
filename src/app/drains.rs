//! Nodes that an operator wants to be empty before they stop: `segue drain NODE` says so in the store, every replica looks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{Process, RunError};
use crate::store::{SharedStore, StoreError};

/// Where it stands: `{"nodes": ["a"]}`.
const META: &str = "draining_nodes";
/// How often every replica looks. Does not grow with guilds.
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn start(process: &Arc<Process>, tasks: &mut JoinSet<Result<(), RunError>>, stop: &CancellationToken) {
    let (process, stop) = (Arc::clone(process), stop.clone());
    tasks.spawn(async move {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = BTreeSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = looks.tick() => {}
            }
            match drained(&process.store).await {
                Ok(nodes) if nodes != known => {
                    apply(&process, &nodes);
                    known = nodes;
                }
                Ok(_) => {}
                Err(error) => debug!(%error, "cannot see which nodes are to be emptied"),
            }
        }
    });
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

/// The nodes that are to be empty.
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
