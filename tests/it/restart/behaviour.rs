//! What is required of restarts, line by line.

use serde_json::{Value, json};

use super::scene::{End, Scene};
use crate::harness::{Bot, Setup, World, eventually};

async fn lose_nodes(world: &World) {
    for node in ["a", "b"] {
        world.fault(json!({ "kind": "restart_node", "node": node })).await;
    }
}

/// Kills the bot and both nodes, and starts the bot again.
async fn everything_died(scene: &mut Scene, bot: Bot) -> (Bot, Value) {
    scene.end(bot, End::Killed).await;
    lose_nodes(&scene.world).await;
    scene.again().await
}

/// A button of a message, by what its custom id ends with.
fn button(message: &Value, action: &str) -> Option<String> {
    let rows = message["components"].as_array()?.iter();
    let mut buttons = rows.flat_map(|row| row["components"].as_array().cloned().unwrap_or_default());
    buttons.find_map(|button| {
        button["custom_id"]
            .as_str()
            .filter(|id| id.ends_with(action))
            .map(str::to_owned)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn with_auto_resume_off_it_stays_paused_until_somebody_presses_resume() {
    let (mut scene, bot) = Scene::open(|world| Setup::sqlite(world).set("MUSIC_AUTO_RESUME", "false")).await;
    let (_bot, recovered) = everything_died(&mut scene, bot).await;
    assert_eq!(recovered["outcome"], "restored");
    scene.assert_one_notice().await;
    assert_eq!(scene.world.audio(&scene.guild).await["playing"], false);
    let notice = scene.world.reads(&scene.text, "waits at").await;
    let resume = button(&notice, "resume").expect("a Resume button");
    let person = scene.world.person(&scene.guild, 0).await;
    let answer = scene
        .world
        .press(notice["id"].as_str().unwrap(), &person, &resume)
        .await;
    assert!(answer.is_acknowledged(), "{answer:#?}");
    let audio = scene.world.heard(&scene.guild, "Alpha").await;
    let segments = audio["segments"].as_array().unwrap();
    let (before, now) = (&segments[segments.len() - 2], &segments[segments.len() - 1]);
    let (heard, on) = (
        before["position_to_ms"].as_u64().unwrap(),
        now["position_from_ms"].as_u64().unwrap(),
    );
    assert!(
        on + 2_500 >= heard && on <= heard + 300,
        "heard until {heard}, on at {on}"
    );
    scene.assert_nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guilds_own_choice_overrides_the_operators() {
    let (mut scene, bot) = Scene::open(|world| Setup::sqlite(world).set("MUSIC_AUTO_RESUME", "false")).await;
    scene
        .world
        .command(&scene.guild, "settings", json!({ "auto-resume": true }))
        .await;
    let (_bot, recovered) = everything_died(&mut scene, bot).await;
    assert_eq!(recovered["outcome"], "restored");
    scene.world.heard(&scene.guild, "Alpha").await;
    scene.assert_one_notice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_paused_stays_paused_whatever_died() {
    let (mut scene, bot) = Scene::open(Setup::sqlite).await;
    scene.world.command(&scene.guild, "pause", json!({})).await;
    scene.world.silent(&scene.guild).await;
    let (_bot, recovered) = everything_died(&mut scene, bot).await;
    assert_eq!(recovered["gap_ms"], 0, "nothing was interrupted");
    assert_eq!(scene.world.audio(&scene.guild).await["playing"], false);
    assert_eq!(scene.notices().await, Vec::<String>::new());
    scene.world.command(&scene.guild, "resume", json!({})).await;
    scene.world.heard(&scene.guild, "Alpha").await;
    scene.assert_nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_not_joined_and_its_queue_is_kept() {
    let (mut scene, bot) = Scene::open(|world| Setup::sqlite(world).set("SEGUE_RESTORE_MAX_AGE", "10ms")).await;
    let (_bot, recovered) = everything_died(&mut scene, bot).await;
    assert_eq!(recovered["outcome"], "restored");
    let notice = scene.world.reads(&scene.text, "Alpha").await;
    drop(notice);
    eventually("the bot is in no voice channel", || async {
        let guild = scene.world.guild(&scene.guild).await;
        if guild["bot"]["voice"].is_null() {
            Ok(())
        } else {
            Err(guild)
        }
    })
    .await;
    let queue = scene.world.command(&scene.guild, "queue", json!({})).await.text();
    assert!(queue.contains("Beta") && queue.contains("Delta"), "{queue}");
    scene.world.command(&scene.guild, "resume", json!({})).await;
    scene.world.heard(&scene.guild, "Alpha").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_channel_is_not_joined_again() {
    let (mut scene, bot) = Scene::open(Setup::sqlite).await;
    scene.end(bot, End::Killed).await;
    lose_nodes(&scene.world).await;
    let person = scene.world.person(&scene.guild, 0).await;
    scene.world.moves(&scene.guild, &person, None).await;
    let (_bot, recovered) = scene.again().await;
    assert!(recovered["outcome"].is_string());
    eventually("the queue is offered, and nothing plays", || async {
        let audio = scene.world.audio(&scene.guild).await;
        if audio["playing"] == false { Ok(()) } else { Err(audio) }
    })
    .await;
    let voice = scene.world.channel(&scene.guild, "voice", 0).await;
    scene.world.moves(&scene.guild, &person, Some(&voice)).await;
    scene.world.command(&scene.guild, "resume", json!({})).await;
    scene.world.heard(&scene.guild, "Alpha").await;
    scene.world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_it_does_not_join_and_says_what_is_missing() {
    let (mut scene, bot) = Scene::open(Setup::sqlite).await;
    scene.end(bot, End::Killed).await;
    let voice = scene.world.channel(&scene.guild, "voice", 0).await;
    let denied = json!({ "bot_denied": ["connect"] });
    scene
        .world
        .call(reqwest::Method::PATCH, &format!("/channels/{voice}"), Some(denied))
        .await;
    scene.world.fault(json!({ "kind": "expire_session", "shard": 0 })).await;
    let (_bot, recovered) = scene.again().await;
    assert_eq!(recovered["outcome"], "failed", "{recovered:#}");
    let after = scene.world.counters().await;
    assert_eq!(
        after["voice_state_update"], scene.before["voice_state_update"],
        "it did not even try"
    );
    scene.world.reads(&scene.text, "Connect").await;
    let queue = scene.world.command(&scene.guild, "queue", json!({})).await.text();
    assert!(queue.contains("Beta"), "{queue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_twice_changes_nothing() {
    let (mut scene, bot) = Scene::open(Setup::sqlite).await;
    let (bot, recovered) = everything_died(&mut scene, bot).await;
    assert_eq!(recovered["outcome"], "restored");
    scene.world.heard(&scene.guild, "Alpha").await;
    // Who dies before Discord has it never says it.
    scene.assert_one_notice().await;
    scene.end(bot, End::Killed).await;
    let (_bot, recovered) = scene.again().await;
    assert_eq!(recovered["outcome"], "carried_on");
    assert_eq!(scene.notices().await.len(), 1);
    scene.assert_nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_save_writes_each_round_what_moved_and_says_so_in_one_line() {
    let (scene, bot) = Scene::open(|world| Setup::sqlite(world).set("SEGUE_AUTOSAVE_INTERVAL", "200ms")).await;
    // Somebody else moves the track on the node: only what the node reports tells the bot.
    let world = scene.world.world().await;
    let audio = scene.world.audio(&scene.guild).await;
    let name = audio["segments"].as_array().unwrap().last().unwrap()["node"].clone();
    let nodes = world["nodes"].as_array().unwrap();
    let session = &nodes.iter().find(|node| node["name"] == name).unwrap()["sessions"][0]["id"];
    let node = scene
        .world
        .ready
        .lavalink
        .iter()
        .find(|node| name == node.name.as_str())
        .unwrap();
    let path = format!(
        "{}/v4/sessions/{}/players/{}",
        node.url,
        session.as_str().unwrap(),
        scene.guild
    );
    let request = reqwest::Client::new()
        .patch(path)
        .header("Authorization", &node.password);
    request
        .json(&json!({ "position": 300_000 }))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    let line = bot.logged("auto-saved").await;
    assert_eq!((&line["players"], &line["written"]), (&json!(1), &json!(1)), "{line:#}");
    assert!(line["took_ms"].is_u64(), "{line:#}");
    let first = stored_anchor(&scene).await;
    scene.world.heard_for(&scene.guild, 301_500).await;
    // On a machine without time to spare the node's first words come late, and a later one tells the position better.
    let rounds = bot.count("auto-saved");
    let last = stored_anchor(&scene).await;
    assert!(
        rounds == 1 || (rounds == 2 && !first.agrees(&last, segue::lifecycle::wall_ms(), 250)),
        "a position that only moves on as expected is not written again: {rounds} writes, {first:?}, {last:?}"
    );
}

async fn stored_anchor(scene: &Scene) -> segue::model::position::Anchor {
    let address = scene.setup.address().to_owned().into();
    let store = segue::store::open(&address).await.unwrap();
    let stored = store.guild(scene.guild.parse().unwrap()).await.unwrap().unwrap();
    let deck = stored.snapshot.head.deck;
    let segue::model::record::DeckRecord::Playing { anchor, .. } = deck else {
        panic!("it does not play: {deck:?}")
    };
    anchor
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_what_is_heard() {
    let (scene, _bot) = Scene::open(|world| Setup::sqlite(world).set("SEGUE_AUTOSAVE_INTERVAL", "200ms")).await;
    scene
        .world
        .command(&scene.guild, "seek", json!({ "position": "5:00" }))
        .await;
    let address = scene.setup.address().to_owned().into();
    let store = segue::store::open(&address).await.unwrap();
    let id = scene.guild.parse().unwrap();
    eventually("the stored position is what is heard", || async {
        let snapshot = store.guild(id).await.unwrap().unwrap().snapshot;
        let audio = scene.world.audio(&scene.guild).await;
        let heard = audio["segments"].as_array().unwrap().last().unwrap()["position_to_ms"]
            .as_u64()
            .unwrap();
        let segue::model::record::DeckRecord::Playing { anchor, .. } = snapshot.head.deck else {
            return Err((0, heard));
        };
        let stored = anchor.at(segue::lifecycle::wall_ms(), None).saturating_sub(330);
        if stored.abs_diff(heard) <= 500 {
            Ok(())
        } else {
            Err((stored, heard))
        }
    })
    .await;
    let snapshot = store.guild(id).await.unwrap().unwrap().snapshot;
    let titles: Vec<_> = snapshot
        .lists
        .queue
        .iter()
        .map(|item| item.track.title.as_str())
        .collect();
    assert_eq!(titles, ["Beta", "Gamma", "Delta"]);
    assert_eq!(
        (snapshot.head.volume, snapshot.head.loop_mode),
        (70, segue::model::record::LoopMode::Queue)
    );
    let panel = snapshot.head.panel.expect("a Now Playing message");
    let messages = scene.world.messages(&scene.text).await;
    assert!(
        messages
            .iter()
            .any(|message| message["id"] == panel.message.to_string())
    );
    assert!(snapshot.head.text_channel.is_some());
    assert!(
        snapshot
            .head
            .voice
            .is_some_and(|voice| voice.credentials.is_some() && voice.listeners.len() == 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_in_a_channel_it_leaves_and_keeps_the_queue() {
    let (scene, _bot) = Scene::open(|world| Setup::sqlite(world).set("SEGUE_ALONE_TIMEOUT", "300ms")).await;
    let person = scene.world.person(&scene.guild, 0).await;
    scene.world.moves(&scene.guild, &person, None).await;
    eventually("the bot left", || async {
        let guild = scene.world.guild(&scene.guild).await;
        if guild["bot"]["voice"].is_null() {
            Ok(())
        } else {
            Err(guild)
        }
    })
    .await;
    let queue = scene.world.command(&scene.guild, "queue", json!({})).await.text();
    assert!(queue.contains("Beta"), "{queue}");
    scene.world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_from_a_guild_it_forgets_what_was_stored() {
    let (scene, _bot) = Scene::open(Setup::sqlite).await;
    let address = scene.setup.address().to_owned().into();
    let store = segue::store::open(&address).await.unwrap();
    let id = scene.guild.parse().unwrap();
    assert!(store.guild(id).await.unwrap().is_some());
    scene
        .world
        .call(reqwest::Method::DELETE, &format!("/guilds/{}", scene.guild), None)
        .await;
    eventually("the row is gone", || async {
        match store.guild(id).await.unwrap() {
            None => Ok(()),
            Some(row) => Err(row),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_waits_for_the_stabilization_that_the_operator_wants() {
    let (mut scene, bot) = Scene::open(|world| Setup::sqlite(world).set("SEGUE_RESTORE_STABILIZATION", "1500ms")).await;
    let (_bot, recovered) = everything_died(&mut scene, bot).await;
    assert!(recovered["took_ms"].as_u64().unwrap() >= 1_500, "{recovered:#}");
    scene.world.heard(&scene.guild, "Alpha").await;
}
