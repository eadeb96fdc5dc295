//! Whether this member leads, and until when it may believe so.

use super::event::{Effect, Failed, LeaseSeen};
use crate::cluster::timing;
use crate::model::ids::MemberId;
use crate::store::Campaign;

/// With more members than this, each tries for leadership less often, so that the attempts per second stay bounded.
const CROWD: usize = 20;

#[derive(Debug)]
enum Role {
    Follower,
    /// The Lease is ours; the term is still to be counted up.
    Elected {
        until_ms: i64,
        asking: bool,
        retry_ms: i64,
    },
    Leader {
        term: u64,
        until_ms: i64,
    },
}

/// One member's part in the election.
#[derive(Debug)]
pub(super) struct Leadership {
    role: Role,
    /// Whether a Kubernetes Lease decides; else the store.
    lease: bool,
    /// Who leads, as far as we know.
    pub(super) holder: Option<MemberId>,
    /// The highest term that we know of.
    pub(super) term: u64,
    campaigning: bool,
    next_ms: i64,
    abstain_until_ms: i64,
}

impl Leadership {
    pub(super) const fn new(lease: bool, now: i64) -> Self {
        Self {
            role: Role::Follower,
            lease,
            holder: None,
            term: 0,
            campaigning: false,
            next_ms: now,
            abstain_until_ms: i64::MIN,
        }
    }

    /// Our term while we lead.
    pub(super) fn leads(&self, now: i64) -> Option<u64> {
        match self.role {
            Role::Leader { term, until_ms } if now < until_ms => Some(term),
            Role::Leader { .. } | Role::Elected { .. } | Role::Follower => None,
        }
    }

    /// Whether the Lease is ours, with or without a term.
    pub(super) fn holds_lease(&self, now: i64) -> bool {
        match self.role {
            Role::Leader { until_ms, .. } | Role::Elected { until_ms, .. } => self.lease && now < until_ms,
            Role::Follower => false,
        }
    }

    /// Tries at once instead of when it would be time.
    pub(super) fn hurry(&mut self, now: i64) {
        self.next_ms = self.next_ms.min(now);
    }

    pub(super) const fn abstain(&mut self, until_ms: i64) {
        self.abstain_until_ms = until_ms;
    }

    /// Asks for what it needs. `stands`: this member may newly become the leader.
    pub(super) fn due(&mut self, stands: bool, members: usize, now: i64, effects: &mut Vec<Effect>) {
        if let Role::Leader { until_ms, .. } | Role::Elected { until_ms, .. } = self.role
            && now >= until_ms
        {
            self.role = Role::Follower;
            self.holder = None;
        }
        if let Role::Elected { asking, retry_ms, .. } = &mut self.role
            && !*asking
            && now >= *retry_ms
        {
            *asking = true;
            effects.push(Effect::NewTerm);
        }
        let may = matches!(self.role, Role::Leader { .. }) || (stands && now >= self.abstain_until_ms);
        if !self.lease && !self.campaigning && now >= self.next_ms {
            let crowd = i64::try_from((members / CROWD).max(1)).unwrap_or(1);
            let follows = matches!(self.role, Role::Follower);
            self.next_ms = now + timing::LEASE_RETRY * if follows { crowd } else { 1 };
            if may {
                self.campaigning = true;
                effects.push(Effect::Campaign);
            }
        }
    }

    /// An election through the store ended. Returns whether we lead now and did not before.
    pub(super) fn campaigned(
        &mut self,
        me: &MemberId,
        sent_ms: i64,
        answer: Result<Campaign, Failed>,
        now: i64,
    ) -> bool {
        self.campaigning = false;
        match answer {
            Ok(Campaign::Leader { term }) => {
                let new = self.leads(now) != Some(term);
                self.role = Role::Leader {
                    term,
                    until_ms: sent_ms + timing::LEASE_RENEW,
                };
                self.holder = Some(me.clone());
                self.term = self.term.max(term);
                new
            }
            Ok(Campaign::Follower { holder, term }) => {
                self.role = Role::Follower;
                self.holder = Some(holder);
                self.term = self.term.max(term);
                false
            }
            Err(Failed) => {
                self.next_ms = self.next_ms.min(now + timing::RETRY);
                false
            }
        }
    }

    /// The Lease was seen. Returns whether it became ours just now.
    pub(super) fn lease(&mut self, me: &MemberId, seen: &LeaseSeen, now: i64) -> bool {
        self.holder.clone_from(&seen.holder);
        let Some(until) = seen.mine_until_ms.filter(|until| now < *until) else {
            self.role = Role::Follower;
            return false;
        };
        self.holder = Some(me.clone());
        match &mut self.role {
            Role::Elected { until_ms, .. } | Role::Leader { until_ms, .. } if now < *until_ms => {
                *until_ms = until.max(*until_ms);
                false
            }
            Role::Elected { .. } | Role::Leader { .. } | Role::Follower => {
                self.role = Role::Elected {
                    until_ms: until,
                    asking: false,
                    retry_ms: now,
                };
                true
            }
        }
    }

    /// The term was counted up. Returns whether we lead now.
    pub(super) fn counted(&mut self, answer: Result<u64, Failed>, now: i64) -> bool {
        let Role::Elected {
            until_ms,
            asking,
            retry_ms,
        } = &mut self.role
        else {
            return false;
        };
        let Ok(term) = answer else {
            *asking = false;
            *retry_ms = now + timing::RETRY;
            return false;
        };
        self.term = self.term.max(term);
        self.role = Role::Leader {
            term,
            until_ms: *until_ms,
        };
        true
    }

    /// A higher term was met: somebody else leads.
    pub(super) fn superseded(&mut self, now: i64) {
        self.role = match self.role {
            // The Lease is still ours: then a new term makes us the leader again, if nobody else is.
            Role::Leader { until_ms, .. } if self.lease => Role::Elected {
                until_ms,
                asking: false,
                retry_ms: now + timing::LEASE_RETRY,
            },
            Role::Leader { .. } | Role::Follower => Role::Follower,
            Role::Elected {
                until_ms,
                asking,
                retry_ms,
            } => Role::Elected {
                until_ms,
                asking,
                retry_ms,
            },
        };
        self.holder = None;
    }

    /// Gives it up. Returns the term that was ours.
    pub(super) fn resign(&mut self) -> Option<u64> {
        match std::mem::replace(&mut self.role, Role::Follower) {
            Role::Leader { term, .. } => Some(term),
            Role::Elected { .. } | Role::Follower => None,
        }
    }

    pub(super) const fn wake_ms(&self) -> i64 {
        let role = match self.role {
            Role::Follower => i64::MAX,
            Role::Elected {
                until_ms, asking: true, ..
            }
            | Role::Leader { until_ms, .. } => until_ms,
            Role::Elected { retry_ms, .. } => retry_ms,
        };
        let next = if self.lease || self.campaigning {
            i64::MAX
        } else {
            self.next_ms
        };
        if role < next { role } else { next }
    }
}
