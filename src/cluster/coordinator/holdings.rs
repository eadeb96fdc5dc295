//! The shards of this member: taking what it was given, giving up what it was not.

use std::collections::BTreeMap;

use super::event::{Effect, Failed};
use super::look::Seen;
use super::prior::Prior;
use crate::cluster::duty::{Claimed, Duty};
use crate::cluster::evidence::Evidence;
use crate::cluster::timing;
use crate::model::ids::{Epoch, MemberId};
use crate::store::ShardRow;

/// Claims under way at once.
const CLAIMS: usize = 32;

/// One shard, from the claim to the release.
#[derive(Clone, Debug)]
enum Hold {
    Claiming,
    Driving {
        epoch: Epoch,
    },
    /// Whoever drives it was asked to stop.
    Giving {
        epoch: Epoch,
        trace: Option<String>,
    },
    Releasing {
        epoch: Epoch,
        trace: Option<String>,
        retry_ms: Option<i64>,
    },
}

/// Shards, and what is known of who had them before.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    holds: BTreeMap<u32, Hold>,
    /// Kept from the first try: after a lost answer the row no longer tells who had it.
    priors: BTreeMap<u32, Prior>,
}

impl Holdings {
    /// Whether nothing is ours.
    pub(super) fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }

    /// The shards that are driven and that nobody asked us to give.
    pub(super) fn kept(&self) -> impl Iterator<Item = u32> + '_ {
        self.holds
            .iter()
            .filter(|(_, hold)| matches!(hold, Hold::Driving { .. }))
            .map(|(shard, _)| *shard)
    }

    /// Compares with what was seen. `may_claim`: this member may act, and does not drain. Returns whether shards that are
    /// to be ours cannot be taken yet.
    pub(super) fn reconcile(
        &mut self,
        me: &MemberId,
        seen: &Seen,
        evidence: &Evidence,
        may_claim: bool,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mut waiting = false;
        for row in &seen.scan.shards {
            let ours = row.want.as_ref() == Some(me);
            match self.holds.get(&row.id) {
                Some(Hold::Driving { epoch }) if row.want.is_some() && !ours => {
                    let hold = Hold::Giving {
                        epoch: *epoch,
                        trace: row.trace.clone(),
                    };
                    self.holds.insert(row.id, hold);
                    effects.push(Effect::Duty(Duty::Give {
                        shard: row.id,
                        trace: row.trace.clone(),
                    }));
                }
                Some(_) => {}
                None if !ours => {
                    self.priors.remove(&row.id);
                    if row.owner.as_ref() == Some(me) {
                        // From a claim whose answer was lost; meanwhile somebody else is to have it.
                        self.release(row.id, row.epoch, row.trace.clone(), effects);
                    }
                }
                None if may_claim && is_free(row, me, seen) => {
                    if self.claiming() < CLAIMS {
                        self.claim(me, row, seen, evidence, effects);
                    }
                }
                None => waiting |= may_claim,
            }
        }
        waiting
    }

    fn claiming(&self) -> usize {
        self.holds
            .values()
            .filter(|hold| matches!(hold, Hold::Claiming))
            .count()
    }

    fn claim(&mut self, me: &MemberId, row: &ShardRow, seen: &Seen, evidence: &Evidence, effects: &mut Vec<Effect>) {
        // A row that is ours already comes from a claim whose answer was lost.
        if row.owner.as_ref() != Some(me) || !self.priors.contains_key(&row.id) {
            self.priors.insert(row.id, Prior::of(row, seen, evidence));
        }
        self.holds.insert(row.id, Hold::Claiming);
        effects.push(Effect::Claim {
            shard: row.id,
            previous: row.owner.clone(),
        });
    }

    /// A claim ended. Returns whether to look again.
    pub(super) fn claimed(
        &mut self,
        shard: u32,
        wall_ms: i64,
        answer: Result<Option<Box<ShardRow>>, Failed>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !matches!(self.holds.get(&shard), Some(Hold::Claiming)) {
            return false;
        }
        let Ok(Some(row)) = answer else {
            self.holds.remove(&shard);
            return true;
        };
        self.holds.insert(shard, Hold::Driving { epoch: row.epoch });
        let prior = self.priors.remove(&shard).unwrap_or_default();
        let claimed: Claimed = prior.claimed(*row, wall_ms);
        effects.push(Effect::Duty(Duty::Drive(Box::new(claimed))));
        false
    }

    /// Whoever drove it has saved and closed it; `told` tells of that, and the successor goes on with it.
    pub(super) fn given(&mut self, shard: u32, told: Option<String>, effects: &mut Vec<Effect>) {
        let (epoch, trace) = match self.holds.get(&shard) {
            Some(Hold::Giving { epoch, trace }) => (*epoch, trace.clone()),
            Some(Hold::Driving { epoch }) => (*epoch, None),
            Some(Hold::Claiming | Hold::Releasing { .. }) | None => return,
        };
        self.release(shard, epoch, told.or(trace), effects);
    }

    fn release(&mut self, shard: u32, epoch: Epoch, trace: Option<String>, effects: &mut Vec<Effect>) {
        let hold = Hold::Releasing {
            epoch,
            trace: trace.clone(),
            retry_ms: None,
        };
        self.holds.insert(shard, hold);
        effects.push(Effect::Release { shard, epoch, trace });
    }

    /// A release ended. Returns whether the shard is not ours any more.
    pub(super) fn released(&mut self, shard: u32, answer: Result<bool, Failed>, now: i64) -> bool {
        let Some(Hold::Releasing { retry_ms, .. }) = self.holds.get_mut(&shard) else {
            return false;
        };
        if answer.is_err() {
            *retry_ms = Some(now + timing::RETRY);
            return false;
        }
        self.holds.remove(&shard);
        true
    }

    /// Releases that failed are tried again.
    pub(super) fn due(&mut self, now: i64, effects: &mut Vec<Effect>) {
        for (shard, hold) in &mut self.holds {
            if let Hold::Releasing { epoch, trace, retry_ms } = hold
                && retry_ms.is_some_and(|at| now >= at)
            {
                *retry_ms = None;
                effects.push(Effect::Release {
                    shard: *shard,
                    epoch: *epoch,
                    trace: trace.clone(),
                });
            }
        }
    }

    pub(super) fn wake_ms(&self) -> i64 {
        let retry = |hold: &Hold| match hold {
            Hold::Releasing { retry_ms, .. } => *retry_ms,
            Hold::Claiming | Hold::Driving { .. } | Hold::Giving { .. } => None,
        };
        self.holds.values().filter_map(retry).min().unwrap_or(i64::MAX)
    }
}

/// Whether nobody who may still act owns it. A member's final states stay, so that an old look is safe.
fn is_free(row: &ShardRow, me: &MemberId, seen: &Seen) -> bool {
    let Some(owner) = &row.owner else { return true };
    owner == me || seen.member(owner).is_none_or(|owner| owner.state.is_final())
}
