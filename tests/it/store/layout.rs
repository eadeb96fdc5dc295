//! Databases of the first layout, as older versions left them.

use mongodb::bson::{DateTime, doc};
use segue::model::ids::{Epoch, NodeName};
use segue::store::{Beat, Campaign, MemberState, Written};

use super::bed::{Bed, anchor, guild, lists, me, member, open, seal, settle, take, want, write};

/// The tables of the first version, and what a running cluster had in them.
const FIRST: &str = include_str!("fixtures/layout-1.sql");

#[tokio::test]
async fn a_file_of_the_first_layout_is_completed_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("segue.db");
    let db = rusqlite::Connection::open(&path).expect("opens");
    db.execute_batch(FIRST).expect("the old tables");
    let address = format!("sqlite:{}", path.display());
    // Two at once, as after an update of several replicas on one machine.
    let (store, other) = tokio::join!(open(&address), open(&address));
    let members = store.members().await.expect("members");
    let seen: Vec<_> = members
        .iter()
        .map(|row| {
            (
                row.id.clone(),
                row.state,
                row.seq,
                row.shard_seq.get(&0).copied(),
                row.version.as_str(),
            )
        })
        .collect();
    let expected = [
        (me("new"), MemberState::Live, 8, Some(21), ""),
        (me("old"), MemberState::Fenced, 4, Some(20), ""),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        (members[1].why.as_deref(), members[1].final_ms),
        (Some("silent"), Some(1_790_000_000_000))
    );
    assert_eq!((members[0].assign_gen, members[0].playing.len()), (0, 0));
    let shard = store.shards().await.expect("shards").remove(0);
    assert_eq!(
        (shard.owner, shard.epoch, shard.want, shard.want_term),
        (Some(me("new")), Epoch(6), None, 0)
    );
    assert_eq!(shard.session.map(|session| session.seq), Some(19));
    assert_eq!(shard.lavalink[&NodeName("a".into())], "lava");
    let row = store.guild(guild(5)).await.expect("reads").expect("there");
    assert_eq!((row.epoch, row.rev.0, row.snapshot.lists.queue.len()), (Epoch(3), 7, 0));
    assert_eq!((row.snapshot.head.volume, anchor(&row).position_ms), (80, 1_500));
    assert_eq!(
        store.meta("identity").await.expect("reads"),
        Some(serde_json::json!({ "shards": 1 }))
    );
    goes_on(&store).await;
    assert_eq!(other.active_guilds().await.expect("counts"), 1);
    // An older version still opens it and finds its way: it names its columns.
    let layout: i64 = db
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(layout, 1);
    let old_insert = "INSERT INTO members (id, state, seq, renewed_ms, shard_seq, why, row)
        SELECT 'third', 'live', 1, 0, '{}', NULL, replace(row, '\"new\"', '\"third\"') FROM members WHERE id = 'new'";
    db.execute(old_insert, []).expect("inserted");
    assert_eq!(store.members().await.expect("members").len(), 3);
}

/// Everything that is new works on what is old.
async fn goes_on(store: &segue::store::SharedStore) {
    let row = store
        .renew(&me("new"), &Beat::default())
        .await
        .expect("renews")
        .expect("lives");
    assert_eq!(row.seq, 9);
    assert_eq!(
        store.campaign(&me("new"), 1_000).await.expect("answers"),
        Campaign::Leader { term: 1 }
    );
    want(store, 0, "next").await;
    let row = store
        .claim_shard(0, Some(&me("new")), &me("next"))
        .await
        .expect("answers")
        .expect("taken");
    assert_eq!(row.epoch, Epoch(7));
    let sealed = seal(store, 0, Some(&me("new")), &me("next")).await;
    assert_eq!(sealed.active.len(), 1);
    assert_eq!(
        store.write_guild(&write(guild(5), "next", 4, 8)).await.expect("writes"),
        Written::Done
    );
    assert_eq!(
        store
            .guild_failed(guild(5), &me("next"), Epoch(4), "why")
            .await
            .expect("counts"),
        1
    );
    assert!(store.quarantined().await.expect("reads").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_the_first_layout_are_read_and_lose_nothing() {
    let Some(bed) = Bed::mongodb("first_layout").await else {
        return;
    };
    let store = &bed.store;
    // As the first version wrote them; the guild is what that version still writes.
    let seen = DateTime::from_millis(1_790_000_000_000);
    let live = doc! {
        "_id": "new", "name": "b", "state": "live", "seq": 8_i64, "renewed_at": seen, "schema": 2_i64,
        "origin": { "boot": "boot", "pid": 7_i64 }, "http": "127.0.0.1:1", "peer": null, "why": null,
        "shard_seq": { "0": 21_i64 },
    };
    let mut fenced = live.clone();
    fenced.extend(doc! { "_id": "old", "state": "fenced", "why": "silent", "seq": 4_i64 });
    // Not so long ago that it would be removed.
    fenced.insert("ended_at", DateTime::from_millis(store.now_ms().await.expect("a time")));
    let members = bed.collection("members").await;
    members.insert_many([live, fenced]).await.expect("inserted");
    let session = doc! {
        "id": "s", "resume_url": "wss://g", "seq": 19_i64, "num_shards": 1_i64, "intents": 1_i64, "token_hash": "h",
    };
    let shard = doc! { "_id": 0_i64, "owner": "new", "epoch": 6_i64, "session": session, "lavalink": { "a": "lava" } };
    let shards = bed.collection("shards").await;
    shards
        .insert_many([shard, doc! { "_id": 1_i64, "owner": "new", "epoch": 2_i64 }])
        .await
        .expect("inserted");
    settle(store, guild(5), "new").await;
    let rows = store.members().await.expect("members");
    let states: Vec<_> = rows
        .iter()
        .map(|row| (row.state, row.seq, row.final_ms.is_some()))
        .collect();
    assert_eq!(states, [(MemberState::Live, 8, false), (MemberState::Fenced, 4, true)]);
    let rows = store.scan().await.expect("scans").shards;
    assert_eq!(
        (rows[0].epoch, rows[0].session.as_ref().map(|session| session.seq)),
        (Epoch(6), Some(19))
    );
    assert_eq!((&rows[1].session, &rows[1].want, rows[1].want_term), (&None, &None, 0));
    let next = take(store, 0, Some("new"), "next").await;
    assert_eq!((next.epoch, next.lavalink.len()), (Epoch(7), 1));
    store.join(member("next")).await.expect("joins");
    let row = store
        .renew(&me("new"), &Beat::default())
        .await
        .expect("renews")
        .expect("lives");
    assert_eq!((row.seq, row.assign_gen), (9, 0));
    let sealed = seal(store, 0, Some(&me("new")), &me("next")).await;
    assert_eq!(sealed.active[0].snapshot.lists, lists(3));
}
