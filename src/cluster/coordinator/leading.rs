//! What a leader does on top, and what everybody does about a leader: standing in for a dead one, asking around when the
//! store does not answer.

use super::desk::{self, Circumstances, Desk, is_alive};
use super::event::{Effect, Failed, LeaseOrder, LeaseSeen};
use super::{Allot, Coordinator, Phase, timing, witness};
use crate::cluster::duty::Cause;
use crate::cluster::member::Ended;
use crate::model::ids::MemberId;

/// How many members stand in for a leader that is proven dead: the oldest ones.
const DEPUTIES: usize = 2;
/// Before a member asks others, the store must have been silent for this long.
const ASK_AFTER: i64 = 2_000;

impl Coordinator {
    pub(super) fn begin_leading(&mut self, now: i64, effects: &mut Vec<Effect>) {
        self.desk = Desk::default();
        self.allot = Allot::new(now);
        self.changes += 1;
        // What was seen just before is as good as what would be seen now: nobody else assigns any more.
        if self
            .seen
            .as_ref()
            .is_some_and(|seen| now - seen.sent_ms < timing::SCAN / 4)
        {
            self.lead(now, effects);
        } else {
            self.look.want();
        }
    }

    /// After a look: who is dead, and whose shard is whose.
    pub(super) fn lead(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let (Some(term), Some(seen)) = (self.leadership.leads(now), &self.seen) else {
            return;
        };
        self.desk.scanned(seen, now);
        let around = Circumstances {
            grace: self.start.lease && self.witness.is_grace(now),
            store_well_since_ms: self.store_well_since_ms,
        };
        let me = (&self.start.me, &self.start.origin);
        self.desk.fences(me, seen, &self.evidence, around, now, effects);
        effects.extend(self.allot.decide(term, self.start.shards, seen, &self.desk, now));
        effects.extend(self.allot.tell_again());
    }

    /// A member that was alive when last seen is dead: its shards need not wait for the next look. What others wrote since
    /// then, the store's own comparisons guard.
    fn bury(&mut self, member: &MemberId, (trace, said_ms): (Option<String>, i64), now: i64) -> Option<Effect> {
        let seen = self.seen.as_mut()?;
        seen.bury(member, trace, said_ms);
        let term = self.leadership.leads(now)?;
        self.allot.decide(term, self.start.shards, seen, &self.desk, now)
    }

    /// A sign came in: the leader acts on proofs at once; for a dead leader its deputies do.
    pub(super) fn prove(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let Some(seen) = &self.seen else { return };
        if self.phase != Phase::Running || self.pace.is_paused(now) {
            return;
        }
        let me = &self.start.me;
        if self.leadership.leads(now).is_some() {
            let nobody_by_time_out = Circumstances {
                grace: true,
                store_well_since_ms: now,
            };
            let me = (me, &self.start.origin);
            self.desk
                .fences(me, seen, &self.evidence, nobody_by_time_out, now, effects);
            return;
        }
        let Some(holder) = self.leadership.holder.as_ref().and_then(|holder| seen.member(holder)) else {
            return;
        };
        let Some(why) = self.evidence.proves(&self.start.origin, holder, &seen.scan.members) else {
            return;
        };
        let mut live = seen
            .scan
            .members
            .iter()
            .filter(|row| is_alive(row) && row.id != holder.id);
        let deputy = live.by_ref().take(DEPUTIES).any(|row| row.id == *me);
        if deputy && !self.deputised.contains(&holder.id) {
            self.deputised = vec![holder.id.clone()];
            effects.push(desk::fence(holder, Cause::Proven, why, None, seen, &self.evidence));
        }
    }

    pub(super) fn fenced(
        &mut self,
        member: &MemberId,
        told: (Option<String>, i64),
        answer: Result<bool, Failed>,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        self.store_said(answer.is_ok(), now);
        self.desk.fenced(member);
        self.deputised.retain(|id| id != member);
        let buried = (answer == Ok(true)).then(|| self.bury(member, told, now)).flatten();
        if buried.is_none() {
            self.look.want();
        }
        effects.extend(buried);
        if answer == Ok(true) && self.leadership.holder.as_ref() == Some(member) {
            self.succeed(member.clone(), now, effects);
        }
    }

    /// The leader is final in the store: its leadership need not run out.
    pub(super) fn holder_may_be_dead(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let (Some(seen), Some(holder)) = (&self.seen, &self.leadership.holder) else {
            return;
        };
        if *holder != self.start.me && seen.member(holder).is_some_and(|row| !is_alive(row)) {
            self.succeed(holder.clone(), now, effects);
        }
    }

