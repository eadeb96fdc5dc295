//! The traces of lost and leaving members, as whoever decides tells them; whoever takes a shard goes on with them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::giving::SEND;
use crate::cluster::{Death, Trail};
use crate::lifecycle::wall_ms;
use crate::store::{MemberRow, MemberState, Scan};
use crate::telemetry::spans::{self, Beginning, Fact, Open};

/// Moves that are remembered at most; the oldest is forgotten when there are more.
const KEPT: usize = 64;

/// What the store did not answer and does not show after this long, milliseconds, was not done.
const UNANSWERED_MS: i64 = 10_000;

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
    /// Told by itself; shards were to be given as a part of it.
    Told,
}

/// A call to the store that nobody answered.
#[derive(Debug)]
struct Asked {
    shards: Vec<u32>,
    from_ms: i64,
    to_ms: i64,
}

#[derive(Debug)]
struct Known {
    trace: String,
    of: Move,
    unanswered: Option<Asked>,
}

/// Tells each move once: a fence that somebody else was faster with, or an assignment that is tried again, is none.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    moves: Mutex<Vec<Known>>,
    told: Notify,
}

impl Recoveries {
    /// Sends what is told at once, for ever: who goes on with a trace must find its root, even if this process is the next
    /// one to die.
    pub(super) async fn send(&self) {
        loop {
            self.told.notified().await;
            spans::push(SEND).await;
        }
    }

    fn keep(&self, of: Move) -> Option<String> {
        let trace = spans::reserve()?;
        self.remember(Known {
            trace: trace.clone(),
            of,
            unanswered: None,
        });
        Some(trace)
    }

