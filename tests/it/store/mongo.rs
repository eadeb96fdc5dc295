//! What is special about a replica set: outages, round trips, addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use secrecy::SecretString;
use segue::store::mongo::MongoStore;
use segue::store::{OPERATION_DEADLINE, SharedStore, Store as _, StoreError, Written};
use tokio::time::Instant;

use super::bed::{checkpoint, guild, me, member, open, playing, settle, write};
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
    let begun = Instant::now();
    let sealed = store.seal(0, Some(&me), &super::bed::me("b")).await.expect("seals");
    println!(
        "sealing 1,000 guilds: {:?}, {} commands",
        begun.elapsed(),
        commands.load(Ordering::Relaxed)
    );
    assert_eq!(sealed.active.len(), 1_000);
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
