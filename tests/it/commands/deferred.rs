//! Orders that take longer than Discord waits: deferred, and finished by whoever is there then.

use serde_json::json;

use super::{queue, says, stage};
use crate::harness::{Setup, World, eventually};

async fn hang(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for node in ["a", "b"] {
        faults.push(world.fault(json!({ "kind": "hang_rest", "node": node })).await);
    }
    faults
}

async fn heal(world: &World, faults: Vec<String>) {
    for fault in faults {
        world
            .call(reqwest::Method::DELETE, &format!("/faults/{fault}"), None)
            .await;
    }
}

async fn deferred(world: &World, id: &str) {
    eventually("the order is deferred", || async {
        let state = world.get(&format!("/interactions/{id}")).await;
        if state["kind"] == "deferred" {
            Ok(())
        } else {
            Err(state)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_search_is_deferred_in_time_and_answered_later() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["One"]).await;
    let faults = hang(&world).await;
    let id = world
        .issue(&guild, "play", json!({ "query": "sim:Late?length=500" }))
        .await;
    deferred(&world, &id).await;
    heal(&world, faults).await;
    let answer = world.answer(&id).await;
    assert!(answer.is_acknowledged() && !answer.text().is_empty(), "{answer:#?}");
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_deferred_is_finished_by_the_next_process() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world);
    let bot = setup.ready().await;
    world.listener(&guild).await;
    queue(&world, &guild, &["One"]).await;
    let faults = hang(&world).await;
    let id = world
        .issue(&guild, "play", json!({ "query": "sim:Orphan?length=500" }))
        .await;
    deferred(&world, &id).await;
    drop(bot.kill().await);
    heal(&world, faults).await;
    let _bot = setup.ready().await;
    let answer = world.answer(&id).await;
    assert!(answer.text().contains("Orphan"), "{answer:#?}");
    let text = says(&world, &guild, "queue", json!({})).await;
    assert_eq!(text.matches("[Orphan]").count(), 1, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_deferred_in_a_guild_where_nothing_plays_is_finished_by_the_next_process_too() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world);
    let bot = setup.ready().await;
    world.listener(&guild).await;
    let faults = hang(&world).await;
    let id = world
        .issue(&guild, "play", json!({ "query": "sim:First?length=500" }))
        .await;
    deferred(&world, &id).await;
    drop(bot.kill().await);
    heal(&world, faults).await;
    let _bot = setup.ready().await;
    let answer = world.answer(&id).await;
    assert!(answer.text().contains("First"), "{answer:#?}");
    world.heard(&guild, "First").await;
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_replayed_after_a_death_is_not_applied_twice() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world);
    let bot = setup.ready().await;
    world.listener(&guild).await;
    queue(&world, &guild, &["One"]).await;
    // Confirmed, but not yet counted as processed by a renewal: Discord sends it again.
    says(&world, &guild, "play", json!({ "query": "sim:Twice?length=500" })).await;
    drop(bot.kill().await);
    let _bot = setup.ready().await;
    let text = says(&world, &guild, "queue", json!({})).await;
    assert_eq!(text.matches("[Twice]").count(), 1, "{text}");
    world.assert_no_violations().await;
}
