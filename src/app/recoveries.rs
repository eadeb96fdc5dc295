//! The recoveries that ended lately: shown at once, and kept in the store for whoever asks later.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Process, RunError};
use crate::cluster::{Claimed, Member, Moments};
use crate::guild::Recovery;
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;
use crate::player::Trigger;
use crate::store::RecoveryRow;
use crate::telemetry::spans::{self, Beginning};

/// Recoveries that may wait to be kept; beyond it they are counted only.
const WAITING: usize = 4_096;
/// A takeover ends for many guilds within moments: they travel to the store together.
const TOGETHER: Duration = Duration::from_millis(200);
/// At the end of a life, what is still to be kept has this long.
const LAST: Duration = Duration::from_secs(1);
/// How often what other replicas recovered is read, while somebody looks.
const READ_EVERY: Duration = Duration::from_secs(1);

pub(super) fn start(
    process: &Arc<Process>,
    member: &Member,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) -> mpsc::Sender<Recovery> {
    let (sender, ended) = mpsc::channel(WAITING);
    let keeper = Keeper {
        process: Arc::clone(process),
        member: member.clone(),
        batch: Vec::new(),
    };
    let (process, reading_stop) = (Arc::clone(process), stop.clone());
    tasks.spawn(keeper.keep(ended, stop.clone()));
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = reading_stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(READ_EVERY) => {}
            }
            if process.overview.is_looked_at() {
                look(&process).await;
            }
        }
    });
    sender
}

/// What the store knows of all replicas; whoever does not lead seldom needs it for anything else.
async fn look(process: &Process) {
    if let Ok(scan) = process.store.scan().await {
        process.overview.scanned(scan);
    }
    if let Ok(rows) = process.store.recoveries(super::state::RECOVERIES).await {
        process.overview.stored(rows);
    }
}

struct Keeper {
    process: Arc<Process>,
    member: Member,
    batch: Vec<RecoveryRow>,
}

impl Keeper {
    async fn keep(mut self, mut ended: mpsc::Receiver<Recovery>, stop: CancellationToken) -> Result<(), RunError> {
        let mut due = None;
        loop {
            let at = due.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(one) = ended.recv() => {
                    self.take(one);
                    due.get_or_insert(Instant::now() + TOGETHER);
                }
                () = sleep_until(at), if due.is_some() => {
                    due = None;
                    self.write().await;
                }
            }
        }
        while let Ok(one) = ended.try_recv() {
            self.take(one);
        }
        drop(timeout(LAST, self.write()).await);
        Ok(())
    }

    fn take(&mut self, recovery: Recovery) {
        let moved = match recovery.recovered.trigger {
            Trigger::Crash | Trigger::Handover => self.process.driven.moved(recovery.shard),
            Trigger::NodeLost | Trigger::SessionLost => None,
        };
        let mut row = row(recovery, moved.as_deref(), self.member.id.clone());
        let trace = told(&row, moved.as_deref());
        if row.trace_id.is_none() {
            row.trace_id = trace.as_deref().and_then(|trace| trace.split('-').nth(1)).map(ToOwned::to_owned);
        }
        self.process.overview.recovered(row.clone());
        self.batch.push(row);
    }

    /// For people: what cannot be kept is not worth a second try, the next ones are.
    async fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty()
            && let Err(error) = self.process.store.record_recoveries(&batch).await
        {
            debug!(%error, lost = batch.len(), "recoveries are not kept in the store");
        }
    }
}

/// How a shard came to this member: what all of its guilds' recoveries have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The first sign that it had to, milliseconds since 1970.
    pub(crate) lost_ms: i64,
    /// What took how long until it was ours.
    pub(crate) phases: Vec<(&'static str, u64)>,
    /// What tells it: the span of taking the shard, a W3C `traceparent`.
    pub(crate) trace: Option<String>,
}

