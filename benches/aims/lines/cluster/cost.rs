//! What three replicas cost while nothing happens but music.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Bson, doc};
use tokio::time::sleep;

use super::super::Line;
use crate::crowd;
use crate::figure::{Aim, Figure, Outcome};
use crate::mongod::ReplicaSet;
use crate::process;
use crate::stage;
use crate::team::Team;

pub(crate) const LINE: Line = Line {
    name: "cost",
    about: "three replicas with 100, 1,000 and 5,000 players: store operations, processor time, memory (takes a quarter of an hour)",
    run: || Box::pin(measure()),
};

/// So many that Discord lets 5,000 guilds join within a few minutes.
const SHARDS: u32 = 60;
const PLAYERS: [usize; 3] = [100, 1_000, 5_000];
const JOINS: usize = 95;
/// How long the store and the processors are watched.
const WATCH: Duration = Duration::from_secs(20);
/// What the store may be asked more often with 5,000 players than with 100: what comes once in a while, by chance.
const MORE: f64 = 1.25;

#[derive(Clone, Copy)]
struct Seen {
    players: f64,
    operations: f64,
    cores: f64,
    megabytes: f64,
}

async fn measure() -> Outcome {
    let Some((team, set, _api)) = stage::idle("cost", SHARDS, PLAYERS[2]).await else {
        return stage::skipped();
    };
    let places = crowd::spread(&crowd::places(&team.world).await, PLAYERS[2], JOINS);
    let (mut begun, mut all) = (0, Vec::new());
    for players in PLAYERS {
        crowd::play(&team.world, &places[begun..players], "Base").await;
        begun = players;
        all.push(watch(&team, &set, players).await);
    }
    Outcome::Measured(figures(&all))
}

async fn watch(team: &Team, set: &ReplicaSet, players: usize) -> Seen {
    let pids: Vec<u32> = team.bots.values().map(crate::harness::Bot::pid).collect();
    let cpu = || pids.iter().map(|pid| process::cpu(*pid)).sum::<Duration>();
    // Positions that were learnt better after the start are saved once more: not what a steady state is.
    sleep(WATCH).await;
    let (cpu_before, operations_before) = (cpu(), operations(set).await);
    sleep(WATCH).await;
    let seconds = WATCH.as_secs_f64();
    let memory: f64 = pids.iter().map(|pid| process::resident_kb(*pid)).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Seen {
        players: players as f64,
        operations: (operations(set).await - operations_before) as f64 / seconds,
        cores: cpu().saturating_sub(cpu_before).as_secs_f64() / seconds,
        megabytes: memory / 1_024.0,
    }
}

fn figures(all: &[Seen]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let least = all[0];
    for seen in all {
        let players = seen.players;
        let aim = if players > least.players {
            Aim::AtMost(MORE)
        } else {
            Aim::Told
        };
        let of = "with 100 players";
        let what = format!("{players} players: store operations a second");
        figures.push(Figure::new(&what, seen.operations, "/s", least.operations, of, aim));
        let (what, for_each) = (
            format!("{players} players: cores for 1,000 of them"),
            seen.cores / players * 1_000.0,
        );
        figures.push(Figure::new(&what, for_each, "cores", 1.0, "a core", Aim::Told));
        let what = format!("{players} players: memory of the largest replica");
        figures.push(Figure::new(&what, seen.megabytes, "MB", least.megabytes, of, Aim::Told));
    }
    figures
}

/// What clients asked the primary for so far: reads, writes, and what they look up.
async fn operations(set: &ReplicaSet) -> i64 {
    let primary = set.address(set.primary().await);
    let client = Client::with_uri_str(format!("mongodb://{primary}/?directConnection=true"))
        .await
        .unwrap();
    let status = client
        .database("admin")
        .run_command(doc! { "serverStatus": 1 })
        .await
        .unwrap();
    let counts = status.get_document("opcounters").unwrap();
    ["insert", "query", "update", "delete"]
        .iter()
        .map(|kind| match counts.get(kind) {
            Some(Bson::Int32(count)) => i64::from(*count),
            Some(Bson::Int64(count)) => *count,
            other => panic!("{kind}: {other:?}"),
        })
        .sum()
}
