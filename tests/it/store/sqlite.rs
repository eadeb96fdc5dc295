//! What is special about the file.

use std::os::unix::fs::PermissionsExt as _;

use futures_util::future::join_all;
use secrecy::SecretString;
use segue::store::sqlite::SqliteStore;
use segue::store::{GuildClaim, GuildWrite, Store as _, StoreError, Written};

use super::bed::{guild, lists, me, open, write};

async fn refused(address: String) -> StoreError {
    segue::store::open(&SecretString::from(address))
        .await
        .expect_err("it does not open")
}

#[tokio::test]
async fn the_file_is_made_for_its_owner_alone_and_its_folder_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a/b/segue.db");
    let store = open(&format!("sqlite:{}", path.display())).await;
    store.claim_guild(guild(1), 0, None, &me("a")).await.expect("claims");
    for name in ["segue.db", "segue.db-wal"] {
        let mode = path
            .with_file_name(name)
            .metadata()
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(
        path.parent()
            .expect("a folder")
            .metadata()
            .expect("there")
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
}

#[tokio::test]
async fn a_damaged_or_newer_file_is_told_plainly() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("segue.db");
    let address = format!("sqlite:{}", path.display());
    std::fs::write(&path, "this is no database, it is a text of some length ".repeat(200)).expect("written");
    let error = refused(address.clone()).await;
    assert!(matches!(&error, StoreError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains("backup"), "{error}");
    std::fs::remove_file(&path).expect("removed");
    drop(open(&address).await);
    let db = rusqlite::Connection::open(&path).expect("opens");
    db.execute_batch("PRAGMA user_version = 9").expect("set");
    assert!(refused(address).await.to_string().contains("newer version"));
    let folder = format!("sqlite:{}", folder.path().display());
    assert!(matches!(refused(folder).await, StoreError::Refused { .. }));
    for bad in ["sqlite:", "sqlite::memory:", "postgres://u:hunter2@h/db"] {
        let error = refused(bad.to_owned()).await;
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_was_confirmed_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("segue.db");
    let store = SqliteStore::open(&path).expect("opens");
    store.limit_pages(60).await.expect("limited");
    let mut confirmed = 0;
    let mut full = None;
    store
        .claim_guild(guild(1), 0, None, &me("a"))
        .await
        .expect("claims")
        .ours()
        .expect("free");
    for rev in 1..200 {
        let next = GuildWrite {
            lists: Some(lists(rev * 4)),
            ..write(guild(1), "a", 1, rev)
        };
        match store.write_guild(&next).await {
            Ok(written) => {
                assert_eq!(written, Written::Done);
                confirmed = rev;
            }
            Err(error) => {
                full = Some(error);
                break;
            }
        }
    }
    assert!(
        matches!(full, Some(StoreError::Full { .. })),
        "{full:?} after rev {confirmed}"
    );
    assert!(confirmed > 0);
    let row = store.guild(guild(1)).await.expect("reads").expect("there");
    assert_eq!((row.rev.0, row.snapshot.lists), (confirmed, lists(confirmed * 4)));
    store.limit_pages(100_000).await.expect("raised");
    let next = write(guild(1), "a", 1, 500);
    assert_eq!(store.write_guild(&next).await.expect("writes"), Written::Done);
}

#[tokio::test]
async fn one_request_that_does_not_fit_takes_no_other_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("segue.db")).expect("opens");
    for id in 1..=9 {
        store
            .claim_guild(guild(id), 0, None, &me("a"))
            .await
            .expect("claims")
            .ours()
            .expect("free");
    }
    store.limit_pages(80).await.expect("limited");
    let writes: Vec<_> = (1..=9)
        .map(|id| GuildWrite {
            lists: Some(lists(if id == 5 { 1_000 } else { 1 })),
            ..write(guild(id), "a", 1, 1)
        })
        .collect();
    let results = join_all(writes.iter().map(|write| store.write_guild(write))).await;
    for (id, result) in (1..=9).zip(results) {
        let row = store.guild(guild(id)).await.expect("reads").expect("there");
        if id == 5 {
            assert!(matches!(result, Err(StoreError::Full { .. })), "{result:?}");
            assert_eq!(row.rev.0, 0);
        } else {
            assert_eq!((result.expect("writes"), row.rev.0), (Written::Done, 1), "guild {id}");
        }
    }
}

#[tokio::test]
async fn requests_that_wait_share_a_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("segue.db")).expect("opens");
    let before = store.commits();
    let me = me("a");
    let claims = join_all((1..=200).map(|id| store.claim_guild(guild(id), 0, None, &me))).await;
    assert!(claims.iter().all(|claim| matches!(claim, Ok(GuildClaim::Ours(_)))));
    let commits = store.commits() - before;
    assert!(commits < 100, "{commits} commits for 200 writes");
}

#[tokio::test]
async fn what_another_process_locks_is_unavailable_within_the_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("segue.db");
    let store = SqliteStore::open(&path).expect("opens");
    let other = rusqlite::Connection::open(&path).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let begun = tokio::time::Instant::now();
    let error = store
        .claim_guild(guild(1), 0, None, &me("a"))
        .await
        .expect_err("locked");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(
        begun.elapsed() < segue::store::OPERATION_DEADLINE * 2,
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(store.guild(guild(1)).await.expect("reading goes on"), None);
    other.execute_batch("ROLLBACK").expect("unlocked");
    store
        .claim_guild(guild(1), 0, None, &me("a"))
        .await
        .expect("claims")
        .ours()
        .expect("free");
}

#[tokio::test]
#[ignore = "prints figures: cargo test --test it store::sqlite::figures -- --ignored --nocapture"]
async fn figures() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let store = SqliteStore::open(&folder.path().join("segue.db")).expect("opens");
    let me = me("a");
    for id in 1..=1_000 {
        store
            .claim_guild(guild(id), 0, None, &me)
            .await
            .expect("claims")
            .ours()
            .expect("free");
    }
    let round = |rev| {
        (1..=500)
            .map(move |id| write(guild(id), "a", 1, rev))
            .collect::<Vec<_>>()
    };
    let (begun, commits) = (tokio::time::Instant::now(), store.commits());
    for write in round(1) {
        store.write_guild(&write).await.expect("writes");
    }
    println!(
        "500 writes one by one: {:?}, {} commits",
        begun.elapsed(),
        store.commits() - commits
    );
    let (begun, commits, writes) = (tokio::time::Instant::now(), store.commits(), round(2));
    join_all(writes.iter().map(|write| store.write_guild(write))).await;
    println!(
        "500 writes at once: {:?}, {} commits",
        begun.elapsed(),
        store.commits() - commits
    );
    let batch: Vec<_> = (1..=1_000)
        .map(|id| super::bed::checkpoint(guild(id), "a", 1, 2, 60_000))
        .collect();
    let begun = tokio::time::Instant::now();
    store.checkpoint(&batch).await.expect("saves");
    println!("1,000 checkpoints: {:?}", begun.elapsed());
}
