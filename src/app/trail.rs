//! The traces of lost and leaving members, as whoever decides tells them; whoever takes a shard goes on with them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::{Death, Trail};
use crate::lifecycle::wall_ms;
use crate::store::{MemberRow, MemberState};
use crate::telemetry::spans::{self, Beginning, Fact, Open};

/// Moves that are remembered at most; the oldest is forgotten when there are more.
const KEPT: usize = 64;

/// A move that is asked for; told when it is known to happen.
#[derive(Debug)]
enum Move {
    Death(Death),
    /// Of this member, or of its shard alone. `asked_ms`: since when; `None` once it is told.
    Leaving {
        member: MemberRow,
        shard: Option<u32>,
        asked_ms: Option<i64>,
    },
}

/// Tells each move once: a fence that somebody else was faster with, or an assignment that is tried again, is none.
#[derive(Debug, Default)]
pub(super) struct Recoveries(Mutex<Vec<(String, Move)>>);

impl Recoveries {
    fn keep(&self, one: Move) -> Option<String> {
        let trace = spans::reserve()?;
        let mut moves = self.lock();
        if moves.len() >= KEPT {
            moves.remove(0);
        }
        moves.push((trace.clone(), one));
        Some(trace)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Move)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trail for Recoveries {
    fn lost(&self, death: &Death) -> Option<String> {
        self.keep(Move::Death(death.clone()))
    }

    fn leaving(&self, member: &MemberRow, shard: Option<u32>) -> Option<String> {
        // A shard that moves for an even load may do so again one day; a member leaves once.
        let known = self.lock().iter().find_map(|(trace, one)| match one {
            Move::Leaving { member: known, .. } if drains(known, shard) && known.id == member.id => Some(trace.clone()),
            Move::Leaving { .. } | Move::Death(_) => None,
        });
        known.filter(|_| drains(member, shard)).or_else(|| {
            self.keep(Move::Leaving {
                member: member.clone(),
                shard,
                asked_ms: Some(wall_ms()),
            })
        })
    }

    fn fenced(&self, trace: &str, done: bool, from_ms: i64, to_ms: i64) {
        let mut moves = self.lock();
        let Some(at) = moves.iter().position(|(known, _)| known == trace) else {
            return;
        };
        let (_, found) = moves.remove(at);
        drop(moves);
        if let Move::Death(death) = found
            && done
        {
            tell_death(trace, &death, from_ms, to_ms);
        }
    }

    fn assigned(&self, trace: &str, shards: &[u32], from_ms: i64, to_ms: i64) {
        for (known, one) in self.lock().iter_mut() {
            if let Move::Leaving {
                member,
                shard,
                asked_ms,
            } = one
                && known.as_str() == trace
                && let Some(asked_ms) = asked_ms.take()
            {
                leaving(Some(trace), member, *shard, asked_ms).end(to_ms);
            }
        }
        let mut part = spans::part(trace, "assign", from_ms);
        part.fact("segue.shards", i64::try_from(shards.len()).unwrap_or(i64::MAX));
        part.end(to_ms);
    }

    fn within(&self, trace: Option<&str>, say: &mut dyn FnMut()) {
        spans::within(trace, say);
    }
}

/// The root of a move that nobody's death causes. `reserved`: its `traceparent`, if that is known elsewhere.
pub(super) fn leaving(reserved: Option<&str>, member: &MemberRow, shard: Option<u32>, from_ms: i64) -> Open {
    let drains = drains(member, shard);
    spans::begin(Beginning {
        name: if drains { "member.leaving" } else { "shard.moving" },
        reserved,
        from_ms,
        attributes: about(member, if drains { "drain" } else { "rebalance" }),
        ..Beginning::default()
    })
}

/// Whether all of it goes because its owner does; else it is for the sake of an even load.
fn drains(member: &MemberRow, shard: Option<u32>) -> bool {
    member.state != MemberState::Live && shard.is_none()
}

fn about(member: &MemberRow, trigger: &str) -> Vec<(&'static str, Fact)> {
    vec![
        ("segue.member.id", member.id.0.as_str().into()),
        ("segue.member.name", member.name.as_str().into()),
        ("segue.recovery.trigger", trigger.into()),
    ]
}

/// From the first sign until it can write no more, and the look that showed it, which is a trace of its own.
fn tell_death(trace: &str, death: &Death, from_ms: i64, to_ms: i64) {
    let (looked_ms, seen_ms) = death.scan_ms;
    let scan = spans::begin(Beginning {
        name: "lease.scan",
        from_ms: looked_ms,
        ..Beginning::default()
    });
    let found = scan.traceparent();
    scan.end(seen_ms);
    let mut attributes = about(&death.member, "crash");
    attributes.push(("segue.detect.cause", death.cause.name().into()));
    attributes.push(("segue.detect.why", death.why.into()));
    let predecessors = death.contexts.iter().map(|context| (context.as_str(), "predecessor"));
    let root = spans::begin(Beginning {
        name: "member.lost",
        reserved: Some(trace),
        links: predecessors
            .chain(found.as_deref().map(|found| (found, "claim_scan")))
            .collect(),
        from_ms: death.lost_ms,
        attributes,
        ..Beginning::default()
    });
    spans::part(trace, "detect", death.lost_ms).end(from_ms);
    spans::part(trace, "fence", from_ms).end(to_ms);
    root.end(to_ms);
}
