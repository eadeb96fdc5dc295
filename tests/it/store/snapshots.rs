//! What a snapshot keeps, and the schemas.

use segue::model::ids::{Epoch, GuildId, Rev};
use segue::model::record::{
    DeckRecord, Head, LoopMode, PauseReason, PendingRecord, SCHEMA, VoiceCredentials, VoiceRecord,
};
use segue::store::{GuildWrite, MemberRow, MemberState, StoreError, Written};
use serde_json::{Value, json};

use super::bed::{Bed, checkpoint, guild, item, lists, me, member, playing, seal, settle, take, write};

/// Text that breaks what treats it as anything but text.
const HOSTILE: &str = "\u{0} $set {\"a.b\":1} '; DROP TABLE guilds; -- \u{202e}rtl\u{2066} 🎵𝄞 %24 \u{fffd} é\u{301}";

fn fixture(name: &str) -> Value {
    serde_json::from_str(match name {
        "schema-1" => include_str!("fixtures/schema-1.json"),
        "schema-3" => include_str!("fixtures/schema-3.json"),
        other => panic!("no fixture {other}"),
    })
    .expect("JSON")
}

pub(crate) async fn a_big_queue_and_hostile_text_come_back_as_they_were(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    let mut all = lists(1_000);
    all.queue[500] = item(500, HOSTILE);
    let mut head = playing(1_000);
    head.filters =
        Some(json!({ "$where": { "a.b": [HOSTILE, 1, -1, 1.5, u64::MAX, null, true] }, "nul\u{0}": {}, "": 1 }));
    head.unknown
        .insert("$odd.key\u{0}%".into(), json!({ HOSTILE: HOSTILE }));
    head.settings.dj_role = Some(u64::MAX >> 1);
    head.voice = Some(VoiceRecord {
        channel: segue::model::ids::ChannelId::new(77),
        credentials: Some(VoiceCredentials {
            session_id: HOSTILE.into(),
            token: "secret".into(),
            endpoint: "voice.example:443".into(),
            channel: segue::model::ids::ChannelId::new(77),
        }),
        listeners: vec![segue::model::ids::UserId::new(u64::MAX)],
        node: Some(segue::model::ids::NodeName("a.b$c".into())),
    });
    head.pending = vec![PendingRecord {
        id: segue::model::ids::InteractionId::new(9),
        token: "t0k3n".into(),
        order: json!({ "order": "seek", "position_ms": 5 }),
        locale: "de".into(),
    }];
    let big = GuildWrite {
        head: head.clone(),
        lists: Some(all.clone()),
        ..write(guild(1), "a", 1, 2)
    };
    assert_eq!(store.write_guild(&big).await.expect("writes"), Written::Done);
    let row = bed
        .another()
        .await
        .guild(guild(1))
        .await
        .expect("reads")
        .expect("there");
    assert_eq!(row.snapshot.head, head);
    assert_eq!(row.snapshot.lists, all);
}

pub(crate) async fn unknown_fields_of_a_head_survive(bed: &Bed) {
    let store = &bed.store;
    let mut head = serde_json::to_value(playing(5)).expect("a head");
    head["from_the_future"] = json!({ "deep": [1, { "er": null }] });
    bed.put_raw(guild(1), &me("a"), &head, Some(&json!({ "queue": [], "history": [] })))
        .await;
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    let mut next = write(guild(1), "a", 3, 8);
    next.head = Head {
        volume: 7,
        ..row.snapshot.head
    };
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    let stored = bed.raw_head(guild(1)).await;
    assert_eq!(stored["from_the_future"], json!({ "deep": [1, { "er": null }] }));
    assert_eq!(stored["volume"], 7);
}

pub(crate) async fn a_record_of_schema_one_is_read_and_rewritten_as_two(bed: &Bed) {
    let store = &bed.store;
    bed.put_raw(guild(1), &me("a"), &fixture("schema-1"), None).await;
    let sealed = seal(store, 0, Some(&me("a")), &me("b")).await;
    let head = &sealed.active[0].snapshot.head;
    assert_eq!(
        (head.schema, head.volume, head.loop_mode),
        (SCHEMA, 80, LoopMode::Queue)
    );
    assert!(
        matches!(&head.deck, DeckRecord::Paused { position_ms: 61_500, reason: PauseReason::Person, item } if item.id.0 == 4)
    );
    assert_eq!(sealed.active[0].snapshot.lists.queue.len(), 2);
    assert_eq!(sealed.active[0].snapshot.lists.history.len(), 1);
    // A head alone is written: the lists that lay inside the old head stay.
    let mut next = write(guild(1), "b", 4, 8);
    next.head = Head {
        volume: 81,
        ..head.clone()
    };
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!((row.snapshot.head, row.rev), (next.head, Rev(8)));
    assert_eq!(row.snapshot.lists, sealed.active[0].snapshot.lists);
    assert_eq!(bed.raw_head(guild(1)).await["schema"], 2);
}

