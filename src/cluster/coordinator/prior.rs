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
    /// The trace of its death. The shard may have been on its way elsewhere already, as a part of another.
    death: Option<String>,
    moments: Moments,
}

impl Default for Prior {
    fn default() -> Self {
        Self {
            previous: None,
            cause: Cause::First,
            alive_until_ms: 0,
            seq: None,
            death: None,
            moments: Moments::default(),
        }
    }
}

impl Prior {
    pub(super) fn of(row: &ShardRow, seen: &Seen, evidence: &Evidence) -> Self {
        let assigned = Some(seen.scan.now_ms + seen.offset_ms);
        let Some(owner) = &row.owner else {
            return Self::given(row, seen, assigned);
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
    fn given(row: &ShardRow, seen: &Seen, assigned_ms: Option<i64>) -> Self {
        let moments = Moments {
            assigned_ms,
            ..Moments::default()
        };
        // Where the number of shards changed, guilds come to a shard that was nobody's, or not for long: their owners had
        // other shards.
        let last_sign = seen.last_sign_of_the_dead();
        let Some(released) = &row.released else {
            return Self {
                alive_until_ms: last_sign.map_or(0, |at| at + seen.offset_ms),
                moments,
                ..Self::default()
            };
        };
        let at_ms = released.at_ms + seen.offset_ms;
        let stays = seen
            .member(&released.by)
            .is_some_and(|by| by.state == MemberState::Live);
        Self {
            previous: Some(released.by.clone()),
            cause: if stays { Cause::Rebalance } else { Cause::Handover },
            alive_until_ms: last_sign.map_or(at_ms, |sign| at_ms.max(sign + seen.offset_ms)),
            seq: None,
            death: None,
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
            Cause::First | Cause::Handover | Cause::Rebalance => ended,
        };
        Self {
            previous: Some(owner.id.clone()),
            cause,
            alive_until_ms: alive,
            seq: owner.shard_seq.get(&shard).copied(),
            death: owner.trace.clone().filter(|_| owner.state == MemberState::Fenced),
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
            left: matches!(self.cause, Cause::Handover | Cause::Rebalance),
            alive_until_ms: self.alive_until_ms,
            seq: stored.max(self.seq),
            trace: self.death.or_else(|| row.trace.clone()),
            owner_trace: row.owner_trace.clone(),
            moments: Moments {
                claimed_ms: wall_ms,
                ..self.moments
            },
            row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Epoch;
    use crate::store::{Released, Scan};

    fn row(owner: Option<&str>, released: Option<&str>) -> ShardRow {
        let id = |name: &str| MemberId(name.to_owned());
        ShardRow {
            owner: owner.map(id),
            epoch: Epoch(3),
            want_term: 1,
            released: released.map(|by| Released { by: id(by), at_ms: 5 }),
            ..ShardRow::default()
        }
    }

    /// Of a shard that `owner` owns or `released` gave up, where the member `a` is as told.
    fn cause(owner: Option<&str>, released: Option<&str>, a: Option<(MemberState, Option<&str>)>) -> Cause {
        let row = row(owner, released);
        let members = a.map(|(state, why)| MemberRow {
            state,
            why: why.map(str::to_owned),
            ..MemberRow::new(MemberId("a".to_owned()), "a".to_owned())
        });
        let scan = Scan {
            members: members.into_iter().collect(),
            ..Scan::default()
        };
        Prior::of(&row, &Seen::new(scan, 0, 0), &Evidence::default()).cause
    }

    #[test]
    fn a_death_is_gone_on_with_even_where_a_move_was_under_way_and_a_leaving_is_not_overtaken() {
        let trace = |state| {
            let mut row = row(Some("a"), None);
            row.trace = Some("the move".to_owned());
            let owner = MemberRow {
                state,
                trace: Some("the death".to_owned()),
                ..MemberRow::new(MemberId("a".to_owned()), "a".to_owned())
            };
            let scan = Scan {
                members: vec![owner],
                ..Scan::default()
            };
            let prior = Prior::of(&row, &Seen::new(scan, 0, 0), &Evidence::default());
            prior.claimed(row, 1).trace
        };
        assert_eq!(trace(MemberState::Fenced).as_deref(), Some("the death"));
        assert_eq!(trace(MemberState::Gone).as_deref(), Some("the move"));
    }

    #[test]
    fn guilds_that_come_to_a_shard_that_was_nobodys_were_driven_until_the_last_owner_of_any_shard_was_heard_of() {
        use MemberState::{Fenced, Gone, Live};
        // The shard as released, the members with their last renewals (offset 100), and until when guilds were driven.
        type Case = (Option<&'static str>, &'static [(MemberState, i64)], i64);
        let table: [Case; 5] = [
            (None, &[], 0),
            (None, &[(Live, 900)], 0),
            (None, &[(Fenced, 700), (Gone, 600), (Live, 900)], 800),
            (Some("a"), &[(Live, 900)], 105),
            (Some("a"), &[(Gone, 700)], 800),
        ];
        for (released, members, expected) in table {
            let members = members
                .iter()
                .enumerate()
                .map(|(number, (state, renewed_ms))| MemberRow {
                    state: *state,
                    renewed_ms: *renewed_ms,
                    ..MemberRow::new(MemberId(format!("m{number}")), "m".to_owned())
                });
            let scan = Scan {
                now_ms: 1_000,
                members: members.collect(),
                ..Scan::default()
            };
            let prior = Prior::of(&row(None, released), &Seen::new(scan, 0, 1_100), &Evidence::default());
            assert_eq!(prior.alive_until_ms, expected, "{released:?} {expected}");
        }
    }

    #[test]
    fn a_move_is_named_after_what_became_of_the_owner_before() {
        use MemberState::{Draining, Fenced, Gone, Live};
        let table = [
            (None, None, None, Cause::First),
            (None, Some("a"), Some((Draining, None)), Cause::Handover),
            (None, Some("a"), Some((Gone, None)), Cause::Handover),
            (None, Some("a"), None, Cause::Handover),
            (None, Some("a"), Some((Live, None)), Cause::Rebalance),
            (Some("a"), None, Some((Gone, None)), Cause::Handover),
            (Some("a"), None, Some((Fenced, Some("it hung up"))), Cause::Proven),
            (Some("a"), None, Some((Fenced, Some(TIMED_OUT))), Cause::TimedOut),
            (Some("a"), None, None, Cause::TimedOut),
        ];
        for (owner, released, a, expected) in table {
            assert_eq!(cause(owner, released, a), expected, "{owner:?} {released:?} {a:?}");
        }
    }
}
