//! Unplanned ends: killed, frozen, all at once.

use std::time::Duration;

use super::team::{SHARDS, Team, timed};
use crate::harness::eventually;

/// Commands work again within this after a process died, with room for a slow machine; `cargo xtask bench` measures it.
const BACK: u64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replicas_guilds_are_carried_on_by_the_others() {
    let mut team = Team::playing(3, 12).await;
    let each = team.one_of_each_shard().await;
    let leader = team.leader().await;
    let victim = ["a", "b", "c"].into_iter().find(|name| *name != leader).unwrap();
    let lost = team.owners().await[victim].clone();
    drop(team.take(victim).kill().await);
    for shard in &lost {
        let took = team.answered_in(&each[shard]).await;
        assert!(took < BACK, "shard {shard}: {took} ms");
    }
    team.settled().await;
    team.assert_unheard().await;
    let told = team.recoveries(lost.len()).await;
    let of_it: Vec<_> = told.iter().filter(|one| one["trigger"] == "crash").collect();
    assert!(of_it.len() >= lost.len(), "{told:#?}");
    assert!(of_it.iter().all(|one| one["outcome"] == "carried_on"), "{told:#?}");
    assert!(
        of_it.iter().all(|one| one["phases"][0]["name"] == "detect"),
        "{told:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leaders_guilds_are_carried_on_and_another_leads() {
    let mut team = Team::playing(3, 12).await;
    let leader = team.leader().await;
    let lost = team.owners().await[&leader].clone();
    let each = team.one_of_each_shard().await;
    drop(team.take(&leader).kill().await);
    for shard in &lost {
        let took = team.answered_in(&each[shard]).await;
        assert!(took < BACK, "shard {shard}: {took} ms");
    }
    team.settled().await;
    assert_ne!(team.leader().await, leader);
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_and_another_that_die_together_are_replaced_by_the_one_that_is_left() {
    let mut team = Team::playing(3, 12).await;
    let leader = team.leader().await;
    let other = ["a", "b", "c"].into_iter().find(|name| *name != leader).unwrap();
    let (leader, other) = (team.take(&leader), team.take(other));
    tokio::join!(leader.kill(), other.kill());
    team.settled().await;
    let owners = team.owners().await;
    assert_eq!(owners.values().map(Vec::len).max(), Some(SHARDS as usize), "{owners:?}");
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_that_die_together_carry_on_when_they_are_back() {
    let mut team = Team::playing(3, 12).await;
    let dead: Vec<_> = ["a", "b", "c"].into_iter().map(|name| team.take(name)).collect();
    futures_util::future::join_all(dead.into_iter().map(crate::harness::Bot::kill)).await;
    for name in ["a", "b", "c"] {
        team.start(name).await;
    }
    team.settled().await;
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_replica_is_replaced_by_time_out_and_changes_nothing_when_it_wakes() {
    let mut team = Team::playing(3, 12).await;
    let leader = team.leader().await;
    let victim = ["a", "b", "c"].into_iter().find(|name| *name != leader).unwrap();
    let lost = team.owners().await[victim].clone();
    team.world
        .post(
            "/faults",
            serde_json::json!({ "kind": "note", "text": "freeze", "excuse": lost }),
        )
        .await;
    let frozen = team.take(victim);
    frozen.freeze();
    let (took, ()) = timed(team.settled()).await;
    assert!(took < Duration::from_secs(16), "taken over after {took:?}");
    let each = team.one_of_each_shard().await;
    for shard in &lost {
        team.answered_in(&each[shard]).await;
    }
    frozen.thaw();
    frozen.logged("joining again").await;
    team.bots.insert(victim.to_owned(), frozen);
    for guild in each.values() {
        team.answered_in(guild).await;
    }
    team.settled().await;
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_that_wakes_finds_another_leading_and_changes_nothing() {
    let mut team = Team::playing(3, 12).await;
    let old = team.leader().await;
    let lost = team.owners().await[&old].clone();
    let note = serde_json::json!({ "kind": "note", "text": "freeze", "excuse": lost });
    team.world.post("/faults", note).await;
    let frozen = team.take(&old);
    frozen.freeze();
    let (took, ()) = timed(team.settled()).await;
    assert!(took < Duration::from_secs(20), "taken over after {took:?}");
    let new = team.leader().await;
    assert_ne!(new, old);
    let led = team.view().await["term"].clone();
    let owners = team.owners().await;
    // It believes that it leads until it looks: what it says then is of an older term.
    frozen.thaw();
    frozen.logged("joining again").await;
    team.bots.insert(old, frozen);
    team.settled().await;
    // Whoever has just joined does not know yet who leads, and its page says so.
    let view = eventually("the one that woke knows who leads", || async {
        let view = team.view().await;
        if view["leader"].is_null() { Err(view) } else { Ok(view) }
    })
    .await;
    assert_eq!((team.leader().await, &view["term"]), (new, &led), "{view:#}");
    let kept = |name: &&String| team.bots.contains_key(*name);
    for name in owners.keys().filter(kept) {
        assert_eq!(team.owners().await.get(name), owners.get(name), "nobody's shards moved");
    }
    team.assert_unheard().await;
}