pub(crate) async fn schema_one_is_written_while_somebody_needs_it(bed: &Bed) {
    let store = &bed.store;
    settle(store, guild(1), "a").await;
    store.set_write_schema(1);
    let mut next = write(guild(1), "a", 1, 2);
    next.head.loop_mode = LoopMode::Track;
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    let stored = bed.raw_head(guild(1)).await;
    assert_eq!((&stored["schema"], &stored["loop"]), (&json!(1), &json!(true)));
    assert_eq!(stored["queue"].as_array().map(Vec::len), Some(3));
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!(
        (row.snapshot.head.loop_mode, row.snapshot.lists),
        (LoopMode::Track, lists(3))
    );
    // Again in the old form, the head alone; then a guild that is new; then back to the new form.
    next.rev = Rev(3);
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    store
        .claim_guild(guild(2), 0, None, &me("a"))
        .await
        .expect("answers")
        .ours()
        .expect("free");
    assert_eq!(bed.raw_head(guild(2)).await["schema"], 1);
    store.set_write_schema(99);
    next.rev = Rev(4);
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    assert_eq!(bed.raw_head(guild(1)).await["schema"], 2);
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!(row.snapshot.lists, lists(3));
}

pub(crate) async fn what_an_older_member_cannot_read_is_rewritten_before_it_gets_it(bed: &Bed) {
    let store = &bed.store;
    store.join(member("a")).await.expect("joins");
    take(store, 0, None, "a").await;
    for id in 1..=3 {
        settle(store, guild(id), "a").await;
    }
    settle(store, guild(4), "b").await;
    bed.put_raw(guild(5), &me("a"), &fixture("schema-3"), None).await;
    let saved = store.checkpoint(&[checkpoint(guild(1), "a", 1, 1, 60_000)]).await;
    assert!(saved.expect("saves").is_empty());
    let before = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!(
        store.lower_schema(0, &me("a")).await.expect("rewrites"),
        0,
        "nobody needs it"
    );
    // An older version joins: at the next look it is known, and what it cannot read becomes readable.
    let older = MemberRow {
        schema: 1,
        ..member("old")
    };
    bed.another().await.join(older).await.expect("joins");
    assert_eq!(store.write_schema(), SCHEMA);
    assert_eq!(store.scan().await.expect("scans").members.len(), 2);
    assert_eq!(store.write_schema(), 1);
    assert_eq!(store.lower_schema(0, &me("a")).await.expect("rewrites"), 3);
    assert_eq!(
        store.lower_schema(0, &me("a")).await.expect("rewrites"),
        0,
        "idempotent"
    );
    let stored = bed.raw_head(guild(1)).await;
    assert_eq!(
        (&stored["schema"], stored["queue"].as_array().map(Vec::len)),
        (&json!(1), Some(3))
    );
    assert_eq!(
        store.guild(guild(1)).await.expect("reads"),
        Some(before),
        "nothing else changed"
    );
    assert_eq!(
        bed.raw_head(guild(4)).await["schema"],
        json!(SCHEMA),
        "another member's"
    );
    assert_eq!(
        bed.raw_head(guild(5)).await,
        fixture("schema-3"),
        "nobody here can read it"
    );
}

pub(crate) async fn a_shard_is_released_in_a_schema_that_everybody_reads(bed: &Bed) {
    let store = &bed.store;
    store.join(member("a")).await.expect("joins");
    take(store, 0, None, "a").await;
    settle(store, guild(1), "a").await;
    let older = MemberRow {
        schema: 1,
        ..member("old")
    };
    bed.another().await.join(older).await.expect("joins");
    assert!(
        store
            .release_shard(0, &me("a"), Epoch(1), None)
            .await
            .expect("releases")
    );
    assert_eq!(
        bed.raw_head(guild(1)).await["schema"],
        1,
        "though nobody had looked since it joined"
    );
    // It ends; for as long as it is remembered, it may come back.
    assert!(store.set_state(&me("old"), MemberState::Gone).await.expect("goes"));
    assert_eq!(store.members().await.expect("members").len(), 2);
    assert_eq!(store.write_schema(), 1);
}

pub(crate) async fn a_newer_record_is_named_and_left_untouched(bed: &Bed) {
    let store = &bed.store;
    let newer = fixture("schema-3");
    bed.put_raw(guild(1), &me("a"), &newer, None).await;
    settle(store, guild(2), "a").await;
    let sealed = seal(store, 0, Some(&me("a")), &me("b")).await;
    assert_eq!(sealed.active.len(), 1);
    assert_eq!(sealed.unreadable.len(), 1);
    let (id, why) = &sealed.unreadable[0];
    assert_eq!(*id, guild(1));
    assert!(why.contains("schema is 3"), "{why}");
    let unreadable = |result: &Result<_, StoreError>| matches!(result, Err(StoreError::Unreadable { what, .. }) if what == "guild 1");
    let id: GuildId = guild(1);
    assert!(unreadable(&store.guild(id).await.map(drop)));
    assert!(unreadable(&store.claim_guild(id, 0, None, &me("b")).await.map(drop)));
    assert!(unreadable(&store.write_guild(&write(id, "b", 4, 9)).await.map(drop)));
    assert_eq!(bed.raw_head(id).await, newer);
}
