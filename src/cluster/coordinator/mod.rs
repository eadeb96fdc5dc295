//! The coordinator of one member: what it hears and what it wants done about it. Pure: time and randomness come in.
//!
//! | part | decides |
//! | --- | --- |
//! | `pace` | when to renew, until when the permit reaches |
//! | `look` | when to read the store |
//! | `holdings` | which shards to take and to give up |
//! | `others` | whether others reach the store when this member does not |
//! | `drain` | when leaving need not wait any longer |
//! | `leadership` | whether this member leads |
//! | `desk` | as the leader: who is dead |
//! | `allot` | as the leader: whose shard is whose |
//! | [`super::witness`], [`super::evidence`], [`super::assign`] | the rules behind them |
//!
//! Everybody runs all of it; a leader is a member that does a little more. Answers that come after leadership ended change
//! nothing here, and what they wrote carried a term.

mod allot;
mod desk;
mod drain;
pub mod event;
mod holdings;
mod leadership;
mod leading;
mod look;
mod others;
mod pace;
mod prior;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use self::allot::Allot;
use self::desk::Desk;
use self::drain::Drain;
use self::event::{Effect, Event, Failed, LeaseOrder, LeaseSeen, Renewal};
use self::holdings::Holdings;
use self::leadership::Leadership;
use self::look::{Look, Seen};
use self::others::Others;
use self::pace::Pace;
use super::evidence::{Evidence, Sign};
use super::handle::{ClusterView, Drained, Request};
use super::member::Ended;
use super::permit::Standing;
use super::timing;
use super::witness::{self, Witness};
use crate::model::ids::MemberId;
use crate::store::{MemberState, Origin, Scan, ShardRow};

/// While shards wait to become free, or this member waits to be rid of its own, it looks this often.
const WAITING: i64 = 500;
/// In any case it wakes up this often.
const AWAKE: i64 = 1_000;

/// Who and where this member is.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its id.
    pub me: MemberId,
    /// Where its process runs.
    pub origin: Origin,
    /// How many shards there are in all.
    pub shards: u32,
    /// Whether a Kubernetes Lease elects the leader; else the store.
    pub lease: bool,
    /// When its joining was sent, on its own clock.
    pub joined_ms: i64,
    /// Of the random source.
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Leadership is being given up.
    Stopping {
        until_ms: i64,
    },
    Ended,
}

/// The state of one member. Every `*_ms` is on the member's own clock, unless it is called `wall`.
#[derive(Debug)]
pub struct Coordinator {
    start: Start,
    rng: SmallRng,
    phase: Phase,
    pace: Pace,
    look: Look,
    seen: Option<Seen>,
    holdings: Holdings,
    /// A shard that is to be ours is not free yet.
    waiting: bool,
    assign_gen: u64,
    drain: Drain,
    evidence: Evidence,
    leadership: Leadership,
    lease: Option<LeaseSeen>,
    said: Option<event::Word>,
    witness: Witness,
    desk: Desk,
    allot: Allot,
    deputised: Vec<MemberId>,
    /// The dead leader that the elector was told of.
    buried: Option<MemberId>,
    store_ok_ms: i64,
    store_well_since_ms: i64,
    others: Others,
    changes: u64,
}

