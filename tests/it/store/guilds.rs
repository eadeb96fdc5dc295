//! Claims, seals, writes, checkpoints.

use futures_util::future::join_all;
use segue::model::ids::{Epoch, Rev, shard_of};
use segue::model::position::Anchor;
use segue::store::{Fence, GuildClaim, GuildWrite, Written};

use super::bed::{Bed, anchor, checkpoint, guild, lists, me, member, seal, settle, write};

pub(crate) async fn a_missing_guild_is_created_with_epoch_one(bed: &Bed) {
    let store = &bed.store;
    assert_eq!(store.guild(guild(5)).await.expect("reads"), None);
    let row = store
        .claim_guild(guild(5), 3, None, &me("a"))
        .await
        .expect("answers")
        .ours()
        .expect("free");
    assert_eq!(
        (row.epoch, row.rev, row.shard, row.active),
        (Epoch(1), Rev(0), 3, false)
    );
    assert_eq!(row.snapshot, segue::model::record::Snapshot::default());
    let again = store.claim_guild(guild(5), 3, None, &me("a")).await.expect("answers");
    assert_eq!(again.ours(), Some(row), "idempotent for its owner");
    let big = guild(u64::MAX - 1);
    let row = store
        .claim_guild(big, 3, None, &me("a"))
        .await
        .expect("answers")
        .ours()
        .expect("free");
    assert_eq!(row.id, big);
}

pub(crate) async fn a_guild_of_a_living_member_is_not_taken(bed: &Bed) {
    let store = &bed.store;
    for name in ["a", "b", "dead"] {
        store.join(member(name)).await.expect("joins");
    }
    settle(store, guild(1), "a").await;
    assert_eq!(
        store.claim_guild(guild(1), 0, None, &me("b")).await.expect("answers"),
        GuildClaim::Theirs
    );
    assert_eq!(
        store
            .claim_guild(guild(1), 0, Some(&me("dead")), &me("b"))
            .await
            .expect("answers"),
        GuildClaim::Theirs
    );
    let row = store
        .claim_guild(guild(1), 0, Some(&me("a")), &me("b"))
        .await
        .expect("answers")
        .ours()
        .expect("given");
    assert_eq!((row.epoch, row.rev, row.owner), (Epoch(2), Rev(1), Some(me("b"))));
    assert_eq!(row.snapshot.lists, lists(3));
    // Whoever is fenced can be taken from, also when nobody remembers that it was the owner.
    settle(store, guild(2), "dead").await;
    assert!(store.fence(&Fence::proven(me("dead"), "silent")).await.expect("fences"));
    let row = store
        .claim_guild(guild(2), 0, Some(&me("a")), &me("b"))
        .await
        .expect("answers");
    assert_eq!(row.ours().expect("taken").epoch, Epoch(2));
}

pub(crate) async fn seal_takes_what_the_dead_left_soonest_end_first(bed: &Bed) {
    let store = &bed.store;
    for (id, ends) in [(1, Some(300)), (2, None), (3, Some(100)), (4, Some(200))] {
        settle(store, guild(id), "a").await;
        let next = GuildWrite {
            ends_at_ms: ends,
            ..write(guild(id), "a", 1, 2)
        };
        assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    }
    let idle = GuildWrite {
        active: false,
        ..write(guild(5), "a", 1, 2)
    };
    settle(store, guild(5), "a").await;
    assert_eq!(store.write_guild(&idle).await.expect("writes"), Written::Done);
    let sealed = seal(store, 0, Some(&me("a")), &me("b")).await;
    let ids: Vec<_> = sealed.active.iter().map(|row| row.id.get()).collect();
    assert_eq!(ids, [3, 4, 1, 2]);
    assert!(sealed.unreadable.is_empty());
    for row in &sealed.active {
        assert_eq!((row.epoch, row.rev, &row.owner), (Epoch(2), Rev(2), &Some(me("b"))));
        assert_eq!(row.snapshot.lists, lists(3));
    }
    let idle = store.guild(guild(5)).await.expect("reads").expect("there");
    assert_eq!((idle.epoch, idle.owner), (Epoch(2), Some(me("b"))));
    assert_eq!(
        store.write_guild(&write(guild(1), "a", 1, 9)).await.expect("answers"),
        Written::Lost
    );
}

