//! The world without sockets, on a clock that is moved by hand.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::advance;
use tokio_util::sync::CancellationToken;

use super::session::{Link, Out, Refusal};
use super::world::{Settings, Size, World};
use crate::sim::clock::Clock;
use crate::sim::log::Log;
use crate::sim::seam::{NodeOptions, Nodes};
use crate::sim::voice::Switchboard;

async fn world(guilds: usize) -> World {
    let clock = Clock::new();
    let log = Log::new(clock);
    let switchboard = Switchboard::default();
    let options = NodeOptions {
        listen: Vec::new(),
        host: "127.0.0.1".into(),
        seed: 1,
    };
    let (nodes, audio) = Nodes::start(options, clock, log.clone(), switchboard.clone())
        .await
        .unwrap();
    let settings = Settings {
        seed: 1,
        shards: 1,
        max_concurrency: 1,
        voice_endpoint: None,
        gateway_url: "ws://x".into(),
        session_ttl_ms: 90_000,
        heartbeat_ms: 41_250,
    };
    let mut world = World::new(settings, clock, log, switchboard, (Arc::new(nodes), audio));
    for _ in 0..guilds {
        world.create_guild(Size {
            members: 3,
            text: 1,
            voice: 2,
        });
    }
    world
}

#[expect(clippy::disallowed_methods, reason = "what a test reads is bounded by the test")]
fn link(conn: u64) -> (Link, mpsc::UnboundedReceiver<Out>) {
    let (out, seen) = mpsc::unbounded_channel();
    let cut = CancellationToken::new();
    (Link { conn, out, cut }, seen)
}

/// The names of the events that a socket was sent since the last look.
fn events(seen: &mut mpsc::UnboundedReceiver<Out>) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(out) = seen.try_recv() {
        if let Out::Frame(text) = out {
            let payload: Value = serde_json::from_str(&text).unwrap();
            names.extend(payload["t"].as_str().map(str::to_owned));
        }
    }
    names
}

fn login(world: &mut World, link: &Link) -> Result<String, Refusal> {
    let token = world.token.clone();
    world.identify(link, &json!({"token": token, "intents": 129, "shard": [0, 1]}))
}

fn resume(world: &mut World, link: &Link, session: &str) -> Result<String, Refusal> {
    let token = world.token.clone();
    world.resume(link, &json!({"token": token, "session_id": session, "seq": 1}))
}

fn first_voice(world: &World) -> (u64, u64) {
    let guild = world.guilds.values().next().unwrap();
    let voice = guild
        .channels
        .values()
        .find(|channel| channel.kind == super::world::Kind::Voice);
    (guild.id, voice.unwrap().id)
}