impl Moved {
    /// From the moments of a claim. A moment that nobody knows belongs to the next phase.
    pub(crate) fn of(claimed: &Claimed, trace: Option<String>) -> Self {
        let Moments {
            lost_ms,
            fenced_ms,
            assigned_ms,
            claimed_ms,
        } = claimed.moments;
        let lost = lost_ms.unwrap_or(claimed_ms);
        let mut before = lost;
        let mut phases = Vec::new();
        for (name, at) in [("detect", fenced_ms), ("assign", assigned_ms), ("claim", Some(claimed_ms))] {
            if let Some(at) = at {
                phases.push((name, u64::try_from(at - before).unwrap_or(0)));
                before = before.max(at);
            }
        }
        Self {
            lost_ms: lost,
            phases,
            trace: trace.or_else(|| claimed.trace.clone()),
        }
    }

    /// 32 hexadecimal digits.
    fn trace_id(&self) -> Option<String> {
        let parts = self.trace.as_deref()?.split('-').nth(1)?;
        Some(parts.to_owned())
    }
}

/// One span for one guild, its phases as events.
fn told(row: &RecoveryRow, moved: Option<&Moved>) -> Option<String> {
    let began_ms = row.lost_ms.unwrap_or(row.at_ms);
    let mut span = spans::begin(Beginning {
        name: "guild.recover",
        parent: moved.and_then(|moved| moved.trace.as_deref()),
        from_ms: began_ms,
        attributes: vec![
            ("discord.guild.id", row.guild.to_string().into()),
            ("discord.shard.id", row.shard.into()),
            ("segue.member.id", row.member.0.as_str().into()),
            ("segue.recovery.trigger", row.trigger.as_str().into()),
            ("segue.recovery.outcome", row.outcome.as_str().into()),
            ("segue.audio.gap_ms", i64::try_from(row.gap_ms).unwrap_or(i64::MAX).into()),
        ],
        ..Beginning::default()
    });
    let mut at = began_ms;
    for (phase, ms) in &row.phases {
        at += i64::try_from(*ms).unwrap_or(0);
        span.event(phase, at);
    }
    if row.outcome == "failed" {
        span.fail("the channel cannot be had; the queue is kept");
    }
    let trace = span.traceparent();
    span.end(row.at_ms);
    trace
}

fn row(recovery: Recovery, moved: Option<&Moved>, member: MemberId) -> RecoveryRow {
    let Recovery {
        shard,
        guild,
        recovered,
    } = recovery;
    let began_ms = moved.map_or(recovered.began_ms, |moved| moved.lost_ms);
    let ended_ms = wall_ms();
    let before = moved.map_or(&[][..], |moved| &moved.phases);
    let phases = before.iter().chain(&recovered.phases);
    RecoveryRow {
        guild,
        shard,
        member,
        trigger: recovered.trigger.name().to_owned(),
        outcome: recovered.outcome.name().to_owned(),
        at_ms: ended_ms,
        took_ms: u64::try_from(ended_ms - began_ms).unwrap_or(0),
        gap_ms: recovered.gap_ms,
        lost_ms: Some(began_ms),
        phases: phases.map(|(name, ms)| ((*name).to_owned(), *ms)).collect(),
        trace_id: moved.and_then(Moved::trace_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cause;
    use crate::model::ids::Epoch;
    use crate::store::ShardRow;

    fn claimed(moments: Moments) -> Claimed {
        Claimed {
            row: ShardRow {
                id: 1,
                owner: None,
                epoch: Epoch(2),
                want: None,
                want_term: 1,
                session: None,
                lavalink: std::collections::BTreeMap::new(),
                trace: None,
                owner_trace: None,
                released: None,
            },
            previous: None,
            cause: Cause::Proven,
            left: false,
            alive_until_ms: 0,
            seq: None,
            trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            owner_trace: None,
            moments,
        }
    }

    #[test]
    fn the_way_of_a_shard_is_told_in_phases_that_add_up_and_belongs_to_its_trace() {
        let moved = Moved::of(&claimed(Moments {
            lost_ms: Some(1_000),
            fenced_ms: Some(1_040),
            assigned_ms: Some(1_055),
            claimed_ms: 1_070,
        }), None);
        assert_eq!(moved.phases, [("detect", 40), ("assign", 15), ("claim", 15)]);
        assert_eq!(moved.trace_id().as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let unknown = Moved::of(&claimed(Moments {
            lost_ms: Some(1_000),
            claimed_ms: 1_070,
            ..Moments::default()
        }), None);
        assert_eq!(unknown.phases, [("claim", 70)]);
    }
}
