//! The loop around the coordinator: hears, steps, has it carried out. One task; calls to the store run beside it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::coordinator::event::{Effect, Event, LeaseOrder};
use super::coordinator::{Coordinator, Start};
use super::duty::Duty;
use super::handle::{self, ClusterView, Drained, Handle, Request};
use super::member::{BeatSource, Ended, Member};
use super::permit::Standing;
use super::trail::Trail;
use super::{HealthGate, calls, timing};
use crate::model::ids::MemberId;

/// Events that may wait: signs, pokes, what the elector sees.
pub const INBOX: usize = 1_024;

/// What there is besides the store: other members, and the Lease. Every call returns at once; answers come as events.
pub trait Outside: Send {
    /// Keep a connection to each of these and no others: id and address.
    fn watch(&mut self, members: Vec<(MemberId, String)>);
    /// Tell these to look in the store.
    fn poke(&mut self, members: &[MemberId]);
    /// Ask every member how long ago it renewed.
    fn ask(&mut self);
    /// How long ago this member renewed, for those that ask. On its clock: when the renewal was sent.
    fn renewed(&mut self, sent_ms: i64);
    /// An order to the elector. Without a Lease there is none.
    fn lease(&mut self, order: LeaseOrder);
    /// Completes when a part of it ended that must not: nothing more comes from there.
    fn broken(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// What the loop is made of.
pub struct Parts {
    /// Who joined.
    pub member: Member,
    /// How many shards there are in all.
    pub shards: u32,
    /// Whether a Lease elects the leader.
    pub lease: bool,
    /// Of the coordinator's random source.
    pub seed: u64,
    /// What a renewal carries.
    pub beat: BeatSource,
    /// Asked before each renewal.
    pub healthy: HealthGate,
    /// Called in every round.
    pub alive: Arc<dyn Fn() + Send + Sync>,
    /// Keeps the traces.
    pub trail: Arc<dyn Trail>,
    /// The others, and the Lease.
    pub outside: Box<dyn Outside>,
    /// What these say.
    pub inbox: mpsc::Receiver<Event>,
    /// The names of Lavalink's pods that are leaving, as whoever watches pods tells them.
    pub leaving: watch::Receiver<BTreeSet<String>>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// A handle, what is asked of whoever drives shards, and the loop's future.
pub fn start(parts: Parts) -> (Handle, mpsc::Receiver<Duty>, impl Future<Output = Ended> + Send) {
    let (requests, asked) = mpsc::channel(handle::REQUESTS);
    let (view_in, view) = watch::channel(Arc::default());
    let (drained_in, drained) = watch::channel(None);
    let (duties, duty) = mpsc::channel(2 * parts.shards as usize + 1);
    let handle = Handle {
        requests,
        view,
        drained,
        leaving: parts.leaving.clone(),
    };
    let round = Round {
        asked,
        view: view_in,
        drained: drained_in,
        duties,
        acts: JoinSet::new(),
        ended: None,
        paused: false,
        parts,
    };
    (handle, duty, round.run())
}

struct Round {
    parts: Parts,
    asked: mpsc::Receiver<Request>,
    view: watch::Sender<Arc<ClusterView>>,
    drained: watch::Sender<Option<Drained>>,
    duties: mpsc::Sender<Duty>,
    /// Calls to the store under way.
    acts: JoinSet<Event>,
    ended: Option<Ended>,
    paused: bool,
}

impl Round {
    async fn run(mut self) -> Ended {
        let clock = self.parts.member.permit.clock().clone();
        let mut coordinator = self.coordinator(clock.now_ms());
        let (mut event, mut stopping, mut shown) = (Event::Tick, false, None);
        loop {
            (self.parts.alive)();
            let effects = coordinator.step(event, clock.now_ms());
            for effect in effects {
                debug!(member = %self.parts.member.id, ?effect, "the coordinator decides");
                self.perform(effect);
            }
            if let Some(ended) = self.ended {
                return ended;
            }
            let now = clock.now_ms();
            let standing = self.standing();
            if shown != Some((coordinator.changes(), standing == Standing::Paused)) {
                shown = Some((coordinator.changes(), standing == Standing::Paused));
                self.view.send_replace(Arc::new(coordinator.view(standing, now)));
            }
            let wait = Duration::from_millis((coordinator.wake_ms(now) - now).max(1).unsigned_abs());
            event = tokio::select! {
                biased;
                () = self.parts.outside.broken() => return Ended::Broken,
                () = self.parts.stop.cancelled(), if !stopping => {
                    stopping = true;
                    Event::Stop
                }
                Some(done) = self.acts.join_next() => done.unwrap_or_else(|error| {
                    error!(%error, "a call of the coordinator failed");
                    Event::Tick
                }),
                Some(request) = self.asked.recv() => Event::Asked(request),
                Some(event) = self.parts.inbox.recv() => event,
                () = tokio::time::sleep(wait) => Event::Tick,
            };
            self.note(&event);
        }
    }

    fn coordinator(&self, now: i64) -> Coordinator {
        let member = &self.parts.member;
        let joined_ms = match member.permit.standing() {
            Standing::Valid { until_ms } => until_ms - timing::SELF_FENCE,
            Standing::Paused | Standing::Fenced => now - timing::SELF_FENCE,
        };
        Coordinator::new(
            Start {
                me: member.id.clone(),
                origin: member.origin.clone(),
                shards: self.parts.shards,
                lease: self.parts.lease,
                joined_ms,
                seed: self.parts.seed,
            },
            now,
        )
    }

    fn standing(&mut self) -> Standing {
        let standing = self.parts.member.permit.standing();
        let paused = standing == Standing::Paused;
        if paused != std::mem::replace(&mut self.paused, paused) {
            if paused {
                warn!(member = %self.parts.member.id, "paused: could not renew in time; sockets stay open, nothing is done");
            } else if standing != Standing::Fenced {
                info!(member = %self.parts.member.id, "goes on after a pause");
            }
        }
        standing
    }

    fn perform(&mut self, effect: Effect) {
        let Parts {
            member,
            trail,
            outside,
            healthy,
            beat,
            ..
        } = &mut self.parts;
        let (store, id, clock) = (member.store().clone(), member.id.clone(), member.permit.clock().clone());
        let mut act = |call: BoxFuture<'static, Event>| drop(self.acts.spawn(call));
        match effect {
            Effect::Renew => match healthy() {
                Ok(()) => act(Box::pin(calls::renew(store, id, beat(), clock))),
                Err(why) => act(Box::pin(calls::held(&why, clock.now_ms()))),
            },
            Effect::Look => act(Box::pin(calls::look(store, clock, Arc::clone(trail)))),
            Effect::Claim { shard, previous } => {
                act(Box::pin(calls::claim(store, id, shard, previous)));
            }
            Effect::Release { shard, epoch, trace } => {
                act(Box::pin(calls::release(store, id, shard, epoch, trace)));
            }
            Effect::Fence { death, overdue_ms } => {
                act(Box::pin(calls::fence(store, death, overdue_ms, Arc::clone(trail))));
            }
            Effect::Assign {
                term,
                assignments,
                moved,
                begin,
            } => {
                let assign = calls::ToAssign {
                    term,
                    assignments,
                    moved,
                    begin,
                };
                act(Box::pin(calls::assign(store, assign, Arc::clone(trail))));
            }
            Effect::Tell(members) => act(Box::pin(calls::tell(store, members))),
            Effect::Campaign => act(Box::pin(calls::campaign(store, id, clock))),
            Effect::NewTerm => act(Box::pin(calls::new_term(store, id))),
            Effect::Resign { term } => act(Box::pin(calls::resign(store, id, term))),
            Effect::Drain => act(Box::pin(calls::drain(store, id))),
            Effect::Lease(order) => outside.lease(order),
            Effect::Permit { until_ms } => {
                member.permit.extend(until_ms);
            }
            Effect::Poke(members) => outside.poke(&members),
            Effect::AskOthers => outside.ask(),
            Effect::Watch(members) => outside.watch(members),
            Effect::Duty(duty) => self.duty(duty),
            Effect::Drained(how) => drop(self.drained.send_replace(Some(how))),
            Effect::End(how) => self.end(how),
        }
    }

    fn duty(&mut self, duty: Duty) {
        match &duty {
            Duty::Drive(claimed) => info!(
                shard = claimed.row.id,
                epoch = claimed.row.epoch.0,
                cause = claimed.cause.name(),
                previous = claimed.previous.as_ref().map(tracing::field::display),
                "a shard is ours"
            ),
            Duty::Give { shard, .. } => info!(shard, "a shard is to be given up"),
        }
        // Two fit per shard, so a full channel means that nobody listens any more.
        if self.duties.try_send(duty).is_err() {
            warn!("nobody drives shards any more");
            self.end(Ended::Stopped);
        }
    }

    fn end(&mut self, how: Ended) {
        if how == Ended::Fenced {
            self.parts.member.permit.fence();
            warn!(member = %self.parts.member.id, "dead to the others: they took over, or may; joining again as a new one");
        }
        self.ended.get_or_insert(how);
    }

    /// What happened, for people, and for those who ask.
    fn note(&mut self, event: &Event) {
        if let Event::Renewed {
            sent_ms,
            answer: super::coordinator::event::Renewal::Done(_),
        } = event
        {
            self.parts.outside.renewed(*sent_ms);
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("member", &self.member)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}
