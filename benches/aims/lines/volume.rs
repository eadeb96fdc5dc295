//! What a confirmed `/volume` costs, from the command to the answer on the wire, against a bare durable write.

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::WriteConcern;
use serde_json::json;
use tokio::time::Instant;

use super::Line;
use crate::crowd::{self, Place};
use crate::figure::{Aim, Figure, Outcome, median, ms, percentile};
use crate::harness::{Setup, World};
use crate::mongod::ReplicaSet;

pub(crate) const LINE: Line = Line {
    name: "volume",
    about: "a confirmed /volume (p99) against a bare durable write, on MongoDB and on SQLite",
    run: || Box::pin(measure()),
};

/// Commands, and bare writes, by turns.
const SAMPLES: usize = 400;
/// As large as what is written for a guild.
const SIZE: usize = 1_024;

async fn measure() -> Outcome {
    let mut figures = on_sqlite().await;
    match ReplicaSet::private().await {
        Some(set) => figures.extend(on_mongodb(&set).await),
        None => figures.clear(),
    }
    if figures.is_empty() {
        return Outcome::Skipped("no mongod; set SEGUE_MONGOD or run it by `cargo xtask bench`".to_owned());
    }
    Outcome::Measured(figures)
}

async fn on_sqlite() -> Vec<Figure> {
    let folder = tempfile::tempdir().unwrap();
    let bare = rusqlite::Connection::open(folder.path().join("bare.db")).unwrap();
    bare.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE guilds (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO guilds VALUES (1, '');",
    )
    .unwrap();
    let world = World::start(1).await;
    let setup = Setup::sqlite(&world);
    let write = async |nth: usize| {
        let body = format!("{nth:0>SIZE$}");
        tokio::task::block_in_place(|| {
            bare.execute("UPDATE guilds SET body = ?1 WHERE id = 1", [body])
                .unwrap()
        });
    };
    let (commands, writes) = compare(&world, &setup, write).await;
    let limit = 3.0 * percentile(&writes, 0.99) + 5.0;
    vec![
        Figure {
            what: "/volume on SQLite, p99".to_owned(),
            value: percentile(&commands, 0.99),
            unit: "ms",
            against: limit,
            of: "three bare writes (p99) and 5 ms".to_owned(),
            aim: Aim::AtMost(1.0),
        },
        middle("/volume on SQLite, median", &commands, &writes),
    ]
}

async fn on_mongodb(set: &ReplicaSet) -> Vec<Figure> {
    let client = Client::with_uri_str(set.uri("bare")).await.unwrap();
    let mut durable = WriteConcern::majority();
    durable.journal = Some(true);
    let guilds = client.database("bare").collection::<mongodb::bson::Document>("guilds");
    guilds.insert_one(doc! { "_id": 1, "body": "" }).await.unwrap();
    let world = World::start(1).await;
    let setup = Setup::store(&world, set.uri("volume"));
    let write = async |nth: usize| {
        let update = doc! { "$set": { "body": format!("{nth:0>SIZE$}") } };
        let written = guilds
            .update_one(doc! { "_id": 1 }, update)
            .write_concern(durable.clone());
        assert_eq!(written.await.unwrap().modified_count, 1);
    };
    let (commands, writes) = compare(&world, &setup, write).await;
    vec![
        Figure {
            what: "/volume on MongoDB, p99".to_owned(),
            value: percentile(&commands, 0.99),
            unit: "ms",
            against: percentile(&writes, 0.99),
            of: "a bare majority write, p99".to_owned(),
            aim: Aim::AtMost(3.0),
        },
        middle("/volume on MongoDB, median", &commands, &writes),
    ]
}

fn middle(what: &str, commands: &[f64], writes: &[f64]) -> Figure {
    Figure {
        what: what.to_owned(),
        value: median(commands),
        unit: "ms",
        against: median(writes),
        of: "a bare write, median".to_owned(),
        aim: Aim::Told,
    }
}

/// Milliseconds of each command and of each bare write, one after the other.
async fn compare(world: &World, setup: &Setup, write: impl AsyncFn(usize)) -> (Vec<f64>, Vec<f64>) {
    let bot = setup.ready().await;
    let places = crowd::places(world).await;
    crowd::play(world, &places, "Alpha").await;
    let (mut commands, mut writes) = (Vec::new(), Vec::new());
    for nth in 0..SAMPLES {
        let began = Instant::now();
        volume(world, &places[0], nth).await;
        commands.push(ms(began.elapsed()));
        let began = Instant::now();
        write(nth).await;
        writes.push(ms(began.elapsed()));
    }
    bot.kill().await;
    (commands, writes)
}

/// Each time another level, so that there is something to save.
async fn volume(world: &World, place: &Place, nth: usize) {
    crowd::ask(world, place, "volume", json!({ "level": 50 + nth % 50 })).await;
}
