//! A Lavalink node dies while the bot lives, and all of them do.

use serde_json::json;

use super::scene::Scene;
use crate::harness::{Setup, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_nodes_player_goes_on_elsewhere_where_it_was_heard_last() {
    let (scene, bot) = Scene::open(Setup::sqlite).await;
    let audio = scene.world.heard(&scene.guild, "Alpha").await;
    let node = audio["segments"].as_array().unwrap().last().unwrap()["node"].clone();
    scene.world.fault(json!({ "kind": "kill_node", "node": node })).await;
    let recovered = bot.logged("recovered").await;
    assert_eq!(
        (&recovered["outcome"], &recovered["trigger"]),
        (&json!("restored"), &json!("node_lost"))
    );
    let (before, now) = eventually("it is heard from the other node", || async {
        let audio = scene.world.audio(&scene.guild).await;
        let segments = audio["segments"].as_array().unwrap().clone();
        let now = segments.last().unwrap().clone();
        if now["node"] != node && now["to_ms"].is_null() {
            Ok((segments[segments.len() - 2].clone(), now))
        } else {
            Err(audio)
        }
    })
    .await;
    let (heard, on) = (
        before["position_to_ms"].as_u64().unwrap(),
        now["position_from_ms"].as_u64().unwrap(),
    );
    assert!(heard.abs_diff(on) <= 400, "heard until {heard}, on at {on}");
    let silence = now["from_ms"].as_u64().unwrap() - before["to_ms"].as_u64().unwrap();
    assert!(silence <= 2_000, "silent for {silence} ms");
    scene.assert_one_notice().await;
    scene.assert_nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_node_gone_the_music_waits_and_goes_on_when_one_is_back() {
    let (scene, _bot) = Scene::open(Setup::sqlite).await;
    let faults = [
        scene.world.fault(json!({ "kind": "kill_node", "node": "a" })).await,
        scene.world.fault(json!({ "kind": "kill_node", "node": "b" })).await,
    ];
    scene.world.silent(&scene.guild).await;
    let answer = scene
        .world
        .command(&scene.guild, "volume", json!({ "level": 60 }))
        .await;
    assert!(answer.is_acknowledged(), "{answer:#?}");
    for fault in faults {
        scene
            .world
            .call(reqwest::Method::DELETE, &format!("/faults/{fault}"), None)
            .await;
    }
    let audio = scene.world.heard(&scene.guild, "Alpha").await;
    assert_eq!(audio["segments"].as_array().unwrap().last().unwrap()["volume"], 60);
    scene.world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_cannot_start_in_the_middle_goes_on_elsewhere_where_it_was_heard_last() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let bot = Setup::sqlite(&world).ready().await;
    world.play(&guild, "Alpha").await;
    let query = json!({ "query": "sim:Opus?length=500&format=opus", "when": "now" });
    world.command(&guild, "play", query).await;
    world.heard(&guild, "Opus").await;
    world.command(&guild, "seek", json!({ "position": "1:00" })).await;
    // Until the node told where it is, as it counts.
    world.heard_for(&guild, 66_000).await;
    let audio = world.heard(&guild, "Opus").await;
    let node = audio["segments"].as_array().unwrap().last().unwrap()["node"].clone();
    world.fault(json!({ "kind": "kill_node", "node": node })).await;
    assert_eq!(bot.logged("recovered").await["outcome"], "restored");
    let (heard, on) = eventually("it is heard from the other node", || async {
        let audio = world.audio(&guild).await;
        let segments = audio["segments"].as_array().unwrap().clone();
        let before = segments
            .iter()
            .rfind(|segment| segment["node"] == node)
            .cloned()
            .unwrap();
        let now = segments.last().unwrap().clone();
        if now["node"] != node && now["to_ms"].is_null() && now["volume"] == 100 {
            Ok((
                before["position_to_ms"].as_u64().unwrap(),
                now["position_from_ms"].as_u64().unwrap(),
            ))
        } else {
            Err(audio)
        }
    })
    .await;
    assert!(
        heard > 60_000 && heard.abs_diff(on) <= 400,
        "heard until {heard}, on at {on}"
    );
    world.heard(&guild, "Opus").await;
    world.assert_no_violations().await;
}
