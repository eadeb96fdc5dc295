//! One life as a member: what the cluster asks for is done, until this process is asked to stop or is fenced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::giving::Ending;
use super::identity::Identity;
use super::shard::{self, Shard};
use super::trail::{Recoveries, leaving};
use super::{Process, RunError, STUCK, Stop, autosave, drains, identity, metering, reach, recoveries, tickets};
use crate::cluster::permit::Standing;
use crate::cluster::{self, Drained, Duty, Election, Ended, Handle, Member, Opening};
use crate::gateway::SharedQueue;
use crate::guild::Recovery;
use crate::lifecycle::{Readiness, Waiting, wall_ms};
use crate::store::{MemberRow, MemberState};

/// After SIGTERM every shard is given away, and everything is down, within this.
const DRAIN: Duration = Duration::from_secs(45);
/// Of that, the part that stays for saving what nobody took.
pub(super) const LAST_SAVE: Duration = Duration::from_secs(8);

/// The tasks of one life.
pub(super) struct Life {
    process: Arc<Process>,
    member: Member,
    identity: Identity,
    cluster: Handle,
    duties: mpsc::Receiver<Duty>,
    coordinating: JoinSet<Ended>,
    coordinating_stop: CancellationToken,
    shards: JoinSet<Result<Option<String>, RunError>>,
    /// What tells a driven shard to end, by number; and which task is which.
    stops: HashMap<u32, Ending>,
    numbers: HashMap<Id, u32>,
    tasks: JoinSet<Result<(), RunError>>,
    tasks_stop: CancellationToken,
    recoveries: mpsc::Sender<Recovery>,
    queue: SharedQueue,
}

impl Life {
    pub(super) fn begin(
        process: &Arc<Process>,
        member: Member,
        identity: &Identity,
        peer: Arc<TcpListener>,
        trail: Arc<Recoveries>,
    ) -> Self {
        let (coordinating_stop, tasks_stop) = (CancellationToken::new(), CancellationToken::new());
        let telling = Arc::clone(&trail);
        let (cluster, duties, coordinator) =
            cluster::open(opening(process, &member, identity, peer, trail, &coordinating_stop));
        let mut coordinating = JoinSet::new();
        coordinating.spawn(coordinator);
        let mut tasks = JoinSet::new();
        let recoveries = recoveries::start(process, &member, &mut tasks, &tasks_stop);
        let queue = tickets::queue(process, identity, &mut tasks, &tasks_stop);
        autosave::start(process, &mut tasks, &tasks_stop);
        let telling_stop = tasks_stop.clone();
        tasks.spawn(async move {
            telling_stop.run_until_cancelled(telling.send()).await;
            Ok(())
        });
        drains::start(process, cluster.leaving_pods(), &mut tasks, &tasks_stop);
        reach::start(process, &identity.gateway_url, &mut tasks, &tasks_stop);
        metering::watch_starts(process, identity, &mut tasks, &tasks_stop);
        let (shards, watched) = (identity.shards, cluster.clone());
        metering::watch_cluster(process, &member, shards, watched, &mut tasks, &tasks_stop);
        identity::register_commands(process, identity, cluster.clone(), &mut tasks, &tasks_stop);
        process
            .overview
            .joined(&member.id, identity.shards, cluster.clone(), process.driven.clone());
        Self {
            process: Arc::clone(process),
            member,
            identity: identity.clone(),
            cluster,
            duties,
            coordinating,
            coordinating_stop,
            shards: JoinSet::new(),
            stops: HashMap::new(),
            numbers: HashMap::new(),
            tasks,
            tasks_stop,
            recoveries,
            queue,
        }
    }

