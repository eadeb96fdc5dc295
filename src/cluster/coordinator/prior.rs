//! What is known of a shard's owner before, as of the moment at which the shard was claimed.

use super::look::Seen;
use crate::cluster::duty::{Cause, Claimed, Moments};
use crate::cluster::evidence::Evidence;
use crate::model::ids::MemberId;
use crate::store::{MemberRow, MemberState, ShardRow};

/// Why a member is fenced by time-out, as it is written to its row.
pub(super) const TIMED_OUT: &str = "did not renew in time";

/// The owner before.
#[derive(Clone, Debug)]
pub(super) struct Prior {
    previous: Option<MemberId>,
    cause: Cause,
    alive_until_ms: i64,
    seq: Option<u64>,
    moments: Moments,
}

impl Default for Prior {
    fn default() -> Self {
        Self {
            previous: None,
            cause: Cause::First,
            alive_until_ms: 0,
            seq: None,
            moments: Moments::default(),
        }
    }
}

impl Prior {
    pub(super) fn of(row: &ShardRow, seen: &Seen, evidence: &Evidence) -> Self {
        let assigned = Some(seen.scan.now_ms + seen.offset_ms);
        let Some(owner) = &row.owner else {
            return Self::given(row, seen.offset_ms, assigned);
        };
        match seen.member(owner) {
            Some(owner) => Self::ended(row.id, owner, seen.offset_ms, assigned, evidence),
            None => Self {
                previous: Some(owner.clone()),
                cause: Cause::TimedOut,
                ..Self::default()
            },
        }
    }

    /// The owner before gave it up.
    fn given(row: &ShardRow, offset_ms: i64, assigned_ms: Option<i64>) -> Self {
        let moments = Moments {
            assigned_ms,
            ..Moments::default()
        };
        let Some(released) = &row.released else {
            return Self {
                moments,
                ..Self::default()
            };
        };
        let at_ms = released.at_ms + offset_ms;
        Self {
            previous: Some(released.by.clone()),
            cause: Cause::Handover,
            alive_until_ms: at_ms,
            seq: None,
            moments: Moments {
                lost_ms: Some(at_ms),
                ..moments
            },
        }
    }

    /// The owner before ended with the shard in its hands.
    fn ended(shard: u32, owner: &MemberRow, offset_ms: i64, assigned_ms: Option<i64>, evidence: &Evidence) -> Self {
        let cause = match (owner.state, owner.why.as_deref()) {
            (MemberState::Gone, _) => Cause::Handover,
            (_, Some(TIMED_OUT)) => Cause::TimedOut,
            (MemberState::Live | MemberState::Draining | MemberState::Fenced, _) => Cause::Proven,
        };
        let (alive, ended) = (owner.renewed_ms + offset_ms, owner.final_ms.map(|at| at + offset_ms));
        let lost = match cause {
            Cause::TimedOut => Some(alive),
            Cause::Proven => evidence.first_sign(&owner.id).or(ended),
            Cause::First | Cause::Handover => ended,
        };
        Self {
            previous: Some(owner.id.clone()),
            cause,
            alive_until_ms: alive,
            seq: owner.shard_seq.get(&shard).copied(),
            moments: Moments {
                lost_ms: lost,
                fenced_ms: ended.filter(|_| cause != Cause::Handover),
                assigned_ms,
                claimed_ms: 0,
            },
        }
    }

    /// With the row as it is ours.
    pub(super) fn claimed(self, row: ShardRow, wall_ms: i64) -> Claimed {
        let stored = row.session.as_ref().map(|session| session.seq);
        Claimed {
            previous: self.previous,
            cause: self.cause,
            left: self.cause == Cause::Handover,
            alive_until_ms: self.alive_until_ms,
            seq: stored.max(self.seq),
            trace: row.trace.clone(),
            owner_trace: row.owner_trace.clone(),
            moments: Moments {
                claimed_ms: wall_ms,
                ..self.moments
            },
            row,
        }
    }
}