fn join(world: &mut World, session: &str, conn: u64) -> (u64, u64) {
    let (guild, channel) = first_voice(world);
    world.voice_request(
        session,
        conn,
        &json!({"guild_id": guild.to_string(), "channel_id": channel.to_string()}),
    );
    (guild, channel)
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_socket_lives_for_ninety_seconds_and_then_leaves_voice() {
    let mut world = world(1).await;
    let (socket, _seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let (guild, _) = join(&mut world, &session, 1);
    world.detach(Some(&session), 1, false);
    advance(Duration::from_secs(89)).await;
    world.tick();
    assert!(world.guilds[&guild].voice.contains_key(&world.bot));
    assert!(world.switchboard.minted(guild).is_some());
    advance(Duration::from_secs(1)).await;
    world.tick();
    assert!(!world.guilds[&guild].voice.contains_key(&world.bot));
    assert!(world.switchboard.minted(guild).is_none());
    assert_eq!(resume(&mut world, &socket, &session), Err(Refusal::Invalid));
}

#[tokio::test(start_paused = true)]
async fn two_sessions_of_a_shard_both_hear_everything_but_the_voice_server() {
    let mut world = world(1).await;
    let ((one, mut seen_one), (two, mut seen_two)) = (link(1), link(2));
    let first = login(&mut world, &one).unwrap();
    assert_eq!(login(&mut world, &two), Err(Refusal::Invalid), "within five seconds");
    advance(Duration::from_secs(5)).await;
    let second = login(&mut world, &two).unwrap();
    events(&mut seen_one);
    events(&mut seen_two);

    let (guild, channel) = join(&mut world, &first, 1);
    assert_eq!(events(&mut seen_one), ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]);
    assert_eq!(events(&mut seen_two), ["VOICE_STATE_UPDATE"]);
    let before = world.switchboard.minted(guild).unwrap();

    join(&mut world, &second, 2);
    assert_eq!(events(&mut seen_one), ["VOICE_STATE_UPDATE"]);
    assert_eq!(events(&mut seen_two), ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]);
    let after = world.switchboard.minted(guild).unwrap();
    assert_eq!((after.session_id.as_str(), after.channel), (second.as_str(), channel));
    assert_ne!(after.token, before.token);
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_ends_every_session_and_voids_the_token() {
    let mut world = world(1).await;
    let (socket, _seen) = link(1);
    login(&mut world, &socket).unwrap();
    world
        .begin_fault(&json!({"kind": "identify_budget", "remaining": 0}))
        .unwrap();
    advance(Duration::from_secs(5)).await;
    assert_eq!(
        login(&mut world, &socket),
        Err(Refusal::Close(4004, "Authentication failed."))
    );
    assert!(world.sessions.is_empty());
    assert_eq!(
        login(&mut world, &socket),
        Err(Refusal::Close(4004, "Authentication failed."))
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_and_a_lost_endpoint_last_until_their_fault_ends() {
    let mut world = world(1).await;
    let (socket, mut seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let (guild, _) = join(&mut world, &session, 1);
    let before = world.switchboard.minted(guild).unwrap();
    events(&mut seen);
    let body = json!({"kind": "guild_outage", "guild": guild.to_string(), "for_ms": 1_000});
    world.begin_fault(&body).unwrap();
    assert_eq!(events(&mut seen), ["GUILD_DELETE"]);
    advance(Duration::from_secs(1)).await;
    world.tick();
    assert_eq!(events(&mut seen), ["GUILD_CREATE"]);

    let id = world
        .begin_fault(&json!({"kind": "hide_endpoint", "guild": guild.to_string()}))
        .unwrap();
    assert_eq!(events(&mut seen), ["VOICE_SERVER_UPDATE"]);
    assert!(world.end_fault(id));
    assert_eq!(events(&mut seen), ["VOICE_SERVER_UPDATE"]);
    assert_ne!(world.switchboard.minted(guild).unwrap().token, before.token);
}

#[tokio::test(start_paused = true)]
async fn op_4_is_answered_out_of_order_when_a_fault_says_so() {
    for (how, wanted) in [
        ("server_first", vec!["VOICE_SERVER_UPDATE", "VOICE_STATE_UPDATE"]),
        (
            "server_twice",
            vec!["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE", "VOICE_SERVER_UPDATE"],
        ),
        ("no_server", vec!["VOICE_STATE_UPDATE"]),
        ("no_state", vec!["VOICE_SERVER_UPDATE"]),
    ] {
        let mut world = world(1).await;
        let (socket, mut seen) = link(1);
        let session = login(&mut world, &socket).unwrap();
        events(&mut seen);
        let (guild, _) = first_voice(&world);
        let body = json!({"kind": "voice_order", "guild": guild.to_string(), "how": how});
        world.begin_fault(&body).unwrap();
        join(&mut world, &session, 1);
        assert_eq!(events(&mut seen), wanted, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interaction_is_forgotten_when_its_token_is_long_dead() {
    let mut world = world(1).await;
    let (guild, _) = first_voice(&world);
    let person = *world.guilds[&guild].members.keys().next().unwrap();
    world
        .put_commands(&json!([{"name": "stop", "description": "d"}]))
        .unwrap();
    let wish = json!({"user": person.to_string(), "name": "stop"});
    let id = world.issue_command(guild, &wish).unwrap();
    let token = world.interactions[&id].token.clone();
    assert_eq!(world.callback(id, &token, &json!({"type": 5}), false, "").status, 204);
    let bot = world.bot.to_string();
    let edit = json!({"content": "x"});
    let which = super::respond::Which::Original;
    advance(Duration::from_mins(15)).await;
    assert_eq!(world.edit_reply(&bot, &token, which, &edit, "").unwrap().status, 200);
    advance(Duration::from_millis(1)).await;
    assert_eq!(
        world.edit_reply(&bot, &token, which, &edit, "").unwrap_err().status,
        401
    );
    advance(Duration::from_mins(1)).await;
    world.tick();
    assert!(world.interactions.is_empty() && world.interaction_tokens.is_empty());
}
