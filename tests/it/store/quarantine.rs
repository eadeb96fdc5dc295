//! Guilds that make their owners fail, and recoveries.

use segue::model::ids::{Epoch, GuildId};
use segue::store::{
    FAILURES_UNTIL_QUARANTINE, GuildClaim, GuildWrite, Quarantined, RECOVERIES_KEPT, RecoveryRow, SharedStore, Written,
};

use super::bed::{Bed, guild, lists, me, seal, settle, write};

/// Fails a guild of `a`, epoch 1, until it is quarantined.
async fn poison(store: &SharedStore, id: GuildId) {
    for count in 1..=FAILURES_UNTIL_QUARANTINE {
        let counted = store
            .guild_failed(id, &me("a"), Epoch(1), &format!("failure {count}"))
            .await;
        assert_eq!(counted.expect("counts"), count);
    }
}

pub(crate) async fn a_guild_that_fails_three_times_is_quarantined_and_sealed_apart(bed: &Bed) {
    let store = &bed.store;
    for id in 1..=3 {
        settle(store, guild(id), "a").await;
    }
    assert!(store.quarantined().await.expect("reads").is_empty());
    for count in 1..FAILURES_UNTIL_QUARANTINE {
        let counted = store.guild_failed(guild(2), &me("a"), Epoch(1), "a panic").await;
        assert_eq!(counted.expect("counts"), count);
        let claim = store.claim_guild(guild(2), 0, None, &me("a")).await.expect("answers");
        assert!(matches!(claim, GuildClaim::Ours(_)), "{claim:?}");
    }
    let counted = store
        .guild_failed(guild(2), &me("a"), Epoch(1), "a panic at last")
        .await;
    assert_eq!(counted.expect("counts"), FAILURES_UNTIL_QUARANTINE);
    let aside = Quarantined {
        guild: guild(2),
        why: "a panic at last".into(),
    };
    assert_eq!(store.quarantined().await.expect("reads"), std::slice::from_ref(&aside));
    let why = aside.why.clone();
    let claim = store.claim_guild(guild(2), 0, None, &me("a")).await.expect("answers");
    assert_eq!(claim, GuildClaim::Quarantined { why });
    let sealed = seal(store, 0, Some(&me("a")), &me("b")).await;
    let mut ids: Vec<_> = sealed.active.iter().map(|row| row.id.get()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 3]);
    assert_eq!(sealed.quarantined, [aside]);
    let claim = store.claim_guild(guild(2), 0, None, &me("b")).await.expect("answers");
    assert!(matches!(claim, GuildClaim::Quarantined { .. }), "{claim:?}");
}

pub(crate) async fn a_shard_is_sealed_without_a_look_at_any_snapshot(bed: &Bed) {
    let store = &bed.store;
    for (id, ends_at_ms) in [(1, Some(300)), (2, None), (3, Some(100)), (4, Some(200)), (5, Some(50))] {
        settle(store, guild(id), "a").await;
        let ends = GuildWrite {
            ends_at_ms,
            active: id != 5,
            ..write(guild(id), "a", 1, 2)
        };
        assert_eq!(store.write_guild(&ends).await.expect("writes"), Written::Done);
    }
    poison(store, guild(4)).await;
    let damaged = serde_json::json!({ "schema": 1, "damaged": true });
    bed.put_raw(guild(6), &me("a"), &damaged, None).await;
    store.seal(0, Some(&me("a")), &me("b")).await.expect("seals");
    let unread = store.sealed_unread(0, &me("b")).await.expect("reads");
    let taken: Vec<_> = unread.active.iter().map(|(id, epoch)| (id.get(), epoch.0)).collect();
    assert_eq!(
        taken,
        [(3, 2), (1, 2), (2, 2), (6, 4)],
        "soonest end first, the damaged one too"
    );
    assert_eq!(
        unread.quarantined.iter().map(|one| one.guild).collect::<Vec<_>>(),
        [guild(4)]
    );
    store.seal(0, Some(&me("a")), &me("b")).await.expect("seals");
    let again = store.sealed_unread(0, &me("b")).await.expect("reads");
    assert_eq!(again, unread, "idempotent");
    assert_eq!(
        store.write_guild(&write(guild(1), "a", 1, 3)).await.expect("answers"),
        Written::Lost,
        "the owner before writes nothing any more"
    );
}

pub(crate) async fn only_its_owner_counts_a_guilds_failures(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    for (name, epoch) in [("b", 1), ("a", 2)] {
        for _ in 0..=FAILURES_UNTIL_QUARANTINE {
            let counted = store.guild_failed(guild(1), &me(name), Epoch(epoch), "late").await;
            assert_eq!(counted.expect("answers"), 0, "{name} {epoch}");
        }
    }
    let missing = store.guild_failed(guild(9), &me("a"), Epoch(1), "nothing").await;
    assert_eq!(missing.expect("answers"), 0);
    assert!(store.quarantined().await.expect("reads").is_empty());
    let counted = store.guild_failed(guild(1), &me("a"), Epoch(1), "mine").await;
    assert_eq!(counted.expect("counts"), 1);
}

