//! Scenes with a known ending, in the same world: each failure of the table, and how long it takes.

use std::collections::BTreeMap;

use segue::cluster::permit::Standing;
use segue::model::ids::{Epoch, MemberId};
use segue::store::MemberState;

use super::run::{Cluster, in_paused_time};
use super::world::Shape;
use crate::harness::lease_api::Link;

/// Both ways to elect a leader.
const BOTH: [bool; 2] = [false, true];

/// Replicas that came up one after the other and have settled, with the load even.
async fn settled(shape: Shape) -> Cluster {
    let mut cluster = Cluster::new(shape, 7);
    for replica in 0..shape.replicas {
        cluster.start(replica);
        cluster.pass(500).await;
    }
    cluster.pass(10_000).await;
    cluster.must_be_served().await;
    cluster
}

fn scene(shape: Shape, scene: impl AsyncFnOnce(&mut Cluster)) {
    in_paused_time(async {
        let mut cluster = settled(shape).await;
        scene(&mut cluster).await;
        let story = cluster.story();
        assert!(story.broken.is_empty(), "{story}");
    });
}

impl Cluster {
    /// Waits; returns after how many milliseconds.
    async fn until(&self, limit_ms: i64, what: &str, holds: impl Fn(&Self) -> bool) -> i64 {
        let began = self.world.now();
        while !holds(self) {
            self.pass(10).await;
            let took = self.world.now() - began;
            assert!(
                took <= limit_ms,
                "{what} after {took} ms: {:?}\n{}",
                self.world.unserved(),
                self.story()
            );
        }
        self.world.now() - began
    }

    async fn served(&self, limit_ms: i64) -> i64 {
        self.until(limit_ms, "not all shards are driven", |cluster| {
            cluster.world.unserved().is_empty()
        })
        .await
    }

    fn owners(&self) -> BTreeMap<u32, (Option<MemberId>, Epoch)> {
        let memory = self.world.memory();
        memory
            .shards
            .values()
            .map(|row| (row.id, (row.owner.clone(), row.epoch)))
            .collect()
    }

    fn counts(&self) -> Vec<usize> {
        let owners = self.owners();
        let of = |replica: usize| {
            let ids = self.world.of(replica);
            owners
                .values()
                .filter(|(owner, _)| owner.as_ref().is_some_and(|owner| ids.contains(owner)))
                .count()
        };
        (0..self.places.len()).map(of).collect()
    }

    fn leader(&self) -> usize {
        let held = |replica: &usize| {
            let leader = self.world.memory().scan(0).leader.holder;
            leader.is_some_and(|leader| self.world.of(*replica).contains(&leader))
        };
        (0..self.places.len()).find(held).expect("somebody leads")
    }

    fn another(&self) -> usize {
        (self.leader() + 1) % self.places.len()
    }

    fn standings(&self) -> Vec<Standing> {
        self.world.lives().values().map(|life| life.permit.standing()).collect()
    }
}

#[test]
fn a_lone_replica_that_is_killed_owns_its_shards_again_within_a_tenth_of_a_second() {
    for lease in BOTH {
        scene(Shape::calm(1, 4, lease), async |cluster| {
            cluster.kill(0);
            cluster.start(0);
            let took = cluster.served(1_000).await;
            assert!(took <= 100, "{took} ms");
        });
    }
}

#[test]
fn a_killed_replicas_shards_are_driven_elsewhere_in_a_quarter_of_a_second() {
    for lease in BOTH {
        for leads in BOTH {
            scene(Shape::calm(3, 6, lease), async |cluster| {
                let victim = if leads { cluster.leader() } else { cluster.another() };
                cluster.kill(victim);
                let took = cluster.served(5_000).await;
                assert!(took <= 250, "{took} ms (Lease: {lease}, the leader: {leads})");
            });
        }
    }
}

#[test]
fn a_member_that_no_poke_reaches_hears_of_its_shards_with_its_next_renewal() {
    for lease in BOTH {
        let deaf = Shape {
            deaf: 100,
            ..Shape::calm(3, 6, lease)
        };
        scene(deaf, async |cluster| {
            cluster.kill(cluster.another());
            let took = cluster.served(5_000).await;
            assert!(took <= 2_600, "{took} ms (Lease: {lease})");
        });
    }
}