    fn remember(&self, one: Known) {
        let mut moves = self.lock();
        if moves.len() >= KEPT {
            moves.remove(0);
        }
        moves.push(one);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trail for Recoveries {
    fn lost(&self, death: &Death) -> Option<String> {
        self.keep(Move::Death(death.clone()))
    }

    fn leaving(&self, member: &MemberRow, shard: Option<u32>) -> Option<String> {
        // A shard that moves for an even load may do so again one day; a member leaves once.
        let known = self.lock().iter().find_map(|one| match &one.of {
            Move::Leaving { member: known, .. } if drains(known, shard) && known.id == member.id => {
                Some(one.trace.clone())
            }
            Move::Leaving { .. } | Move::Death(_) | Move::Told => None,
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
        let Some(at) = moves.iter().position(|known| known.trace == trace) else {
            return;
        };
        let found = moves.remove(at).of;
        drop(moves);
        if let Move::Death(death) = found
            && done
        {
            tell_death(trace, &death, from_ms, to_ms);
            self.told.notify_one();
        }
    }

    fn assigned(&self, trace: &str, shards: &[u32], from_ms: i64, to_ms: i64) {
        for known in self.lock().iter_mut().filter(|known| known.trace == trace) {
            known.unanswered = None;
            known.of.tell_leaving(trace, to_ms);
        }
        tell_assigned(trace, shards.len(), from_ms, to_ms);
        self.told.notify_one();
    }

    fn unanswered(&self, trace: &str, shards: &[u32], from_ms: i64, to_ms: i64) {
        let asked = Asked {
            shards: shards.to_vec(),
            from_ms,
            to_ms,
        };
        let mut moves = self.lock();
        if let Some(known) = moves.iter_mut().find(|known| known.trace == trace) {
            known.unanswered = Some(asked);
            return;
        }
        drop(moves);
        self.remember(Known {
            trace: trace.to_owned(),
            of: Move::Told,
            unanswered: Some(asked),
        });
    }

    fn seen(&self, scan: &Scan) {
        self.lock().retain_mut(|known| {
            let Some(asked) = &known.unanswered else { return true };
            let (trace, from_ms, to_ms) = (Some(&known.trace), asked.from_ms, asked.to_ms);
            if let Move::Death(death) = &known.of {
                let done = scan.members.iter().any(|row| row.trace.as_ref() == trace);
                if done {
                    tell_death(&known.trace, death, from_ms, to_ms);
                    self.told.notify_one();
                }
                // It may still be done, unless somebody else did it, or it was asked for too long ago.
                let row = scan.members.iter().find(|row| row.id == death.member.id);
                let may_be = row.is_some_and(|row| !row.state.is_final()) && wall_ms() - to_ms < UNANSWERED_MS;
                return !done && may_be;
            }
            let given = |row: &&crate::store::ShardRow| row.trace.as_ref() == trace && asked.shards.contains(&row.id);
            let given = scan.shards.iter().filter(given).count();
            if given == 0 {
                return true;
            }
            known.of.tell_leaving(&known.trace, to_ms);
            tell_assigned(&known.trace, given, from_ms, to_ms);
            self.told.notify_one();
            known.unanswered = None;
            !matches!(known.of, Move::Told)
        });
    }

    fn within(&self, trace: Option<&str>, say: &mut dyn FnMut()) {
        spans::within(trace, say);
    }
}

impl Move {
    /// Once.
    fn tell_leaving(&mut self, trace: &str, to_ms: i64) {
        if let Self::Leaving {
            member,
            shard,
            asked_ms,
        } = self
            && let Some(asked_ms) = asked_ms.take()
        {
            leaving(Some(trace), member, *shard, asked_ms).end(to_ms);
        }
    }
}

fn tell_assigned(trace: &str, shards: usize, from_ms: i64, to_ms: i64) {
    let mut part = spans::part(trace, "assign", from_ms);
    part.fact("segue.shards", i64::try_from(shards).unwrap_or(i64::MAX));
    part.end(to_ms);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cause;
    use crate::model::ids::MemberId;
    use crate::store::ShardRow;

    fn member(trace: Option<&str>) -> MemberRow {
        MemberRow {
            trace: trace.map(str::to_owned),
            ..MemberRow::new(MemberId("m".to_owned()), "a".to_owned())
        }
    }

    fn shard(id: u32, trace: &str) -> ShardRow {
        ShardRow {
            id,
            trace: Some(trace.to_owned()),
            ..ShardRow::default()
        }
    }

    fn dead(trace: &str) -> Known {
        Known {
            trace: trace.to_owned(),
            of: Move::Death(Death {
                member: member(None),
                cause: Cause::Proven,
                why: "it hung up",
                lost_ms: 1,
                contexts: Vec::new(),
                scan_ms: (1, 2),
            }),
            unanswered: None,
        }
    }

    fn known(trail: &Recoveries) -> Vec<(String, bool)> {
        let moves = trail.lock();
        moves
            .iter()
            .map(|known| (known.trace.clone(), known.unanswered.is_some()))
            .collect()
    }

    #[test]
    fn a_death_that_the_store_did_not_answer_for_is_told_once_it_shows_there() {
        let trail = Recoveries::default();
        trail.remember(dead("t"));
        trail.unanswered("t", &[], 3, wall_ms());
        let scan = |trace| Scan {
            members: vec![member(trace)],
            ..Scan::default()
        };
        trail.seen(&scan(None));
        trail.seen(&scan(Some("another's")));
        assert_eq!(known(&trail), [("t".to_owned(), true)], "it is not known yet");
        trail.seen(&scan(Some("t")));
        assert_eq!(known(&trail), [], "told");
    }

    #[test]
    fn a_death_that_the_store_never_shows_is_forgotten() {
        let trail = Recoveries::default();
        trail.remember(dead("t"));
        trail.unanswered("t", &[], 1, wall_ms() - UNANSWERED_MS);
        trail.seen(&Scan {
            members: vec![member(None)],
            ..Scan::default()
        });
        assert_eq!(known(&trail), []);
    }

    #[test]
    fn shards_that_the_store_did_not_say_were_given_are_told_once_it_shows_there() {
        let trail = Recoveries::default();
        trail.remember(Known {
            trace: "t".to_owned(),
            of: Move::Leaving {
                member: member(None),
                shard: Some(3),
                asked_ms: Some(1),
            },
            unanswered: None,
        });
        trail.unanswered("t", &[3, 4], 2, 3);
        trail.unanswered("told before", &[5], 2, 3);
        let scan = |shards| Scan {
            shards,
            ..Scan::default()
        };
        trail.seen(&scan(vec![shard(7, "t"), shard(3, "older"), shard(5, "older")]));
        let both = [("t".to_owned(), true), ("told before".to_owned(), true)];
        assert_eq!(known(&trail), both, "it is not known yet");
        trail.seen(&scan(vec![shard(3, "t"), shard(5, "told before")]));
        assert_eq!(known(&trail), [("t".to_owned(), false)]);
        let told = |known: &Known| matches!(known.of, Move::Leaving { asked_ms: None, .. });
        assert!(trail.lock().iter().all(told));
    }
}
