//! Whose shard is whose: sticky, balanced, as few moves as there can be. Pure.
//!
//! A shard weighs [`IDLE_WEIGHT`] and one more per guild that plays on it. What has an owner stays there; what has none goes
//! where the load is least; and only if the load stays uneven is one shard at a time moved for its own sake.

use std::collections::BTreeMap;

use crate::model::ids::MemberId;

/// What a shard weighs on which nothing plays. The events of a few thousand idle guilds cost about as much as the
/// decisions, saves and panels of fifty that play.
pub const IDLE_WEIGHT: u64 = 50;

/// A shard and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its number.
    pub shard: u32,
    /// The member that keeps it; `None` when that one is gone, or leaves.
    pub at: Option<MemberId>,
    /// Guilds that play on it.
    pub playing: u32,
    /// It never had a session, and nothing plays: moving it disturbs nobody.
    pub idle: bool,
}

impl Placed {
    fn weight(&self) -> u64 {
        IDLE_WEIGHT + u64::from(self.playing)
    }
}

/// The load of each member that may own shards.
type Loads = BTreeMap<MemberId, u64>;

/// Gives every shard without a keeper to somebody, the heaviest first, each to whom has least. Returns what changed;
/// nothing when there is no member.
pub fn place(shards: &mut [Placed], members: &[MemberId]) -> Vec<u32> {
    let mut loads = loads(shards, members);
    let mut orphans: Vec<&mut Placed> = shards
        .iter_mut()
        .filter(|placed| placed.at.as_ref().is_none_or(|at| !loads.contains_key(at)))
        .collect();
    orphans.sort_by_key(|placed| (std::cmp::Reverse(placed.weight()), placed.shard));
    let mut changed = Vec::new();
    for orphan in orphans {
        let Some((lightest, load)) = loads.iter_mut().min_by_key(|(_, load)| **load) else {
            return changed;
        };
        *load += orphan.weight();
        orphan.at = Some(lightest.clone());
        changed.push(orphan.shard);
    }
    changed
}

/// Moves one shard from whom has most to whom has least, if that makes the load more even. `idle`: only one that disturbs
/// nobody. Returns which one moved. Repeated until `None`, loads differ by less than the lightest shard of the heaviest.
pub fn level(shards: &mut [Placed], members: &[MemberId], idle: bool) -> Option<u32> {
    let loads = loads(shards, members);
    let (lightest, least) = loads.iter().min_by_key(|(_, load)| **load)?;
    // Of equally loaded ones the last: the first is the likelier receiver of the next.
    let mut heaviest: Vec<(&MemberId, &u64)> = loads.iter().collect();
    heaviest.sort_by_key(|(_, load)| std::cmp::Reverse(**load));
    heaviest.into_iter().find_map(|(from, most)| {
        let between = most - least;
        let moved = shards
            .iter_mut()
            .filter(|placed| placed.at.as_ref() == Some(from) && placed.weight() < between && (placed.idle || !idle))
            .min_by_key(|placed| (placed.weight().abs_diff(between / 2), placed.shard))?;
        moved.at = Some(lightest.clone());
        Some(moved.shard)
    })
}

/// Whether the heaviest load is more than a quarter above the mean.
pub fn is_uneven(shards: &[Placed], members: &[MemberId]) -> bool {
    let loads = loads(shards, members);
    let (sum, most) = (loads.values().sum::<u64>(), loads.values().max().copied().unwrap_or(0));
    // most / (sum / n) > 5 / 4
    most * 4 * loads.len() as u64 > sum * 5
}

fn loads(shards: &[Placed], members: &[MemberId]) -> Loads {
    let mut loads: Loads = members.iter().map(|id| (id.clone(), 0)).collect();
    for placed in shards {
        if let Some(load) = placed.at.as_ref().and_then(|at| loads.get_mut(at)) {
            *load += placed.weight();
        }
    }
    loads
}

#[cfg(test)]
mod tests;
