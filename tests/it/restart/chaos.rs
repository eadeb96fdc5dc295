//! A hundred guilds, killed twenty times in a row at random moments while people queue tracks.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::harness::{Setup, World, eventually, titles, within};

const GUILDS: usize = 100;
const KILLS: usize = 20;
/// Tracks that people ask for between two deaths.
const ASKED: usize = 12;

/// What a guild was promised, and what may or may not have come through.
#[derive(Default)]
struct Promised {
    confirmed: Vec<String>,
    open: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_deaths_in_a_row_lose_and_double_nothing_that_was_confirmed() {
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let world = World::start(GUILDS).await;
    let guilds = world.guilds().await;
    let setup = Setup::sqlite(&world);
    let mut bot = setup.ready().await;
    let begin = guilds.iter().map(|guild| world.play(guild, "Base"));
    futures_util::stream::iter(begin)
        .buffer_unordered(10)
        .collect::<Vec<()>>()
        .await;
    let mut promised: BTreeMap<String, Promised> = BTreeMap::new();
    for round in 0..KILLS {
        let asked: Vec<_> = (0..ASKED)
            .map(|n| (guilds[random.random_range(0..GUILDS)].clone(), format!("R{round}N{n}")))
            .collect();
        let mut ids = Vec::new();
        for (guild, title) in asked {
            let id = world
                .issue(&guild, "play", json!({ "query": format!("sim:{title}?length=900") }))
                .await;
            ids.push((guild, title, id));
        }
        // A random moment: after the first, the second, … confirmation, or before any.
        for (_, _, id) in ids.iter().take(random.random_range(0..ASKED)) {
            world.answer(id).await;
        }
        drop(bot.kill().await);
        for (guild, title, id) in ids {
            let answer = world.get(&format!("/interactions/{id}")).await;
            let guild = promised.entry(guild).or_default();
            let confirmed = answer["kind"] == "reply" && answer["replied_ms"].is_u64();
            if confirmed {
                guild.confirmed.push(title);
            } else {
                guild.open.push(title);
            }
        }
        bot = setup.ready().await;
        recovered(&bot).await;
    }
    settled(&setup, &promised).await;
    for guild in &guilds {
        world.heard(guild, "Base").await;
    }
    let players = world.world().await["nodes"].to_string();
    assert!(players.contains("players"), "{players}");
    world.assert_no_violations().await;
}

/// Every guild was taken over.
async fn recovered(bot: &crate::harness::Bot) {
    within(Duration::from_secs(30), "every guild is recovered", || async {
        let count = bot.count("recovered");
        if count >= GUILDS { Ok(()) } else { Err(count) }
    })
    .await;
}

/// What is stored holds everything confirmed exactly once, and nothing twice.
async fn settled(setup: &Setup, promised: &BTreeMap<String, Promised>) {
    let store = segue::store::open(&setup.address().to_owned().into()).await.unwrap();
    for (guild, promised) in promised {
        eventually(&format!("{guild} has what it was promised"), || async {
            let row = store.guild(guild.parse().unwrap()).await.unwrap().unwrap();
            let titles = titles(row);
            let once = |title: &String| titles.iter().filter(|stored| *stored == title).count() == 1;
            let never_twice = |title: &String| titles.iter().filter(|stored| *stored == title).count() <= 1;
            let kept = promised.confirmed.iter().all(once) && promised.open.iter().all(never_twice);
            let nothing_else = titles.len() <= 1 + promised.confirmed.len() + promised.open.len();
            if kept && nothing_else {
                Ok(())
            } else {
                Err((titles, promised.confirmed.clone(), promised.open.clone()))
            }
        })
        .await;
    }
}
