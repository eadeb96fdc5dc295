//! IDENTIFYs: what all replicas together may spend.

use segue::sim;
use serde_json::{Value, json};

use crate::harness::{Bot, Setup, World, eventually};

async fn identifies(world: &World) -> u64 {
    world.counters().await["identify"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_days_budget_of_logins_and_never_spend_its_reserve() {
    let world = World::with(sim::Options {
        guilds: 2,
        shards: 2,
        max_concurrency: 2,
        ..sim::Options::default()
    })
    .await;
    // Ten are the reserve: one login is left for two shards.
    world.fault(json!({ "kind": "identify_budget", "remaining": 11 })).await;
    let setup = Setup::sqlite(&world);
    let bots = [setup.named("a").spawn(), setup.named("b").spawn()];
    let refused = |line: &Value| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("only the reserve"))
    };
    eventually("one shard has no login left", || async {
        let logs: Vec<Value> = bots.iter().flat_map(Bot::log).collect();
        if logs.iter().any(refused) { Ok(()) } else { Err(logs) }
    })
    .await;
    eventually("the other shard is ready", || async {
        let shards = world.world().await["shards"].clone();
        let ready = shards
            .as_array()
            .unwrap()
            .iter()
            .filter(|shard| shard["ready"] == true)
            .count();
        if ready == 1 { Ok(()) } else { Err(shards) }
    })
    .await;
    assert_eq!(identifies(&world).await, 1);
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_nobody_logs_in_and_with_it_again_the_music_goes_on() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut");
    let setup = Setup::sqlite(&world);
    let gated = format!("{}#cut={}", setup.address(), cut.display());
    let bot = setup.set("SEGUE_STORE", &gated).ready().await;
    world.play(&guild, "Base").await;
    let before = identifies(&world).await;
    std::fs::write(&cut, "").unwrap();
    world
        .fault(json!({ "kind": "invalidate_session", "shard": 0, "resumable": false }))
        .await;
    bot.logged("no IDENTIFY ticket without the store").await;
    assert_eq!(identifies(&world).await, before);
    std::fs::remove_file(&cut).unwrap();
    eventually("it logs in", || async {
        let now = identifies(&world).await;
        if now == before + 1 { Ok(()) } else { Err(now) }
    })
    .await;
    world.heard(&guild, "Base").await;
    world.assert_no_violations().await;
}