pub(crate) async fn failures_count_under_whoever_owns_the_guild_and_only_for_five_minutes(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    let failed = async |owner: &str, epoch| {
        let counted = store.guild_failed(guild(1), &me(owner), Epoch(epoch), "a panic").await;
        counted.expect("counts")
    };
    assert_eq!(failed("a", 1).await, 1);
    store.seal(0, Some(&me("a")), &me("b")).await.expect("seals");
    assert_eq!(failed("b", 2).await, 2, "what it did to its owner before counts");
    bed.age_failures(guild(1), 299_000).await;
    store.seal(0, Some(&me("b")), &me("c")).await.expect("seals");
    bed.age_failures(guild(1), 2_000).await;
    assert_eq!(failed("c", 3).await, 1, "both are older than five minutes");
    assert!(store.quarantined().await.expect("reads").is_empty());
}

pub(crate) async fn a_guild_that_is_let_go_is_as_it_was(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    settle(store, guild(2), "a").await;
    assert!(
        !store.release_guild(guild(1)).await.expect("answers"),
        "not quarantined"
    );
    assert!(!store.release_guild(guild(9)).await.expect("answers"), "not there");
    poison(store, guild(1)).await;
    poison(store, guild(2)).await;
    assert!(store.release_guild(guild(1)).await.expect("releases"));
    assert!(!store.release_guild(guild(1)).await.expect("answers"), "only once");
    let left: Vec<_> = store
        .quarantined()
        .await
        .expect("reads")
        .into_iter()
        .map(|one| one.guild)
        .collect();
    assert_eq!(left, [guild(2)]);
    let claim = store.claim_guild(guild(1), 0, None, &me("a")).await.expect("answers");
    let row = claim.ours().expect("ours again");
    assert_eq!((row.epoch, row.active, row.snapshot.lists), (Epoch(1), true, lists(3)));
    assert_eq!(
        store.write_guild(&write(guild(1), "a", 1, 2)).await.expect("writes"),
        Written::Done
    );
    let counted = store.guild_failed(guild(1), &me("a"), Epoch(1), "again").await;
    assert_eq!(counted.expect("counts"), 1, "counted from the beginning");
}

pub(crate) async fn a_deleted_guild_takes_its_failures_along(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    poison(store, guild(1)).await;
    assert!(store.delete_guild(guild(1), &me("a"), Epoch(1)).await.expect("deletes"));
    assert!(store.quarantined().await.expect("reads").is_empty());
    settle(store, guild(1), "a").await;
    let counted = store.guild_failed(guild(1), &me("a"), Epoch(1), "new").await;
    assert_eq!(counted.expect("counts"), 1);
}

pub(crate) async fn active_guilds_are_counted_whoever_owns_them(bed: &Bed) {
    let store = &bed.store;
    assert_eq!(store.active_guilds().await.expect("counts"), 0);
    for (id, owner) in [(1, "a"), (2, "b"), (3, "a")] {
        settle(store, guild(id), owner).await;
    }
    store.claim_guild(guild(4), 1, None, &me("a")).await.expect("claims");
    assert_eq!(store.active_guilds().await.expect("counts"), 3);
    let mut idle = write(guild(3), "a", 1, 2);
    idle.active = false;
    assert_eq!(store.write_guild(&idle).await.expect("writes"), Written::Done);
    assert_eq!(store.active_guilds().await.expect("counts"), 2);
}

fn recovery(number: u64) -> RecoveryRow {
    RecoveryRow {
        guild: guild(number),
        shard: 3,
        member: me("a"),
        trigger: "crash".into(),
        outcome: "carried_on".into(),
        at_ms: 1_700_000_000_000 + i64::try_from(number).expect("small"),
        took_ms: 310,
        gap_ms: 0,
        lost_ms: Some(1_699_999_999_690),
        phases: vec![("seal".into(), 12), ("load".into(), 3)],
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
    }
}

pub(crate) async fn recoveries_are_kept_newest_first_and_only_the_last(bed: &Bed) {
    let store = &bed.store;
    assert!(store.recoveries(10).await.expect("reads").is_empty());
    store.record_recoveries(&[]).await.expect("records nothing");
    let first = [recovery(1), recovery(2)];
    store.record_recoveries(&first).await.expect("records");
    store
        .record_recoveries(&first)
        .await
        .expect("the same again is no error");
    store
        .record_recoveries(&[recovery(2), recovery(3)])
        .await
        .expect("records what is new");
    assert_eq!(
        store.recoveries(10).await.expect("reads"),
        [recovery(3), recovery(2), recovery(1)]
    );
    assert_eq!(store.recoveries(1).await.expect("reads"), [recovery(3)]);
    assert!(store.recoveries(0).await.expect("reads").is_empty());
    let more: Vec<_> = (10..).map(recovery).take(RECOVERIES_KEPT + 50).collect();
    store.record_recoveries(&more).await.expect("records");
    let kept = store.recoveries(usize::MAX).await.expect("reads");
    assert_eq!(kept.len(), RECOVERIES_KEPT);
    let newest_first: Vec<_> = more.into_iter().rev().take(RECOVERIES_KEPT).collect();
    assert_eq!(kept, newest_first);
}
