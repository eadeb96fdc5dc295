//! The invariant of the assignment (I10): every shard has one keeper, loads are even, nothing moves that need not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn id(number: u8) -> MemberId {
    MemberId(format!("m{number:03}"))
}

fn ids(members: &BTreeSet<u8>) -> Vec<MemberId> {
    members.iter().copied().map(id).collect()
}

fn unplaced(count: u32) -> Vec<Placed> {
    (0..count)
        .map(|shard| Placed {
            shard,
            at: None,
            playing: 0,
            idle: false,
        })
        .collect()
}

fn counts(shards: &[Placed], members: &[MemberId]) -> Vec<usize> {
    let of = |id: &MemberId| shards.iter().filter(|placed| placed.at.as_ref() == Some(id)).count();
    members.iter().map(of).collect()
}

fn settle(shards: &mut [Placed], members: &[MemberId]) -> usize {
    let mut moves = place(shards, members).len();
    while level(shards, members, false).is_some() {
        moves += 1;
        assert!(moves <= 10 * shards.len(), "it never comes to rest");
    }
    moves
}

/// The fewest moves that give every shard a keeper and loads that differ by at most one: of those who have more than
/// their share, what is above it; the larger shares go to those who have most.
fn fewest(shards: &[Placed], members: &[MemberId]) -> usize {
    let mut loads = counts(shards, members);
    let orphans = shards.len() - loads.iter().sum::<usize>();
    loads.sort_unstable_by(|a, b| b.cmp(a));
    let (share, more) = (shards.len() / members.len(), shards.len() % members.len());
    let above = |(at, load): (usize, &usize)| load.saturating_sub(share + usize::from(at < more));
    orphans + loads.iter().enumerate().map(above).sum::<usize>()
}

proptest! {
    #[test]
    fn after_any_joins_and_leaves_the_load_is_even_with_the_fewest_moves(
        total in 1_u32..80,
        steps in prop::collection::vec(prop::collection::btree_set(0_u8..9, 1..7), 1..8),
    ) {
        let mut shards = unplaced(total);
        for members in steps {
            let members = ids(&members);
            let least = {
                let mut kept = shards.clone();
                for placed in &mut kept {
                    placed.at = placed.at.take().filter(|at| members.contains(at));
                }
                fewest(&kept, &members)
            };
            let moves = settle(&mut shards, &members);
            let counts = counts(&shards, &members);
            prop_assert_eq!(counts.iter().sum::<usize>(), total as usize, "each shard has one keeper");
            let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
            prop_assert!(most - fewest <= 1, "{:?}", counts);
            prop_assert_eq!(moves, least);
        }
    }

    #[test]
    fn weighted_loads_come_to_rest_within_one_shard_of_each_other(
        playing in prop::collection::vec(0_u32..400, 1..60),
        members in prop::collection::btree_set(0_u8..9, 1..7),
    ) {
        let members = ids(&members);
        let mut shards = unplaced(u32::try_from(playing.len()).unwrap());
        for (placed, playing) in shards.iter_mut().zip(playing) {
            placed.playing = playing;
        }
        settle(&mut shards, &members);
        let loads = loads(&shards, &members);
        let (most, least) = (loads.values().max().unwrap(), loads.values().min().unwrap());
        let heaviest = loads.iter().find(|(_, load)| *load == most).unwrap().0;
        let lightest_of_it = shards.iter().filter(|placed| placed.at.as_ref() == Some(heaviest)).map(Placed::weight).min();
        prop_assert!(most - least <= lightest_of_it.unwrap_or(0), "{:?}", loads);
    }

    #[test]
    fn orphans_alone_are_placed_and_nothing_else_moves(
        total in 1_u32..80,
        first in prop::collection::btree_set(0_u8..9, 1..7),
        second in prop::collection::btree_set(0_u8..9, 1..7),
    ) {
        let mut shards = unplaced(total);
        settle(&mut shards, &ids(&first));
        let before = shards.clone();
        let changed = place(&mut shards, &ids(&second));
        for (old, new) in before.iter().zip(&shards) {
            let stays = ids(&second).contains(old.at.as_ref().unwrap());
            prop_assert_eq!(stays, old.at == new.at);
            prop_assert_eq!(!stays, changed.contains(&new.shard));
        }
    }
}

#[test]
fn nobody_to_give_to_changes_nothing() {
    let mut shards = unplaced(3);
    assert!(place(&mut shards, &[]).is_empty());
    assert_eq!(level(&mut shards, &[], false), None);
    assert!(!is_uneven(&shards, &[]));
}

#[test]
fn the_heaviest_orphan_goes_first_and_to_whom_has_least() {
    let mut shards = unplaced(4);
    shards[2].playing = 1_000;
    place(&mut shards, &[id(1), id(2)]);
    let with: Vec<u32> = shards
        .iter()
        .filter(|placed| placed.at == shards[2].at)
        .map(|placed| placed.shard)
        .collect();
    assert_eq!(with, [2], "the others together weigh less");
}

#[test]
fn only_idle_shards_are_levelled_at_once() {
    let mut shards = unplaced(4);
    place(&mut shards, &[id(1)]);
    assert_eq!(level(&mut shards, &[id(1), id(2)], true), None);
    shards[3].idle = true;
    assert_eq!(level(&mut shards, &[id(1), id(2)], true), Some(3));
    assert_eq!(level(&mut shards, &[id(1), id(2)], true), None);
}

#[test]
fn uneven_is_more_than_a_quarter_above_the_mean() {
    let mut shards = unplaced(9);
    for (number, placed) in shards.iter_mut().enumerate() {
        placed.at = Some(id(u8::from(number < 5)));
    }
    assert!(!is_uneven(&shards, &[id(0), id(1)]), "five and four");
    shards[8].at = Some(id(1));
    assert!(is_uneven(&shards, &[id(0), id(1)]), "six and three");
}
