//! Commands that change what is heard.

use serde_json::json;

use super::{queue, says, stage};
use crate::harness::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn play_takes_a_link_words_or_a_list_and_puts_it_at_the_end_next_or_now() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["One", "Two"]).await;
    says(
        &world,
        &guild,
        "play",
        json!({ "query": "sim:Soon?length=500", "when": "next" }),
    )
    .await;
    let text = says(&world, &guild, "queue", json!({})).await;
    assert!(text.find("Soon") < text.find("Two"), "{text}");
    says(
        &world,
        &guild,
        "play",
        json!({ "query": "sim:Now?length=500", "when": "now" }),
    )
    .await;
    world.heard(&guild, "Now").await;
    let text = says(&world, &guild, "play", json!({ "query": "sim:playlist:Mix?count=5" })).await;
    assert!(text.contains("5 tracks"), "{text}");
    let text = says(&world, &guild, "play", json!({ "query": "ytsearch:the" })).await;
    assert!(text.contains("Added"), "{text}");
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autocomplete_suggests_what_is_known() {
    let (world, _bot, guild) = stage().await;
    let (person, text) = (world.person(&guild, 0).await, world.channel(&guild, "text", 0).await);
    let choices = eventually("suggestions", || async {
        let body = json!({ "user": person, "channel": text, "name": "play", "options": { "query": "the" }, "focused": "query" });
        let (status, asked) = world.try_call(reqwest::Method::POST, &format!("/guilds/{guild}/commands"), Some(body)).await;
        if !status.is_success() {
            return Err(asked);
        }
        let answer = world.answer(asked["interaction"].as_str().unwrap()).await.0;
        let found = answer["choices"].as_array().is_some_and(|choices| !choices.is_empty());
        if found { Ok(answer["choices"].clone()) } else { Err(answer) }
    })
    .await;
    assert!(choices.as_array().unwrap().len() <= 25, "{choices:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_that_do_not_come_in_time_are_none_and_never_a_deferral() {
    let (world, _bot, guild) = stage().await;
    let (person, text) = (world.person(&guild, 0).await, world.channel(&guild, "text", 0).await);
    queue(&world, &guild, &["One"]).await;
    for node in ["a", "b"] {
        world.fault(json!({ "kind": "hang_rest", "node": node })).await;
    }
    let path = format!("/guilds/{guild}/commands");
    for typed in ["the", "https://example.com/half-ty"] {
        let body = json!({ "user": person, "channel": text, "name": "play", "options": { "query": typed }, "focused": "query" });
        let asked = world.post(&path, body).await;
        let answer = world.answer(asked["interaction"].as_str().unwrap()).await;
        assert!(answer.is_acknowledged(), "{answer:#?}");
        assert_eq!(
            (&answer.0["kind"], &answer.0["choices"]),
            (&json!("autocomplete"), &json!([])),
            "{answer:#?}"
        );
    }
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_resume_seek_and_volume_are_heard() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["One"]).await;
    assert!(says(&world, &guild, "pause", json!({})).await.contains("Paused"));
    world.silent(&guild).await;
    assert!(says(&world, &guild, "pause", json!({})).await.contains("already"));
    assert!(says(&world, &guild, "resume", json!({})).await.contains("goes on"));
    world.heard(&guild, "One").await;
    assert!(
        says(&world, &guild, "seek", json!({ "position": "2:00" }))
            .await
            .contains("2:00")
    );
    world.heard_for(&guild, 120_100).await;
    assert!(
        says(&world, &guild, "seek", json!({ "position": "9:00" }))
            .await
            .contains("past the end")
    );
    assert!(
        says(&world, &guild, "volume", json!({ "level": 30 }))
            .await
            .contains("30")
    );
    eventually("the volume is heard", || async {
        let audio = world.audio(&guild).await;
        let volume = audio["segments"].as_array().unwrap().last().unwrap()["volume"].clone();
        if volume == 30 { Ok(()) } else { Err(volume) }
    })
    .await;
    assert_eq!(world.gaps(&guild).await, Vec::<serde_json::Value>::new());
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_previous_and_stop_move_through_the_tracks() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["One", "Two", "Three", "Four"]).await;
    assert!(says(&world, &guild, "skip", json!({})).await.contains("Two"));
    world.heard(&guild, "Two").await;
    says(&world, &guild, "previous", json!({})).await;
    world.heard(&guild, "One").await;
    assert!(says(&world, &guild, "skip", json!({ "to": 3 })).await.contains("Four"));
    world.heard(&guild, "Four").await;
    assert!(says(&world, &guild, "skip", json!({})).await.contains("last track"));
    world.silent(&guild).await;
    queue(&world, &guild, &["Five", "Six"]).await;
    assert!(says(&world, &guild, "stop", json!({})).await.contains("Stopped"));
    world.silent(&guild).await;
    assert!(
        says(&world, &guild, "skip", json!({}))
            .await
            .contains("Nothing is playing")
    );
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_tracks_end_the_loop_mode_decides_what_is_heard() {
    let (world, _bot, guild) = stage().await;
    for title in ["One", "Two"] {
        world
            .command(&guild, "play", json!({ "query": format!("sim:{title}?length=2") }))
            .await;
    }
    world.heard(&guild, "Two").await;
    says(&world, &guild, "loop", json!({ "mode": "track" })).await;
    eventually("Two is heard twice in a row", || async {
        let audio = world.audio(&guild).await;
        let twos = audio["segments"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|segment| segment["title"] == "Two")
            .count();
        if twos >= 2 { Ok(()) } else { Err(audio) }
    })
    .await;
    says(&world, &guild, "loop", json!({ "mode": "off" })).await;
    world.silent(&guild).await;
    world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn join_and_leave_move_the_bot_and_keep_the_queue() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["One", "Two"]).await;
    assert!(says(&world, &guild, "leave", json!({})).await.contains("queue is kept"));
    eventually("it left", || async {
        let voice = world.guild(&guild).await["bot"]["voice"].clone();
        if voice.is_null() { Ok(()) } else { Err(voice) }
    })
    .await;
    says(&world, &guild, "join", json!({})).await;
    says(&world, &guild, "resume", json!({})).await;
    world.heard(&guild, "One").await;
    world.assert_no_violations().await;
}
