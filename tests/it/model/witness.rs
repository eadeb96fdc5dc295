//! The store goes away and comes back, for the leader and for a member, together or each alone, as often as it likes; the
//! leader says so on the Lease, and the member asks there. Leaders are replaced by ones without history. No bound at all:
//! times are counted from now, and no further than they matter, so that the same situation is the same state.
//!
//! One member is enough: members have nothing to do with each other here. What could only make a run milder is left out:
//! that a call or its answer is late (a permit counts from sending).

use stateright::{Model, Property};

/// From sending a renewal, how long a member may act.
const SELF_FENCE: u8 = 4;
/// A member whose sequence did not change for this long may be fenced.
const TIMEOUT: u8 = 5;
/// A leader without history may fence a member that has expired so long ago,
const NEWCOMER: u8 = 1;
/// after it has watched it for this long.
const WATCH: u8 = 2;
/// After this long without the store, the leader says so.
const AFTER: u8 = 1;
/// From sending the question, how long the answer `down` lets a member act.
const EXTENDS: u8 = 3;
/// After `up` was said, nobody is fenced by time-out for this long.
const GRACE: u8 = 4;
/// Outages are counted up to here: longer than the time-out.
const LONG: u8 = TIMEOUT + 1;

const NOBODY_WHO_MAY_ACT_IS_FENCED: &str = "I1: nobody is fenced while it may act";
const OUTLIVES: &str = "a member goes on through an outage longer than the time-out, and renews afterwards";

#[derive(Clone, Copy, Debug)]
struct Witness {
    /// Nobody is fenced for a while after `up`.
    grace: bool,
    /// `up` stays on the Lease for that while, and the next leader heeds it.
    inherits: bool,
}

const ALL: Witness = Witness {
    grace: true,
    inherits: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Word {
    Nothing,
    Down,
    /// And for how long nobody is fenced yet.
    Up(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The store answers the leader,
    leader_reaches: bool,
    /// and the member.
    member_reaches: bool,
    word: Word,
    /// How long the leader did not reach the store.
    unseen: u8,
    /// It has seen the member renew.
    history: bool,
    /// The member's row is unchanged for so long, as the leader saw it,
    unchanged: u8,
    /// it was renewed since the leader looked,
    fresh: bool,
    /// and lasts so long,
    lasts: u8,
    /// or has expired so long ago.
    expired: u8,
    /// How long the member may act.
    left: u8,
    /// Its last renewal failed.
    failing: bool,
    fenced: bool,
    /// How long the store has answered nobody, with the member acting all the time.
    outage: u8,
    outlived: bool,
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Tick,
    LeaderLink,
    MemberLink,
    Renew,
    Ask,
    SayDown,
    SayUp,
    Fence,
    NewLeader,
}

impl Witness {
    fn may_fence(self, state: &State) -> bool {
        let graced = match state.word {
            Word::Nothing => false,
            Word::Down => true,
            Word::Up(left) => self.grace && left > 0,
        };
        let watched = state.unchanged >= TIMEOUT && state.lasts == 0;
        let known_old = !state.history && state.unchanged >= WATCH && state.expired >= NEWCOMER;
        !state.fenced && !graced && state.leader_reaches && state.unseen == 0 && (watched || known_old)
    }

    fn tick(state: &mut State) {
        state.left = state.left.saturating_sub(1);
        state.expired = if state.lasts == 0 {
            (state.expired + 1).min(NEWCOMER)
        } else {
            0
        };
        state.lasts = state.lasts.saturating_sub(1);
        if let Word::Up(left) = state.word {
            state.word = if left > 1 { Word::Up(left - 1) } else { Word::Nothing };
        }
        state.unseen = if state.leader_reaches {
            0
        } else {
            (state.unseen + 1).min(AFTER)
        };
        if !state.leader_reaches {
            // Nothing is known of the time since the last look.
            state.unchanged = 0;
        } else if state.fresh {
            (state.unchanged, state.fresh, state.history) = (0, false, true);
        } else {
            state.unchanged = (state.unchanged + 1).min(TIMEOUT);
        }
        let down = !state.leader_reaches && !state.member_reaches && state.left > 0;
        state.outage = if down { (state.outage + 1).min(LONG) } else { 0 };
    }
}

impl Model for Witness {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            leader_reaches: true,
            member_reaches: true,
            word: Word::Nothing,
            unseen: 0,
            history: false,
            unchanged: 0,
            fresh: false,
            lasts: TIMEOUT,
            expired: 0,
            left: SELF_FENCE,
            failing: false,
            fenced: false,
            outage: 0,
            outlived: false,
            broken: false,
        }]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        acts.extend([Act::Tick, Act::LeaderLink, Act::MemberLink, Act::Renew, Act::NewLeader]);
        if state.failing {
            acts.push(Act::Ask);
        }
        if state.word != Word::Down && state.unseen >= AFTER {
            acts.push(Act::SayDown);
        }
        if state.word == Word::Down && state.leader_reaches && state.unseen == 0 {
            acts.push(Act::SayUp);
        }
        if self.may_fence(state) {
            acts.push(Act::Fence);
        }
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut state = *last;
        match act {
            Act::Tick => Self::tick(&mut state),
            Act::LeaderLink => state.leader_reaches = !state.leader_reaches,
            Act::MemberLink => state.member_reaches = !state.member_reaches,
            Act::Renew => {
                state.failing = !state.member_reaches;
                if state.member_reaches && !state.fenced {
                    state.outlived |= state.outage == LONG;
                    (state.left, state.lasts, state.expired, state.fresh) = (SELF_FENCE, TIMEOUT, 0, true);
                }
            }
            Act::Ask => {
                if state.word == Word::Down {
                    state.left = state.left.max(EXTENDS);
                    // Whoever is fenced already must not live by that; it was rightly fenced, and is told so soon.
                    state.broken |= state.fenced;
                }
            }
            Act::SayDown => state.word = Word::Down,
            Act::SayUp => state.word = Word::Up(GRACE),
            Act::Fence => {
                state.fenced = true;
                state.broken |= state.left > 0;
            }
            Act::NewLeader => {
                (state.history, state.unchanged, state.fresh, state.unseen) = (false, 0, false, 0);
                match state.word {
                    Word::Up(_) if self.inherits => state.word = Word::Up(GRACE),
                    Word::Up(_) => state.word = Word::Nothing,
                    Word::Down | Word::Nothing => {}
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOBODY_WHO_MAY_ACT_IS_FENCED, |_, state: &State| !state.broken),
            Property::sometimes(OUTLIVES, |_, state: &State| state.outlived),
        ]
    }

    /// After a fence there is nothing more to see of this member.
    fn within_boundary(&self, state: &State) -> bool {
        !state.fenced || state.broken
    }
}

#[test]
fn an_outage_of_the_store_that_the_leader_tells_fences_nobody_who_may_act() {
    use stateright::Checker as _;
    let checker = ALL.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{ALL:?}: {states} states");
    checker.assert_no_discovery(NOBODY_WHO_MAY_ACT_IS_FENCED);
    checker.assert_any_discovery(OUTLIVES);
    assert!(states > 10_000, "{states} states are no search");
}

#[test]
fn without_the_grace_after_up_or_its_inheritance_somebody_is_fenced_who_may_act() {
    let mutants = [Witness { grace: false, ..ALL }, Witness { inherits: false, ..ALL }];
    for mutant in mutants {
        let (broken, states) = super::search(mutant);
        println!("{mutant:?}: {broken:?} after {states} states");
        assert_eq!(broken, Some(NOBODY_WHO_MAY_ACT_IS_FENCED), "{mutant:?}");
    }
}
