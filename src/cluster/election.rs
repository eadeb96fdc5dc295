//! Whether to take, keep or wait for a Kubernetes Lease. Pure.
//!
//! Nobody's clock is compared with anybody else's: a Lease has run out when *we* have seen it not change for its whole
//! duration. What others write as `renewTime` is for people.

use std::collections::VecDeque;

use super::timing;
use crate::model::ids::MemberId;

/// Dead members that are remembered.
const REMEMBERED: usize = 64;

/// What matters of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; `None` when it was released.
    pub holder: Option<MemberId>,
    /// `resourceVersion`: another one at every write.
    pub version: String,
    /// How long it lasts without a change, milliseconds.
    pub duration_ms: i64,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It is ours: renew it.
    Renew,
    /// It is free: take it, if nobody is faster.
    Take,
    /// It is somebody else's; look again then.
    Wait {
        /// On this member's clock.
        until_ms: i64,
    },
}

/// What one candidate remembers.
#[derive(Clone, Debug)]
pub struct Election {
    me: MemberId,
    seen: Option<(String, i64)>,
    dead: VecDeque<MemberId>,
    abstain_until_ms: i64,
}

impl Election {
    /// A candidate that has seen nothing.
    pub const fn new(me: MemberId) -> Self {
        Self {
            me,
            seen: None,
            dead: VecDeque::new(),
            abstain_until_ms: i64::MIN,
        }
    }

    /// That member is dead: what it holds need not run out.
    pub fn dead(&mut self, member: MemberId) {
        if !self.dead.contains(&member) {
            self.dead.truncate(REMEMBERED - 1);
            self.dead.push_front(member);
        }
    }

    /// Does not stand until then.
    pub const fn abstain(&mut self, until_ms: i64) {
        self.abstain_until_ms = until_ms;
    }

    /// Whether it stands at all.
    pub const fn stands(&self, now: i64) -> bool {
        now >= self.abstain_until_ms
    }

    /// Takes in a record that was read, or written, and answered at `now`. Returns when it changed last, as far as seen.
    pub fn saw(&mut self, version: &str, now: i64) -> i64 {
        match &self.seen {
            Some((known, at)) if known == version => *at,
            Some(_) | None => {
                self.seen = Some((version.to_owned(), now));
                now
            }
        }
    }

    /// What to do about a record that was taken in.
    pub fn judge(&self, record: &Record, now: i64) -> Move {
        let changed_ms = self.seen.as_ref().map_or(now, |(_, at)| *at);
        let runs_out_ms = changed_ms + record.duration_ms.max(timing::LEASE_RETRY);
        match &record.holder {
            _ if !self.stands(now) => Move::Wait {
                until_ms: self.abstain_until_ms,
            },
            Some(holder) if *holder == self.me => Move::Renew,
            None => Move::Take,
            Some(holder) if self.dead.contains(holder) => Move::Take,
            Some(_) if now >= runs_out_ms => Move::Take,
            Some(_) => Move::Wait { until_ms: runs_out_ms },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> MemberId {
        MemberId(name.into())
    }

    fn record(holder: Option<&str>, version: &str) -> Record {
        Record {
            holder: holder.map(id),
            version: version.into(),
            duration_ms: 8_000,
        }
    }

    #[test]
    fn a_lease_runs_out_only_after_it_was_seen_not_to_change_for_its_whole_duration() {
        let mut election = Election::new(id("b"));
        assert_eq!(election.saw("7", 1_000), 1_000);
        assert_eq!(
            election.judge(&record(Some("a"), "7"), 1_000),
            Move::Wait { until_ms: 9_000 }
        );
        assert_eq!(election.saw("7", 8_999), 1_000);
        assert_eq!(
            election.judge(&record(Some("a"), "7"), 8_999),
            Move::Wait { until_ms: 9_000 }
        );
        assert_eq!(election.saw("8", 8_999), 8_999, "it was renewed after all");
        assert_eq!(
            election.judge(&record(Some("a"), "8"), 9_000),
            Move::Wait { until_ms: 16_999 }
        );
        assert_eq!(election.judge(&record(Some("a"), "8"), 16_999), Move::Take);
    }

    #[test]
    fn what_is_free_ours_or_a_dead_members_is_taken_at_once_unless_we_abstain() {
        let mut election = Election::new(id("b"));
        election.saw("7", 0);
        assert_eq!(election.judge(&record(None, "7"), 1), Move::Take);
        assert_eq!(election.judge(&record(Some("b"), "7"), 1), Move::Renew);
        election.dead(id("a"));
        assert_eq!(election.judge(&record(Some("a"), "7"), 1), Move::Take);
        assert!(matches!(election.judge(&record(Some("c"), "7"), 1), Move::Wait { .. }));
        election.abstain(100);
        assert_eq!(election.judge(&record(None, "7"), 99), Move::Wait { until_ms: 100 });
        assert_eq!(
            election.judge(&record(Some("b"), "7"), 99),
            Move::Wait { until_ms: 100 }
        );
        assert_eq!(election.judge(&record(None, "7"), 100), Move::Take);
    }
}
