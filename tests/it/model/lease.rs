//! One guild, two members, a leader that may start anew, calls that are lost, late or out of order, a member that dies.
//! Nothing ever has to happen, so a member that is frozen for any time, and a call that never arrives, are among the runs.
//! Bounds: six ticks, one death, one or two orders, one renewal of each member under way, one new leader.

use std::collections::BTreeSet;

use stateright::{Model, Property};

/// Ticks of a run.
const END: u8 = 5;
/// From sending a renewal, how long a member may act.
const SELF_FENCE: u8 = 2;
/// A member whose sequence did not change for this long may be fenced.
const TIMEOUT: u8 = 3;
/// How far beyond a member's expiry the store's clock must be for a leader without history.
const NEWCOMER: u8 = 1;
/// How far the store's clock may be moved, where it may.
const JUMP: u8 = 3;

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
    /// The snapshot is read before the epoch is raised; and there is no guard of the rev.
    OneStepTake,
    /// The same with the guard: that one alone is enough.
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
}

const ALL: Lease = Lease {
    without: Without::Nothing,
    deaths: 1,
    orders: 1,
    restarts: 1,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Drive {
    epoch: u8,
    rev: u8,
    content: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Member {
    dead: bool,
    until: u8,
    knows_fenced: bool,
    drives: Option<Drive>,
    /// Read, but the epoch is not raised yet.
    read: Option<Drive>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    fenced: bool,
    seq: u8,
    expires: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Guild {
    owner: usize,
    epoch: u8,
    rev: u8,
    content: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Packet {
    Renew {
        member: usize,
        sent: u8,
    },
    Renewed {
        member: usize,
        sent: u8,
        well: bool,
    },
    Write {
        member: usize,
        epoch: u8,
        rev: u8,
        content: u8,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    time: u8,
    jumped: u8,
    members: [Member; 2],
    rows: [Row; 2],
    guild: Guild,
    /// What the leader saw: the sequence, and since when.
    watched: [(u8, u8); 2],
    /// It has no history.
    newcomer: bool,
    packets: BTreeSet<Packet>,
    confirmed: u8,
    deaths: u8,
    orders: u8,
    restarts: u8,
    old_write_landed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Tick,
    Renew(usize),
    Order(usize),
    Arrives(Packet),
    Die(usize),
    FenceByTimeOut(usize),
    FenceByProof(usize),
    Read(usize),
    Take(usize),
    NewLeader,
    Jump,
}

impl Lease {
    fn clock(state: &State) -> u8 {
        state.time + state.jumped
    }

    fn may_act(self, state: &State, at: usize) -> bool {
        let member = &state.members[at];
        !member.dead
            && member.drives.is_some()
            && !member.knows_fenced
            && (state.time < member.until || self.without == Without::SelfFence)
    }

    fn is_overdue(state: &State, at: usize) -> bool {
        let (row, (_, since)) = (&state.rows[at], state.watched[at]);
        let watched = state.time - since >= TIMEOUT && Self::clock(state) >= row.expires;
        let known_old = state.newcomer && Self::clock(state) >= row.expires + NEWCOMER;
        !row.fenced && (watched || known_old)
    }

    fn may_take(self, state: &State, at: usize) -> bool {
        let (me, owner) = (&state.members[at], state.guild.owner);
        let free =
            state.rows[owner].fenced || (self.without == Without::FenceBeforeTake && Self::is_overdue(state, owner));
        owner != at && !me.dead && !me.knows_fenced && state.time < me.until && free
    }

    fn reads_first(self) -> bool {
        matches!(self.without, Without::OneStepTake | Without::OneStepTakeOnly)
    }

    fn lands(self, state: &State, epoch: u8, rev: u8, member: usize) -> bool {
        let guild = &state.guild;
        let owner = self.without == Without::EpochGuard || (guild.owner == member && guild.epoch == epoch);
        let newer = matches!(self.without, Without::RevGuard | Without::OneStepTake) || rev > guild.rev;
        owner && newer
    }

    fn arrives(self, state: &mut State, packet: Packet) {
        let clock = Self::clock(state);
        match packet {
            Packet::Renew { member, sent } => {
                let row = &mut state.rows[member];
                let well = !row.fenced;
                if well {
                    row.seq += 1;
                    row.expires = clock + TIMEOUT;
                }
                // An answer that is too late for its permit changes nothing.
                if !well || sent + SELF_FENCE > state.time || self.without == Without::SendTime {
                    state.packets.insert(Packet::Renewed { member, sent, well });
                }
            }
            Packet::Renewed { member, sent, well } => {
                let (time, me) = (state.time, &mut state.members[member]);
                if well {
                    let from = if self.without == Without::SendTime { time } else { sent };
                    me.until = me.until.max(from + SELF_FENCE);
                } else {
                    me.knows_fenced = true;
                    me.drives = None;
                }
            }
            Packet::Write {
                member,
                epoch,
                rev,
                content,
            } => {
                if self.lands(state, epoch, rev, member) {
                    state.old_write_landed |= epoch < state.guild.epoch;
                    state.guild.rev = rev;
                    state.guild.content = content;
                    // Confirmed as soon as it can be: later is milder.
                    state.confirmed |= content;
                } else if state.guild.owner == member && state.guild.epoch == epoch && rev <= state.guild.rev {
                    // A later one of ours is stored, and contains it.
                    state.confirmed |= content;
                }
            }
        }
    }

    fn take(self, state: &mut State, at: usize) {
        state.guild.owner = at;
        state.guild.epoch += 1;
        let stored = Drive {
            epoch: state.guild.epoch,
            rev: state.guild.rev,
            content: state.guild.content,
        };
        let read = state.members[at].read.take().filter(|_| self.reads_first());
        state.members[at].drives = Some(Drive {
            epoch: state.guild.epoch,
            ..read.unwrap_or(stored)
        });
    }

    /// Whether it has sent a renewal in this tick that is still under way.
    fn renews(state: &State, at: usize) -> bool {
        let packet = Packet::Renew {
            member: at,
            sent: state.time,
        };
        state.packets.contains(&packet)
    }

    fn member_acts(self, state: &State, at: usize, acts: &mut Vec<Act>) {
        let me = &state.members[at];
        if !me.dead {
            if state.deaths > 0 {
                acts.push(Act::Die(at));
            }
            if !me.knows_fenced && state.time > 0 && !Self::renews(state, at) {
                acts.push(Act::Renew(at));
            }
            if self.may_act(state, at) && state.orders > 0 {
                acts.push(Act::Order(at));
            }
            if self.may_take(state, at) {
                if self.reads_first() && me.read.is_none() {
                    acts.push(Act::Read(at));
                } else {
                    acts.push(Act::Take(at));
                }
            }
        }
        let seems_dead = me.dead || self.without == Without::ProofOfDeath;
        if !state.rows[at].fenced && seems_dead {
            acts.push(Act::FenceByProof(at));
        } else if Self::is_overdue(state, at) && self.without != Without::FenceBeforeTake {
            acts.push(Act::FenceByTimeOut(at));
        }
    }
}

impl Model for Lease {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let member = Member {
            dead: false,
            until: SELF_FENCE,
            knows_fenced: false,
            drives: None,
            read: None,
        };
        let owner = Member {
            drives: Some(Drive {
                epoch: 1,
                rev: 0,
                content: 0,
            }),
            ..member
        };
        let row = Row {
            fenced: false,
            seq: 0,
            expires: TIMEOUT,
        };
        vec![State {
            time: 0,
            jumped: 0,
            members: [owner, member],
            rows: [row; 2],
            guild: Guild {
                owner: 0,
                epoch: 1,
                rev: 0,
                content: 0,
            },
            watched: [(0, 0); 2],
            newcomer: false,
            packets: BTreeSet::new(),
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
        acts.extend(state.packets.iter().copied().map(Act::Arrives));
        if state.restarts > 0 {
            acts.push(Act::NewLeader);
        }
        if self.without == Without::SteadyClock && state.jumped == 0 {
            acts.push(Act::Jump);
        }
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut state = last.clone();
        match act {
            Act::Tick => {
                state.time += 1;
                // The leader looks: what it sees is at least as old as what it notes.
                for (watched, row) in state.watched.iter_mut().zip(&state.rows) {
                    if watched.0 != row.seq {
                        *watched = (row.seq, state.time);
                    }
                }
            }
            Act::Renew(at) => {
                // The one before is lost, if it is still under way.
                state
                    .packets
                    .retain(|packet| !matches!(packet, Packet::Renew { member, .. } if *member == at));
                state.packets.insert(Packet::Renew {
                    member: at,
                    sent: state.time,
                });
            }
            Act::Order(at) => {
                let bit = 1 << (state.orders - 1);
                state.orders -= 1;
                let drives = state.members[at].drives.as_mut()?;
                drives.rev += 1;
                drives.content |= bit;
                state.packets.insert(Packet::Write {
                    member: at,
                    epoch: drives.epoch,
                    rev: drives.rev,
                    content: drives.content,
                });
            }
            Act::Arrives(packet) => {
                state.packets.remove(&packet);
                if matches!(packet, Packet::Renewed { member, .. } if state.members[member].dead) {
                    return Some(state);
                }
                self.arrives(&mut state, packet);
            }
            Act::Die(at) => {
                state.deaths -= 1;
                state.members[at].dead = true;
                state.members[at].drives = None;
            }
            Act::FenceByTimeOut(at) | Act::FenceByProof(at) => state.rows[at].fenced = true,
            Act::Read(at) => {
                state.members[at].read = Some(Drive {
                    epoch: state.guild.epoch,
                    rev: state.guild.rev,
                    content: state.guild.content,
                });
            }
            Act::Take(at) => self.take(&mut state, at),
            Act::NewLeader => {
                state.restarts -= 1;
                state.newcomer = true;
                state.watched = state.rows.map(|row| (row.seq, state.time));
            }
            Act::Jump => state.jumped = JUMP,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOBODY_DRIVES_BESIDE, |model: &Self, state: &State| {
                !(model.may_act(state, 0) && model.may_act(state, 1))
            }),
            Property::always(CONFIRMED_IS_KEPT, |_, state: &State| {
                state.confirmed & !state.guild.content == 0
            }),
            Property::always(NO_OLD_WRITE_LANDS, |_, state: &State| !state.old_write_landed),
            Property::sometimes("the other one takes over and confirms", |_, state: &State| {
                state.guild.owner == 1 && state.confirmed != 0 && state.guild.epoch == 2
            }),
        ]
    }
}

fn holds(model: Lease) {
    let began = tokio::time::Instant::now();
    let (broken, states) = super::search(model);
    eprintln!("{model:?}: {states} states in {:?}", began.elapsed());
    assert_eq!(broken, None, "{model:?}");
    assert!(states > 10_000, "{states} states are no search");
}

fn breaks(model: Lease, property: &str) {
    let (broken, states) = super::search(model);
    eprintln!("{model:?}: {broken:?} after {states} states");
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
    breaks(two_orders(Without::EpochGuard), CONFIRMED_IS_KEPT);
    breaks(two_orders(Without::RevGuard), CONFIRMED_IS_KEPT);
    breaks(two_orders(Without::OneStepTake), CONFIRMED_IS_KEPT);
    breaks(without(Without::SendTime), NOBODY_DRIVES_BESIDE);
    breaks(without(Without::SelfFence), NOBODY_DRIVES_BESIDE);
    breaks(without(Without::ProofOfDeath), NOBODY_DRIVES_BESIDE);
    breaks(without(Without::FenceBeforeTake), NOBODY_DRIVES_BESIDE);
}

#[test]
fn an_old_write_lands_without_the_epoch_guard() {
    let model = OnlyOldWrites(Lease {
        without: Without::EpochGuard,
        deaths: 0,
        restarts: 0,
        orders: 2,
    });
    let (broken, _) = super::search(model);
    assert_eq!(broken, Some(NO_OLD_WRITE_LANDS));
}

#[test]
fn a_guard_of_the_rev_saves_what_a_take_in_two_steps_would_lose() {
    holds(Lease {
        without: Without::OneStepTakeOnly,
        orders: 2,
        deaths: 0,
        restarts: 0,
    });
}

#[test]
fn a_clock_of_the_store_that_is_moved_under_a_new_leader_costs_a_moment_of_two_drivers_and_never_data() {
    let model = Lease {
        without: Without::SteadyClock,
        deaths: 0,
        ..ALL
    };
    breaks(model, NOBODY_DRIVES_BESIDE);
    let (broken, states) = super::search(OnlyData(model));
    eprintln!("only data: {states} states");
    assert_eq!(broken, None);
}

/// The same model with some of its properties.
macro_rules! only {
    ($name:ident, $($property:expr),+) => {
        struct $name(Lease);

        impl Model for $name {
            type State = State;
            type Action = Act;

            fn init_states(&self) -> Vec<State> {
                self.0.init_states()
            }

            fn actions(&self, state: &State, acts: &mut Vec<Act>) {
                self.0.actions(state, acts);
            }

            fn next_state(&self, last: &State, act: Act) -> Option<State> {
                self.0.next_state(last, act)
            }

            fn properties(&self) -> Vec<Property<Self>> {
                vec![$($property),+]
            }
        }
    };
}

only!(
    OnlyOldWrites,
    Property::always(NO_OLD_WRITE_LANDS, |_, state: &State| !state.old_write_landed)
);
only!(
    OnlyData,
    Property::always(CONFIRMED_IS_KEPT, |_, state: &State| state.confirmed
        & !state.guild.content
        == 0),
    Property::always(NO_OLD_WRITE_LANDS, |_, state: &State| !state.old_write_landed)
);
