//! From answers to the picture. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::headline::Scene;
use super::picture::{GuildRow, NodeRow, Picture, ReplicaRow, ShardRow, Tenure};
use super::replica::Life;
use super::strips::KEPT_MS;
use super::wire::{Recovery, ReplicaState, World};

/// Recoveries kept on the page.
const RECOVERIES_KEPT: usize = 500;
/// What counts as "the last two minutes" in the sentence.
const LATELY_MS: u64 = 120_000;

/// What is, for the sentence on top.
pub fn scene(picture: &Picture) -> Scene {
    let since = picture.now_ms.saturating_sub(LATELY_MS);
    let strips = || picture.guilds.keys().filter_map(|id| picture.strips.get(id));
    let Picture { sections, .. } = picture;
    Scene {
        guilds: picture.guilds.len(),
        playing: strips().filter(|strip| strip.playing).count(),
        replicas: (
            sections.replicas.len(),
            sections.replicas.iter().filter(|row| row.pid.is_some()).count(),
        ),
        nodes: (
            sections.nodes.len(),
            sections.nodes.iter().filter(|node| node.up).count(),
        ),
        with_gaps: strips()
            .filter(|strip| strip.longest_gap(since, picture.now_ms).is_some())
            .count(),
    }
}

/// One replica's row. `cut`: whether it is cut off from its store.
pub fn row(name: &str, life: &Life, cut: bool, state: Option<&ReplicaState>) -> ReplicaRow {
    let (word, pid) = match life {
        Life::Starting { pid } => ("starting", Some(*pid)),
        Life::Up { pid, .. } if cut => ("cut", Some(*pid)),
        Life::Up { pid, .. } => ("up", Some(*pid)),
        Life::Frozen { pid, .. } => ("frozen", Some(*pid)),
        Life::Stopping { pid } => ("stopping", Some(*pid)),
        Life::Down { .. } | Life::GivenUp { .. } => ("down", None),
    };
    ReplicaRow {
        name: name.to_owned(),
        state: word,
        pid,
        member: state.map(|state| state.member.clone()),
        leader: state.is_some_and(|state| state.leader),
        playing: state.map_or(0, |state| state.guilds.playing),
    }
}

/// Takes in what exists.
pub fn world(picture: &mut Picture, world: World, violations: Vec<Value>) {
    picture.now_ms = picture.now_ms.max(world.now_ms);
    let owners: BTreeMap<u64, (Option<String>, u64)> = picture
        .sections
        .shards
        .iter()
        .map(|shard| (shard.id, (shard.owner.clone(), shard.epoch)))
        .collect();
    let shards = world.shards.into_iter().map(|shard| {
        let (owner, epoch) = owners.get(&shard.id).cloned().unwrap_or_default();
        ShardRow {
            id: shard.id,
            connected: shard.connected,
            ready: shard.ready,
            owner,
            epoch,
        }
    });
    picture.sections.shards = shards.collect();
    let nodes = world.nodes.into_iter().map(|node| {
        let players = node.sessions.iter().map(|session| session.players.count()).sum();
        NodeRow {
            name: node.name,
            up: node.up,
            players,
        }
    });
    picture.sections.nodes = nodes.collect();
    picture.sections.violations = violations;
    let guilds = world.guilds.into_iter().map(|guild| {
        let row = GuildRow {
            name: guild.name,
            shard: guild.shard,
            channels: guild.channels,
            members: guild.members,
            bot: guild.bot.voice,
        };
        (guild.id, row)
    });
    picture.set_guilds(guilds.collect());
}

/// Who drives what now; the highest epoch wins where two say so.
pub fn owners(picture: &mut Picture, rows: &[ReplicaRow], states: &[Option<ReplicaState>]) {
    let now_ms = picture.now_ms;
    let claims = rows
        .iter()
        .zip(states)
        .filter_map(|(row, state)| Some((row, state.as_ref()?)));
    let claims: Vec<_> = claims
        .flat_map(|(row, state)| state.shards.iter().map(move |shard| (row, state, shard)))
        .collect();
    let alive = |name: &String| rows.iter().any(|row| row.name == *name && row.pid.is_some());
    let mut owners = std::mem::take(&mut picture.sections.owners);
    for shard in &mut picture.sections.shards {
        let claim = claims
            .iter()
            .filter(|(_, _, owned)| owned.id == shard.id)
            .max_by_key(|(_, _, owned)| owned.epoch);
        match claim {
            Some((row, state, owned)) => {
                (shard.owner, shard.epoch) = (Some(row.name.clone()), owned.epoch);
                take_over(&mut owners, shard.id, &row.name, &state.member, now_ms);
            }
            // A replica that is alive but slow to answer still drives.
            None if shard.owner.as_ref().is_some_and(alive) => {}
            None => {
                shard.owner = None;
                close(&mut owners, shard.id, now_ms);
            }
        }
    }
    owners.retain(|tenure| tenure.to_ms.is_none_or(|to| to + KEPT_MS > now_ms));
    picture.sections.owners = owners;
}

