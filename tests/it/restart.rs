//! Restarts: what people hear, and what the bot does on the wire, when it dies or leaves and comes back.

use serde_json::json;

use crate::harness::{Setup, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn kill_with_everything_alive_is_carried_on_without_a_gap() {
    let world = World::start(2).await;
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world);
    let bot = setup.ready().await;
    world.play(&guild, "Alpha").await;
    let before = world.counters().await;
    bot.kill().await;
    let bot = setup.ready().await;
    let recovered = bot.logged("recovered").await;
    assert_eq!(recovered["outcome"], "carried_on", "{recovered:#}");
    let answer = world.command(&guild, "volume", json!({ "level": 70 })).await;
    assert!(answer.text().contains("70"), "{answer:#?}");
    let after = world.counters().await;
    assert_eq!(before["identify"], after["identify"]);
    assert_eq!(before["voice_state_update"], after["voice_state_update"]);
    assert_eq!(world.gaps(&guild).await, Vec::<serde_json::Value>::new());
    eventually("the volume is heard", || async {
        let audio = world.audio(&guild).await;
        let last = audio["segments"].as_array().unwrap().last().cloned().unwrap();
        if last["volume"] == 70 { Ok(()) } else { Err(audio) }
    })
    .await;
    world.assert_no_violations().await;
}
