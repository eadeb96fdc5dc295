//! What a replica holds in memory: by itself, and more for each idle guild, each that plays, and each queued track.

use std::time::Duration;

use serde_json::json;

use super::Line;
use crate::crowd;
use crate::figure::{Aim, Figure, Outcome};
use crate::harness::{Bot, Setup, World, within};
use crate::process::settled_kb;
use segue::sim;

pub(crate) const LINE: Line = Line {
    name: "memory",
    about: "resident memory: an empty shard, an idle guild, one that plays, a queued track",
    run: || Box::pin(measure()),
};

/// Idle guilds on one shard, and how many more another one has; Discord allows 2,500.
const FEW: usize = 400;
const IDLE: usize = 2_000;
/// How often both are started.
const PAIRS: usize = 5;
/// Guilds that play, and get a queue, before others are measured: with them come connections, their buffers, and the caches of
/// the store, which all others share.
const FIRST: usize = 100;
const FIRST_QUEUES: usize = 16;
/// Guilds that play, on so many shards that Discord lets all of them join within a minute.
const PLAYING: usize = 600;
const SHARDS: u32 = 12;
const JOINS: usize = 95;
/// People who come and go, for how long: about two megabytes of events a shard.
const FLOOD: u64 = 4_000;
const FLOOD_MS: u64 = 10_000;
/// Guilds that get a long queue, and how long.
const QUEUES: usize = 60;
const QUEUED: usize = 900;

async fn measure() -> Outcome {
    let mut figures = Vec::new();
    let (_world, bot) = replica(0, 1).await;
    let empty = settled_kb(bot.pid()).await;
    bot.kill().await;
    figures.push(figure("a replica with an empty shard", "MB", empty / 1_024.0, 40.0));

    figures.push(figure("more for an idle guild", "KB", of_an_idle_guild().await, 1.0));

    let (world, bot) = replica(PLAYING + 200, SHARDS).await;
    warmed(&world).await;
    let query = json!({ "query": format!("sim:playlist:Long?count={QUEUED}&length=600") });
    let places = crowd::spread(&crowd::places(&world).await, FIRST + PLAYING, JOINS);
    let (first, others) = places.split_at(FIRST);
    crowd::play(&world, first, "Alpha").await;
    let before = settled_kb(bot.pid()).await;
    crowd::play(&world, others, "Alpha").await;
    let playing = settled_kb(bot.pid()).await;
    let each = (playing - before) / count(PLAYING);
    figures.push(figure("more for a guild that plays", "KB", each, 8.0));

    crowd::ask_all(&world, &first[..FIRST_QUEUES], "play", &query).await;
    let before = settled_kb(bot.pid()).await;
    crowd::ask_all(&world, &others[..QUEUES], "play", &query).await;
    let queued = settled_kb(bot.pid()).await;
    let each = (queued - before) / count(QUEUES * QUEUED);
    figures.push(figure("more for a queued track", "KB", each, 0.8));
    bot.kill().await;
    Outcome::Measured(figures)
}

/// What an idle guild costs: the median of some pairs of processes, for where the allocator's arenas fall moves one by two
/// megabytes.
async fn of_an_idle_guild() -> f64 {
    let mut each = [0.0; PAIRS];
    for each in &mut each {
        let few = idle(FEW).await;
        *each = (idle(FEW + IDLE).await - few) / count(IDLE);
    }
    each.sort_by(f64::total_cmp);
    each[PAIRS / 2]
}

/// What a replica holds with so many guilds on one shard.
async fn idle(guilds: usize) -> f64 {
    let (world, bot) = replica(guilds, 1).await;
    warmed(&world).await;
    let held = settled_kb(bot.pid()).await;
    bot.kill().await;
    held
}

#[expect(clippy::cast_precision_loss, reason = "a few ten thousand")]
const fn count(number: usize) -> f64 {
    number as f64
}

fn figure(what: &str, unit: &'static str, value: f64, most: f64) -> Figure {
    Figure {
        what: what.to_owned(),
        value,
        unit,
        against: most,
        of: "the limit".to_owned(),
        aim: Aim::AtMost(1.0),
    }
}

/// Sends so many events that the window of each shard's decompression, about a megabyte, was written to the end: it belongs to
/// the shard, and would otherwise count as the guilds' in which something happens.
async fn warmed(world: &World) {
    let now = async || world.get("/world?guilds=none").await["now_ms"].as_u64().unwrap();
    let begun = now().await;
    world
        .fault(json!({ "kind": "flood", "per_s": FLOOD, "for_ms": FLOOD_MS }))
        .await;
    within(Duration::from_mins(1), "the flood is over", || async {
        let passed = now().await - begun;
        if passed > FLOOD_MS { Ok(()) } else { Err(passed) }
    })
    .await;
}

async fn replica(guilds: usize, shards: u32) -> (World, Bot) {
    let world = World::with(sim::Options {
        guilds,
        shards,
        max_concurrency: shards,
        nodes: vec!["a".into(), "b".into()],
        ..sim::Options::default()
    })
    .await;
    let bot = Setup::sqlite(&world).ready().await;
    (world, bot)
}
