//! The spans of taking a shard: from its claim to its first READY or RESUMED.

use std::collections::{BTreeSet, HashMap};

use super::shard::Shard;
use crate::cluster::Claimed;
use crate::lifecycle::wall_ms;
use crate::model::ids::NodeName;
use crate::telemetry::spans::{self, Beginning, Open};

/// The span of taking a shard, until it is connected. An owner that left alone, with nobody there to tell of it, left its
/// context with the shard: then that is gone on with.
pub(super) fn taking(shard: &Shard) -> Open {
    let claimed = &shard.claimed;
    let moments = claimed.moments;
    let last = claimed.owner_trace.as_deref();
    let parent = claimed.trace.as_deref().or(last.filter(|_| claimed.left));
    // What the owner before did last, and the move that its death overtook.
    let before = [last, claimed.row.trace.as_deref()];
    let predecessors: BTreeSet<&str> = before
        .into_iter()
        .flatten()
        .filter(|trace| Some(*trace) != parent)
        .collect();
    let whole = spans::begin(Beginning {
        name: "shard.take",
        parent,
        links: predecessors.into_iter().map(|trace| (trace, "predecessor")).collect(),
        from_ms: moments.assigned_ms.unwrap_or(moments.claimed_ms),
        attributes: vec![
            ("discord.shard.id", shard.number.into()),
            ("segue.member.id", shard.member.id.0.as_str().into()),
            ("segue.recovery.cause", claimed.cause.name().into()),
            (
                "segue.lease.epoch",
                i64::try_from(claimed.row.epoch.0).unwrap_or(i64::MAX).into(),
            ),
        ],
        ..Beginning::default()
    });
    claim(&whole, claimed);
    whole
}

fn claim(whole: &Open, claimed: &Claimed) {
    let moments = claimed.moments;
    if let Some(assigned_ms) = moments.assigned_ms {
        part(whole, "claim", assigned_ms).end(moments.claimed_ms);
    }
}

/// A part of it.
pub(super) fn part(taking: &Open, name: &'static str, from_ms: i64) -> Open {
    spans::begin(Beginning {
        name,
        parent: taking.traceparent().as_deref(),
        from_ms,
        ..Beginning::default()
    })
}

/// A node that has no session after this long is not waited for, milliseconds.
const NODE_LATE_MS: i64 = 60_000;

/// What of it is under way.
pub(super) struct Taking {
    trace: Option<String>,
    /// Open until the gateway session is there.
    gateway: Option<(Open, Open)>,
    /// Open until the node's session is there.
    nodes: HashMap<NodeName, Open>,
    nodes_since_ms: i64,
}

impl Taking {
    /// The gateway connects since `gateway_ms`; now the nodes do.
    pub(super) fn begin<'a>(
        whole: Open,
        gateway_ms: i64,
        nodes: impl Iterator<Item = &'a NodeName>,
        now_ms: i64,
    ) -> Self {
        let nodes = nodes.map(|node| (node.clone(), part(&whole, "lavalink.resume", now_ms)));
        Self {
            trace: whole.traceparent(),
            nodes: nodes.collect(),
            nodes_since_ms: now_ms,
            gateway: Some((part(&whole, "gateway.resume", gateway_ms), whole)),
        }
    }

    /// Its `traceparent`; `None` where nothing is traced.
    pub(super) fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// READY or RESUMED came; whether that was the first.
    pub(super) fn connected(&mut self, resumed: bool) -> bool {
        let Some((mut gateway, whole)) = self.gateway.take() else {
            return false;
        };
        gateway.fact("discord.gateway.session.resumed", resumed);
        gateway.end(wall_ms());
        whole.end(wall_ms());
        true
    }

    /// Ends what took too long: a node that is gone for days is not what taking the shard was about.
    pub(super) fn look(&mut self, now_ms: i64) {
        if now_ms - self.nodes_since_ms < NODE_LATE_MS {
            return;
        }
        for (node, mut span) in self.nodes.drain() {
            span.fact("lavalink.node.name", node.0.as_str());
            span.fail("the node has no session yet");
            span.end(now_ms);
        }
    }

    /// The node's session is there; whether for the first time.
    pub(super) fn node_ready(&mut self, node: &NodeName, resumed: bool) -> bool {
        let Some(mut span) = self.nodes.remove(node) else {
            return false;
        };
        span.fact("lavalink.node.name", node.0.as_str());
        span.fact("lavalink.session.resumed", resumed);
        span.end(wall_ms());
        true
    }
}
