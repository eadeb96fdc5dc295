//! The store goes away once and comes back once; the leader says so on the Lease, members ask there, answers are late or
//! lost, and one member may be cut off from the store alone. Bounds: fourteen ticks, two members beside the leader.

use std::collections::BTreeSet;

use stateright::{Model, Property};

const END: u8 = 13;
/// From sending a renewal, how long a member may act.
const SELF_FENCE: u8 = 4;
/// A member whose sequence did not change for this long may be fenced.
const TIMEOUT: u8 = 5;
/// After this long without the store, the leader says so.
const AFTER: u8 = 1;
/// From sending the question, how long the answer `down` lets a member act.
const EXTENDS: u8 = 3;
/// After `up` was said, nobody is fenced by time-out for this long.
const GRACE: u8 = 4;

const NO_LIVING_PERMIT_IS_FENCED: &str = "I1: nobody is fenced while it may act";
const OUTLIVES: &str = "a member goes on through an outage longer than the time-out, and renews afterwards";

#[derive(Clone, Copy, Debug)]
struct Witness {
    /// Nobody is fenced for a while after `up`.
    grace: bool,
    /// One member may be cut off from the store.
    partition: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Word {
    Nothing,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Store {
    Up,
    Down {
        since: u8,
    },
    /// For the rest of the run.
    Back {
        after: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "a state of a model, to be hashed")]
struct Member {
    until: u8,
    asked: u8,
    failing: bool,
    cut: bool,
    fenced: bool,
    seq: u8,
    expires: u8,
    /// What the leader saw: the sequence, and since when.
    watched: (u8, u8),
    renewed_after_outage: bool,
    never_lapsed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Packet {
    Renewed { member: usize, sent: u8 },
    SaysDown { member: usize, sent: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    time: u8,
    store: Store,
    members: [Member; 2],
    word: Word,
    /// Until when nobody is fenced by time-out.
    grace_until: u8,
    /// When the leader saw the store last.
    store_ok: u8,
    packets: BTreeSet<Packet>,
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Tick,
    GoesDown,
    ComesBack,
    Cut(usize),
    Renew(usize),
    Ask(usize),
    Arrives(Packet),
    SayDown,
    SayUp,
    Fence(usize),
}

impl State {
    const fn store_is_up(&self) -> bool {
        !matches!(self.store, Store::Down { .. })
    }

    const fn may_act(&self, at: usize) -> bool {
        self.time < self.members[at].until
    }
}

impl Witness {
    fn may_fence(self, state: &State, at: usize) -> bool {
        let member = &state.members[at];
        let graced = state.word == Word::Down || (self.grace && state.time < state.grace_until);
        !member.fenced
            && !graced
            && state.store_is_up()
            && state.store_ok == state.time
            && state.time - member.watched.1 >= TIMEOUT
            && state.time >= member.expires
    }

    /// The leader looks, if there is something to look at.
    fn look(state: &mut State) {
        let (time, up) = (state.time, state.store_is_up());
        if up {
            state.store_ok = time;
        }
        for member in &mut state.members {
            if !up || member.watched.0 != member.seq {
                member.watched = (member.seq, time);
            }
            member.never_lapsed &= time < member.until;
        }
    }
}

impl Model for Witness {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let member = Member {
            until: SELF_FENCE,
            asked: 0,
            failing: false,
            cut: false,
            fenced: false,
            seq: 0,
            expires: TIMEOUT,
            watched: (0, 0),
            renewed_after_outage: false,
            never_lapsed: true,
        };
        vec![State {
            time: 0,
            store: Store::Up,
            members: [member; 2],
            word: Word::Nothing,
            grace_until: 0,
            store_ok: 0,
            packets: BTreeSet::new(),
            broken: false,
        }]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        if state.time < END {
            acts.push(Act::Tick);
        }
        match state.store {
            Store::Up => acts.push(Act::GoesDown),
            Store::Down { since } if state.time > since => acts.push(Act::ComesBack),
            Store::Down { .. } | Store::Back { .. } => {}
        }
        for (at, member) in state.members.iter().enumerate() {
            if member.asked < state.time {
                acts.push(Act::Renew(at));
                if member.failing {
                    acts.push(Act::Ask(at));
                }
            }
            // The second one only: the two are alike.
            if self.partition && at == 1 && !member.cut {
                acts.push(Act::Cut(at));
            }
            if self.may_fence(state, at) {
                acts.push(Act::Fence(at));
            }
        }
        if state.word == Word::Nothing && state.time - state.store_ok >= AFTER {
            acts.push(Act::SayDown);
        }
        if state.word == Word::Down && state.store_ok == state.time {
            acts.push(Act::SayUp);
        }
        acts.extend(state.packets.iter().copied().map(Act::Arrives));
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut state = last.clone();
        let (time, up) = (state.time, state.store_is_up());
        match act {
            Act::Tick => {
                state.time += 1;
                // An answer that is this late says nothing any more.
                let now = state.time;
                state.packets.retain(|packet| match packet {
                    Packet::Renewed { sent, .. } => sent + SELF_FENCE > now,
                    Packet::SaysDown { sent, .. } => sent + EXTENDS > now,
                });
                Self::look(&mut state);
            }
            Act::GoesDown => state.store = Store::Down { since: time },
            Act::ComesBack => {
                let Store::Down { since } = state.store else {
                    return None;
                };
                state.store = Store::Back { after: time - since };
            }
            Act::Cut(at) => state.members[at].cut = true,
            Act::Renew(at) => {
                let long = matches!(state.store, Store::Back { after } if after > TIMEOUT);
                let member = &mut state.members[at];
                member.asked = time;
                if up && !member.cut && !member.fenced {
                    member.failing = false;
                    member.seq += 1;
                    member.expires = time + TIMEOUT;
                    member.renewed_after_outage |= long;
                    state.packets.insert(Packet::Renewed { member: at, sent: time });
                } else {
                    member.failing = true;
                }
            }
            Act::Ask(at) => {
                state.members[at].asked = time;
                if state.word == Word::Down {
                    state.packets.insert(Packet::SaysDown { member: at, sent: time });
                }
            }
            Act::Arrives(packet) => {
                state.packets.remove(&packet);
                let (at, until) = match packet {
                    Packet::Renewed { member, sent } => (member, sent + SELF_FENCE),
                    Packet::SaysDown { member, sent } => (member, sent + EXTENDS),
                };
                let member = &mut state.members[at];
                member.until = member.until.max(until);
                // What was fenced rightly may hear of an old renewal; it must not be able to act by it.
                state.broken |= state.members[at].fenced && state.may_act(at);
            }
            Act::SayDown => state.word = Word::Down,
            Act::SayUp => {
                state.word = Word::Nothing;
                state.grace_until = time + GRACE;
            }
            Act::Fence(at) => {
                state.members[at].fenced = true;
                state.broken |= state.may_act(at);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_LIVING_PERMIT_IS_FENCED, |_, state: &State| !state.broken),
            Property::sometimes(OUTLIVES, |_, state: &State| {
                state
                    .members
                    .iter()
                    .any(|member| member.renewed_after_outage && member.never_lapsed)
            }),
        ]
    }
}

fn holds(model: Witness) {
    use stateright::Checker as _;
    let began = tokio::time::Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    eprintln!("{model:?}: {states} states in {:?}", began.elapsed());
    checker.assert_no_discovery(NO_LIVING_PERMIT_IS_FENCED);
    checker.assert_any_discovery(OUTLIVES);
    assert!(states > 10_000, "{states} states are no search");
}

#[test]
fn an_outage_of_the_store_that_the_leader_tells_fences_nobody_who_may_act() {
    holds(Witness {
        grace: true,
        partition: true,
    });
}

#[test]
fn without_the_grace_after_up_somebody_is_fenced_who_may_act() {
    let (broken, states) = super::search(Witness {
        grace: false,
        partition: false,
    });
    eprintln!("without the grace: {broken:?} after {states} states");
    assert_eq!(broken, Some(NO_LIVING_PERMIT_IS_FENCED));
}
