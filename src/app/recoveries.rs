//! The recoveries that ended lately: shown at once, and kept in the store for whoever asks later.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::losses::{Left, Losses};
use super::{Process, RunError};
use crate::cluster::Member;
use crate::guild::Recovery;
use crate::model::ids::MemberId;
use crate::store::RecoveryRow;
use crate::telemetry::spans::{self, Beginning};

/// Recoveries that may wait to be kept; beyond it they are counted only.
const WAITING: usize = 4_096;
/// A takeover ends for many guilds within moments: they travel to the store together, when what people wait for is done.
const TOGETHER: Duration = Duration::from_secs(1);
/// At the end of a life, what is still to be kept has this long.
const LAST: Duration = Duration::from_secs(1);
/// Recovered later than the aim: each phase is a span.
const SLOW_MS: u64 = 15_000;
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
        losses: Losses::new(Arc::clone(&process.store), member.id.clone()),
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
    losses: Losses,
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
                    self.take(one).await;
                    due.get_or_insert(Instant::now() + TOGETHER);
                }
                () = sleep_until(at), if due.is_some() => {
                    due = None;
                    self.write().await;
                }
            }
        }
        while let Ok(one) = ended.try_recv() {
            self.take(one).await;
        }
        drop(timeout(LAST, self.write()).await);
        Ok(())
    }

    /// Takeovers of thousands of guilds end within moments: their spans wait for room, and nobody waits for them.
    async fn take(&mut self, recovery: Recovery) {
        spans::room().await;
        let (trigger, node) = (recovery.recovered.trigger, recovery.recovered.lost_node.clone());
        let mut row = row(&recovery, self.member.id.clone());
        let left = match node.zip(Left::by(trigger)) {
            Some((node, left)) => self.losses.trace(node, left, &row).await,
            None => None,
        };
        let trace = told(&row, recovery.takeover.as_deref().or(left.as_deref()));
        row.trace_id = trace.as_deref().and_then(spans::trace_id);
        recovery.count(&self.process.metrics, row.trace_id.clone());
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

/// One span for one guild, its phases as events; as spans of their own when it was slow or failed.
fn told(row: &RecoveryRow, parent: Option<&str>) -> Option<String> {
    let began_ms = row.lost_ms.unwrap_or(row.at_ms);
    let mut span = spans::begin(Beginning {
        name: "guild.recover",
        parent,
        from_ms: began_ms,
        attributes: vec![
            ("discord.guild.id", row.guild.to_string().into()),
            ("discord.shard.id", row.shard.into()),
            ("segue.member.id", row.member.0.as_str().into()),
            ("segue.recovery.trigger", row.trigger.as_str().into()),
            ("segue.recovery.outcome", row.outcome.as_str().into()),
            (
                "segue.audio.gap_ms",
                i64::try_from(row.gap_ms).unwrap_or(i64::MAX).into(),
            ),
        ],
        ..Beginning::default()
    });
    let trace = span.traceparent();
    let apart = row.outcome == "failed" || row.took_ms > SLOW_MS;
    let mut at = began_ms;
    for (phase, ms) in &row.phases {
        let from = at;
        at += i64::try_from(*ms).unwrap_or(0);
        span.event(phase, at);
        if let (Some(trace), true) = (&trace, apart) {
            spans::part(trace, phase, from).end(at);
        }
    }
    if row.outcome == "failed" {
        span.fail("the channel cannot be had; the queue is kept");
    }
    span.end(row.at_ms);
    trace
}

fn row(recovery: &Recovery, member: MemberId) -> RecoveryRow {
    let recovered = &recovery.recovered;
    RecoveryRow {
        guild: recovery.guild,
        shard: recovery.shard,
        member,
        trigger: recovered.trigger.name().to_owned(),
        outcome: recovered.outcome.name().to_owned(),
        at_ms: recovery.ended_ms,
        took_ms: recovery.took_ms(),
        gap_ms: recovered.gap_ms,
        lost_ms: Some(recovered.began_ms),
        phases: recovered
            .phases
            .iter()
            .map(|(name, ms)| ((*name).to_owned(), *ms))
            .collect(),
        trace_id: None,
    }
}
