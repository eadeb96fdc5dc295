//! The Lavalink rows of the conformance list, as checks that need an address and nothing else: against the simulator here,
//! and with `cargo xtask test lavalink` against any Lavalink.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod rows;
mod socket;
mod target;
mod wave;

use bench::Bench;
use rows::{ROWS, Row};

/// What came of a row.
#[derive(Debug)]
enum Outcome {
    Alike,
    Differs(String),
    Skipped,
}

/// Runs every row, each with guilds of its own; a row that needs sound is skipped where there is none. The one that waits a
/// minute does so beside the others.
async fn examine(bench: &Bench) -> Vec<(&'static str, Outcome)> {
    let one = async |row: &Row| {
        let outcome = if row.needs_sound && !bench.has_sound() {
            Outcome::Skipped
        } else {
            match (row.check)(bench).await {
                Ok(()) => Outcome::Alike,
                Err(difference) => Outcome::Differs(format!("{difference:#}")),
            }
        };
        (row.name, outcome)
    };
    let (long, short): (Vec<&Row>, Vec<&Row>) = ROWS.iter().partition(|row| row.is_long);
    let several = async |rows: Vec<&Row>| {
        let mut found = Vec::new();
        for row in rows {
            found.push(one(row).await);
        }
        found
    };
    let (long, short) = tokio::join!(several(long), several(short));
    let mut found: Vec<_> = long.into_iter().chain(short).collect();
    let place = |name: &str| ROWS.iter().position(|row| row.name == name);
    found.sort_by_key(|(name, _)| place(name));
    found
}

/// One line for each row.
fn table(found: &[(&str, Outcome)]) -> String {
    let line = |(name, outcome): &(&str, Outcome)| match outcome {
        Outcome::Alike => format!("  {name:<54} as expected"),
        Outcome::Differs(how) => format!("  {name:<54} DIFFERS: {how}"),
        Outcome::Skipped => format!("  {name:<54} skipped: it needs sound; give --voice-endpoint HOST:PORT"),
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn assert_alike(found: &[(&str, Outcome)]) {
    let differs = found
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Differs(_)))
        .count();
    assert_eq!(differs, 0, "{differs} rows differ\n{}", table(found));
}

#[tokio::test]
async fn the_simulated_lavalink_behaves_as_the_rows_say() {
    let (bench, _nodes) = target::simulated().await;
    let found = examine(&bench).await;
    assert!(found.iter().all(|(_, outcome)| !matches!(outcome, Outcome::Skipped)));
    assert_alike(&found);
}

#[tokio::test]
#[ignore = "run by `cargo xtask test lavalink --url … --password …`"]
async fn a_lavalink_by_its_address_behaves_as_the_rows_say() {
    let bench = target::addressed().await;
    let found = examine(&bench).await;
    println!("{}", table(&found));
    assert_alike(&found);
}

/// The rows can tell a difference: a node that answers every request with 500 differs in nearly all of them.
#[tokio::test]
async fn a_node_that_is_out_of_order_differs_in_every_row_that_asks_it_something() {
    let (bench, nodes) = target::simulated().await;
    let fault = nodes
        .fault("fail_rest", &serde_json::json!({"node": "a"}))
        .unwrap()
        .unwrap();
    let found = examine(&bench).await;
    fault.end();
    let alike: Vec<_> = found
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Alike))
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(
        alike,
        [
            "L1 a handshake needs the password and a user",
            "L2 ready comes first, or right after stats",
            "N14 a user that is no number is closed with 1011",
        ],
        "{}",
        table(&found)
    );
}