impl Coordinator {
    /// A member that has just joined.
    pub fn new(start: Start, now: i64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(start.seed),
            phase: Phase::Running,
            pace: Pace::new(start.joined_ms),
            look: Look::new(now),
            seen: None,
            holdings: Holdings::default(),
            waiting: false,
            assign_gen: 0,
            drain: Drain::No,
            evidence: Evidence::default(),
            leadership: Leadership::new(start.lease, now),
            lease: None,
            said: None,
            witness: Witness::default(),
            desk: Desk::default(),
            allot: Allot::new(now),
            deputised: Vec::new(),
            buried: None,
            store_ok_ms: now,
            store_well_since_ms: i64::MIN / 2,
            others: Others::default(),
            changes: 0,
            start,
        }
    }

    /// Takes in what happened at `now`; returns what is to be done, in order.
    pub fn step(&mut self, event: Event, now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase == Phase::Ended {
            return effects;
        }
        self.hear(event, now, &mut effects);
        if self.phase == Phase::Running {
            self.due(now, &mut effects);
        } else if let Phase::Stopping { until_ms } = self.phase
            && now >= until_ms
        {
            self.end(Ended::Stopped, &mut effects);
        }
        effects
    }

    fn hear(&mut self, event: Event, now: i64, effects: &mut Vec<Effect>) {
        match event {
            Event::Tick => {}
            Event::Renewed { sent_ms, answer } => self.renewed(sent_ms, &answer, now, effects),
            Event::Looked {
                sent_ms,
                wall_ms,
                answer,
            } => self.looked(sent_ms, wall_ms, answer, now, effects),
            Event::Claimed { shard, wall_ms, answer } => self.claimed(shard, wall_ms, answer, now, effects),
            Event::Released { shard, answer } => self.released(shard, answer, now, effects),
            Event::Fenced {
                member,
                trace,
                wall_ms,
                answer,
            } => self.fenced(&member, (trace, wall_ms), answer, now, effects),
            Event::Assigned { term, answer } => self.assigned(term, answer, now, effects),
            Event::Told { members, answer } => {
                self.store_said(answer.is_ok(), now);
                if answer.is_err() {
                    self.allot.not_told(members);
                }
            }
            Event::Campaigned { sent_ms, answer } => {
                self.store_said(answer.is_ok(), now);
                if self.leadership.campaigned(&self.start.me, sent_ms, answer, now) {
                    self.begin_leading(now, effects);
                }
            }
            Event::Term(answer) => {
                self.store_said(answer.is_ok(), now);
                if self.leadership.counted(answer, now) {
                    self.begin_leading(now, effects);
                }
            }
            Event::Draining(answer) => {
                self.store_said(answer.is_ok(), now);
                self.drain.told(answer, now);
                self.look.want();
                effects.push(Effect::Poke(self.leadership.holder.iter().cloned().collect()));
            }
            Event::Lease(seen) => self.lease(seen, now, effects),
            Event::Sign { member, sign, wall_ms } => self.sign(member, sign, wall_ms, now, effects),
            Event::Container(end) => {
                // Its member's row may say only since the last look which container it runs in.
                self.look.want();
                self.evidence.container(end);
                self.prove(now, effects);
            }
            Event::Poked => self.look.want(),
            Event::Renewing { age_ms, member } => self.other_renews(member, age_ms, now),
            Event::Asked(request) => self.asked(request, now, effects),
            Event::Stop => self.stop(now, effects),
            Event::Resigned => {
                if matches!(self.phase, Phase::Stopping { .. }) {
                    self.end(Ended::Stopped, effects);
                }
            }
        }
    }

    /// Whatever the time has come for.
    fn due(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if self.pace.due(now) {
            effects.push(Effect::Renew);
        }
        let period = self.period(now);
        if self.look.due(period, now) {
            effects.push(Effect::Look);
        }
        let members = self.seen.as_ref().map_or(1, |seen| seen.scan.members.len());
        let paused = self.pace.is_paused(now);
        if paused && self.pace.failing_since_ms.is_none() {
            self.step_aside(now, effects);
        }
        self.leadership
            .due(!self.drain.is_wanted() && !paused, members, now, effects);
        self.holdings.due(now, effects);
        if self.drain.tell(now) {
            effects.push(Effect::Drain);
        }
        self.drained(now, effects);
        self.say(now, effects);
        self.mind_the_others(now, effects);
    }

    fn period(&self, now: i64) -> i64 {
        if self.leadership.leads(now).is_some() {
            timing::SCAN
        } else if self.waiting || self.drain.is_wanted() || self.seen.is_none() {
            WAITING
        } else {
            timing::BACKSTOP
        }
    }

    fn renewed(&mut self, sent_ms: i64, answer: &Renewal, now: i64, effects: &mut Vec<Effect>) {
        if let Some(until_ms) = self.pace.ended(sent_ms, answer, now, &mut self.rng) {
            effects.push(Effect::Permit { until_ms });
        }
        match answer {
            Renewal::Done(row) => {
                self.store_said(true, now);
                if row.assign_gen > self.assign_gen {
                    self.assign_gen = row.assign_gen;
                    self.look.want();
                }
            }
            Renewal::Refused => self.end(Ended::Fenced, effects),
            Renewal::Failed => self.store_said(false, now),
            Renewal::Held => {}
        }
        self.changes += 1;
    }

    fn looked(
        &mut self,
        sent_ms: i64,
        wall_ms: i64,
        answer: Result<Scan, Failed>,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        self.look.ended(answer.is_ok(), now);
        self.store_said(answer.is_ok(), now);
        self.changes += 1;
        let Ok(scan) = answer else {
            self.desk.blind(now);
            return;
        };
        let seen = Seen {
            took_ms: now - sent_ms,
            ..Seen::new(scan, sent_ms, wall_ms)
        };
        if let Some(me) = seen.member(&self.start.me) {
            self.assign_gen = self.assign_gen.max(me.assign_gen);
            if me.state.is_final() && self.phase == Phase::Running {
                self.end(Ended::Fenced, effects);
                return;
            }
        }
        self.evidence.retain(|id| seen.member(id).is_none_or(desk::is_alive));
        let others = seen.others(&self.start.me);
        effects.push(Effect::Watch(
            others
                .filter_map(|row| Some((row.id.clone(), row.peer.clone()?)))
                .collect(),
        ));
        self.seen = Some(seen);
        self.holder_may_be_dead(now, effects);
        self.reconcile(now, effects);
        self.prove(now, effects);
        if self.phase == Phase::Running {
            self.lead(now, effects);
        }
    }

    fn reconcile(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let Some(seen) = &self.seen else { return };
        if self.phase != Phase::Running || matches!(self.drain, Drain::Over(_)) {
            return;
        }
        let may_claim = !self.drain.is_wanted() && !self.pace.is_paused(now);
        self.waiting = self
            .holdings
            .reconcile(&self.start.me, seen, &self.evidence, may_claim, effects);
    }

    fn claimed(
        &mut self,
        shard: u32,
        wall_ms: i64,
        answer: Result<Option<Box<ShardRow>>, Failed>,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        self.store_said(answer.is_ok(), now);
        if let (Ok(Some(row)), Some(seen)) = (&answer, &mut self.seen) {
            seen.put_shard((**row).clone());
            self.changes += 1;
        }
        if self.holdings.claimed(shard, wall_ms, answer, effects) {
            self.look.want();
        }
        self.reconcile(now, effects);
    }

    fn released(&mut self, shard: u32, answer: Result<bool, Failed>, now: i64, effects: &mut Vec<Effect>) {
        self.store_said(answer.is_ok(), now);
        if self.holdings.released(shard, answer, now) {
            if let Some(seen) = &mut self.seen {
                seen.released(shard, &self.start.me);
            }
            self.poke_successor(shard, effects);
            self.look.want();
        }
    }

    fn poke_successor(&self, shard: u32, effects: &mut Vec<Effect>) {
        let want = self.seen.as_ref().and_then(|seen| seen.shard(shard)?.want.clone());
        let told: Vec<MemberId> = want.into_iter().filter(|want| *want != self.start.me).collect();
        if !told.is_empty() {
            effects.push(Effect::Poke(told));
        }
    }

    fn asked(&mut self, request: Request, now: i64, effects: &mut Vec<Effect>) {
        match request {
            Request::Given { shard, trace } => self.holdings.given(shard, trace, effects),
            Request::Drain => self.drain.ask(now),
            Request::Hurry => effects.extend(self.drain.hurry().map(Effect::Drained)),
            Request::Renew => self.pace.hurry(now),
        }
    }

    fn drained(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if !self.drain.is_wanted() {
            return;
        }
        let me = &self.start.me;
        let seen = self.seen.as_ref();
        let around = drain::Around {
            empty: self.holdings.is_empty(),
            alone_ms: seen
                .filter(|seen| seen.others(me).all(|row| row.state != MemberState::Live))
                .map(|seen| seen.sent_ms),
            unmoved: self.holdings.kept().next().is_some(),
        };
        effects.extend(self.drain.over(around, now).map(Effect::Drained));
    }

    fn sign(&mut self, member: MemberId, sign: Sign, wall_ms: i64, now: i64, effects: &mut Vec<Effect>) {
        if matches!(sign, Sign::Answered(_)) {
            // Whoever answers there has joined since the last look.
            self.look.want();
        }
        self.evidence.sign(member, sign, wall_ms);
        self.prove(now, effects);
    }

    /// The store answered, or did not.
    const fn store_said(&mut self, well: bool, now: i64) {
        if well {
            self.store_ok_ms = now;
        } else {
            self.store_well_since_ms = now;
        }
    }

    fn stop(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return;
        }
        let held = self.leadership.holds_lease(now);
        let term = self.leadership.resign();
        self.phase = Phase::Stopping {
            until_ms: now + timing::OPERATION,
        };
        if self.start.lease && held {
            effects.push(Effect::Lease(LeaseOrder::Abstain { until_ms: i64::MAX }));
        } else if let Some(term) = term.filter(|_| !self.start.lease) {
            effects.push(Effect::Resign { term });
        } else {
            self.end(Ended::Stopped, effects);
        }
    }

    fn end(&mut self, how: Ended, effects: &mut Vec<Effect>) {
        self.phase = Phase::Ended;
        self.changes += 1;
        effects.push(Effect::Drained(Drained::Ended));
        effects.push(Effect::End(how));
    }

    /// When to step again if nothing happens before.
    pub fn wake_ms(&self, now: i64) -> i64 {
        let stopping = match self.phase {
            Phase::Stopping { until_ms } => until_ms,
            Phase::Running | Phase::Ended => i64::MAX,
        };
        let mut soon = [self.pace.permit_until_ms, self.store_ok_ms + timing::WITNESS_AFTER];
        for at in &mut soon {
            if *at <= now {
                *at = i64::MAX;
            }
        }
        [
            soon[0],
            soon[1],
            self.pace.wake_ms(),
            self.look.wake_ms(self.period(now)),
            self.leadership.wake_ms(),
            self.holdings.wake_ms(),
            self.drain.wake_ms(),
            stopping,
            now + AWAKE,
        ]
        .into_iter()
        .min()
        .unwrap_or(now + AWAKE)
        .max(now + 1)
    }

    /// Counts what changes the view.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The cluster as last seen.
    pub fn view(&self, standing: Standing, now: i64) -> ClusterView {
        let (members, shards, seen_ms) = self.seen.as_ref().map_or_else(Default::default, |seen| {
            (seen.scan.members.clone(), seen.scan.shards.clone(), seen.scan.now_ms)
        });
        ClusterView {
            leader: self.leadership.holder.clone(),
            term: self.leadership.term,
            leading: self.leadership.leads(now).is_some(),
            members: members.into(),
            shards: shards.into(),
            seen_ms,
            standing: Some(standing),
            store_failing_since_ms: self.pace.failing_since_ms,
        }
    }
}

/// A quick digest of what is under way, for people who debug.
impl std::fmt::Display for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            start,
            phase,
            leadership,
            drain,
            ..
        } = self;
        write!(f, "{} {phase:?} {leadership:?} {drain:?} {:?}", start.me, self.holdings)
    }
}
