//! Every command and button through the real wire: a real bot process in a simulated world.

mod bad_input;
mod deferred;
mod panel;
mod playing;
mod process;
mod queueing;

use serde_json::json;

use crate::harness::{Bot, Setup, World};

/// A world with one guild whose first person sits in the first voice channel, and a bot that is ready.
pub(super) async fn stage() -> (World, Bot, String) {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let bot = Setup::sqlite(&world).ready().await;
    world.listener(&guild).await;
    (world, bot, guild)
}

/// Queues tracks by title, each of 500 s; the first plays.
pub(super) async fn queue(world: &World, guild: &str, titles: &[&str]) {
    for title in titles {
        let answer = world
            .command(guild, "play", json!({ "query": format!("sim:{title}?length=500") }))
            .await;
        assert!(answer.is_acknowledged(), "{answer:#?}");
    }
    world.heard(guild, titles[0]).await;
}

/// What a command answers.
pub(super) async fn says(world: &World, guild: &str, name: &str, options: serde_json::Value) -> String {
    let answer = world.command(guild, name, options).await;
    assert!(answer.is_acknowledged(), "{answer:#?}");
    answer.text()
}
