//! One guild, two members, a leader that may start anew, calls that are lost, late or out of order, a member that dies.
//!
//! Nothing ever has to happen, so a member that is frozen for any time, and a call that never arrives, are among the runs.
//! What could only make a run milder is left out: that an answer is heard late (the permit is shorter then), and that a
//! member hears of its own fence (it acts no more then; here it acts until its permit ends). Bounds: seven ticks, one death,
//! one or two orders, one renewal of each member under way, one new leader.

use stateright::{Model, Property};

/// Ticks of a run.
const END: u8 = 6;
/// From sending a renewal, how long a member may act.
const SELF_FENCE: u8 = 2;
/// A member whose sequence did not change for this long may be fenced.
const TIMEOUT: u8 = 3;
/// How far beyond a member's expiry the store's clock must be for a leader without history.
const NEWCOMER: i8 = 1;
/// How far the store's clock may be moved, where it may.
const JUMP: i8 = 3;
/// [`TIMEOUT`] by the store's clock.
const TIMEOUT_BY_CLOCK: i8 = 3;

const NOBODY_DRIVES_BESIDE: &str = "I1: at most one member holds the permit";
const CONFIRMED_IS_KEPT: &str = "I2: what was confirmed is in the stored snapshot";
const NO_OLD_WRITE_LANDS: &str = "I3: no write of an older epoch lands, and the rev grows";

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Writes do not name their epoch.
    EpochGuard,
    /// Writes of one epoch may overtake each other.
    RevGuard,
    /// The snapshot is read before the epoch is raised; and the rev is guarded only within an epoch.
    OneStepTake,
    /// The same with the guard across epochs: that one alone is enough.
    OneStepTakeOnly,
    /// The permit is counted from the answer instead of from the question.
    SendTime,
    /// A member that cannot renew goes on.
    SelfFence,
    /// Any hint counts as a death.
    ProofOfDeath,
    /// An expired owner is not fenced before its guild is taken.
    FenceBeforeTake,
    /// The store's clock is moved.
    SteadyClock,
}

/// What may happen besides.
#[derive(Clone, Copy, Debug)]
struct Lease {
    without: Without,
    deaths: u8,
    orders: u8,
    /// The leader may be replaced by one without history.
    restarts: u8,
    /// The one property that is asked for; else all.
    only: Option<&'static str>,
}

