//! What the leader has seen of the others, and whom it declares dead.
//!
//! By time-out only what the leader watched itself: the same `seq` for the whole time-out, with no gap between looks, and
//! the store's clock (inside the compare-and-set) agrees. A leader without history need not wait that long for a member
//! whose time was up long before, unless it has reason to think that the store was away.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Effect;
use super::look::Seen;
use super::prior::TIMED_OUT;
use crate::cluster::duty::Cause;
use crate::cluster::evidence::Evidence;
use crate::cluster::timing;
use crate::cluster::trail::{self, Death};
use crate::model::ids::MemberId;
use crate::store::{MemberRow, Origin};

/// From a member's last renewal to its being overdue, by the store's clock.
const OVERDUE: i64 = timing::MEMBER_TIMEOUT + timing::STORE_CLOCK_MARGIN;
/// The same for a leader without history.
const LONG_OVERDUE: i64 = timing::MEMBER_TIMEOUT + timing::NEWCOMER_MARGIN;

#[derive(Clone, Copy, Debug)]
struct Watched {
    seq: u64,
    since_ms: i64,
    /// It has not renewed since we lead.
    never_renewed: bool,
}

/// A leader's memory, from the beginning of its leadership.
#[derive(Debug, Default)]
pub(super) struct Desk {
    watched: BTreeMap<MemberId, Watched>,
    last_scan_ms: Option<i64>,
    fencing: BTreeSet<MemberId>,
}

/// Who is alive, or so it seems.
pub(super) const fn is_alive(row: &MemberRow) -> bool {
    !row.state.is_final()
}

/// What a decision to fence by time-out needs to know besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// Nobody is fenced by time-out now.
    pub(super) grace: bool,
    /// Since when this member has had no trouble with the store.
    pub(super) store_well_since_ms: i64,
}

impl Desk {
    /// Takes in a look that was answered at `now`.
    pub(super) fn scanned(&mut self, seen: &Seen, now: i64) {
        if self.last_scan_ms.is_some_and(|last| now - last > timing::SCAN_GAP) {
            self.blind(now);
        }
        self.last_scan_ms = Some(now);
        let alive: BTreeMap<&MemberId, u64> = seen
            .scan
            .members
            .iter()
            .filter(|row| is_alive(row))
            .map(|row| (&row.id, row.seq))
            .collect();
        self.watched.retain(|id, _| alive.contains_key(id));
        for (id, seq) in alive {
            let watched = self.watched.entry(id.clone()).or_insert(Watched {
                seq,
                since_ms: now,
                never_renewed: true,
            });
            if watched.seq != seq {
                *watched = Watched {
                    seq,
                    since_ms: now,
                    never_renewed: false,
                };
            }
        }
    }

    /// The store could not be looked at: nothing is known of the time since the last look.
    pub(super) fn blind(&mut self, now: i64) {
        for watched in self.watched.values_mut() {
            watched.since_ms = now;
        }
    }

    /// The members that are dead, by proof or by time-out, and are not being fenced yet.
    pub(super) fn fences(
        &mut self,
        me: (&MemberId, &Origin),
        seen: &Seen,
        evidence: &Evidence,
        around: Circumstances,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        for row in seen.scan.members.iter().filter(|row| is_alive(row) && row.id != *me.0) {
            let proof = evidence.proves(me.1, row, &seen.scan.members);
            let overdue = || self.overdue(row, seen.scan.now_ms, around, now);
            let (cause, why, overdue_ms) = match proof {
                Some(why) => (Cause::Proven, why, None),
                None => match overdue() {
                    Some(overdue) => (Cause::TimedOut, TIMED_OUT, Some(overdue)),
                    None => continue,
                },
            };
            if self.fencing.insert(row.id.clone()) {
                effects.push(fence(row, cause, why, overdue_ms, seen, evidence));
            }
        }
    }

    fn overdue(&self, row: &MemberRow, store_ms: i64, around: Circumstances, now: i64) -> Option<i64> {
        let watched = self.watched.get(&row.id).filter(|_| !around.grace)?;
        let unchanged = now - watched.since_ms;
        let late = store_ms - row.renewed_ms;
        if unchanged >= timing::MEMBER_TIMEOUT && late >= OVERDUE {
            return Some(OVERDUE);
        }
        let calm = now - around.store_well_since_ms >= LONG_OVERDUE;
        (watched.never_renewed && calm && unchanged >= timing::NEWCOMER_WATCH && late >= LONG_OVERDUE)
            .then_some(LONG_OVERDUE)
    }

    /// A fence ended, well or not.
    pub(super) fn fenced(&mut self, member: &MemberId) {
        self.fencing.remove(member);
    }

    /// Whether this member is being fenced just now.
    pub(super) fn is_fencing(&self, member: &MemberId) -> bool {
        self.fencing.contains(member)
    }
}

/// The order to fence a member as it was last seen.
pub(super) fn fence(
    row: &MemberRow,
    cause: Cause,
    why: &'static str,
    overdue_ms: Option<i64>,
    seen: &Seen,
    evidence: &Evidence,
) -> Effect {
    let (alive, looked) = (row.renewed_ms + seen.offset_ms, seen.scan.now_ms + seen.offset_ms);
    let death = Death {
        member: row.clone(),
        cause,
        why,
        lost_ms: evidence.first_sign(&row.id).unwrap_or(alive),
        contexts: trail::contexts(&seen.scan.shards, &row.id),
        scan_ms: (looked - seen.took_ms, looked),
    };
    Effect::Fence {
        death: Box::new(death),
        overdue_ms,
    }
}
