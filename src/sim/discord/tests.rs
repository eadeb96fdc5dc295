//! The world without sockets, on a clock that is moved by hand.

mod faults;

use std::net::SocketAddr;
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
use crate::sim::voice::{Answer, Closed, Switchboard};

pub(super) async fn world(guilds: usize) -> World {
    world_of(guilds, Vec::new()).await
}

async fn world_of(guilds: usize, listen: Vec<(String, SocketAddr)>) -> World {
    let clock = Clock::new();
    let log = Log::new(clock);
    let switchboard = Switchboard::default();
    let options = NodeOptions {
        listen,
        host: "127.0.0.1".into(),
        seed: 1,
        stats_ms: 60_000,
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

fn link(conn: u64) -> (Link, mpsc::Receiver<Out>) {
    Link::new(conn, CancellationToken::new())
}

/// The names of the events that a socket was sent since the last look.
fn events(seen: &mut mpsc::Receiver<Out>) -> Vec<String> {
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

/// A person of the only guild goes in and out.
fn stir(world: &mut World) {
    let (guild, channel) = first_voice(world);
    let person = *world.guilds[&guild].members.keys().next_back().unwrap();
    let inside = world.guilds[&guild].voice.contains_key(&person);
    world.move_person(guild, person, (!inside).then_some(channel));
}

/// A node's connection with the credentials of the moment, and what Discord says to it.
#[expect(clippy::disallowed_methods, reason = "what a test reads is bounded by the test")]
fn dial(world: &World, guild: u64) -> mpsc::UnboundedReceiver<Closed> {
    let (closed, heard) = mpsc::unbounded_channel();
    let minted = world.switchboard.minted(guild).unwrap();
    let (_, answer) = world.switchboard.connect(guild, &minted, closed);
    assert_eq!(answer, Answer::Heard);
    heard
}

fn code(heard: &mut mpsc::UnboundedReceiver<Closed>) -> Option<u16> {
    heard.try_recv().ok().map(|closed| closed.code)
}

#[tokio::test(start_paused = true)]
async fn g12_two_sessions_of_a_shard_both_hear_everything() {
    let mut world = world(1).await;
    let ((one, mut seen_one), (two, mut seen_two)) = (link(1), link(2));
    login(&mut world, &one).unwrap();
    assert_eq!(login(&mut world, &two), Err(Refusal::TooSoon), "within five seconds");
    advance(Duration::from_secs(5)).await;
    login(&mut world, &two).unwrap();
    events(&mut seen_one);
    events(&mut seen_two);
    stir(&mut world);
    assert_eq!(events(&mut seen_one), ["VOICE_STATE_UPDATE"]);
    assert_eq!(events(&mut seen_two), ["VOICE_STATE_UPDATE"]);
}

#[tokio::test(start_paused = true)]
async fn g14_without_a_socket_events_are_numbered_and_kept_as_many_as_the_guilds_allow() {
    for (guilds, kept) in [(1, 100), (2, 150), (60, 3_500)] {
        let mut world = world(guilds).await;
        let (socket, _seen) = link(1);
        let session = login(&mut world, &socket).unwrap();
        world.detach(Some(&session), 1, false);
        for _ in 0..kept {
            stir(&mut world);
        }
        // READY and one GUILD_CREATE for each guild came before.
        let last = 1 + guilds as u64;
        let resume = |world: &mut World, seq: u64| {
            let (socket, seen) = link(2);
            let token = world.token.clone();
            let data = json!({"token": token, "session_id": session, "seq": seq});
            world.resume(&socket, &data).map(|_| seen)
        };
        let before = resume(&mut world, last - 1).unwrap_err();
        assert_eq!(before, Refusal::Invalid(false), "{guilds} guilds: one more is lost");
        let mut seen = resume(&mut world, last).unwrap();
        assert_eq!(
            events(&mut seen).len(),
            kept + 1,
            "{guilds} guilds: all of them and RESUMED"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn g20_a_session_that_nobody_resumes_ends_and_takes_the_bot_out_of_voice() {
    let mut world = world(1).await;
    let ((socket, _seen), (other, mut seen_other)) = (link(1), link(2));
    let session = login(&mut world, &socket).unwrap();
    advance(Duration::from_secs(5)).await;
    login(&mut world, &other).unwrap();
    let (guild, _) = join(&mut world, &session, 1);
    let mut voice = dial(&world, guild);
    world.detach(Some(&session), 1, false);
    advance(Duration::from_secs(89)).await;
    world.tick();
    assert!(world.guilds[&guild].voice.contains_key(&world.bot));
    assert!(world.switchboard.minted(guild).is_some());
    events(&mut seen_other);
    advance(Duration::from_secs(1)).await;
    world.tick();
    assert!(!world.guilds[&guild].voice.contains_key(&world.bot));
    assert!(world.switchboard.minted(guild).is_none());
    assert_eq!(events(&mut seen_other), ["VOICE_STATE_UPDATE"]);
    assert_eq!(code(&mut voice), Some(4014));
    assert_eq!(resume(&mut world, &socket, &session), Err(Refusal::Invalid(false)));
}

#[tokio::test(start_paused = true)]
async fn g25_op_4_of_a_new_session_takes_voice_over_and_the_old_credentials_are_stale() {
    let mut world = world(1).await;
    let ((one, mut seen_one), (two, mut seen_two)) = (link(1), link(2));
    let first = login(&mut world, &one).unwrap();
    advance(Duration::from_secs(5)).await;
    let second = login(&mut world, &two).unwrap();
    events(&mut seen_one);
    events(&mut seen_two);

    let (guild, channel) = join(&mut world, &first, 1);
    assert_eq!(events(&mut seen_one), ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]);
    assert_eq!(
        events(&mut seen_two),
        ["VOICE_STATE_UPDATE"],
        "the server is told to the asker only"
    );
    let before = world.switchboard.minted(guild).unwrap();
    let mut voice = dial(&world, guild);

    join(&mut world, &second, 2);
    assert_eq!(events(&mut seen_one), ["VOICE_STATE_UPDATE"]);
    assert_eq!(events(&mut seen_two), ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]);
    let after = world.switchboard.minted(guild).unwrap();
    assert_eq!((after.session_id.as_str(), after.channel), (second.as_str(), channel));
    assert_ne!(after.token, before.token);
    assert_eq!(code(&mut voice), Some(4006));
}

#[tokio::test(start_paused = true)]
async fn what_an_admin_does_is_told_before_or_after_the_voice_connection_is_closed() {
    for (order, ms) in [
        ("close_first", 0),
        ("close_first", 300),
        ("close_last", 0),
        ("close_last", 300),
    ] {
        for kick in [false, true] {
            let mut world = world(1).await;
            let (socket, mut seen) = link(1);
            let session = login(&mut world, &socket).unwrap();
            let (guild, channel) = join(&mut world, &session, 1);
            let mut voice = dial(&world, guild);
            events(&mut seen);
            let other = *world.guilds[&guild].channels.keys().next_back().unwrap();
            assert_ne!(other, channel);
            let body =
                json!({"kind": "voice_parting", "guild": guild.to_string(), "order": order, "ms": ms, "code": 4022});
            world.begin_fault(&body).unwrap();
            world.move_bot(guild, (!kick).then_some(other));
            let told_at_once = order == "close_last" || ms == 0;
            let closed_at_once = order == "close_first";
            assert_eq!(!events(&mut seen).is_empty(), told_at_once, "{order} {ms} {kick}");
            assert_eq!(code(&mut voice), closed_at_once.then_some(4022), "{order} {ms} {kick}");
            advance(Duration::from_millis(ms)).await;
            world.tick();
            assert_eq!(!events(&mut seen).is_empty(), !told_at_once, "{order} {ms} {kick}");
            assert_eq!(
                code(&mut voice),
                (!closed_at_once).then_some(4022),
                "{order} {ms} {kick}"
            );
        }
    }
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
async fn g28_an_outage_takes_a_guild_away_and_brings_it_back() {
    let mut world = world(1).await;
    let (socket, mut seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let (guild, _) = join(&mut world, &session, 1);
    events(&mut seen);
    let body = json!({"kind": "guild_outage", "guild": guild.to_string(), "for_ms": 1_000});
    world.begin_fault(&body).unwrap();
    let Ok(Out::Frame(told)) = seen.try_recv() else {
        panic!("nothing was told");
    };
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["t"], &told["d"]["unavailable"]),
        (&json!("GUILD_DELETE"), &json!(true))
    );
    advance(Duration::from_secs(1)).await;
    world.tick();
    assert_eq!(events(&mut seen), ["GUILD_CREATE"]);
    assert!(world.guilds[&guild].voice.contains_key(&world.bot), "voice outlives it");
}

#[tokio::test(start_paused = true)]
async fn a_lost_endpoint_lasts_until_its_fault_ends() {
    let mut world = world(1).await;
    let (socket, mut seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let (guild, _) = join(&mut world, &session, 1);
    let before = world.switchboard.minted(guild).unwrap();
    events(&mut seen);
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
async fn a_token_dies_after_fifteen_minutes_and_is_then_forgotten() {
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

#[tokio::test(start_paused = true)]
async fn a_socket_that_nobody_reads_is_cut_and_its_session_kept() {
    let mut world = world(1).await;
    let (socket, _seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let mut count = 0;
    while !socket.cut.is_cancelled() {
        stir(&mut world);
        count += 1;
        assert!(count < 10_000, "it may wait for no end");
    }
    assert!(count > 6_000, "a login with all its guilds and a whole replay fit in");
    assert!(world.sessions.contains_key(&session));
}
