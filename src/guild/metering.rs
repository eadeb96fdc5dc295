//! Figures of guilds; never one by guild.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::ids::NodeName;
use crate::model::signal::{FromNode, NodeEvent};
use crate::model::track::Track;
use crate::player::{Outcome as Ended, Recovered as Recovery, Trigger as Began};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{
    ByOutcome, ByTrigger, NoLabels, Outcome, Phase, Recovered, TrackError, Trigger,
};

pub(super) fn written(metrics: &Metrics, outcome: Outcome) {
    metrics.snapshots.writes.get_or_create(&ByOutcome { outcome }).inc();
}

/// A guild's writes fail from now on, or do not any more.
pub(super) fn failing(metrics: &Metrics, failing: bool) {
    if failing {
        metrics.snapshots.age.failing(Instant::now());
    } else {
        metrics.snapshots.age.mended();
    }
}

/// A recovery began, or is not under way any more.
pub(super) fn recovering(metrics: &Metrics, recovering: bool) {
    let inflight = metrics.recoveries.inflight.get_or_create(&NoLabels {});
    if recovering {
        inflight.inc();
    } else {
        inflight.dec();
    }
}

/// What a node said of a track, if that is trouble. Its source is one of a dozen that the node has.
pub(super) fn node_said(metrics: &Metrics, from: &FromNode, current: Option<&Track>) {
    let (identifier, severity) = match &from.event {
        NodeEvent::Failed {
            identifier, severity, ..
        } => (identifier, severity.name()),
        NodeEvent::Stuck { identifier } => (identifier, "stuck"),
        NodeEvent::Ready { .. }
        | NodeEvent::Lost { .. }
        | NodeEvent::Gone { .. }
        | NodeEvent::Update { .. }
        | NodeEvent::Started { .. }
        | NodeEvent::Ended { .. }
        | NodeEvent::VoiceClosed { .. } => return,
    };
    if let Some(track) = current.filter(|track| track.identifier == *identifier) {
        track_failed(metrics, &from.node, track, severity);
    }
}

pub(super) fn track_failed(metrics: &Metrics, node: &NodeName, track: &Track, severity: &str) {
    let labels = TrackError {
        node: node.to_string(),
        source: track.source.to_string(),
        severity: severity.to_owned(),
    };
    metrics.lavalink.track_errors.get_or_create(&labels).inc();
}

/// A recovery ended; the trace (32 hexadecimal digits) that tells it is where one looks for why it took so long.
pub(crate) fn recovered(metrics: &Metrics, recovery: &Recovery, took: Duration, trace: Option<String>) {
    let trigger = match recovery.trigger {
        Began::Crash => Trigger::Crash,
        Began::Handover => Trigger::Drain,
        Began::Rebalance => Trigger::Rebalance,
        Began::Start => Trigger::Start,
        Began::NodeLost => Trigger::NodeLost,
        Began::NodeDrain => Trigger::NodeDrain,
        Began::SessionLost => Trigger::SessionLost,
    };
    let outcome = match recovery.outcome {
        Ended::CarriedOn => Recovered::CarriedOn,
        Ended::Rejoined => Recovered::Rejoined,
        Ended::Restored => Recovered::Restored,
        Ended::Failed => Recovered::Failed,
    };
    metrics.recoveries.ended(trigger, outcome, took, trace);
    for (name, ms) in &recovery.phases {
        if let Some(phase) = Phase::ALL.iter().find(|phase| phase.as_str() == *name) {
            metrics.recoveries.phase(*phase, Duration::from_millis(*ms));
        }
    }
    if outcome == Recovered::Failed {
        // The silence lasts; how long, nobody knows yet.
        return;
    }
    let gap = Duration::from_millis(recovery.gap_ms).as_secs_f64();
    metrics
        .recoveries
        .audio_gap
        .get_or_create(&ByTrigger { trigger })
        .observe(gap);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::signal::Severity;
    use crate::telemetry::metrics::expose::Format;

    #[test]
    fn every_phase_that_a_recovery_reached_is_counted_by_its_name() {
        let metrics = Metrics::default();
        let phases: Vec<_> = Phase::ALL.iter().map(|phase| (phase.as_str(), 250)).collect();
        let recovery = Recovery {
            trigger: Began::Crash,
            outcome: Ended::Restored,
            gap_ms: 400,
            began_ms: 0,
            phases,
            lost_node: None,
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        recovered(
            &metrics,
            &recovery,
            Duration::from_millis(1_500),
            Some(trace.to_owned()),
        );
        let text = metrics.expose(Format::OpenMetrics).unwrap();
        for phase in ["detect", "fence", "claim", "resume", "load", "reconcile"] {
            let line = format!("segue_guild_recovery_phase_duration_seconds_sum{{phase=\"{phase}\"}} 0.25\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains(&format!("# {{trace_id=\"{trace}\"}} 1.5")), "{text}");
        let gaps = "segue_player_audio_gap_seconds_count{trigger=\"crash\"} 1\n";
        assert!(text.contains(gaps), "{text}");
        let outcome = Ended::Failed;
        let failed = Recovery {
            outcome,
            gap_ms: 0,
            ..recovery
        };
        recovered(&metrics, &failed, Duration::ZERO, None);
        let text = metrics.expose(Format::OpenMetrics).unwrap();
        assert!(text.contains(gaps), "a silence that lasts has no length yet: {text}");
    }

    #[test]
    fn a_track_that_makes_trouble_is_counted_by_where_it_comes_from_and_what_the_node_makes_of_it() {
        let metrics = Metrics::default();
        let track = Track {
            encoded: String::new(),
            identifier: "one".into(),
            source: "http".into(),
            title: "One".into(),
            author: "somebody".into(),
            uri: None,
            artwork: None,
            length_ms: None,
            seekable: false,
        };
        let said = |identifier: &str, severity| FromNode {
            node: NodeName("a".to_owned()),
            event: NodeEvent::Failed {
                identifier: identifier.to_owned(),
                message: None,
                severity,
            },
        };
        node_said(&metrics, &said("one", Severity::Suspicious), Some(&track));
        node_said(&metrics, &said("another", Severity::Fault), Some(&track));
        let stuck = NodeEvent::Stuck {
            identifier: "one".to_owned(),
        };
        let node = NodeName("a".to_owned());
        node_said(&metrics, &FromNode { node, event: stuck }, Some(&track));
        let text = metrics.expose(Format::OpenMetrics).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("segue_lavalink_track_errors"))
            .collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for severity in ["suspicious", "stuck"] {
            let labels = format!("{{node=\"a\",source=\"http\",severity=\"{severity}\"}} 1");
            assert!(
                lines.iter().any(|line| line.ends_with(&labels)),
                "{severity}: {lines:?}"
            );
        }
    }
}