fn take_over(owners: &mut Vec<Tenure>, shard: u64, replica: &str, member: &str, now_ms: u64) {
    let same = |tenure: &Tenure| tenure.shard == shard && tenure.to_ms.is_none() && tenure.member == member;
    if owners.iter().any(same) {
        return;
    }
    close(owners, shard, now_ms);
    let (replica, member) = (replica.to_owned(), member.to_owned());
    owners.push(Tenure {
        shard,
        replica,
        member,
        from_ms: now_ms,
        to_ms: None,
    });
}

fn close(owners: &mut [Tenure], shard: u64, now_ms: u64) {
    for tenure in owners
        .iter_mut()
        .filter(|tenure| tenure.shard == shard && tenure.to_ms.is_none())
    {
        tenure.to_ms = Some(now_ms);
    }
}

/// Adds what replicas tell; a replica forgets with its death what the page still shows.
pub fn recoveries(picture: &mut Picture, states: &[Option<ReplicaState>]) {
    let known = &mut picture.sections.recoveries;
    let key = |one: &Recovery| (one.guild.clone(), one.at.clone(), one.trigger.clone());
    let mut keys: BTreeSet<_> = known.iter().map(key).collect();
    let told = states.iter().flatten().flat_map(|state| &state.recoveries);
    let news: Vec<Recovery> = told.filter(|one| keys.insert(key(one))).cloned().collect();
    if !news.is_empty() {
        known.extend(news);
        known.sort_by(|one, other| other.at.cmp(&one.at));
        known.truncate(RECOVERIES_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::wire::{OwnedShard, Shard};

    #[expect(clippy::unnecessary_wraps, reason = "what a replica that answers is")]
    fn state(member: &str, epoch: u64) -> Option<ReplicaState> {
        let owned = OwnedShard {
            id: 0,
            state: "owned".into(),
            epoch,
        };
        Some(ReplicaState {
            member: member.into(),
            shards: vec![owned],
            ..ReplicaState::default()
        })
    }

    fn rows(pids: [Option<u32>; 2]) -> Vec<ReplicaRow> {
        let row = |(name, pid): (&str, Option<u32>)| ReplicaRow {
            name: name.into(),
            pid,
            ..ReplicaRow::default()
        };
        ["a", "b"].into_iter().zip(pids).map(row).collect()
    }

    fn with_one_shard() -> Picture {
        let mut picture = Picture::default();
        let shards = vec![Shard {
            id: 0,
            connected: true,
            ready: true,
        }];
        world(
            &mut picture,
            World {
                shards,
                ..World::default()
            },
            vec![],
        );
        picture
    }

    #[test]
    fn a_shard_is_nobodys_between_its_owners_death_and_the_next_owner() {
        let mut picture = with_one_shard();
        owners(&mut picture, &rows([Some(1), Some(2)]), &[state("m1", 1), None]);
        assert_eq!(picture.sections.shards[0].owner.as_deref(), Some("a"));
        picture.now_ms = 50;
        owners(&mut picture, &rows([Some(1), Some(2)]), &[None, None]);
        assert_eq!(picture.sections.shards[0].owner.as_deref(), Some("a"), "slow, not dead");
        owners(&mut picture, &rows([None, Some(2)]), &[None, None]);
        assert_eq!(picture.sections.shards[0].owner, None);
        picture.now_ms = 90;
        owners(&mut picture, &rows([None, Some(2)]), &[None, state("m2", 2)]);
        let told: Vec<_> = picture
            .sections
            .owners
            .iter()
            .map(|one| (one.replica.as_str(), one.from_ms, one.to_ms))
            .collect();
        assert_eq!(told, [("a", 0, Some(50)), ("b", 90, None)]);
    }

    #[test]
    fn the_highest_epoch_owns_where_two_say_so() {
        let mut picture = with_one_shard();
        owners(
            &mut picture,
            &rows([Some(1), Some(2)]),
            &[state("m1", 8), state("m2", 7)],
        );
        assert_eq!(
            (
                picture.sections.shards[0].owner.as_deref(),
                picture.sections.shards[0].epoch
            ),
            (Some("a"), 8)
        );
    }

    #[test]
    fn recoveries_stay_when_the_replica_that_told_them_forgets() {
        let mut picture = Picture::default();
        let one = |at: &str| Recovery {
            at: at.into(),
            ..Recovery::default()
        };
        let told = ReplicaState {
            recoveries: vec![one("2026-01-01T00:00:01Z")],
            ..ReplicaState::default()
        };
        recoveries(&mut picture, &[Some(told.clone())]);
        recoveries(&mut picture, &[Some(told)]);
        recoveries(&mut picture, &[None]);
        let later = ReplicaState {
            recoveries: vec![one("2026-01-01T00:00:02Z")],
            ..ReplicaState::default()
        };
        recoveries(&mut picture, &[Some(later)]);
        let at: Vec<_> = picture.sections.recoveries.iter().map(|one| one.at.as_str()).collect();
        assert_eq!(at, ["2026-01-01T00:00:02Z", "2026-01-01T00:00:01Z"]);
    }
}