pub(crate) async fn seal_leaves_other_shards_and_other_owners_alone(bed: &Bed) {
    let store = &bed.store;
    for name in ["a", "b", "c", "dead"] {
        store.join(member(name)).await.expect("joins");
    }
    settle(store, guild(1), "a").await;
    settle(store, guild(2), "c").await;
    settle(store, guild(3), "dead").await;
    store
        .claim_guild(guild(4), 7, None, &me("a"))
        .await
        .expect("answers")
        .ours()
        .expect("free");
    assert!(store.fence(&Fence::proven(me("dead"), "silent")).await.expect("fences"));
    let sealed = seal(store, 0, Some(&me("a")), &me("b")).await;
    let mut ids: Vec<_> = sealed.active.iter().map(|row| row.id.get()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 3], "of a, and what a fenced member left behind");
    for (id, owner) in [(2, "c"), (4, "a")] {
        let row = store.guild(guild(id)).await.expect("reads").expect("there");
        assert_eq!((row.owner, row.epoch), (Some(me(owner)), Epoch(1)));
    }
}

pub(crate) async fn sealing_twice_returns_the_same_and_takes_nothing(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    let first = seal(store, 0, Some(&me("a")), &me("b")).await;
    let second = seal(store, 0, Some(&me("a")), &me("b")).await;
    assert_eq!(first.active, second.active);
    let mine = seal(store, 0, Some(&me("b")), &me("b")).await;
    assert_eq!(first.active, mine.active, "one's own are not taken from oneself");
    assert!(seal(store, 1, None, &me("b")).await.active.is_empty());
}

pub(crate) async fn every_guild_is_sealed_with_its_shard_when_the_number_of_shards_has_changed(bed: &Bed) {
    let (store, other) = (&bed.store, bed.another().await);
    for name in ["a", "b", "c"] {
        store.join(member(name)).await.expect("joins");
    }
    let ids = (1..=6)
        .map(|n| guild((n << 22) + 77))
        .chain([1_398_765_432_109_876_543, 4_194_303].map(guild));
    let ids: Vec<_> = ids.collect();
    store.regroup(1).await.expect("regroups");
    for id in &ids {
        settle(store, *id, "a").await;
    }
    assert!(store.fence(&Fence::proven(me("a"), "silent")).await.expect("fences"));
    for (shards, from, to) in [(3, "a", "b"), (2, "b", "c"), (1, "c", "b")] {
        let (once, twice) = tokio::join!(store.regroup(shards), other.regroup(shards));
        once.and(twice).expect("regroups");
        for shard in 0..4 {
            let sealed = seal(store, shard, Some(&me(from)), &me(to)).await;
            let mut found: Vec<_> = sealed.active.iter().map(|row| (row.id, row.shard)).collect();
            found.sort_unstable();
            let here = ids.iter().filter(|id| shard_of(**id, shards) == shard);
            let mut here: Vec<_> = here.map(|id| (*id, shard)).collect();
            here.sort_unstable();
            assert_eq!(found, here, "shard {shard} of {shards}");
            let unread = store.sealed_unread(shard, &me(to)).await.expect("reads");
            assert_eq!(unread.active.len(), here.len(), "shard {shard} of {shards}");
        }
    }
    // What is written moves no guild, and what is there already is not touched.
    let row = store.guild(ids[0]).await.expect("reads").expect("there");
    assert_eq!((row.epoch, row.owner, row.shard), (Epoch(4), Some(me("b")), 0));
    store.regroup(2).await.expect("regroups");
    let next = write(ids[0], "b", 4, 2);
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    store.regroup(2).await.expect("regroups");
    let row = store.guild(ids[0]).await.expect("reads").expect("there");
    assert_eq!((row.epoch, row.rev, row.shard), (Epoch(4), Rev(2), 1));
}

pub(crate) async fn a_guild_that_comes_to_another_shard_of_its_owner_is_taken_from_the_first(bed: &Bed) {
    let store = &bed.store;
    store.join(member("a")).await.expect("joins");
    settle(store, guild(1), "a").await;
    let claim = || async {
        let claimed = store.claim_guild(guild(1), 1, None, &me("a")).await.expect("answers");
        claimed.ours().expect("one's own")
    };
    let row = claim().await;
    assert_eq!((row.epoch, row.rev, row.shard), (Epoch(2), Rev(1), 1));
    assert_eq!(row.snapshot.lists, lists(3));
    assert_eq!(claim().await, row, "once");
    let first = store.write_guild(&write(guild(1), "a", 1, 2)).await;
    assert_eq!(first.expect("answers"), Written::Lost, "never taken for saved");
}

