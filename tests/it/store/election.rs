//! Terms, elections by the store, assignments, and what a leader looks at.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use segue::model::ids::Epoch;
use segue::store::{Assignment, Beat, Campaign, Fence, MemberState, SharedStore};
use tokio::time::{Instant, sleep};

use super::bed::{Bed, me, member, take};

/// Longer than any test takes.
const LONG_MS: i64 = 600_000;

async fn campaign(store: &SharedStore, name: &str, lease_ms: i64) -> Campaign {
    store.campaign(&me(name), lease_ms).await.expect("answers")
}

fn follows(holder: &str, term: u64) -> Campaign {
    Campaign::Follower {
        holder: me(holder),
        term,
    }
}

fn assignment(shard: u32, want: &str) -> Assignment {
    Assignment {
        shard,
        want: me(want),
        trace: Some(format!("00-{shard}-{want}")),
    }
}

pub(crate) async fn one_of_many_is_elected_and_keeps_its_term(bed: &Bed) {
    let other = bed.another().await;
    let stores = [&bed.store, &other];
    let names: Vec<_> = (0..6).map(|n| me(&format!("m{n}"))).collect();
    let attempts = names
        .iter()
        .enumerate()
        .map(|(n, name)| stores[n % 2].campaign(name, LONG_MS));
    let ended: Vec<_> = join_all(attempts)
        .await
        .into_iter()
        .map(|end| end.expect("answers"))
        .collect();
    let leads: Vec<_> = names
        .iter()
        .zip(&ended)
        .filter(|(_, end)| matches!(end, Campaign::Leader { term: 1 }))
        .collect();
    assert_eq!(leads.len(), 1, "{ended:?}");
    let leader = leads[0].0;
    for (name, end) in names.iter().zip(&ended).filter(|(name, _)| *name != leader) {
        assert_eq!(*end, follows(&leader.0, 1), "{name}");
    }
    assert_eq!(
        campaign(&bed.store, &leader.0, LONG_MS).await,
        Campaign::Leader { term: 1 }
    );
    let seen = bed.store.scan().await.expect("scans").leader;
    assert_eq!((seen.term, seen.holder.as_ref()), (1, Some(leader)));
}

pub(crate) async fn a_leader_that_is_final_or_resigned_is_followed_at_once_in_the_next_term(bed: &Bed) {
    let store = &bed.store;
    for name in ["a", "b", "c"] {
        store.join(member(name)).await.expect("joins");
    }
    assert_eq!(campaign(store, "a", LONG_MS).await, Campaign::Leader { term: 1 });
    assert_eq!(campaign(store, "b", LONG_MS).await, follows("a", 1));
    assert!(store.fence(&Fence::proven(me("a"), "silent")).await.expect("fences"));
    assert_eq!(campaign(store, "b", LONG_MS).await, Campaign::Leader { term: 2 });
    assert_eq!(campaign(store, "a", LONG_MS).await, follows("b", 2));
    assert!(store.set_state(&me("b"), MemberState::Gone).await.expect("goes"));
    assert_eq!(campaign(store, "c", LONG_MS).await, Campaign::Leader { term: 3 });
    assert!(!store.resign(&me("c"), 2).await.expect("answers"), "not its term");
    assert!(!store.resign(&me("b"), 3).await.expect("answers"), "not its");
    assert_eq!(campaign(store, "x", LONG_MS).await, follows("c", 3));
    assert!(store.resign(&me("c"), 3).await.expect("answers"));
    assert_eq!(store.scan().await.expect("scans").leader.holder, None);
    assert_eq!(campaign(store, "c", LONG_MS).await, Campaign::Leader { term: 4 });
}

pub(crate) async fn a_leader_that_stops_campaigning_is_followed_when_its_lease_ran_out(bed: &Bed) {
    let store = &bed.store;
    let begun = store.now_ms().await.expect("a time");
    assert_eq!(campaign(store, "a", 1_500).await, Campaign::Leader { term: 1 });
    // It asks for its lease anew each time.
    assert_eq!(campaign(store, "a", 1_500).await, Campaign::Leader { term: 1 });
    let limit = Instant::now() + Duration::from_secs(20);
    let mut refused = 0;
    let took = loop {
        match campaign(store, "b", LONG_MS).await {
            Campaign::Leader { term } => break term,
            follower @ Campaign::Follower { .. } => assert_eq!(follower, follows("a", 1)),
        }
        refused += 1;
        assert!(Instant::now() < limit, "refused {refused} times");
        sleep(Duration::from_millis(50)).await;
    };
    let after = store.now_ms().await.expect("a time") - begun;
    assert_eq!(took, 2);
    assert!(
        refused > 0 && after >= 1_500,
        "after {after} ms, refused {refused} times"
    );
    assert_eq!(campaign(store, "a", LONG_MS).await, follows("b", 2));
}