#[test]
fn a_frozen_replica_is_taken_over_in_time_and_changes_nothing_when_it_thaws() {
    for lease in BOTH {
        for leads in BOTH {
            scene(Shape::calm(3, 6, lease), async |cluster| {
                let victim = if leads { cluster.leader() } else { cluster.another() };
                cluster.freeze(victim, true);
                let took = cluster.served(20_000).await;
                let most = if leads { 15_500 } else { 12_000 };
                println!("Lease: {lease}, leader: {leads}: taken over after {took} ms");
                assert!(took <= most, "{took} ms (Lease: {lease}, the leader: {leads})");
                cluster.pass(15_000).await;
                let before = cluster.owners();
                cluster.freeze(victim, false);
                cluster.pass(5_000).await;
                assert_eq!(cluster.owners(), before);
                assert_eq!(cluster.world.of(victim).len(), 1, "it has joined again");
            });
        }
    }
}

#[test]
fn a_store_that_is_down_for_a_minute_changes_no_owner_and_with_a_lease_pauses_nobody() {
    scene(Shape::calm(3, 6, true), async |cluster| {
        let before = cluster.owners();
        cluster.world.store_goes_down(60_000);
        for _ in 0..900 {
            cluster.pass(100).await;
            let standings = cluster.standings();
            let valid = standings.iter().all(|one| matches!(one, Standing::Valid { .. }));
            assert!(valid && standings.len() == 3, "{standings:?}\n{}", cluster.story());
        }
        assert_eq!(cluster.owners(), before);
    });
}

#[test]
fn elected_through_the_store_all_pause_while_it_is_down_and_carry_on_unchanged() {
    scene(Shape::calm(3, 6, false), async |cluster| {
        let before = cluster.owners();
        cluster.world.store_goes_down(60_000);
        cluster.pass(9_000).await;
        assert_eq!(cluster.standings(), [Standing::Paused; 3]);
        cluster.pass(51_500).await;
        cluster.served(2_000).await;
        cluster.pass(20_000).await;
        assert_eq!(cluster.owners(), before);
        assert_eq!(cluster.standings().len(), 3);
    });
}

#[test]
fn a_replica_cut_off_from_the_store_steps_aside_and_is_taken_over() {
    for lease in BOTH {
        for leads in BOTH {
            scene(Shape::calm(3, 6, lease), async |cluster| {
                let victim = if leads { cluster.leader() } else { cluster.another() };
                cluster.cut(victim, 60_000);
                // A leader that is cut off alone first says on its Lease that the store is down, and lives by that.
                let most = if lease && leads { 25_000 } else { 9_500 };
                let ended = cluster
                    .until(most, "it goes on", |cluster| cluster.world.of(victim).is_empty())
                    .await;
                assert!(ended >= 6_000, "{ended} ms");
                let took = ended + cluster.served(10_000).await;
                println!("Lease: {lease}, leader: {leads}: ended after {ended}, taken over after {took} ms");
                assert!(took <= if leads { 32_000 } else { 12_000 }, "{took} ms");
                cluster.pass(62_000 - u64::try_from(took).unwrap()).await;
                assert_eq!(cluster.world.of(victim).len(), 1, "it has joined again");
            });
        }
    }
}

#[test]
fn without_the_kubernetes_api_nothing_changes_for_members() {
    scene(Shape::calm(3, 6, true), async |cluster| {
        let before = cluster.owners();
        (0..3).for_each(|replica| cluster.api(replica, Link::Cut));
        cluster.pass(60_000).await;
        assert_eq!(cluster.owners(), before);
        (0..3).for_each(|replica| cluster.api(replica, Link::Up));
        cluster.pass(10_000).await;
        cluster.kill(cluster.leader());
        let took = cluster.served(5_000).await;
        assert!(took <= 250, "somebody leads again: {took} ms");
    });
}

#[test]
fn a_rolling_restart_moves_every_shard_by_handover_and_quickly() {
    for lease in BOTH {
        scene(Shape::calm(3, 6, lease), async |cluster| {
            for replica in 0..3 {
                let id = cluster.world.of(replica)[0].clone();
                cluster.terminate(replica);
                cluster
                    .until(3_000, "it still runs", |cluster| !cluster.is_running(replica))
                    .await;
                assert!(
                    cluster.served(1_000).await <= 150,
                    "all but what was given last was taken before it left"
                );
                assert_eq!(cluster.world.memory().members[&id].state, MemberState::Gone);
                cluster.start(replica);
                cluster.pass(5_000).await;
            }
            let memory = cluster.world.memory();
            assert!(memory.members.values().all(|row| row.state != MemberState::Fenced));
        });
    }
}