pub(crate) async fn members_that_race_leave_exactly_one_owner(bed: &Bed) {
    let other = bed.another().await;
    let stores = [&bed.store, &other];
    for id in 1..=20 {
        settle(&bed.store, guild(id), "a").await;
    }
    let (a, b, c) = (me("a"), me("b"), me("c"));
    let claims = (1..=20).map(|id| {
        let me = if id % 2 == 0 { &b } else { &c };
        stores[1].claim_guild(guild(id), 0, Some(&a), me)
    });
    let late: Vec<_> = (1..=20).map(|id| write(guild(id), "a", 1, 2)).collect();
    let writes = late.iter().map(|write| stores[0].write_guild(write));
    let (sealed, claimed, written) = tokio::join!(seal(stores[0], 0, Some(&a), &b), join_all(claims), join_all(writes));
    for (id, (claimed, written)) in (1..=20).zip(claimed.into_iter().zip(written)) {
        let row = bed.store.guild(guild(id)).await.expect("reads").expect("there");
        let claimed = claimed.expect("answers").ours();
        let in_seal = sealed.active.iter().any(|row| row.id == guild(id));
        assert_eq!(row.epoch, Epoch(2), "taken once");
        match row.owner {
            Some(owner) if owner == c => assert!(claimed.is_some() && !in_seal, "guild {id}"),
            Some(owner) if owner == b => assert!(in_seal || claimed.is_some(), "guild {id}"),
            other => panic!("guild {id} belongs to {other:?}"),
        }
        // A confirmed write is in what the new owner has; a refused one is not.
        let rev = Rev(if written.expect("answers") == Written::Done {
            2
        } else {
            1
        });
        assert_eq!(row.rev, rev, "guild {id}");
        if let Some(taken) = claimed {
            assert_eq!(taken.rev, rev, "guild {id}");
        }
    }
}

pub(crate) async fn a_write_of_an_old_epoch_is_lost(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    store
        .claim_guild(guild(1), 0, Some(&me("a")), &me("b"))
        .await
        .expect("answers")
        .ours()
        .expect("given");
    store
        .claim_guild(guild(1), 0, Some(&me("b")), &me("a"))
        .await
        .expect("answers")
        .ours()
        .expect("given");
    for (owner, epoch) in [("a", 1), ("b", 2), ("b", 3), ("a", 4)] {
        let written = store
            .write_guild(&write(guild(1), owner, epoch, 99))
            .await
            .expect("answers");
        assert_eq!(written, Written::Lost, "{owner} {epoch}");
    }
    assert_eq!(
        store.write_guild(&write(guild(9), "a", 1, 1)).await.expect("answers"),
        Written::Lost,
        "not there"
    );
    assert_eq!(store.guild(guild(1)).await.expect("reads").expect("there").rev, Rev(1));
    assert_eq!(
        store.write_guild(&write(guild(1), "a", 3, 2)).await.expect("writes"),
        Written::Done
    );
}

pub(crate) async fn an_older_rev_is_stale_and_the_same_rev_is_done(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    let fifth = write(guild(1), "a", 1, 5);
    assert_eq!(store.write_guild(&fifth).await.expect("writes"), Written::Done);
    assert_eq!(
        store.write_guild(&fifth).await.expect("writes"),
        Written::Done,
        "tried again"
    );
    assert_eq!(
        store.write_guild(&write(guild(1), "a", 1, 4)).await.expect("answers"),
        Written::Stale
    );
    assert_eq!(store.guild(guild(1)).await.expect("reads").expect("there").rev, Rev(5));
}

pub(crate) async fn racing_writes_end_with_the_highest_rev(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    let writes: Vec<_> = (2..=40_u16)
        .rev()
        .map(|rev| {
            let mut write = write(guild(1), "a", 1, rev.into());
            write.head.volume = rev;
            write
        })
        .collect();
    let done = join_all(writes.iter().map(|write| store.write_guild(write))).await;
    assert!(
        done.iter()
            .all(|written| matches!(written, Ok(Written::Done | Written::Stale))),
        "{done:?}"
    );
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!((row.rev, row.snapshot.head.volume), (Rev(40), 40));
}

pub(crate) async fn lists_stay_when_only_the_head_is_written(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    let mut next = write(guild(1), "a", 1, 2);
    next.head.volume = 33;
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!((row.snapshot.head, row.snapshot.lists), (next.head.clone(), lists(3)));
    let next = GuildWrite {
        rev: Rev(3),
        lists: Some(lists(0)),
        ..next
    };
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!(row.snapshot.lists, lists(0));
}

pub(crate) async fn a_checkpoint_moves_only_the_anchor(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    let before = store.guild(guild(1)).await.expect("reads").expect("there");
    let lost = store
        .checkpoint(&[checkpoint(guild(1), "a", 1, 1, 60_000)])
        .await
        .expect("saves");
    assert!(lost.is_empty());
    let mut after = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!(anchor(&after), Anchor::playing(50_000, 60_000));
    assert_eq!((after.rev, after.ends_at_ms), (Rev(1), Some(210_000)));
    after.ends_at_ms = before.ends_at_ms;
    after.snapshot.head.deck = before.snapshot.head.deck.clone();
    assert_eq!(after, before);
    let sealed = seal(store, 0, Some(&me("a")), &me("b")).await;
    assert_eq!(
        anchor(&sealed.active[0]),
        Anchor::playing(50_000, 60_000),
        "whoever takes it sees it"
    );
}

