//! `segue status` and `segue release`, as programs on a store.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use segue::model::ids::Epoch;
use segue::store::{Assignment, Beat, Campaign, FAILURES_UNTIL_QUARANTINE, Fence, GuildClaim, MemberRow, RecoveryRow};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::bed::{Bed, guild, me, member, settle, take};

/// Ends with what the program printed.
async fn segue(store: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_segue"));
    let home = tempfile::tempdir().expect("a folder");
    program.args(arguments).env_clear().env("HOME", home.path());
    program
        .env("SEGUE_STORE", store)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = timeout(Duration::from_secs(30), program.output())
        .await
        .expect("it ends");
    let Output { status, stdout, stderr } = ended.expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout), text(&stderr))
}

async fn status(bed: &Bed) -> Value {
    let (code, out, err) = segue(&bed.address(), &["status", "--json"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    serde_json::from_str(&out).expect("one JSON value")
}

fn recovery(number: u64, at_ms: i64, gap_ms: u64) -> RecoveryRow {
    RecoveryRow {
        guild: guild(number),
        shard: 0,
        member: me("a"),
        trigger: "node_lost".into(),
        outcome: "carried_on".into(),
        at_ms,
        took_ms: 310,
        gap_ms,
        lost_ms: None,
        phases: vec![("load".into(), 3)],
        trace_id: (gap_ms > 0).then(|| "4bf92f3577b34da6a3ce929d0e0e4736".into()),
    }
}

/// Two members, one of them dead, three shards, a quarantined guild and two recoveries.
async fn furnish(bed: &Bed) {
    let store = &bed.store;
    for (id, name) in [("a", "blue"), ("b", "red")] {
        let row = MemberRow {
            name: name.into(),
            version: "7.8.9".into(),
            ..member(id)
        };
        store.join(row).await.expect("joins");
    }
    take(store, 0, None, "a").await;
    take(store, 2, None, "a").await;
    let moving = Assignment {
        shard: 0,
        want: me("b"),
        trace: None,
    };
    assert_eq!(store.assign(0, &[moving]).await.expect("assigns"), [0]);
    let beat = Beat {
        playing: BTreeMap::from([(0, 30), (2, 12)]),
        ..Beat::default()
    };
    for name in ["a", "b"] {
        store.renew(&me(name), &beat).await.expect("renews").expect("lives");
    }
    let elected = store.campaign(&me("a"), 600_000).await.expect("answers");
    assert_eq!(elected, Campaign::Leader { term: 1 });
    assert!(
        store
            .fence(&Fence::proven(me("b"), "its process is gone"))
            .await
            .expect("fences")
    );
    for id in [1, 2] {
        settle(store, guild(id), "a").await;
    }
    for _ in 0..FAILURES_UNTIL_QUARANTINE {
        let counted = store
            .guild_failed(guild(2), &me("a"), Epoch(1), "a panic in the player")
            .await;
        assert!(counted.expect("counts") > 0);
    }
    let recoveries = [recovery(1, 1_700_000_000_123, 0), recovery(2, 1_700_000_060_000, 2_500)];
    store.record_recoveries(&recoveries).await.expect("records");
}

pub(crate) async fn status_for_programs_has_the_promised_shape(bed: &Bed) {
    let empty = json!({
        "leader": null, "term": 0, "members": [], "shards": [],
        "guilds": { "playing": 0, "active": 0, "quarantined": [] }, "recoveries": [],
    });
    assert_eq!(status(bed).await, empty);
    furnish(bed).await;
    let expected = json!({
        "leader": "a", "term": 1,
        "members": [
            { "id": "a", "state": "live", "http": "127.0.0.1:1", "shards": [0, 2] },
            { "id": "b", "state": "fenced", "http": "127.0.0.1:1", "shards": [] },
        ],
        "shards": [{ "id": 0, "owner": "a", "epoch": 1 }, { "id": 2, "owner": "a", "epoch": 1 }],
        "guilds": { "playing": 42, "active": 2, "quarantined": ["2"] },
        "recoveries": [
            { "guild": "2", "trigger": "node_lost", "outcome": "carried_on", "at": "2023-11-14T22:14:20Z",
              "took_ms": 310, "gap_ms": 2_500, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736" },
            { "guild": "1", "trigger": "node_lost", "outcome": "carried_on", "at": "2023-11-14T22:13:20.123Z",
              "took_ms": 310, "gap_ms": 0, "trace_id": null },
        ],
    });
    assert_eq!(status(bed).await, expected);
}

pub(crate) async fn status_for_people_says_the_same_in_words(bed: &Bed) {
    let address = bed.address();
    let (code, out, _) = segue(&address, &["status"]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("leader  none yet") && !out.contains("shard"), "{out}");
    furnish(bed).await;
    let mut out = String::new();
    // Again and again: what is not yet closed when a program ends may complain, now and then.
    for _ in 0..10 {
        let said = segue(&address, &["status"]).await;
        assert_eq!((said.0, said.2.as_str()), (Some(0), ""), "{}", said.1);
        out = said.1;
    }
    // What stands in one line, in this order.
    let lines: [&[&str]; 10] = [
        &["store", &bed.store.describe()],
        &["leader", "blue, term 1"],
        &["guilds", "42 playing, 2 active, 1 quarantined"],
        &["blue", "live", "0 2", "42", "7.8.9", "127.0.0.1:1", "a"],
        &["red", "fenced: its process is gone", "-", "0", "7.8.9", "b"],
        &["0", "blue", "1", "red"],
        &["2", "blue", "1", "-"],
        &["2", "a panic in the player"],
        &[
            "days ago",
            "2",
            "0",
            "node lost",
            "carried on",
            "310 ms",
            "2500 ms",
            "4bf92f35",
        ],
        &["days ago", "1", "0", "node lost", "carried on", "310 ms", "none", "-"],
    ];
    let mut rest = out.lines();
    for parts in lines {
        let found = rest.by_ref().any(|line| {
            let mut left = line;
            parts.iter().all(|part| match left.split_once(part) {
                Some((_, after)) => {
                    left = after;
                    true
                }
                None => false,
            })
        });
        assert!(found, "no line, after those before, with {parts:?} in:\n{out}");
    }
}

pub(crate) async fn release_lets_a_quarantined_guild_go_and_says_why_not(bed: &Bed) {
    furnish(bed).await;
    let address = bed.address();
    let cases = [
        ("2", Some(0), "guild 2 is let go"),
        ("2", Some(1), "guild 2 is not quarantined"),
        ("1", Some(1), "guild 1 is not quarantined"),
        ("77", Some(1), "guild 77 is not in "),
        ("seventy", Some(2), "Copy Server ID"),
        ("0", Some(2), "Copy Server ID"),
        ("-5", Some(2), "Copy Server ID"),
    ];
    for (id, code, words) in cases {
        let (ended, out, err) = segue(&address, &["release", id]).await;
        let said = if code == Some(0) { &out } else { &err };
        assert!(
            ended == code && said.contains(words),
            "release {id}: {ended:?}\n{out}\n{err}"
        );
    }
    assert_eq!(status(bed).await["guilds"]["quarantined"], json!([]));
    let claim = bed.store.claim_guild(guild(2), 0, None, &me("a")).await;
    assert!(matches!(claim.expect("answers"), GuildClaim::Ours(_)));
}

#[tokio::test]
async fn a_look_at_a_store_that_is_not_there_makes_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none/segue.db");
    let store = format!("sqlite:{}", path.display());
    for arguments in [&["status"][..], &["status", "--json"], &["release", "5"]] {
        let (code, out, err) = segue(&store, arguments).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains("there is no file") && err.contains("SEGUE_STORE"), "{err}");
    }
    assert!(!path.exists() && !folder.path().join("none").exists());
}
