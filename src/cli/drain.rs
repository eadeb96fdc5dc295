//! `segue drain`: which Lavalink nodes are to be empty.

use super::args::DrainArgs;
use super::exit::Exit;
use super::{Failure, Out};
use crate::app;
use crate::config::Settings;
use crate::store;

/// Writes it into the store, where every replica looks every two seconds.
pub(super) async fn perform(args: &DrainArgs, settings: &Settings, out: &Out) -> Result<Exit, Failure> {
    let known: Vec<&str> = settings
        .lavalink_nodes
        .iter()
        .map(|node| node.name.0.as_str())
        .collect();
    if !known.is_empty() && !known.contains(&args.node.as_str()) && !args.undo {
        return Err(Failure(format!(
            "there is no node {:?} in SEGUE_LAVALINK_NODES; there are {}",
            args.node,
            known.join(", ")
        )));
    }
    let failed = |error: store::StoreError| Failure(format!("{error} (SEGUE_STORE)"));
    let store = store::open(&settings.store.whole()).await.map_err(failed)?;
    let empty = app::set_drained(&store, &args.node, !args.undo).await;
    store.close().await;
    let empty = empty.map_err(failed)?;
    out.line(if args.undo {
        format!("Node {} may be used again.", args.node)
    } else {
        format!(
            "Node {} is being emptied: its players move to other nodes while they play. It is empty when its players are 0 \
             on any replica's page; `segue drain {} --undo` lets it be used again.",
            args.node, args.node
        )
    });
    if !empty.is_empty() {
        let names: Vec<String> = empty.into_iter().collect();
        out.line(format!("To be empty now: {}.", names.join(", ")));
    }
    Ok(Exit::Ended)
}