pub(crate) async fn a_checkpoint_never_undoes_a_later_write_or_anchor(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    settle(store, guild(2), "a").await;
    assert_eq!(
        store.write_guild(&write(guild(1), "a", 1, 2)).await.expect("writes"),
        Written::Done
    );
    // Late, early, and out of order: none of them is lost, none of them changes anything.
    let batch = [
        checkpoint(guild(1), "a", 1, 1, 60_000),
        checkpoint(guild(1), "a", 1, 3, 61_000),
        checkpoint(guild(2), "a", 1, 1, 70_000),
    ];
    assert!(store.checkpoint(&batch).await.expect("saves").is_empty());
    assert!(
        store
            .checkpoint(&[checkpoint(guild(2), "a", 1, 1, 65_000)])
            .await
            .expect("saves")
            .is_empty()
    );
    let at = async |id| anchor(&store.guild(guild(id)).await.expect("reads").expect("there")).at_ms;
    assert_eq!((at(1).await, at(2).await), (1_000, 70_000));
    // A write after a checkpoint brings its own anchor.
    assert_eq!(
        store.write_guild(&write(guild(2), "a", 1, 2)).await.expect("writes"),
        Written::Done
    );
    assert_eq!(at(2).await, 1_000);
    // What stands still stays.
    let mut empty = write(guild(2), "a", 1, 3);
    empty.head = segue::model::record::Head::default();
    assert_eq!(store.write_guild(&empty).await.expect("writes"), Written::Done);
    assert!(
        store
            .checkpoint(&[checkpoint(guild(2), "a", 1, 3, 80_000)])
            .await
            .expect("saves")
            .is_empty()
    );
    let row = store.guild(guild(2)).await.expect("reads").expect("there");
    assert_eq!((row.snapshot.head, row.ends_at_ms), (empty.head, empty.ends_at_ms));
}

pub(crate) async fn a_checkpoint_names_exactly_what_is_lost(bed: &Bed) {
    let store = &bed.store;
    for id in 1..=6 {
        settle(store, guild(id), "a").await;
    }
    store
        .claim_guild(guild(2), 0, Some(&me("a")), &me("b"))
        .await
        .expect("answers")
        .ours()
        .expect("given");
    assert!(store.delete_guild(guild(4), &me("a"), Epoch(1)).await.expect("deletes"));
    let batch: Vec<_> = (1..=6)
        .map(|id| checkpoint(guild(id), "a", if id == 5 { 7 } else { 1 }, 1, 60_000))
        .collect();
    let mut lost = store.checkpoint(&batch).await.expect("saves");
    lost.sort_unstable();
    assert_eq!(lost, [guild(2), guild(4), guild(5)]);
    assert!(store.checkpoint(&[]).await.expect("saves").is_empty());
    assert_eq!(
        store.guild(guild(4)).await.expect("reads"),
        None,
        "nothing comes back by a checkpoint"
    );
    for (id, at_ms) in [(1, 60_000), (2, 1_000), (3, 60_000), (5, 1_000), (6, 60_000)] {
        let row = store.guild(guild(id)).await.expect("reads").expect("there");
        assert_eq!(anchor(&row).at_ms, at_ms, "guild {id}");
    }
}

pub(crate) async fn a_deleted_guild_is_forgotten_and_only_by_its_owner(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    assert!(!store.delete_guild(guild(1), &me("b"), Epoch(1)).await.expect("answers"));
    assert!(!store.delete_guild(guild(1), &me("a"), Epoch(2)).await.expect("answers"));
    assert!(store.delete_guild(guild(1), &me("a"), Epoch(1)).await.expect("answers"));
    assert!(!store.delete_guild(guild(1), &me("a"), Epoch(1)).await.expect("answers"));
    assert_eq!(store.guild(guild(1)).await.expect("reads"), None);
    assert_eq!(
        store.write_guild(&write(guild(1), "a", 1, 9)).await.expect("answers"),
        Written::Lost
    );
    assert_eq!(store.guild(guild(1)).await.expect("reads"), None);
    let row = store
        .claim_guild(guild(1), 0, None, &me("b"))
        .await
        .expect("answers")
        .ours()
        .expect("free");
    assert_eq!(row.snapshot.lists, segue::model::record::Lists::default());
}
