//! Figures of Lavalink's nodes. Every shard has a session of its own with each; a node is up while one of them is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::lavalink::{NodeMetrics, NodeState, NodeStats};
use crate::model::ids::NodeName;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{
    ByInput, ByNode, Frames, Input, NodeFrames, NodePlayers, NodeReconnect, NodeRequest, Outcome, PlayerState,
};

/// Counts what happens at the nodes.
#[derive(Debug)]
pub(in crate::app) struct Nodes(pub(in crate::app) Arc<Metrics>);

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
        if !matches!(outcome, "resumed" | "new" | "taken_over") {
            return;
        }
        let labels = NodeReconnect {
            node: node.0.clone(),
            resumed: outcome == "resumed",
        };
        self.0.lavalink.reconnects.get_or_create(&labels).inc();
    }

    fn odd(&self, _node: &NodeName) {
        let source = Input::Lavalink;
        self.0.process.bad_input.get_or_create(&ByInput { source }).inc();
    }
}

/// Which shards have a session with which node.
#[derive(Debug, Default)]
pub(in crate::app) struct Sessions(Mutex<BTreeMap<NodeName, BTreeSet<u32>>>);

impl Sessions {
    /// A shard's session with a node is now like this.
    pub(in crate::app) fn state(&self, metrics: &Metrics, shard: u32, node: &NodeName, state: NodeState) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shards = nodes.entry(node.clone()).or_default();
        if matches!(state, NodeState::Ready { .. }) {
            shards.insert(shard);
        } else {
            shards.remove(&shard);
        }
        show(metrics, node, !shards.is_empty());
    }

    /// A shard is not driven here any more.
    pub(in crate::app) fn ended(&self, metrics: &Metrics, shard: u32) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (node, shards) in nodes.iter_mut() {
            if shards.remove(&shard) {
                show(metrics, node, !shards.is_empty());
            }
        }
    }
}

fn show(metrics: &Metrics, node: &NodeName, up: bool) {
    let of = ByNode { node: node.0.clone() };
    metrics.lavalink.node_up.get_or_create(&of).set(i64::from(up));
    if !up {
        // What it said of its players is not known to be so any more.
        players(metrics, node, 0, 0);
    }
}

fn players(metrics: &Metrics, node: &NodeName, playing: u64, idle: u64) {
    for (state, count) in [(PlayerState::Playing, playing), (PlayerState::Idle, idle)] {
        let labels = NodePlayers {
            node: node.0.clone(),
            state,
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        metrics.lavalink.players.get_or_create(&labels).set(count);
    }
}

/// What a node says once a minute: of all its players, and of the frames of an average one of this session.
pub(in crate::app) fn node_stats(metrics: &Metrics, node: &NodeName, stats: &NodeStats) {
    players(
        metrics,
        node,
        stats.playing,
        stats.players.saturating_sub(stats.playing),
    );
    let Some(frames) = stats.frames else { return };
    let kinds = [
        (Frames::Sent, frames.sent),
        (Frames::Nulled, frames.nulled),
        (Frames::Deficit, frames.deficit),
    ];
    for (kind, count) in kinds {
        let labels = NodeFrames {
            node: node.0.clone(),
            kind,
        };
        metrics.lavalink.frames.get_or_create(&labels).inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::expose::Format;

    #[test]
    fn a_node_is_up_while_one_shard_has_a_session_with_it() {
        let (metrics, sessions, node) = (Metrics::default(), Sessions::default(), NodeName("a".to_owned()));
        let (ready, lost) = (NodeState::Ready { resumed: false }, NodeState::Lost { since_ms: 1 });
        let of = ByNode { node: "a".to_owned() };
        let up = || metrics.lavalink.node_up.get_or_create(&of).get();
        sessions.state(&metrics, 0, &node, ready);
        sessions.state(&metrics, 1, &node, ready);
        sessions.state(&metrics, 1, &node, lost);
        assert_eq!(up(), 1, "shard 0 has one");
        sessions.ended(&metrics, 0);
        assert_eq!(up(), 0, "shard 0 went elsewhere, shard 1 lost its own");
    }

    #[test]
    fn frames_are_added_up_where_the_node_says_them() {
        let (metrics, node) = (Metrics::default(), NodeName("a".to_owned()));
        let mut stats = NodeStats {
            players: 3,
            playing: 2,
            uptime_ms: 1,
            cpu: 0.1,
            frames_missing_permille: 0,
            frames: None,
        };
        node_stats(&metrics, &node, &stats);
        let text = metrics.expose(Format::Plain).unwrap();
        assert!(!text.contains("segue_lavalink_frames_total{"), "{text}");
        stats.frames = Some(crate::lavalink::FrameStats {
            sent: 2_990,
            nulled: 7,
            deficit: 3,
        });
        node_stats(&metrics, &node, &stats);
        node_stats(&metrics, &node, &stats);
        let text = metrics.expose(Format::Plain).unwrap();
        for (kind, count) in [("sent", 5_980), ("nulled", 14), ("deficit", 6)] {
            let line = format!("segue_lavalink_frames_total{{node=\"a\",kind=\"{kind}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
