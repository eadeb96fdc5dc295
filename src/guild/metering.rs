//! Figures of guilds; never one by guild.

use std::time::Duration;

use crate::player::{Outcome as Ended, Recovered as Recovery, Trigger as Began};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{ByOutcome, ByTrigger, Outcome, Recovered, TrackError, Trigger};

pub(super) fn written(metrics: &Metrics, outcome: Outcome) {
    metrics.snapshots.writes.get_or_create(&ByOutcome { outcome }).inc();
}

pub(super) fn track_failed(metrics: &Metrics, node: Option<String>) {
    let labels = TrackError {
        node: node.unwrap_or_default(),
        source: String::new(),
        severity: "fault".to_owned(),
    };
    metrics.lavalink.track_errors.get_or_create(&labels).inc();
}

pub(super) fn recovered(metrics: &Metrics, recovery: &Recovery, took: Duration) {
    let trigger = match recovery.trigger {
        Began::Crash => Trigger::Crash,
        Began::Handover => Trigger::Drain,
        Began::Rebalance => Trigger::Rebalance,
        Began::Start => Trigger::Start,
        Began::NodeLost => Trigger::NodeLost,
        Began::SessionLost => Trigger::SessionLost,
    };
    let outcome = match recovery.outcome {
        Ended::CarriedOn => Recovered::CarriedOn,
        Ended::Rejoined => Recovered::Rejoined,
        Ended::Restored => Recovered::Restored,
        Ended::Failed => Recovered::Failed,
    };
    metrics.recoveries.ended(trigger, outcome, took, None);
    let gap = Duration::from_millis(recovery.gap_ms).as_secs_f64();
    metrics
        .recoveries
        .audio_gap
        .get_or_create(&ByTrigger { trigger })
        .observe(gap);
}
