//! Shards.

use futures_util::future::join_all;
use segue::model::ids::{Epoch, NodeName};
use segue::store::GatewaySession;

use super::bed::{Bed, guild, me, settle, write};

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

pub(crate) async fn only_one_of_two_claims_a_shard_and_its_epoch_grows(bed: &Bed) {
    let other = bed.another().await;
    let names: Vec<_> = (0..6).map(|n| me(&format!("m{n}"))).collect();
    let stores = [&bed.store, &other];
    let attempts = names
        .iter()
        .enumerate()
        .map(|(n, name)| stores[n % 2].claim_shard(3, None, name));
    let won: Vec<_> = join_all(attempts)
        .await
        .into_iter()
        .filter_map(|r| r.expect("answers"))
        .collect();
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(won[0].epoch, Epoch(1));
    let owner = won[0].owner.clone().expect("an owner");
    // Asked again by the same member: the same answer, no new epoch.
    let again = bed
        .store
        .claim_shard(3, None, &owner)
        .await
        .expect("answers")
        .expect("mine");
    assert_eq!(again, won[0]);
    assert_eq!(
        bed.store
            .claim_shard(3, Some(&me("wrong")), &me("z"))
            .await
            .expect("answers"),
        None
    );
    assert_eq!(bed.store.claim_shard(3, None, &me("z")).await.expect("answers"), None);
    let next = bed
        .store
        .claim_shard(3, Some(&owner), &me("z"))
        .await
        .expect("answers")
        .expect("taken");
    assert_eq!(next.epoch, Epoch(2));
    assert_eq!(bed.store.shards().await.expect("shards"), [next]);
}

pub(crate) async fn sessions_are_stored_only_for_the_owner_and_its_epoch(bed: &Bed) {
    let store = &bed.store;
    let (a, node) = (me("a"), NodeName("no.de$1".into()));
    store.claim_shard(0, None, &a).await.expect("answers").expect("free");
    assert!(
        store
            .save_session(0, &a, Epoch(1), Some(&session(5)))
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
        assert!(!store.save_session(0, &member, epoch, None).await.expect("answers"));
        assert!(
            !store
                .save_node_session(0, &member, epoch, &node, None)
                .await
                .expect("answers")
        );
    }
    let row = store
        .claim_shard(0, Some(&a), &me("b"))
        .await
        .expect("answers")
        .expect("taken");
    assert_eq!(row.session, Some(session(5)));
    assert_eq!(row.lavalink[&node], "lava");
    assert!(store.save_session(0, &me("b"), Epoch(2), None).await.expect("answers"));
    assert!(
        store
            .save_node_session(0, &me("b"), Epoch(2), &node, None)
            .await
            .expect("answers")
    );
    let row = store.shards().await.expect("shards").remove(0);
    assert_eq!((row.session, row.lavalink.len()), (None, 1));
}

pub(crate) async fn a_released_shard_gives_its_guilds_up(bed: &Bed) {
    let store = &bed.store;
    store
        .claim_shard(0, None, &me("a"))
        .await
        .expect("answers")
        .expect("free");
    settle(store, guild(1), "a").await;
    settle(store, guild(2), "other").await;
    assert!(!store.release_shard(0, &me("b"), Epoch(1)).await.expect("answers"));
    assert!(!store.release_shard(0, &me("a"), Epoch(9)).await.expect("answers"));
    assert!(store.release_shard(0, &me("a"), Epoch(1)).await.expect("answers"));
    assert!(
        store.release_shard(0, &me("a"), Epoch(1)).await.expect("answers"),
        "idempotent"
    );
    let owner = async |id| store.guild(guild(id)).await.expect("reads").expect("there").owner;
    assert_eq!((owner(1).await, owner(2).await), (None, Some(me("other"))));
    let late = store.write_guild(&write(guild(1), "a", 1, 9)).await.expect("answers");
    assert_eq!(late, segue::store::Written::Lost);
    let row = store
        .claim_shard(0, None, &me("b"))
        .await
        .expect("answers")
        .expect("free");
    assert_eq!(row.epoch, Epoch(2));
    assert!(!store.release_shard(0, &me("a"), Epoch(1)).await.expect("answers"));
}