    fn succeed(&mut self, holder: MemberId, now: i64, effects: &mut Vec<Effect>) {
        if self.start.lease {
            if self.buried.as_ref() != Some(&holder) {
                self.buried = Some(holder.clone());
                effects.push(Effect::Lease(LeaseOrder::Dead(holder)));
            }
        } else {
            self.leadership.holder = None;
            self.leadership.hurry(now);
        }
    }

    pub(super) fn assigned(
        &mut self,
        term: u64,
        answer: Result<(Vec<u32>, Vec<crate::store::Assignment>), Failed>,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        self.store_said(answer.is_ok(), now);
        self.allot.ended(answer.is_ok(), now);
        let Ok((applied, asked)) = answer else {
            self.look.want();
            return;
        };
        if applied.len() < asked.len() && self.leadership.leads(now) == Some(term) {
            self.leadership.superseded(now);
            self.changes += 1;
        }
        let Some(seen) = &mut self.seen else { return };
        let mut told: Vec<MemberId> = Vec::new();
        for assignment in asked.into_iter().filter(|asked| applied.contains(&asked.shard)) {
            let row = seen.assign(&assignment, term);
            if row.owner != row.want {
                told.extend(row.want.iter().chain(&row.owner).cloned());
            }
        }
        told.sort();
        told.dedup();
        told.retain(|id| *id != self.start.me);
        if !told.is_empty() {
            effects.extend([Effect::Poke(told.clone()), Effect::Tell(told)]);
        }
        self.reconcile(now, effects);
    }

    pub(super) fn lease(&mut self, seen: LeaseSeen, now: i64, effects: &mut Vec<Effect>) {
        let won = self.leadership.lease(&self.start.me, &seen, now);
        if won {
            self.witness.begin(seen.word, now);
            self.said = seen.word;
            self.changes += 1;
        } else if seen.mine_until_ms.is_some() {
            self.witness.seen(seen.word, now);
        }
        if self.pace.has_failed_for(0, now)
            && let Some(until_ms) = witness::extends(&seen, now)
        {
            effects.extend(self.pace.extend(until_ms).map(|until_ms| Effect::Permit { until_ms }));
        }
        self.lease = Some(seen);
        self.holder_may_be_dead(now, effects);
    }

    /// As the holder of the Lease: says there what is known of the store.
    pub(super) fn say(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if !self.leadership.holds_lease(now) {
            return;
        }
        let word = self.witness.word(self.store_ok_ms, now);
        if word != self.said {
            self.said = word;
            effects.push(Effect::Lease(LeaseOrder::Say(word)));
        }
    }

    /// While the store does not answer: do others reach it? What they say has no authority: it can only make a member step
    /// aside that may not act any more, or a leader that can do nothing.
    pub(super) fn mind_the_others(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if !self.pace.has_failed_for(ASK_AFTER, now) {
            self.others.forget();
            return;
        }
        if self.others.ask(now) {
            effects.push(Effect::AskOthers);
        }
        if self
            .lease
            .as_ref()
            .is_some_and(|lease| witness::others_reach_the_store(lease, now))
        {
            self.others.reach_it(now);
        }
        if !self.others.are_sure(now) {
            return;
        }
        if self.pace.is_paused(now) {
            self.end(Ended::Fenced, effects);
            return;
        }
        let others = self.seen.as_ref().map_or(0, |seen| seen.others(&self.start.me).count());
        let enough = self.others.count(now) >= others.clamp(1, 2);
        if enough && self.pace.has_failed_for(timing::LEADER_CUT_OFF, now) {
            self.step_aside(now, effects);
        }
    }

    pub(super) fn other_renews(&mut self, member: MemberId, age_ms: i64, now: i64) {
        if age_ms <= timing::OTHERS_FRESH && self.pace.has_failed_for(ASK_AFTER, now) {
            self.others.heard(member, now);
        }
    }

    /// Leaves leadership to somebody who can use it: this member is cut off alone, or does no work.
    pub(super) fn step_aside(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let held = self.leadership.holds_lease(now);
        if !held && self.leadership.leads(now).is_none() {
            return;
        }
        let until_ms = now + timing::ABSTAIN;
        let term = self.leadership.resign();
        self.leadership.abstain(until_ms);
        self.changes += 1;
        if self.start.lease {
            effects.push(Effect::Lease(LeaseOrder::Abstain { until_ms }));
        } else if let Some(term) = term {
            effects.push(Effect::Resign { term });
        }
    }
}