    /// Until asked to stop (then everything was given away or kept in order), fenced, or failed.
    pub(super) async fn drive(
        &mut self,
        stop: &Stop,
        waiting: &mut Option<Waiting>,
        readiness: &Readiness,
    ) -> Result<Ended, RunError> {
        let mut told = false;
        let mut seen = self.cluster.clone();
        loop {
            if !told && self.is_ready() {
                info!(shards = self.stops.len(), "ready");
                // Once ready, for the whole life: an outage of Discord or of the store must not make a whole fleet unready.
                *waiting = None;
                told = true;
            }
            tokio::select! {
                () = stop.asked.cancelled() => {
                    readiness.drain();
                    return self.drain(stop).await;
                }
                Some(duty) = self.duties.recv() => self.perform(duty),
                _ = seen.changed() => self.share_rest(),
                () = self.process.driven.changed(), if !told => {}
                Some(ended) = self.coordinating.join_next() => return coordinated(ended),
                Some(ended) = self.shards.join_next_with_id() => self.shard_ended(ended)?,
                Some(ended) = self.tasks.join_next() => finished(ended)?,
            }
        }
    }

    /// Every shard that is to be ours is driven and connected, and every shard of all is somebody's.
    fn is_ready(&self) -> bool {
        let view = self.cluster.view();
        let wanted = |shard: &&crate::store::ShardRow| shard.want.is_some();
        let all = view.shards.iter().filter(wanted).count() >= self.identity.shards as usize;
        let mine = view
            .shards
            .iter()
            .filter(|row| row.want.as_ref() == Some(&self.member.id));
        all && self.process.driven.are_ready(mine.map(|row| row.id))
    }

    /// Discord's limit is for all replicas together.
    fn share_rest(&self) {
        let view = self.cluster.view();
        let live = view.members.iter().filter(|member| !member.state.is_final()).count();
        self.process
            .discord
            .share(u32::try_from(live).unwrap_or(u32::MAX).max(1));
    }

    fn perform(&mut self, duty: Duty) {
        match duty {
            Duty::Drive(claimed) => {
                let number = claimed.row.id;
                let ending = Ending::default();
                let shard = Shard {
                    process: Arc::clone(&self.process),
                    member: self.member.clone(),
                    identity: self.identity.clone(),
                    number,
                    claimed: *claimed,
                    recoveries: self.recoveries.clone(),
                    queue: Arc::clone(&self.queue),
                    cluster: self.cluster.clone(),
                };
                let task = self.shards.spawn(shard::run(shard, ending.clone()));
                self.numbers.insert(task.id(), number);
                self.stops.insert(number, ending);
            }
            Duty::Give { shard, trace } => match self.stops.get(&shard) {
                Some(ending) => ending.ask(trace),
                None => self.cluster.given(shard, trace),
            },
        }
    }

