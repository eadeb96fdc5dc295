//! What is special about a replica set: outages, round trips, addresses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use mongodb::bson::doc;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use secrecy::SecretString;
use segue::model::ids::Epoch;
use segue::store::mongo::MongoStore;
use segue::store::{
    Assignment, Campaign, Fence, GuildRow, OPERATION_DEADLINE, SharedStore, Store as _, StoreError, Written,
};
use tokio::time::Instant;

use super::bed::{Bed, checkpoint, guild, me, member, open, playing, seal, settle, take, write};
use crate::mongod::{self, ReplicaSet};

/// An operation's deadline, and something for a busy machine.
const PATIENCE: Duration = OPERATION_DEADLINE.saturating_add(Duration::from_millis(500));

async fn refused(address: &str) -> StoreError {
    segue::store::open(&SecretString::from(address))
        .await
        .expect_err("it does not open")
}

#[tokio::test]
async fn errors_about_an_address_never_quote_the_password() {
    for address in [
        "mongodb://user:hunter2%@host/segue",
        "mongodb://user:hunter2@/segue",
        "mongodb://user:hun/ter2@host/segue",
        "mongodb://user:hunter2@127.0.0.1:1/segue",
        "mongodb://user:hunter2@host:hunter2/segue",
    ] {
        let error = refused(address).await;
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && !text.contains("ter2"), "{text}");
    }
    let error = refused("mongodb://127.0.0.1:1/segue").await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_checkpoints_are_one_round_trip() {
    let Some(set) = mongod::shared().await else { return };
    let mut options = ClientOptions::parse(set.uri("round_trips")).await.expect("an address");
    let commands = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&commands);
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(_) = event {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let store = MongoStore::with_options(options).await.expect("opens");
    let me = me("a");
    // A few at a time: a thousand at once would only test how fast this machine is.
    let settled = stream::iter(1..=1_000).map(|id| {
        let (store, me) = (&store, &me);
        async move {
            store
                .claim_guild(guild(id), 0, None, me)
                .await
                .expect("claims")
                .ours()
                .expect("free");
            store.write_guild(&write(guild(id), "a", 1, 1)).await.expect("writes")
        }
    });
    let settled: Vec<_> = settled.buffer_unordered(16).collect().await;
    assert!(settled.iter().all(|written| *written == Written::Done));
    let batch: Vec<_> = (1..=1_000).map(|id| checkpoint(guild(id), "a", 1, 1, 60_000)).collect();
    commands.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    let lost = store.checkpoint(&batch).await.expect("saves");
    println!("1,000 checkpoints: {:?}", begun.elapsed());
    assert!(lost.is_empty());
    assert_eq!(commands.load(Ordering::Relaxed), 1);
}

/// A store that counts its commands by name.
async fn counting(uri: String) -> (SharedStore, Arc<Mutex<BTreeMap<String, usize>>>) {
    let mut options = ClientOptions::parse(uri).await.expect("an address");
    let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let counter = Arc::clone(&counts);
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            *counter
                .lock()
                .expect("never poisoned")
                .entry(started.command_name)
                .or_default() += 1;
        }
    }));
    let store = MongoStore::with_options(options).await.expect("opens");
    counts.lock().expect("never poisoned").clear();
    (Arc::new(store), counts)
}

