//! Shards.

use futures_util::future::join_all;
use segue::model::ids::{Epoch, NodeName};
use segue::store::{Assignment, GatewaySession};

use super::bed::{Bed, guild, me, settle, take, want, write};

fn session(seq: u64) -> GatewaySession {
    GatewaySession {
        id: "s3ss10n".into(),
        resume_url: "wss://gateway.example".into(),
        seq,
        num_shards: 4,
        intents: 33_409,
        token_hash: "0123".into(),
    }
}

pub(crate) async fn only_who_is_wanted_claims_a_shard_once_and_its_epoch_grows(bed: &Bed) {
    let other = bed.another().await;
    let names: Vec<_> = (0..6).map(|n| me(&format!("m{n}"))).collect();
    let stores = [&bed.store, &other];
    want(&bed.store, 3, "m2").await;
    let attempts = names
        .iter()
        .chain(&names)
        .enumerate()
        .map(|(n, name)| stores[n % 2].claim_shard(3, None, name));
    let won: Vec<_> = join_all(attempts)
        .await
        .into_iter()
        .filter_map(|r| r.expect("answers"))
        .collect();
    assert_eq!(won.len(), 2, "the one that is wanted, asked twice: {won:?}");
    assert_eq!((won[0].epoch, &won[0].owner), (Epoch(1), &Some(me("m2"))));
    assert_eq!(won[0], won[1], "the same answer, no new epoch");
    want(&bed.store, 3, "z").await;
    for previous in [Some(me("wrong")), None] {
        let claim = bed.store.claim_shard(3, previous.as_ref(), &me("z")).await;
        assert_eq!(claim.expect("answers"), None, "{previous:?} does not own it");
    }
    let unwanted = bed.store.claim_shard(3, Some(&me("m2")), &me("m3")).await;
    assert_eq!(unwanted.expect("answers"), None);
    let next = bed.store.claim_shard(3, Some(&me("m2")), &me("z")).await;
    let next = next.expect("answers").expect("taken");
    assert_eq!(next.epoch, Epoch(2));
    assert_eq!(bed.store.shards().await.expect("shards"), [next]);
    let missing = bed.store.claim_shard(4, None, &me("z")).await;
    assert_eq!(missing.expect("answers"), None, "nobody was ever wanted for it");
}

pub(crate) async fn sessions_are_stored_only_for_the_owner_and_its_epoch(bed: &Bed) {
    let store = &bed.store;
    let (a, node) = (me("a"), NodeName("no.de$1".into()));
    take(store, 0, None, "a").await;
    assert!(
        store
            .save_session(0, &a, Epoch(1), Some(&session(5)), Some("00-aa-bb-01"))
            .await
            .expect("answers")
    );
    assert!(
        store
            .save_node_session(0, &a, Epoch(1), &node, Some("lava"))
            .await
            .expect("answers")
    );
    assert!(
        store
            .save_node_session(0, &a, Epoch(1), &NodeName("b".into()), Some("x"))
            .await
            .expect("answers")
    );
    for (member, epoch) in [(me("b"), Epoch(1)), (a.clone(), Epoch(2))] {
        assert!(
            !store
                .save_session(0, &member, epoch, None, Some("late"))
                .await
                .expect("answers")
        );
        assert!(!store.save_trace(0, &member, epoch, "late").await.expect("answers"));
        assert!(
            !store
                .save_node_session(0, &member, epoch, &node, None)
                .await
                .expect("answers")
        );
    }
    let row = take(store, 0, Some("a"), "b").await;
    assert_eq!(row.session, Some(session(5)));
    assert_eq!(
        row.owner_trace.as_deref(),
        Some("00-aa-bb-01"),
        "what the owner before did last"
    );
    assert_eq!(row.lavalink[&node], "lava");
    assert!(
        store
            .save_session(0, &me("b"), Epoch(2), None, None)
            .await
            .expect("answers")
    );
    assert!(
        store
            .save_node_session(0, &me("b"), Epoch(2), &node, None)
            .await
            .expect("answers")
    );
    assert!(
        store
            .save_trace(0, &me("b"), Epoch(2), "00-cc-dd-01")
            .await
            .expect("answers")
    );
    let row = store.shards().await.expect("shards").remove(0);
    assert_eq!(row.owner_trace.as_deref(), Some("00-cc-dd-01"));
    assert_eq!((row.session, row.lavalink.len()), (None, 1));
}

pub(crate) async fn a_released_shard_gives_its_guilds_up(bed: &Bed) {
    let store = &bed.store;
    take(store, 0, None, "a").await;
    settle(store, guild(1), "a").await;
    settle(store, guild(2), "other").await;
    assert!(!store.release_shard(0, &me("b"), Epoch(1), None).await.expect("answers"));
    assert!(!store.release_shard(0, &me("a"), Epoch(9), None).await.expect("answers"));
    assert!(store.release_shard(0, &me("a"), Epoch(1), None).await.expect("answers"));
    assert!(
        store.release_shard(0, &me("a"), Epoch(1), None).await.expect("answers"),
        "idempotent"
    );
    let owner = async |id| store.guild(guild(id)).await.expect("reads").expect("there").owner;
    assert_eq!((owner(1).await, owner(2).await), (None, Some(me("other"))));
    let late = store.write_guild(&write(guild(1), "a", 1, 9)).await.expect("answers");
    assert_eq!(late, segue::store::Written::Lost);
    let row = take(store, 0, None, "b").await;
    assert_eq!(row.epoch, Epoch(2));
    assert!(!store.release_shard(0, &me("a"), Epoch(1), None).await.expect("answers"));
}

pub(crate) async fn a_release_is_told_to_the_successor_and_to_nobody_after_it(bed: &Bed) {
    let store = &bed.store;
    take(store, 0, None, "a").await;
    let before = store.now_ms().await.expect("a time");
    let released = store.release_shard(0, &me("a"), Epoch(1), Some("00-drain-01")).await;
    assert!(released.expect("answers"));
    let row = store.shards().await.expect("shards").remove(0);
    assert_eq!((row.owner, row.trace.as_deref()), (None, Some("00-drain-01")));
    let told = row.released.clone().expect("told");
    assert_eq!(told.by, me("a"));
    assert!((before..before + 60_000).contains(&told.at_ms), "{before} {told:?}");
    let next = store.assign(7, &[wanted("b")]).await;
    assert_eq!(next.expect("assigns"), [0]);
    let claim = async |previous: Option<&str>, name: &str| {
        let claimed = store.claim_shard(0, previous.map(me).as_ref(), &me(name)).await;
        claimed.expect("answers").expect("taken")
    };
    let row = claim(None, "b").await;
    assert_eq!((row.epoch, &row.released), (Epoch(2), &Some(told)));
    assert_eq!(claim(None, "b").await, row, "asked again");
    let next = store.assign(7, &[wanted("c")]).await;
    assert_eq!(next.expect("assigns"), [0]);
    let row = claim(Some("b"), "c").await;
    assert_eq!((row.epoch, row.released), (Epoch(3), None), "b gave nothing up");
}

fn wanted(name: &str) -> Assignment {
    Assignment {
        shard: 0,
        want: me(name),
        trace: None,
    }
}