    fn shard_ended(
        &mut self,
        ended: Result<(Id, Result<Option<String>, RunError>), JoinError>,
    ) -> Result<(), RunError> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        if let Some(shard) = self.numbers.remove(&id) {
            self.stops.remove(&shard);
            let trace = ended
                .as_ref()
                .ok()
                .and_then(|(_, given)| given.as_ref().ok().cloned().flatten());
            self.cluster.given(shard, trace);
        }
        match ended {
            Ok((_, result)) => result.map(drop),
            Err(error) => Err(RunError::Failed(anyhow::Error::from(error).context("driving a shard"))),
        }
    }

    /// Gives every shard to another member, or finds that there is none.
    async fn drain(&mut self, stop: &Stop) -> Result<Ended, RunError> {
        let limit = Instant::now() + DRAIN.saturating_sub(LAST_SAVE);
        self.cluster.drain();
        let cluster = self.cluster.clone();
        let mut drained = std::pin::pin!(cluster.drained());
        let mut hurried = false;
        loop {
            tokio::select! {
                how = &mut drained => {
                    info!(?how, kept = self.stops.len(), "the drain ended");
                    let fenced = how == Drained::Ended && self.member.permit.standing() == Standing::Fenced;
                    return Ok(if fenced { Ended::Fenced } else { Ended::Stopped });
                }
                () = stop.hurry.cancelled(), if !hurried => {
                    hurried = true;
                    info!("asked again to stop; not waiting for others");
                    self.cluster.hurry();
                }
                () = sleep_until(limit) => {
                    warn!(kept = self.stops.len(), "nobody took everything in time; what is left is saved and kept");
                    return Ok(Ended::Stopped);
                }
                Some(duty) = self.duties.recv() => self.perform(duty),
                Some(ended) = self.coordinating.join_next() => return coordinated(ended),
                Some(ended) = self.shards.join_next_with_id() => self.shard_ended(ended)?,
                Some(ended) = self.tasks.join_next() => finished(ended)?,
            }
        }
    }

    /// Nobody was there to take what is left, so nobody tells of it: the next start goes on with what stands with the shards.
    fn tell_of_leaving(&self) -> Option<String> {
        if self.stops.is_empty() || self.member.permit.standing() == Standing::Fenced {
            return None;
        }
        let me = MemberRow {
            state: MemberState::Draining,
            ..MemberRow::new(self.member.id.clone(), self.member.name.clone())
        };
        let now = wall_ms();
        let whole = leaving(None, &me, None, now);
        let trace = whole.traceparent();
        whole.end(now);
        trace
    }

    /// Takes everything down in order and leaves the cluster.
    pub(super) async fn end(mut self) {
        let trace = self.tell_of_leaving();
        for ending in self.stops.values() {
            ending.ask(trace.clone());
        }
        while let Some(ended) = self.shards.join_next().await {
            if let Err(error) = ended {
                warn!(%error, "a shard ended badly");
            }
        }
        self.tasks_stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let beat = self.process.driven.last_beat();
        self.coordinating_stop.cancel();
        while self.coordinating.join_next().await.is_some() {}
        if self.member.permit.standing() != Standing::Fenced
            && let Err(error) = self.member.leave(&beat).await
        {
            warn!(%error, "could not say goodbye to the store; the next start finds out by itself");
        }
        info!(member = %self.member.id, "left");
        self.process.overview.left();
    }
}

fn opening(
    process: &Arc<Process>,
    member: &Member,
    identity: &Identity,
    peer: Arc<TcpListener>,
    trail: Arc<Recoveries>,
    stop: &CancellationToken,
) -> Opening {
    let settings = &process.settings;
    let election = if settings.elects_by_kubernetes() {
        Election::Kubernetes {
            lease: settings.lease.clone(),
            namespace: settings.place.pod_namespace.clone(),
            pod: settings.place.pod_name.clone().filter(|_| settings.place.in_pod),
        }
    } else {
        Election::Store
    };
    let (beat, watched) = (Arc::clone(process), process.heartbeats.clone());
    let heartbeat = process.heartbeats.watch("coordinating", STUCK);
    Opening {
        member: member.clone(),
        shards: identity.shards,
        election,
        beat: Arc::new(move || beat.driven.beat()),
        peer,
        healthy: Arc::new(move || match watched.stuck(Instant::now()).first() {
            None => Ok(()),
            Some((task, silent)) => Err(format!("{task} has been silent for {} s", silent.as_secs())),
        }),
        alive: Arc::new(move || heartbeat.touch()),
        trail,
        stop: stop.clone(),
    }
}

/// A replica that no longer sees the Lease or the pods would look well and lead nothing ever again.
fn coordinated(ended: Result<Ended, JoinError>) -> Result<Ended, RunError> {
    match ended {
        Ok(Ended::Broken) => Err(RunError::Failed(anyhow::anyhow!("a part of the coordinator failed"))),
        Ok(ended) => Ok(ended),
        Err(error) => Err(RunError::Failed(
            anyhow::Error::from(error).context("the coordinator failed"),
        )),
    }
}

fn finished(ended: Result<Result<(), RunError>, JoinError>) -> Result<(), RunError> {
    ended.unwrap_or_else(|error| Err(RunError::Failed(anyhow::Error::from(error).context("a task failed"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_that_broke_is_a_failure_and_not_a_stop() {
        assert!(matches!(coordinated(Ok(Ended::Broken)), Err(RunError::Failed(_))));
        assert!(matches!(coordinated(Ok(Ended::Stopped)), Ok(Ended::Stopped)));
    }
}