#[test]
fn a_lone_replica_that_leaves_waits_for_nobody() {
    scene(Shape::calm(1, 4, false), async |cluster| {
        cluster.terminate(0);
        let took = cluster
            .until(3_000, "it still runs", |cluster| !cluster.is_running(0))
            .await;
        assert!(took <= 700, "{took} ms");
        cluster.start(0);
        assert!(cluster.served(1_000).await <= 100);
    });
}

#[test]
fn who_leaves_while_nobody_leads_waits_three_seconds_and_goes() {
    scene(Shape::calm(2, 4, true), async |cluster| {
        (0..2).for_each(|replica| cluster.api(replica, Link::Cut));
        cluster.pass(6_000).await;
        cluster.terminate(0);
        let took = cluster
            .until(10_000, "it still runs", |cluster| !cluster.is_running(0))
            .await;
        assert!((3_000..4_500).contains(&took), "{took} ms");
        (0..2).for_each(|replica| cluster.api(replica, Link::Up));
        cluster.served(12_000).await;
    });
}

#[test]
fn who_joins_gets_its_share_one_by_one_after_a_minute_and_a_half_of_quiet() {
    let shape = Shape::calm(3, 6, false);
    in_paused_time(async {
        let mut cluster = Cluster::new(shape, 7);
        cluster.start(0);
        cluster.pass(25_000).await;
        cluster.start(1);
        cluster.start(2);
        cluster.pass(60_000).await;
        assert_eq!(cluster.counts(), [6, 0, 0], "not at once: {}", cluster.story());
        cluster
            .until(40_000, "not even", |cluster| cluster.counts() == [2, 2, 2])
            .await;
        let story = cluster.story();
        let handed_over = story.history.iter().filter(|line| line.contains("gives shard")).count();
        assert_eq!(handed_over, 4, "as few moves as there can be: {story}");
        assert!(story.broken.is_empty(), "{story}");
    });
}

#[test]
fn who_alone_is_without_discord_gives_its_shards_away_and_gets_some_again_later() {
    scene(Shape::calm(3, 6, false), async |cluster| {
        cluster.world.discord(1, false);
        let took = cluster
            .until(15_000, "it still has shards", |cluster| cluster.counts() == [3, 0, 3])
            .await;
        assert!(took >= 5_000, "others might have said the same: {took} ms");
        cluster.pass(120_000).await;
        assert_eq!(cluster.counts(), [3, 0, 3], "it gets none: {}", cluster.story());
        cluster.world.discord(1, true);
        cluster
            .until(150_000, "not even", |cluster| cluster.counts() == [2, 2, 2])
            .await;
    });
}

#[test]
fn where_all_are_without_discord_no_shard_moves() {
    scene(Shape::calm(3, 6, false), async |cluster| {
        drop(cluster.story());
        for replica in 0..3 {
            cluster.world.discord(replica, false);
            cluster.pass(1_500).await;
        }
        cluster.pass(60_000).await;
        assert_eq!(cluster.counts(), [2, 2, 2]);
        let history = cluster.story().history;
        assert!(!history.iter().any(|line| line.contains("gives shard")), "{history:#?}");
    });
}

#[test]
fn shards_that_were_never_identified_are_spread_at_once() {
    in_paused_time(async {
        let mut cluster = Cluster::new(Shape::calm(3, 6, false), 7);
        (0..3).for_each(|replica| cluster.start(replica));
        cluster.pass(2_500).await;
        assert_eq!(cluster.counts(), [2, 2, 2], "{}", cluster.story());
    });
}

#[test]
fn a_members_sequence_that_stands_still_is_not_enough_while_the_store_is_away() {
    // The member is frozen during an outage of the store: whoever leads may not count that time.
    scene(Shape::calm(3, 6, false), async |cluster| {
        let victim = cluster.another();
        cluster.world.store_goes_down(9_000);
        cluster.freeze(victim, true);
        cluster.pass(15_000).await;
        let id = cluster.world.of(victim)[0].clone();
        assert_eq!(cluster.world.memory().members[&id].state, MemberState::Live);
        cluster.served(8_000).await;
    });
}
