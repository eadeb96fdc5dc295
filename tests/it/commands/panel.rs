//! The Now Playing message and its buttons.

use serde_json::{Value, json};

use super::{queue, says, stage};
use crate::harness::{World, eventually, plain};

/// The Now Playing message when it reads `words`.
async fn panel(world: &World, guild: &str, words: &str) -> Value {
    let text = world.channel(guild, "text", 0).await;
    eventually(&format!("a Now Playing message with {words:?}"), || async {
        let messages = world.messages(&text).await;
        let found = messages.iter().find(|message| {
            let has_buttons = message["components"].as_array().is_some_and(|rows| rows.len() >= 2);
            has_buttons && plain(message).contains(words)
        });
        found.cloned().ok_or(messages)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_appears_follows_the_music_and_its_buttons_work() {
    let (world, _bot, guild) = stage().await;
    let person = world.person(&guild, 0).await;
    queue(&world, &guild, &["One", "Two", "Three"]).await;
    let message = panel(&world, &guild, "One").await;
    let id = message["id"].as_str().unwrap();
    let press = |action: &'static str| world.press(id, &person, action);
    assert!(press("segue:1:toggle_pause").await.is_acknowledged());
    world.silent(&guild).await;
    assert!(press("segue:1:resume").await.is_acknowledged());
    world.heard(&guild, "One").await;
    press("segue:1:skip").await;
    world.heard(&guild, "Two").await;
    assert_eq!(
        panel(&world, &guild, "Two").await["id"],
        id,
        "the same message is edited"
    );
    press("segue:1:previous").await;
    world.heard(&guild, "One").await;
    press("segue:1:volume_up").await;
    assert!(says(&world, &guild, "volume", json!({})).await.contains("110"));
    press("segue:1:volume_down").await;
    press("segue:1:loop").await;
    press("segue:1:shuffle").await;
    let answer = press("segue:1:queue:1").await;
    assert!(answer.text().contains("Three"), "{answer:#?}");
    press("segue:1:stop").await;
    world.silent(&guild).await;
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_written_again_when_somebody_deletes_it_and_an_older_ones_buttons_are_refused() {
    let (world, _bot, guild) = stage().await;
    let person = world.person(&guild, 0).await;
    queue(&world, &guild, &["One", "Two"]).await;
    let first = panel(&world, &guild, "One").await["id"].as_str().unwrap().to_owned();
    let shown = world.command(&guild, "nowplaying", json!({})).await;
    let other = shown.0["message"]["id"].as_str().unwrap().to_owned();
    let answer = world.press(&other, &person, "segue:1:skip").await;
    assert!(answer.text().contains("fresh ones"), "{answer:#?}");
    world
        .call(reqwest::Method::DELETE, &format!("/messages/{first}"), None)
        .await;
    says(&world, &guild, "skip", json!({})).await;
    let text = world.channel(&guild, "text", 0).await;
    eventually("a new Now Playing message", || async {
        let messages = world.messages(&text).await;
        let found = messages.iter().any(|message| {
            message["id"] != first.as_str()
                && message["id"] != other.as_str()
                && plain(message).contains("Two")
                && !message["components"].as_array().unwrap().is_empty()
        });
        if found { Ok(()) } else { Err(messages) }
    })
    .await;
}