/// Seals and releases a shard of that many guilds, and says how long it took.
async fn change_hands(bed: &Bed, guilds: u32) {
    settle(&bed.store, guild(1), "a").await;
    let collection = bed.collection("guilds").await;
    let first = collection.find_one(doc! {}).await.expect("found").expect("a guild");
    for part in (2..=guilds).collect::<Vec<_>>().chunks(500) {
        let rows = part.iter().map(|id| {
            let mut row = first.clone();
            row.extend(doc! { "_id": i64::from(*id), "ends_at_ms": i64::from(guilds - id) });
            row
        });
        collection.insert_many(rows).await.expect("inserted");
    }
    let (store, counts) = counting(bed.address()).await;
    let begun = Instant::now();
    let sealed = seal(&store, 0, Some(&me("a")), &me("b")).await;
    let counts = counts.lock().expect("never poisoned").clone();
    told(&format!("sealing {guilds} guilds: {:?}, {counts:?}", begun.elapsed()));
    assert_eq!(sealed.active.len(), guilds as usize);
    let ours = |row: &GuildRow| row.epoch == Epoch(2) && row.owner == Some(me("b"));
    assert!(sealed.active.iter().all(ours));
    assert!(sealed.active.is_sorted_by_key(|row| row.ends_at_ms));
    // The other find asks which members are final; what does not fit into one answer comes from the same cursor.
    assert_eq!((counts["update"], counts["find"]), (1, 2), "{counts:?}");
    let others = counts
        .keys()
        .filter(|name| !["update", "find", "getMore"].contains(&name.as_str()));
    assert_eq!(others.count(), 0, "{counts:?}");
    take(&bed.store, 0, None, "b").await;
    let begun = Instant::now();
    let released = bed.store.release_shard(0, &me("b"), Epoch(1), None).await;
    assert!(released.expect("releases"));
    told(&format!("releasing them: {:?}", begun.elapsed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_guilds_of_a_shard_are_sealed_by_one_update_and_one_find() {
    if let Some(bed) = Bed::mongodb("one_update_and_one_find").await {
        change_hands(&bed, 1_200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures: cargo test --test it store::mongo::figures -- --ignored --nocapture"]
async fn figures() {
    if let Some(bed) = Bed::mongodb("figures").await {
        change_hands(&bed, 11_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_confirmed_is_looked_up_and_answered_as_it_is() {
    let Some(set) = mongod::shared().await else { return };
    let plain = open(&set.uri("unsure")).await;
    let unsure = open(&format!("{}&appName=unsure", set.uri("unsure"))).await;
    for name in ["a", "b", "dead"] {
        plain.join(member(name)).await.expect("joins");
    }
    settle(&plain, guild(1), "a").await;
    let wanted = |name: &str| Assignment {
        shard: 0,
        want: me(name),
        trace: None,
    };
    let store = &unsure;
    // Every write happens, and the server says that no majority confirmed it in time.
    set.unconfirmed("unsure", &["update", "findAndModify"]).await;
    assert_eq!(store.new_term(&me("a")).await.expect("is looked up"), 1);
    let elected = store.campaign(&me("a"), 60_000).await.expect("is looked up");
    assert_eq!(elected, Campaign::Leader { term: 1 });
    let fence = Fence {
        trace: Some("00-aa-bb-01".into()),
        ..Fence::proven(me("dead"), "silent")
    };
    assert!(store.fence(&fence).await.expect("is looked up"));
    assert_eq!(store.assign(1, &[wanted("a")]).await.expect("is looked up"), [0]);
    // Nothing shows whether members were told: the caller tells them again.
    let told = store.tell(&[me("a")]).await;
    assert!(matches!(told, Err(StoreError::Unknown { .. })), "{told:?}");
    let claimed = store.claim_shard(0, None, &me("a")).await.expect("is looked up");
    assert_eq!(claimed.expect("taken").epoch, Epoch(1));
    let sealed = seal(store, 0, None, &me("a")).await;
    assert_eq!(sealed.active.len(), 1);
    assert_eq!(
        store
            .write_guild(&write(guild(1), "a", 1, 2))
            .await
            .expect("is looked up"),
        Written::Done
    );
    assert!(
        store
            .release_shard(0, &me("a"), Epoch(1), None)
            .await
            .expect("is looked up")
    );
    assert!(store.resign(&me("a"), 1).await.expect("is looked up"));
    set.confirms_again().await;
    let scan = plain.scan().await.expect("scans");
    assert_eq!((scan.leader.term, scan.leader.holder), (1, None));
    assert_eq!((&scan.shards[0].owner, scan.shards[0].epoch), (&None, Epoch(1)));
    let row = plain.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!((row.owner, row.rev.0), (None, 2));
    // The connection is lost before the command arrives, and nobody tries again: that is no refusal.
    set.hangs_up_once("unsure", "update").await;
    let lost = store.assign(2, &[wanted("b")]).await;
    assert!(matches!(lost, Err(StoreError::Unknown { .. })), "{lost:?}");
    assert_eq!(plain.shards().await.expect("shards")[0].want_term, 1);
    assert_eq!(store.assign(2, &[wanted("b")]).await.expect("assigns"), [0]);
    set.hangs_up_once("unsure", "update").await;
    let lost = store.assign(1, &[wanted("a")]).await;
    assert!(lost.expect("a higher term said so, whatever arrived").is_empty());
    set.confirms_again().await;
}

/// Writes ever higher revs until one is confirmed after `from`; every call must end in time. Returns the last that was.
async fn write_until_back(store: &SharedStore, from: u64, limit: Duration) -> (u64, Vec<Duration>) {
    let begun = Instant::now();
    let mut took = Vec::new();
    let mut rev = from;
    loop {
        let called = Instant::now();
        let result = store.write_guild(&write(guild(1), "a", 1, rev)).await;
        took.push(called.elapsed());
        assert!(called.elapsed() < PATIENCE, "{:?}: {result:?}", called.elapsed());
        match result {
            Ok(Written::Done) => return (rev, took),
            Err(error) => assert!(error.is_passing(), "{error:?}"),
            Ok(other @ (Written::Lost | Written::Stale)) => panic!("rev {rev} is {other:?}"),
        }
        assert!(begun.elapsed() < limit, "not back after {limit:?}");
        rev += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_when_the_primary_is_killed() {
    let Some(set) = ReplicaSet::private().await else { return };
    let store = open(&set.uri("killed")).await;
    store.join(member("a")).await.expect("joins");
    settle(&store, guild(1), "a").await;
    for rev in 2..=50 {
        let mut next = write(guild(1), "a", 1, rev);
        next.head.volume = 50;
        assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
    }
    set.kill_primary().await;
    let killed = Instant::now();
    let before = loop {
        if let Ok(row) = store.guild(guild(1)).await {
            break row.expect("there");
        }
        assert!(killed.elapsed() < Duration::from_secs(15), "no reads after 15 s");
    };
    assert_eq!((before.rev.0, before.snapshot.head.volume), (50, 50));
    let (rev, _) = write_until_back(&store, 51, Duration::from_secs(15)).await;
    println!("writes were back {:?} after the primary was killed", killed.elapsed());
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!((row.rev.0, row.snapshot.head), (rev, playing(1_000)));
    assert!(
        store
            .renew(&me("a"), &segue::store::Beat::default())
            .await
            .expect("renews")
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_primary_every_call_fails_in_time_and_then_it_goes_on() {
    let Some(set) = ReplicaSet::private().await else { return };
    let store = open(&set.uri("frozen")).await;
    settle(&store, guild(1), "a").await;
    set.no_primary_for(10).await;
    let begun = Instant::now();
    fails_in_time(&store, Duration::from_secs(5)).await;
    let (rev, took) = write_until_back(&store, 2, Duration::from_secs(40)).await;
    println!(
        "no primary: back after {:?}, {} writes failed",
        begun.elapsed(),
        took.len() - 1
    );
    // Frozen processes: connections stay open, nobody answers.
    set.stop_all();
    let begun = Instant::now();
    fails_in_time(&store, Duration::from_secs(10)).await;
    set.continue_all();
    let continued = Instant::now();
    let (rev, took) = write_until_back(&store, rev + 1, Duration::from_secs(40)).await;
    println!(
        "all stopped for {:?}: back {:?} later, {} writes failed",
        continued - begun,
        continued.elapsed(),
        took.len() - 1
    );
    assert_eq!(store.guild(guild(1)).await.expect("reads").expect("there").rev.0, rev);
}

/// For a while, every kind of call fails passingly and in time.
async fn fails_in_time(store: &SharedStore, span: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        let called = Instant::now();
        let late = write(guild(1), "stranger", 1, 1);
        let batch = [checkpoint(guild(1), "stranger", 1, 1, 1)];
        let (written, saved, read) = tokio::join!(
            store.write_guild(&late),
            store.checkpoint(&batch),
            store.guild(guild(1))
        );
        assert!(called.elapsed() < PATIENCE, "{:?}", called.elapsed());
        let errors = [written.err(), saved.err(), read.err()];
        // Reads need a primary too; the first round may still find the old one.
        let passing = errors.iter().flatten().all(StoreError::is_passing);
        assert!(passing, "{errors:?}");
        let failed = errors.iter().flatten().count();
        assert!(failed == 3 || begun.elapsed() < Duration::from_secs(2), "{errors:?}");
    }
}

/// For whoever wants to know how long it took.
#[expect(clippy::print_stderr, reason = "no figure is asserted here")]
fn told(words: &str) {
    eprintln!("{words}");
}