pub(crate) async fn a_new_term_is_higher_than_any_before(bed: &Bed) {
    let other = bed.another().await;
    let (a, b) = (me("a"), me("b"));
    assert_eq!(campaign(&bed.store, "x", LONG_MS).await, Campaign::Leader { term: 1 });
    let terms = (0..8).map(|n| {
        if n % 2 == 0 {
            bed.store.new_term(&a)
        } else {
            other.new_term(&b)
        }
    });
    let mut terms: Vec<_> = join_all(terms)
        .await
        .into_iter()
        .map(|term| term.expect("answers"))
        .collect();
    terms.sort_unstable();
    assert_eq!(terms, [2, 3, 4, 5, 6, 7, 8, 9]);
    let seen = bed.store.scan().await.expect("scans").leader;
    assert!(seen.term == 9 && [Some(a), Some(b)].contains(&seen.holder), "{seen:?}");
}

pub(crate) async fn an_assignment_of_an_older_term_changes_nothing(bed: &Bed) {
    let store = &bed.store;
    let applied = store.assign(5, &[assignment(0, "a"), assignment(1, "a")]).await;
    assert_eq!(applied.expect("assigns"), [0, 1]);
    let applied = store.assign(6, &[assignment(1, "b")]).await;
    assert_eq!(applied.expect("assigns"), [1]);
    // Shard by shard: what a higher term decided stays, the rest is done.
    let late = store
        .assign(5, &[assignment(0, "c"), assignment(1, "c"), assignment(2, "c")])
        .await;
    assert_eq!(late.expect("answers"), [0, 2]);
    let again = store
        .assign(5, &[assignment(0, "c"), assignment(1, "c"), assignment(2, "c")])
        .await;
    assert_eq!(again.expect("answers"), [0, 2], "idempotent");
    assert!(
        store
            .assign(4, &[assignment(0, "z"), assignment(2, "z")])
            .await
            .expect("answers")
            .is_empty()
    );
    assert!(store.assign(9, &[]).await.expect("answers").is_empty());
    let rows = store.shards().await.expect("shards");
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.id,
                row.want.clone(),
                row.want_term,
                row.trace.clone(),
                row.epoch,
                row.owner.clone(),
            )
        })
        .collect();
    let expected = |id: u32, want: &str, term| (id, Some(me(want)), term, assignment(id, want).trace, Epoch(0), None);
    assert_eq!(seen, [expected(0, "c", 5), expected(1, "b", 6), expected(2, "c", 5)]);
}

pub(crate) async fn racing_leaders_leave_the_higher_terms_word(bed: &Bed) {
    let other = bed.another().await;
    let all = |want: &str| (0..12).map(|shard| assignment(shard, want)).collect::<Vec<_>>();
    let (old, new) = (all("old"), all("new"));
    let (a, b) = tokio::join!(bed.store.assign(1, &old), other.assign(2, &new));
    assert_eq!(b.expect("assigns"), (0..12).collect::<Vec<_>>());
    drop(a.expect("assigns"));
    let rows = bed.store.shards().await.expect("shards");
    assert_eq!(rows.len(), 12);
    assert!(
        rows.iter().all(|row| row.want == Some(me("new")) && row.want_term == 2),
        "{rows:?}"
    );
}

pub(crate) async fn members_that_are_told_of_their_shards_hear_it_with_the_next_renewal(bed: &Bed) {
    let store = &bed.store;
    for name in ["a", "b", "c"] {
        store.join(member(name)).await.expect("joins");
    }
    let generation = async |name: &str| {
        let row = store.renew(&me(name), &Beat::default()).await.expect("renews");
        row.expect("lives").assign_gen
    };
    take(store, 0, None, "a").await;
    assert_eq!(
        (generation("a").await, generation("b").await),
        (0, 0),
        "writing tells nobody"
    );
    store.tell(&[me("a"), me("b"), me("nobody")]).await.expect("tells");
    assert_eq!(
        (generation("a").await, generation("b").await, generation("c").await),
        (1, 1, 0)
    );
    store.tell(&[]).await.expect("tells nobody");
    assert_eq!(generation("a").await, 1);
}

pub(crate) async fn a_scan_shows_members_shards_and_who_leads_at_one_moment(bed: &Bed) {
    let store = &bed.store;
    let empty = store.scan().await.expect("scans");
    assert!(
        empty.now_ms > 1_700_000_000_000 && empty.members.is_empty() && empty.shards.is_empty(),
        "{empty:?}"
    );
    assert_eq!((empty.leader.term, empty.leader.holder), (0, None));
    for name in ["b", "a"] {
        store.join(member(name)).await.expect("joins");
    }
    let beat = Beat {
        shard_seq: BTreeMap::from([(1, 7)]),
        playing: BTreeMap::from([(1, 30)]),
        container_id: Some("containerd://a".into()),
        without_discord: false,
    };
    store.renew(&me("a"), &beat).await.expect("renews").expect("lives");
    take(store, 1, None, "a").await;
    assert_eq!(campaign(store, "b", LONG_MS).await, Campaign::Leader { term: 1 });
    let scan = store.scan().await.expect("scans");
    assert_eq!(scan.members, store.members().await.expect("members"));
    assert_eq!(scan.shards, store.shards().await.expect("shards"));
    assert_eq!((scan.leader.term, scan.leader.holder), (1, Some(me("b"))));
    assert_eq!((scan.members[0].id.clone(), scan.members[0].playing[&1]), (me("a"), 30));
    let ages: Vec<_> = scan.members.iter().map(|row| scan.now_ms - row.renewed_ms).collect();
    assert!(ages.iter().all(|age| (0..60_000).contains(age)), "{ages:?}");
}
