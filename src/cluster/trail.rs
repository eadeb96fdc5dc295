//! The spans of a move are somebody else's: this says when they begin and end.

use std::fmt;

use super::duty::Cause;
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;
use crate::store::{Fence, MemberRow, Scan, ShardRow, SharedStore, StoreError};

/// That a member is dead, and how that was found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Death {
    /// As last seen.
    pub member: MemberRow,
    /// Proven or timed out.
    pub cause: Cause,
    /// For people.
    pub why: &'static str,
    /// The first sign, wall clock, milliseconds since 1970.
    pub lost_ms: i64,
    /// What it did last: the W3C `traceparent` that stands with each of its shards.
    pub contexts: Vec<String>,
    /// The look at the store that showed it: from when to when, wall clock.
    pub scan_ms: (i64, i64),
}

/// Keeps the trace of a move. A trace is told by its W3C `traceparent`, which travels with the rows in the store; it begins
/// when it is known that there is a move.
pub trait Trail: Send + Sync + fmt::Debug {
    /// A member is about to be declared dead. Returns the `traceparent` of what will tell of it.
    fn lost(&self, death: &Death) -> Option<String>;
    /// A member wants to leave, or a shard is to move so that the load is even (`shard`). The same move asked for again has
    /// the same trace.
    fn leaving(&self, member: &MemberRow, shard: Option<u32>) -> Option<String>;
    /// The member was declared dead in the store (`done`), or was not after all; from when to when, wall clock.
    fn fenced(&self, trace: &str, done: bool, from_ms: i64, to_ms: i64);
    /// These shards of the trace were given to somebody, from when to when, wall clock.
    fn assigned(&self, trace: &str, shards: &[u32], from_ms: i64, to_ms: i64);
    /// The store did not say whether it did what it was asked to in the name of the trace, from when to when, wall clock:
    /// to declare the member dead, or to give these shards to somebody.
    fn unanswered(&self, trace: &str, shards: &[u32], from_ms: i64, to_ms: i64);
    /// What stands in the store now: it shows what became of that.
    fn seen(&self, scan: &Scan);
    /// What is logged in `say` belongs to the trace.
    fn within(&self, trace: Option<&str>, say: &mut dyn FnMut());
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrail;

impl Trail for NoTrail {
    fn lost(&self, _death: &Death) -> Option<String> {
        None
    }

    fn leaving(&self, _member: &MemberRow, _shard: Option<u32>) -> Option<String> {
        None
    }

    fn fenced(&self, _trace: &str, _done: bool, _from_ms: i64, _to_ms: i64) {}

    fn assigned(&self, _trace: &str, _shards: &[u32], _from_ms: i64, _to_ms: i64) {}

    fn unanswered(&self, _trace: &str, _shards: &[u32], _from_ms: i64, _to_ms: i64) {}

    fn seen(&self, _scan: &Scan) {}

    fn within(&self, _trace: Option<&str>, say: &mut dyn FnMut()) {
        say();
    }
}

/// What the owner of these shards did last, as far as it stands there: the shard's own context, else the move that brought it.
pub(super) fn contexts(shards: &[ShardRow], owner: &MemberId) -> Vec<String> {
    let held = shards.iter().filter(|row| row.owner.as_ref() == Some(owner));
    let mut contexts: Vec<String> = held
        .filter_map(|row| row.owner_trace.as_ref().or(row.trace.as_ref()).cloned())
        .collect();
    contexts.sort();
    contexts.dedup();
    contexts
}

/// Declares a member dead, and tells of it. `overdue_ms` as in [`Fence`]. Whether this call did it, and the trace that tells.
pub(super) async fn fence(
    store: &SharedStore,
    trail: &dyn Trail,
    death: &Death,
    overdue_ms: Option<i64>,
) -> (Result<bool, StoreError>, Option<String>) {
    let (member, why) = (&death.member, death.why);
    let trace = trail.lost(death);
    let from_ms = wall_ms();
    let fence = Fence {
        id: member.id.clone(),
        why: why.to_owned(),
        trace: trace.clone(),
        overdue_ms,
    };
    let answer = store.fence(&fence).await;
    if let Ok(true) = answer {
        trail.within(trace.as_deref(), &mut || {
            tracing::info!(member = %member.id, name = member.name, why, "declared a member dead");
        });
    }
    if let Some(trace) = &trace {
        match answer {
            Ok(done) => trail.fenced(trace, done, from_ms, wall_ms()),
            Err(_) => trail.unanswered(trace, &[], from_ms, wall_ms()),
        }
    }
    (answer, trace)
}
