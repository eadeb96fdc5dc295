//! Figures of the parts that know nothing of metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::discord::CallHook;
use crate::gateway::{self, ShardHandle};
use crate::lavalink::{NodeMetrics, NodeState, NodeStats};
use crate::model::ids::NodeName;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{
    ByInput, ByNode, ByOutcome, ByShard, ByShardState, Input, NoLabels, NodePlayers, NodeReconnect, NodeRequest,
    Outcome, PlayerState, Rest, ShardState,
};

/// Counts what happens at the nodes.
#[derive(Debug)]
pub(super) struct Nodes(pub(super) Arc<Metrics>);

impl NodeMetrics for Nodes {
    fn request(&self, node: &NodeName, operation: &'static str, outcome: &'static str, took: Duration) {
        let outcome = match outcome {
            "ok" => Outcome::Ok,
            "timeout" => Outcome::Timeout,
            "refused" => Outcome::Refused,
            _ => Outcome::Error,
        };
        let labels = NodeRequest {
            node: node.0.clone(),
            operation,
            outcome,
        };
        self.0
            .lavalink
            .requests
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    fn connected(&self, node: &NodeName, outcome: &'static str) {
        let labels = NodeReconnect {
            node: node.0.clone(),
            resumed: outcome == "resumed",
        };
        self.0.lavalink.reconnects.get_or_create(&labels).inc();
    }

    fn odd(&self, _node: &NodeName) {
        self.0
            .process
            .bad_input
            .get_or_create(&ByInput {
                source: Input::Lavalink,
            })
            .inc();
    }
}

pub(super) fn node_state(metrics: &Metrics, node: &NodeName, state: NodeState) {
    let up = i64::from(matches!(state, NodeState::Ready { .. }));
    metrics
        .lavalink
        .node_up
        .get_or_create(&ByNode { node: node.0.clone() })
        .set(up);
}

pub(super) fn node_stats(metrics: &Metrics, node: &NodeName, stats: &NodeStats) {
    let set = |state, count: u64| {
        let labels = NodePlayers {
            node: node.0.clone(),
            state,
        };
        metrics
            .lavalink
            .players
            .get_or_create(&labels)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    };
    set(PlayerState::Playing, stats.playing);
    set(PlayerState::Idle, stats.players.saturating_sub(stats.playing));
}

pub(super) fn autosaved(metrics: &Metrics, outcome: Outcome, written: usize, took: Duration) {
    metrics
        .snapshots
        .autosave_rounds
        .get_or_create(&ByOutcome { outcome })
        .inc();
    metrics
        .snapshots
        .autosave_duration
        .get_or_create(&NoLabels {})
        .observe(took.as_secs_f64());
    metrics
        .snapshots
        .autosave_written
        .get_or_create(&NoLabels {})
        .inc_by(written as u64);
}

/// Times Discord's REST.
pub(super) fn rest(metrics: &Arc<Metrics>) -> CallHook {
    let metrics = Arc::clone(metrics);
    Arc::new(move |method, route, status, took| {
        metrics
            .discord
            .requests
            .get_or_create(&Rest { method, route, status })
            .observe(took.as_secs_f64());
    })
}

/// What a shard is doing, and how far away Discord is.
pub(super) fn shard(metrics: &Metrics, id: u32, handle: &ShardHandle) {
    let state = match handle.state() {
        gateway::ShardState::Waiting | gateway::ShardState::Connecting => ShardState::Connecting,
        gateway::ShardState::Identifying => ShardState::Identifying,
        gateway::ShardState::Resuming => ShardState::Resuming,
        gateway::ShardState::Active => ShardState::Ready,
        gateway::ShardState::Closed | gateway::ShardState::Fatal(_) => ShardState::Closed,
    };
    for known in ShardState::ALL {
        let labels = ByShardState { state: *known };
        metrics
            .gateway
            .shards
            .get_or_create(&labels)
            .set(i64::from(*known == state));
    }
    if let Some(latency_ms) = handle.latency_ms() {
        let seconds = Duration::from_millis(latency_ms).as_secs_f64();
        metrics
            .gateway
            .heartbeat
            .get_or_create(&ByShard { shard_id: id })
            .set(seconds);
    }
}
