//! Figures of the cluster as this member sees it, and of the runtime that all of it runs on.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::app::driven::Driven;
use crate::app::{Process, RunError};
use crate::cluster::permit::Standing;
use crate::cluster::{self, ClusterView, Member};
use crate::model::ids::MemberId;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{ByLease, Lease, NoLabels};

/// How often everything is looked at that nobody tells.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the figures current until `stop`, as one of `tasks`.
pub(in crate::app) fn start(
    process: &Process,
    member: &Member,
    shards: u32,
    mut cluster: cluster::Handle,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) {
    let expected = &process.metrics.gateway.shards_expected;
    expected.get_or_create(&NoLabels {}).set(shards.into());
    let mut meter = Meter {
        metrics: Arc::clone(&process.metrics),
        driven: process.driven.clone(),
        member: member.clone(),
        shards,
        term: None,
        busy: busy(),
    };
    let stop = stop.clone();
    tasks.spawn(async move {
        let mut next = Instant::now() + LOOK;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                lives = cluster.changed() => {
                    if !lives {
                        return Ok(());
                    }
                    meter.show(&cluster.view());
                }
                () = sleep_until(next) => {
                    let late = next.elapsed();
                    meter.look(LOOK + late, late);
                    meter.show(&cluster.view());
                    next = Instant::now() + LOOK;
                }
            }
        }
    });
}

struct Meter {
    metrics: Arc<Metrics>,
    driven: Driven,
    member: Member,
    shards: u32,
    term: Option<u64>,
    busy: Duration,
}

/// How long the runtime's threads were busy since it began.
fn busy() -> Duration {
    let metrics = runtime::Handle::current().metrics();
    (0..metrics.num_workers())
        .map(|worker| metrics.worker_total_busy_duration(worker))
        .sum()
}

impl Meter {
    /// `took`: since the last look; `late`: how much of it was too long.
    fn look(&mut self, took: Duration, late: Duration) {
        let process = &self.metrics.process;
        process.loop_lag.get_or_create(&NoLabels {}).observe(late.as_secs_f64());
        let now = busy();
        let worked = now.saturating_sub(std::mem::replace(&mut self.busy, now));
        let workers = u32::try_from(runtime::Handle::current().metrics().num_workers()).unwrap_or(1);
        let ratio = worked.as_secs_f64() / (took.as_secs_f64() * f64::from(workers.max(1)));
        process.workers_busy.get_or_create(&NoLabels {}).set(ratio.min(1.0));
    }

    fn show(&mut self, view: &ClusterView) {
        let ownership = &self.metrics.ownership;
        let leads = i64::from(view.leading);
        ownership.leader.get_or_create(&NoLabels {}).set(leads);
        if view.term > 0 && self.term.replace(view.term).is_some_and(|before| view.term > before) {
            ownership.leader_transitions.get_or_create(&NoLabels {}).inc();
        }
        let permit = &self.member.permit;
        let (alive, margin) = match permit.standing() {
            Standing::Valid { until_ms } => (1, until_ms - permit.clock().now_ms()),
            Standing::Paused | Standing::Fenced => (0, 0),
        };
        let margin = Duration::from_millis(u64::try_from(margin).unwrap_or(0));
        ownership.margin.get_or_create(&NoLabels {}).set(margin.as_secs_f64());
        let held = |kind, count| {
            ownership.held.get_or_create(&ByLease { kind }).set(count);
        };
        held(Lease::Member, alive);
        held(Lease::Leader, leads);
        held(Lease::Shard, i64::try_from(self.driven.all().len()).unwrap_or(i64::MAX));
        let unowned = if view.leading { unowned(view, self.shards) } else { 0 };
        ownership.shards_unowned.get_or_create(&NoLabels {}).set(unowned);
    }
}

impl Drop for Meter {
    /// Whoever does not take part holds nothing.
    fn drop(&mut self) {
        let ownership = &self.metrics.ownership;
        ownership.leader.get_or_create(&NoLabels {}).set(0);
        ownership.shards_unowned.get_or_create(&NoLabels {}).set(0);
        for kind in [Lease::Member, Lease::Leader, Lease::Shard] {
            ownership.held.get_or_create(&ByLease { kind }).set(0);
        }
    }
}

/// Shards of all that no living member owns.
fn unowned(view: &ClusterView, shards: u32) -> i64 {
    let lives = |id: &MemberId| {
        let mut members = view.members.iter();
        members.any(|member| member.id == *id && !member.state.is_final())
    };
    let owned = view.shards.iter().filter(|row| row.id < shards);
    let owned = owned.filter(|row| row.owner.as_ref().is_some_and(lives)).count();
    i64::from(shards) - i64::try_from(owned).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Epoch;
    use crate::store::{MemberRow, MemberState, ShardRow};

    #[test]
    fn a_shard_is_unowned_when_its_owner_is_nobody_dead_or_unknown_and_when_it_was_never_assigned() {
        let member = |id: &str, state| MemberRow {
            state,
            ..MemberRow::new(MemberId(id.to_owned()), id.to_owned())
        };
        let shard = |id, owner: Option<&str>| ShardRow {
            id,
            owner: owner.map(|owner| MemberId(owner.to_owned())),
            epoch: Epoch(1),
            want: None,
            want_term: 1,
            session: None,
            lavalink: std::collections::BTreeMap::new(),
            trace: None,
            owner_trace: None,
            released: None,
        };
        let rows = [Some("a"), Some("dead"), None, Some("leaving"), Some("unknown")];
        let view = ClusterView {
            members: Arc::new(vec![
                member("a", MemberState::Live),
                member("leaving", MemberState::Draining),
                member("dead", MemberState::Fenced),
            ]),
            shards: Arc::new((0..).zip(rows).map(|(id, owner)| shard(id, owner)).collect()),
            ..ClusterView::default()
        };
        assert_eq!(unowned(&view, 6), 4, "1, 2, 4, and 5, which is not stored");
        assert_eq!(unowned(&view, 4), 2, "of four shards the fifth row is a left-over");
    }
}
