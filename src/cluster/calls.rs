//! The coordinator's calls to the store: each ends as an event, with its failure logged here.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{debug, info, warn};

use super::coordinator::event::{Beginning, Event, Failed, Renewal};
use super::permit::Clock;
use super::timing;
use super::trail::{self, Death, Trail};
use crate::lifecycle::wall_ms;
use crate::model::ids::{Epoch, MemberId};
use crate::store::{Assignment, Beat, MemberState, SharedStore, StoreError};

/// Shards that are to be given to somebody.
pub(super) struct ToAssign {
    pub(super) term: u64,
    pub(super) assignments: Vec<Assignment>,
    pub(super) moved: Vec<u32>,
    pub(super) begin: Vec<Beginning>,
}

fn heard<T>(what: &'static str, answer: Result<T, StoreError>) -> Result<T, Failed> {
    answer.map_err(|error| {
        if error.is_passing() {
            debug!(%error, "cannot {what}");
        } else {
            warn!(%error, "cannot {what}");
        }
        Failed
    })
}

pub(super) async fn renew(store: SharedStore, me: MemberId, beat: Beat, clock: Clock) -> Event {
    let sent_ms = clock.now_ms();
    let answer = match heard("renew", store.renew(&me, &beat).await) {
        Ok(Some(row)) => Renewal::Done(Box::new(row)),
        Ok(None) => Renewal::Refused,
        Err(Failed) => Renewal::Failed,
    };
    Event::Renewed { sent_ms, answer }
}

pub(super) fn held(why: &str, sent_ms: i64) -> impl Future<Output = Event> + Send + use<> {
    warn!(why, "not renewing: this process makes no progress");
    std::future::ready(Event::Renewed {
        sent_ms,
        answer: Renewal::Held,
    })
}

pub(super) async fn look(store: SharedStore, clock: Clock, trail: Arc<dyn Trail>) -> Event {
    let sent_ms = clock.now_ms();
    let answer = heard("look at members and shards", store.scan().await);
    if let Ok(scan) = &answer {
        trail.seen(scan);
    }
    Event::Looked {
        sent_ms,
        wall_ms: wall_ms(),
        answer,
    }
}

pub(super) async fn claim(store: SharedStore, me: MemberId, shard: u32, previous: Option<MemberId>) -> Event {
    let answer = heard("claim a shard", store.claim_shard(shard, previous.as_ref(), &me).await);
    Event::Claimed {
        shard,
        wall_ms: wall_ms(),
        answer: answer.map(|row| row.map(Box::new)),
    }
}

pub(super) async fn release(
    store: SharedStore,
    me: MemberId,
    shard: u32,
    epoch: Epoch,
    trace: Option<String>,
) -> Event {
    let answer = store.release_shard(shard, &me, epoch, trace.as_deref()).await;
    Event::Released {
        shard,
        answer: heard("release a shard", answer),
    }
}

pub(super) async fn fence(
    store: SharedStore,
    death: Box<Death>,
    overdue_ms: Option<i64>,
    trail: Arc<dyn Trail>,
) -> Event {
    let (answer, trace) = trail::fence(&store, &*trail, &death, overdue_ms).await;
    Event::Fenced {
        member: death.member.id,
        trace,
        wall_ms: wall_ms(),
        answer: heard("declare a member dead", answer),
    }
}

pub(super) async fn assign(store: SharedStore, order: ToAssign, trail: Arc<dyn Trail>) -> Event {
    let ToAssign {
        term,
        mut assignments,
        moved,
        begin,
    } = order;
    for Beginning { member, only, shards } in begin {
        let trace = trail.leaving(&member, only);
        for assignment in assignments.iter_mut().filter(|one| shards.contains(&one.shard)) {
            assignment.trace.clone_from(&trace);
        }
    }
    let from_ms = wall_ms();
    let answer = heard("assign shards", store.assign(term, &assignments).await);
    match &answer {
        Ok(applied) => {
            for (trace, shards) in by_trace(&assignments, |shard| moved.contains(&shard) && applied.contains(&shard)) {
                trail.within(trace, &mut || info!(term, ?shards, "assigned shards"));
                if let Some(trace) = trace {
                    trail.assigned(trace, &shards, from_ms, wall_ms());
                }
            }
            debug!(
                term,
                asked = assignments.len(),
                applied = applied.len(),
                "an assignment is stored"
            );
        }
        Err(Failed) => {
            for (trace, shards) in by_trace(&assignments, |shard| moved.contains(&shard)) {
                if let Some(trace) = trace {
                    trail.unanswered(trace, &shards, from_ms, wall_ms());
                }
            }
        }
    }
    Event::Assigned {
        term,
        answer: answer.map(|applied| (applied, assignments)),
    }
}

/// The shards of each trace that are `wanted`.
fn by_trace(assignments: &[Assignment], wanted: impl Fn(u32) -> bool) -> BTreeMap<Option<&str>, Vec<u32>> {
    let mut by_trace: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for Assignment { shard, trace, .. } in assignments.iter().filter(|one| wanted(one.shard)) {
        by_trace.entry(trace.as_deref()).or_default().push(*shard);
    }
    by_trace
}

pub(super) async fn tell(store: SharedStore, members: Vec<MemberId>) -> Event {
    let answer = heard("tell members of their shards", store.tell(&members).await);
    Event::Told { members, answer }
}

pub(super) async fn campaign(store: SharedStore, me: MemberId, clock: Clock) -> Event {
    let sent_ms = clock.now_ms();
    let answer = heard("stand for election", store.campaign(&me, timing::LEASE).await);
    Event::Campaigned { sent_ms, answer }
}

pub(super) async fn new_term(store: SharedStore, me: MemberId) -> Event {
    let answer = heard("begin a term", store.new_term(&me).await);
    if let Ok(term) = answer {
        info!(member = %me, term, "leads");
    }
    Event::Term(answer)
}

pub(super) async fn resign(store: SharedStore, me: MemberId, term: u64) -> Event {
    let _said = heard("give leadership up", store.resign(&me, term).await);
    Event::Resigned
}

pub(super) async fn drain(store: SharedStore, me: MemberId) -> Event {
    let answer = heard(
        "say that this member leaves",
        store.set_state(&me, MemberState::Draining).await,
    );
    Event::Draining(answer.map(|_| ()))
}