const ALL: Lease = Lease {
    without: Without::Nothing,
    deaths: 1,
    orders: 1,
    restarts: 1,
    only: None,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Drive {
    epoch: u8,
    rev: u8,
    content: u8,
}

/// Times are counted from now, so that the same situation is the same state whenever it comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Member {
    dead: bool,
    /// How long it may still act.
    left: u8,
    drives: Option<Drive>,
    /// Read, but the epoch is not raised yet.
    read: Option<Drive>,
    /// A renewal under way, by its age.
    asks: Option<u8>,
    /// An answer is under way. Only where its delay matters: [`Without::SendTime`].
    told: bool,
    /// Its row: declared dead,
    fenced: bool,
    /// renewed until so long ago (0: not yet),
    overdue: i8,
    /// and, as the leader sees it, unchanged for so long.
    unchanged: u8,
    /// Renewed since the leader looked.
    fresh: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Guild {
    owner: usize,
    epoch: u8,
    rev: u8,
    content: u8,
    /// The epoch in which that was written.
    written: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Write {
    member: usize,
    epoch: u8,
    rev: u8,
    content: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    time: u8,
    jumped: bool,
    members: [Member; 2],
    guild: Guild,
    /// The leader has no history.
    newcomer: bool,
    /// Under way, in any order.
    writes: [Option<Write>; 3],
    confirmed: u8,
    deaths: u8,
    orders: u8,
    restarts: u8,
    old_write_landed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Tick,
    /// A renewal is sent; the one before is lost, if it is still under way.
    Ask(usize),
    /// It is carried out.
    Renew(usize),
    /// The answer arrives.
    Hear(usize),
    Order(usize),
    Land(usize),
    Die(usize),
    FenceByTimeOut(usize),
    FenceByProof(usize),
    Read(usize),
    Take(usize),
    NewLeader,
    Jump,
}

impl Lease {
    fn may_act(self, member: &Member) -> bool {
        !member.dead && member.drives.is_some() && (member.left > 0 || self.without == Without::SelfFence)
    }

    fn is_overdue(newcomer: bool, member: &Member) -> bool {
        let watched = member.unchanged >= TIMEOUT && member.overdue >= 0;
        !member.fenced && (watched || (newcomer && member.overdue >= NEWCOMER))
    }

    fn may_take(self, state: &State, at: usize) -> bool {
        let (me, owner) = (&state.members[at], &state.members[state.guild.owner]);
        let expired = self.without == Without::FenceBeforeTake && Self::is_overdue(state.newcomer, owner);
        // Nobody gives anything to a member that it knows to be final.
        state.guild.owner != at && !me.dead && !me.fenced && me.left > 0 && (owner.fenced || expired)
    }

    fn reads_first(self) -> bool {
        matches!(self.without, Without::OneStepTake | Without::OneStepTakeOnly)
    }

    fn tick(self, state: &mut State) {
        state.time += 1;
        for member in &mut state.members {
            member.left = member.left.saturating_sub(1);
            member.overdue = (member.overdue + 1).min(NEWCOMER);
            // The leader looks: what it sees is at least as old as what it notes.
            member.unchanged = if member.fresh {
                0
            } else {
                (member.unchanged + 1).min(TIMEOUT)
            };
            member.fresh = false;
            // A question that is older than a permit could only renew the row, which is milder.
            member.asks = member.asks.map(|age| age + 1).filter(|age| *age < SELF_FENCE);
        }
    }

    fn renew(self, member: &mut Member) {
        let Some(age) = member.asks.take() else { return };
        if member.fenced {
            return;
        }
        member.overdue = -TIMEOUT_BY_CLOCK;
        member.fresh = true;
        if self.without == Without::SendTime {
            member.told = true;
        } else {
            member.left = member.left.max(SELF_FENCE - age);
        }
    }

    fn order(state: &mut State, at: usize) -> Option<()> {
        let bit = 1 << (state.orders - 1);
        state.orders -= 1;
        let drives = state.members[at].drives.as_mut()?;
        drives.rev += 1;
        drives.content |= bit;
        let write = Write {
            member: at,
            epoch: drives.epoch,
            rev: drives.rev,
            content: drives.content,
        };
        *state.writes.iter_mut().find(|place| place.is_none())? = Some(write);
        state.writes.sort();
        Some(())
    }

    fn land(self, state: &mut State, place: usize) {
        let Some(write) = state.writes[place].take() else {
            return;
        };
        state.writes.sort();
        let guild = &mut state.guild;
        let ours = guild.owner == write.member && guild.epoch == write.epoch;
        let newer = match self.without {
            Without::RevGuard => true,
            Without::OneStepTake => write.rev > guild.rev || write.epoch != guild.written,
            _ => write.rev > guild.rev,
        };
        if newer && (ours || self.without == Without::EpochGuard) {
            state.old_write_landed |= write.epoch < guild.epoch;
            guild.rev = write.rev;
            guild.content = write.content;
            guild.written = write.epoch;
            // Confirmed as soon as it can be: later is milder.
            state.confirmed |= write.content;
        } else if ours && guild.written == write.epoch {
            // A later one of ours is stored, and contains it.
            state.confirmed |= write.content;
        }
    }

    fn take(self, state: &mut State, at: usize) {
        state.guild.owner = at;
        state.guild.epoch += 1;
        let stored = stored(&state.guild);
        let read = state.members[at].read.take().filter(|_| self.reads_first());
        state.members[at].drives = Some(Drive {
            epoch: state.guild.epoch,
            ..read.unwrap_or(stored)
        });
    }

    fn member_acts(self, state: &State, at: usize, acts: &mut Vec<Act>) {
        let me = &state.members[at];
        if me.asks.is_some() {
            acts.push(Act::Renew(at));
        }
        if !me.dead {
            if me.told {
                acts.push(Act::Hear(at));
            }
            if state.deaths > 0 {
                acts.push(Act::Die(at));
            }
            if me.asks != Some(0) {
                acts.push(Act::Ask(at));
            }
            if self.may_act(me) && state.orders > 0 {
                acts.push(Act::Order(at));
            }
            if self.may_take(state, at) {
                let act = if self.reads_first() && me.read.is_none() {
                    Act::Read
                } else {
                    Act::Take
                };
                acts.push(act(at));
            }
        }
        let seems_dead = me.dead || self.without == Without::ProofOfDeath;
        if !me.fenced && seems_dead {
            acts.push(Act::FenceByProof(at));
        } else if Self::is_overdue(state.newcomer, me) && self.without != Without::FenceBeforeTake {
            acts.push(Act::FenceByTimeOut(at));
        }
    }
}

fn stored(guild: &Guild) -> Drive {
    Drive {
        epoch: guild.epoch,
        rev: guild.rev,
        content: guild.content,
    }
}

/// Nothing of a row matters any more once it is final.
fn fence(member: &mut Member) {
    member.fenced = true;
    member.overdue = 0;
    member.unchanged = 0;
    member.fresh = false;
}

impl Model for Lease {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let guild = Guild {
            owner: 0,
            epoch: 1,
            rev: 0,
            content: 0,
            written: 1,
        };
        let member = Member {
            dead: false,
            left: SELF_FENCE,
            drives: None,
            read: None,
            asks: None,
            told: false,
            fenced: false,
            overdue: -TIMEOUT_BY_CLOCK,
            unchanged: 0,
            fresh: false,
        };
        let owner = Member {
            drives: Some(stored(&guild)),
            ..member
        };
        vec![State {
            time: 0,
            jumped: false,
            members: [owner, member],
            guild,
            newcomer: false,
            writes: [None; 3],
            confirmed: 0,
            deaths: self.deaths,
            orders: self.orders,
            restarts: self.restarts,
            old_write_landed: false,
        }]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        if state.time < END {
            acts.push(Act::Tick);
        }
        for at in 0..2 {
            self.member_acts(state, at, acts);
        }
        acts.extend(
            (0..state.writes.len())
                .filter(|place| state.writes[*place].is_some())
                .map(Act::Land),
        );
        if state.restarts > 0 {
            acts.push(Act::NewLeader);
        }
        if self.without == Without::SteadyClock && !state.jumped {
            acts.push(Act::Jump);
        }
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut state = *last;
        match act {
            Act::Tick => self.tick(&mut state),
            Act::Ask(at) => state.members[at].asks = Some(0),
            Act::Renew(at) => self.renew(&mut state.members[at]),
            Act::Hear(at) => {
                state.members[at].told = false;
                state.members[at].left = SELF_FENCE;
            }
            Act::Order(at) => Self::order(&mut state, at)?,
            Act::Land(place) => self.land(&mut state, place),
            Act::Die(at) => {
                state.deaths -= 1;
                let member = &mut state.members[at];
                member.dead = true;
                (member.drives, member.read, member.told, member.left) = (None, None, false, 0);
            }
            Act::FenceByTimeOut(at) | Act::FenceByProof(at) => fence(&mut state.members[at]),
            Act::Read(at) => state.members[at].read = Some(stored(&state.guild)),
            Act::Take(at) => self.take(&mut state, at),
            Act::NewLeader => {
                state.restarts -= 1;
                state.newcomer = true;
                for member in &mut state.members {
                    (member.unchanged, member.fresh) = (0, false);
                }
            }
            Act::Jump => {
                state.jumped = true;
                for member in state.members.iter_mut().filter(|member| !member.fenced) {
                    member.overdue = (member.overdue + JUMP).min(NEWCOMER);
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = [
            Property::always(NOBODY_DRIVES_BESIDE, |model: &Self, state: &State| {
                !state.members.iter().all(|member| model.may_act(member))
            }),
            Property::always(CONFIRMED_IS_KEPT, |_, state: &State| {
                state.confirmed & !state.guild.content == 0
            }),
            Property::always(NO_OLD_WRITE_LANDS, |_, state: &State| !state.old_write_landed),
        ];
        let asked = all
            .into_iter()
            .filter(|property| self.only.is_none_or(|only| property.name == only));
        asked.collect()
    }
}

fn holds(model: Lease) {
    let began = tokio::time::Instant::now();
    let (broken, states) = super::search(model);
    println!("{model:?}: {states} states in {:?}", began.elapsed());
    assert_eq!(broken, None, "{model:?}");
    assert!(states > 10_000, "{states} states are no search");
}

fn breaks(model: Lease, property: &str) {
    let (broken, states) = super::search(model);
    println!("{model:?}: {broken:?} after {states} states");
    assert_eq!(broken, Some(property), "{model:?}");
}

#[test]
fn the_lease_protocol_holds_with_a_death_and_a_new_leader() {
    holds(ALL);
}

#[test]
fn the_lease_protocol_holds_with_two_orders() {
    holds(Lease {
        orders: 2,
        deaths: 0,
        restarts: 0,
        ..ALL
    });
}

#[test]
fn each_rule_of_the_lease_protocol_is_needed() {
    let calm = Lease {
        deaths: 0,
        restarts: 0,
        ..ALL
    };
    let without = |without| Lease { without, ..calm };
    let two_orders = |without| Lease {
        without,
        orders: 2,
        ..calm
    };
    breaks(
        Lease {
            only: Some(CONFIRMED_IS_KEPT),
            orders: 3,
            ..without(Without::EpochGuard)
        },
        CONFIRMED_IS_KEPT,
    );
    breaks(two_orders(Without::RevGuard), CONFIRMED_IS_KEPT);
    breaks(two_orders(Without::OneStepTake), CONFIRMED_IS_KEPT);
    breaks(without(Without::SendTime), NOBODY_DRIVES_BESIDE);
    breaks(without(Without::SelfFence), NOBODY_DRIVES_BESIDE);
    breaks(without(Without::ProofOfDeath), NOBODY_DRIVES_BESIDE);
    breaks(without(Without::FenceBeforeTake), NOBODY_DRIVES_BESIDE);
}

#[test]
fn an_old_write_lands_without_the_epoch_guard() {
    let model = Lease {
        without: Without::EpochGuard,
        orders: 2,
        deaths: 0,
        restarts: 0,
        only: Some(NO_OLD_WRITE_LANDS),
    };
    breaks(model, NO_OLD_WRITE_LANDS);
}

#[test]
fn a_guard_of_the_rev_saves_what_a_take_in_two_steps_would_lose() {
    holds(Lease {
        without: Without::OneStepTakeOnly,
        orders: 2,
        deaths: 0,
        restarts: 0,
        only: None,
    });
}

#[test]
fn a_clock_of_the_store_that_is_moved_under_a_new_leader_costs_a_moment_of_two_drivers_and_never_data() {
    let model = |only| Lease {
        without: Without::SteadyClock,
        deaths: 0,
        only,
        ..ALL
    };
    breaks(model(None), NOBODY_DRIVES_BESIDE);
    holds(model(Some(CONFIRMED_IS_KEPT)));
    holds(model(Some(NO_OLD_WRITE_LANDS)));
}
