//! Figures of the parts that know nothing of metrics.

mod cluster;
mod nodes;
mod shards;
mod starts;
mod store;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::cluster::start as watch_cluster;
pub(super) use self::nodes::{Nodes, Sessions, node_stats};
pub(super) use self::shards::ShardMeter;
pub(super) use self::starts::{show as starts_left, start as watch_starts};
pub(super) use self::store::Calls;
use crate::discord::{Attempted, CallHook};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{ByLease, ByOutcome, Lease, NoLabels, Outcome, RateLimited, Rest};

/// A round of auto-save that had something to write.
pub(super) struct Round {
    /// When the positions were asked for.
    pub(super) began: Instant,
    pub(super) took: Duration,
    /// Positions that were written, and those of guilds that somebody else owns; `None`: the store failed.
    pub(super) written: Option<(usize, usize)>,
}

pub(super) fn autosaved(metrics: &Metrics, round: &Round) {
    let snapshots = &metrics.snapshots;
    let outcome = if let Some((written, lost)) = round.written {
        snapshots.age.saved(round.began);
        snapshots
            .autosave_written
            .get_or_create(&NoLabels {})
            .inc_by(written as u64);
        let kind = Lease::Guild;
        metrics
            .ownership
            .fenced
            .get_or_create(&ByLease { kind })
            .inc_by(lost as u64);
        Outcome::Ok
    } else {
        snapshots.age.not_saved(round.began);
        Outcome::Error
    };
    snapshots.autosave_rounds.get_or_create(&ByOutcome { outcome }).inc();
    snapshots
        .autosave_duration
        .get_or_create(&NoLabels {})
        .observe(round.took.as_secs_f64());
}

/// A round that had nothing to write: every position is as stored, or nothing plays.
pub(super) fn nothing_to_save(metrics: &Metrics, players: i64, began: Instant) {
    if players <= 0 {
        metrics.snapshots.age.silent();
    } else {
        metrics.snapshots.age.saved(began);
    }
}

/// Times Discord's REST.
pub(super) fn rest(metrics: &Arc<Metrics>) -> CallHook {
    let metrics = Arc::clone(metrics);
    Arc::new(move |called: &Attempted| {
        let (route, status) = (called.route, called.status);
        let method = called.method;
        metrics
            .discord
            .requests
            .get_or_create(&Rest { method, route, status })
            .observe(called.took.as_secs_f64());
        if let Some(scope) = called.limited {
            let limited = &metrics.discord.rate_limited;
            limited.get_or_create(&RateLimited { route, scope }).inc();
        }
    })
}
