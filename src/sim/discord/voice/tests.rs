//! Whether people hear the bot, and which voice server they are told to hear it on.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;

use super::super::tests::world;
use super::super::world::{Kind, Overwrite, World};
use super::permission;
use crate::sim::audio::{Content, End};

/// A world whose only guild has a person and the bot, which plays, in its first voice channel; the guild and its two voice
/// channels.
async fn playing() -> (World, u64, [u64; 2]) {
    let mut world = world(1).await;
    let known = world.guilds.values().next().unwrap();
    let voices: Vec<u64> = known
        .channels
        .values()
        .filter(|channel| channel.kind == Kind::Voice)
        .map(|channel| channel.id)
        .collect();
    let (guild, person) = (known.id, *known.members.keys().next().unwrap());
    world.move_person(guild, person, Some(voices[0]));
    world.bot_joins(guild, voices[0], "s", false, false);
    world.audio.link_opened(guild, 1);
    let content = Content {
        track: "t".to_owned(),
        title: "T".to_owned(),
        position_ms: 0,
        speed: 1.0,
        volume: 100,
    };
    world.audio.carries(guild, 1, "a", 0, End::Stopped, Some(content));
    (world, guild, [voices[0], voices[1]])
}

async fn later(world: &World, guild: u64, seconds: u64) -> Value {
    advance(Duration::from_secs(seconds)).await;
    world.audio.report(guild, 0)
}

fn make_stage(world: &mut World, guild: u64, channel: u64) {
    let known = world.guilds.get_mut(&guild).unwrap();
    known.channels.get_mut(&channel).unwrap().kind = Kind::Stage;
}

fn deny(world: &mut World, guild: u64, channel: u64, deny: u64) {
    let id = world.bot;
    let known = world.guilds.get_mut(&guild).unwrap();
    let overwrites = &mut known.channels.get_mut(&channel).unwrap().overwrites;
    overwrites.clear();
    overwrites.push(Overwrite {
        id,
        member: true,
        allow: 0,
        deny,
    });
    world.channel_changed(guild);
}

#[tokio::test(start_paused = true)]
async fn a_bot_that_mutes_itself_is_heard_by_nobody_and_that_is_a_gap() {
    let (mut world, guild, [here, _]) = playing().await;
    assert_eq!(later(&world, guild, 5).await["playing"], true);
    world.bot_joins(guild, here, "s", true, false);
    let report = later(&world, guild, 1).await;
    assert_eq!(
        (&report["playing"], &report["gaps"]),
        (&json!(false), &json!([{"from_ms": 5_000, "to_ms": null}]))
    );
    world.bot_joins(guild, here, "s", false, false);
    let report = later(&world, guild, 1).await;
    assert_eq!(
        (&report["playing"], &report["gaps"]),
        (&json!(true), &json!([{"from_ms": 5_000, "to_ms": 6_000}]))
    );
}

#[tokio::test(start_paused = true)]
async fn f23_a_bot_on_a_stage_is_heard_once_it_speaks_and_has_three_seconds_for_that() {
    for lifts in [true, false] {
        let (mut world, guild, [_, stage]) = playing().await;
        make_stage(&mut world, guild, stage);
        let person = *world.guilds[&guild].members.keys().next().unwrap();
        later(&world, guild, 5).await;
        assert!(world.move_bot(guild, Some(stage)));
        world.move_person(guild, person, Some(stage));
        let report = later(&world, guild, 2).await;
        assert_eq!((&report["playing"], &report["gaps"]), (&json!(false), &json!([])));
        if lifts {
            world.patch_bot_voice(guild, &json!({"suppress": false}));
        }
        let report = later(&world, guild, 4).await;
        let gaps = if lifts {
            json!([])
        } else {
            json!([{"from_ms": 8_000, "to_ms": null}])
        };
        assert_eq!((&report["playing"], &report["gaps"]), (&json!(lifts), &gaps));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bot_without_speak_is_in_its_channel_and_silent_but_not_on_a_stage() {
    let (mut world, guild, [here, _]) = playing().await;
    later(&world, guild, 5).await;
    deny(&mut world, guild, here, permission::SPEAK);
    let report = later(&world, guild, 2).await;
    assert_eq!((&report["playing"], &report["gaps"]), (&json!(false), &json!([])));
    let report = later(&world, guild, 2).await;
    assert_eq!(report["gaps"], json!([{"from_ms": 8_000, "to_ms": null}]));
    deny(&mut world, guild, here, 0);
    assert_eq!(later(&world, guild, 1).await["playing"], true);
    make_stage(&mut world, guild, here);
    deny(&mut world, guild, here, permission::SPEAK);
    assert_eq!(
        later(&world, guild, 1).await["playing"],
        true,
        "its suppression counts there"
    );
}

#[tokio::test(start_paused = true)]
async fn a_parting_that_never_comes_is_only_never_told() {
    for order in ["close_first", "close_last"] {
        let (mut world, guild, [_, other]) = playing().await;
        advance(Duration::from_secs(1)).await;
        let parting = json!({"kind": "voice_parting", "guild": guild.to_string(), "order": order, "ms": u64::MAX});
        world.begin_fault(&parting).unwrap();
        assert!(world.move_bot(guild, Some(other)));
        assert!(world.move_bot(guild, None));
        advance(Duration::from_secs(1)).await;
        world.tick();
    }
}

#[tokio::test(start_paused = true)]
async fn g26_a_voice_server_that_went_away_comes_back_at_another_address() {
    let (mut world, guild, [here, other]) = playing().await;
    let endpoint = |world: &World| world.switchboard.minted(guild).unwrap().endpoint;
    let mut before = endpoint(&world);
    world.move_bot(guild, Some(other));
    world.bot_joins(guild, here, "t", false, false);
    assert_eq!(
        endpoint(&world),
        before,
        "a move and a new session change only the token"
    );
    for _ in 0..9 {
        let id = world
            .begin_fault(&json!({"kind": "hide_endpoint", "guild": guild.to_string()}))
            .unwrap();
        assert_eq!(endpoint(&world), before);
        world.end_fault(id);
        assert_ne!(endpoint(&world), before);
        before = endpoint(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_goes_with_its_channel_is_told_in_the_log() {
    let (mut world, guild, _) = playing().await;
    let text = *world.guilds[&guild].channels.keys().next().unwrap();
    let message = world.send_message(text, &json!({"content": "x"}), None, false, false);
    assert!(world.delete_channel(text));
    let told = world.log.since(0);
    let gone = told.iter().find(|event| event["kind"] == "message_deleted").unwrap();
    assert_eq!(
        (&gone["message"], &gone["by"], &gone["channel"]),
        (&json!(message.to_string()), &json!("person"), &json!(text.to_string()))
    );
}
