//! Faults: what they touch, what they leave alone, and when they are over.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::sim::discord::{Discord, rest};
use crate::sim::http::Call;
use crate::sim::log::Event;
use crate::sim::oracle;

/// A world with a node that is called a.
async fn with_node() -> World {
    world_of(1, vec![("a".to_owned(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]).await
}

fn begin(world: &mut World, body: &Value) -> u64 {
    world.begin_fault(body).unwrap_or_else(|why| panic!("{body}: {why}"))
}

fn log(world: &World) -> Vec<Event> {
    world
        .log
        .since(0)
        .iter()
        .map(|event| Event::clone(event.as_ref()))
        .collect()
}

fn count(world: &World, kind: &str) -> usize {
    log(world).iter().filter(|event| event["kind"] == kind).count()
}

/// Whether the log says that a fault is over.
fn is_over(world: &World, fault: u64) -> bool {
    let id = fault.to_string();
    let ended = |event: &Event| event["kind"] == "fault_end" && event["fault"] == id.as_str();
    log(world).iter().any(ended)
}

fn broken(world: &World) -> Vec<&'static str> {
    let found = oracle::check(&log(world), world.now());
    found.iter().map(|violation| violation.rule).collect()
}

#[tokio::test(start_paused = true)]
async fn an_identify_that_a_fault_meets_is_counted_logged_and_limited_all_the_same() {
    for (fault, met) in [
        (json!({"kind": "withhold", "what": "ready"}), Refusal::Silence),
        (
            json!({"kind": "drop_gateway", "shard": 0, "for_ms": 60_000}),
            Refusal::Cut,
        ),
    ] {
        let mut world = world(1).await;
        begin(&mut world, &fault);
        let (socket, _seen) = link(1);
        assert_eq!(login(&mut world, &socket).as_ref(), Err(&met), "{fault}");
        assert!(login(&mut world, &socket).is_err(), "{fault}");
        assert_eq!(world.counters.identify, 2, "{fault}");
        assert_eq!(world.limits.identify_left(), 998, "{fault}");
        assert_eq!(count(&world, "identify"), 2, "{fault}");
        assert_eq!(broken(&world), ["identify_window"], "{fault}");
        assert!(world.sessions.is_empty(), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hot_loop_of_identifies_under_a_fault_spends_the_budget() {
    let mut world = world(1).await;
    begin(&mut world, &json!({"kind": "withhold", "what": "ready"}));
    begin(&mut world, &json!({"kind": "identify_budget", "remaining": 2}));
    let (socket, _seen) = link(1);
    for _ in 0..2 {
        advance(Duration::from_secs(5)).await;
        assert_eq!(login(&mut world, &socket), Err(Refusal::Silence));
    }
    assert_eq!(broken(&world), ["identify_budget"]);
    let spent = Refusal::Close(4004, "Authentication failed.");
    assert_eq!(login(&mut world, &socket), Err(spent));
}

#[tokio::test(start_paused = true)]
async fn where_only_resumes_are_cut_an_identify_is_the_way_out() {
    let mut world = world(1).await;
    let (socket, _seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let fault = json!({"kind": "drop_gateway", "shard": 0, "only": "resume", "for_ms": 90_000});
    begin(&mut world, &fault);
    assert!(socket.cut.is_cancelled(), "and what is open is cut once");
    world.detach(Some(&session), 1, false);
    let (socket, mut seen) = link(2);
    for _ in 0..3 {
        assert_eq!(resume(&mut world, &socket, &session), Err(Refusal::Cut));
    }
    advance(Duration::from_secs(5)).await;
    login(&mut world, &socket).unwrap();
    assert_eq!(events(&mut seen), ["READY", "GUILD_CREATE"]);
    for odd in [
        json!({"kind": "drop_gateway", "shard": 0, "only": "identify", "for_ms": 1}),
        json!({"kind": "drop_gateway", "shard": 0, "only": "resume"}),
        json!({"kind": "drop_gateway", "shard": 0, "only": "resume", "for_ms": 1, "every_ms": 1}),
    ] {
        assert!(world.begin_fault(&odd).is_err(), "{odd}");
    }
}

/// What a request gets, and the world back.
async fn asked(world: World, requests: &[(&str, String, Value)]) -> (World, Vec<u16>) {
    let discord = Discord::new(world, CancellationToken::new());
    let mut statuses = Vec::new();
    for (method, target, body) in requests {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut call = Call::of(method, target, body.as_bytes());
        call.authorization = format!("Bot {}", discord.lock().token);
        statuses.push(rest::answer(&discord, call).await.status);
    }
    (discord.into_world(), statuses)
}

/// A command that waits for its answer: its id and its token.
fn issued(world: &mut World) -> (u64, String) {
    let (guild, _) = first_voice(world);
    let person = *world.guilds[&guild].members.keys().next().unwrap();
    world
        .put_commands(&json!([{"name": "stop", "description": "d"}]))
        .unwrap();
    let wish = json!({"user": person.to_string(), "name": "stop"});
    let id = world.issue_command(guild, &wish).unwrap();
    (id, world.interactions[&id].token.clone())
}

#[tokio::test(start_paused = true)]
async fn the_global_limit_does_not_hold_for_interactions_unless_their_route_is_named() {
    let route = |pattern: &str| json!({"kind": "rate_limit", "route": pattern, "scope": "global", "for_ms": 5_000});
    for (fault, wanted) in [
        (route("*"), [204, 200, 429]),
        (json!({"kind": "rate_limit", "scope": "global"}), [204, 200, 429]),
        (route("callback"), [429, 404, 200]),
        (json!({"kind": "rate_limit", "scope": "shared"}), [429, 429, 429]),
        (json!({"kind": "rate_limit", "scope": "user"}), [429, 429, 429]),
    ] {
        let mut world = world(1).await;
        begin(&mut world, &fault);
        let (id, token) = issued(&mut world);
        let requests = [
            (
                "POST",
                format!("/api/v10/interactions/{id}/{token}/callback"),
                json!({"type": 5}),
            ),
            (
                "PATCH",
                format!("/api/v10/webhooks/{}/{token}/messages/@original", world.bot),
                json!({"content": "x"}),
            ),
            ("GET", "/api/v10/users/@me".to_owned(), Value::Null),
        ];
        let (_, statuses) = asked(world, &requests).await;
        assert_eq!(statuses, wanted, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_has_more_shards_than_can_be_shown() {
    let mut world = world(1).await;
    let (socket, _seen) = link(1);
    let token = world.token.clone();
    let login = |world: &mut World, shards: u64| {
        world.identify(&socket, &json!({"token": token, "intents": 129, "shard": [0, shards]}))
    };
    for shards in [16_385, u64::from(u32::MAX), u64::MAX] {
        let refused = Err(Refusal::Close(4010, "Invalid shard."));
        assert_eq!(login(&mut world, shards), refused, "{shards}");
        let fault = json!({"kind": "recommend_shards", "shards": shards});
        assert!(world.begin_fault(&fault).is_err(), "{shards}");
    }
    login(&mut world, 16_384).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_may_live_for_ever() {
    let mut world = world(1).await;
    world.settings.session_ttl_ms = u64::MAX;
    let (socket, _seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    advance(Duration::from_secs(1)).await;
    world.detach(Some(&session), 1, false);
    advance(Duration::from_hours(1)).await;
    world.tick();
    assert!(world.sessions.contains_key(&session));
}

#[tokio::test(start_paused = true)]
async fn of_two_outages_of_a_guild_the_last_to_end_brings_it_back() {
    let mut world = world(1).await;
    let (socket, mut seen) = link(1);
    login(&mut world, &socket).unwrap();
    let (guild, _) = first_voice(&world);
    events(&mut seen);
    let outage = json!({"kind": "guild_outage", "guild": guild.to_string()});
    let short = json!({"kind": "guild_outage", "guild": guild.to_string(), "for_ms": 1_000});
    let long = begin(&mut world, &outage);
    begin(&mut world, &short);
    assert_eq!(events(&mut seen), ["GUILD_DELETE"]);
    advance(Duration::from_secs(1)).await;
    world.tick();
    assert!(events(&mut seen).is_empty());
    assert!(world.guilds[&guild].unavailable);
    world.end_fault(long);
    assert_eq!(events(&mut seen), ["GUILD_CREATE"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_faults_that_hide_an_endpoint_the_last_to_end_shows_it() {
    let mut world = world(1).await;
    let (socket, mut seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let (guild, _) = join(&mut world, &session, 1);
    events(&mut seen);
    let hidden = json!({"kind": "hide_endpoint", "guild": guild.to_string()});
    let one = begin(&mut world, &hidden);
    let other = begin(&mut world, &hidden);
    assert_eq!(events(&mut seen), ["VOICE_SERVER_UPDATE"]);
    let before = world.switchboard.minted(guild).unwrap();
    world.end_fault(one);
    assert!(events(&mut seen).is_empty());
    assert_eq!(world.switchboard.minted(guild).unwrap(), before);
    world.end_fault(other);
    assert_eq!(events(&mut seen), ["VOICE_SERVER_UPDATE"]);
    assert_ne!(world.switchboard.minted(guild).unwrap(), before);
}

/// How a guild's voice server takes a connection with the credentials of the moment.
#[expect(clippy::disallowed_methods, reason = "what a test reads is bounded by the test")]
fn answer(world: &World, guild: u64) -> Answer {
    let (closed, _heard) = mpsc::unbounded_channel();
    let minted = world.switchboard.minted(guild).unwrap();
    world.switchboard.connect(guild, &minted, closed).1
}

#[tokio::test(start_paused = true)]
async fn of_several_faults_of_voice_the_newest_holds_and_then_the_one_before() {
    let mut world = world(1).await;
    let (socket, _seen) = link(1);
    let session = login(&mut world, &socket).unwrap();
    let (guild, _) = join(&mut world, &session, 1);
    let id = guild.to_string();

    let silent = json!({"kind": "silent_voice", "guild": id});
    let (one, other) = (begin(&mut world, &silent), begin(&mut world, &silent));
    world.end_fault(other);
    assert_eq!(answer(&world, guild), Answer::Unheard);
    world.end_fault(one);
    assert_eq!(answer(&world, guild), Answer::Heard);

    let refuse = |code: u16| json!({"kind": "refuse_voice_login", "guild": id, "code": code});
    let first = begin(&mut world, &refuse(4_015));
    let second = begin(&mut world, &refuse(4_011));
    let third = begin(&mut world, &refuse(4_015));
    assert_eq!(answer(&world, guild), Answer::Refused(4_015));
    world.end_fault(third);
    assert_eq!(answer(&world, guild), Answer::Refused(4_011));
    world.end_fault(second);
    assert_eq!(answer(&world, guild), Answer::Refused(4_015));
    world.end_fault(first);
    assert_eq!(answer(&world, guild), Answer::Heard);

    let order = |how: &str| json!({"kind": "voice_order", "guild": id, "how": how});
    begin(&mut world, &order("no_state"));
    let newer = begin(&mut world, &order("no_server"));
    assert_eq!(world.faults.voice_order(guild), Some("no_server"));
    world.end_fault(newer);
    assert_eq!(world.faults.voice_order(guild), Some("no_state"));
}

#[tokio::test(start_paused = true)]
async fn of_several_faults_of_a_route_the_newest_holds_and_then_the_one_before() {
    let mut world = world(0).await;
    let met = |world: &World| world.faults.on_rest("GET /users/@me", true);
    let slow = |ms: u64| json!({"kind": "delay_rest", "route": "users", "ms": ms});
    let refuse = |status: u16| json!({"kind": "refuse_rest", "route": "*", "status": status});
    let limit = |ms: u64| json!({"kind": "rate_limit", "retry_after_ms": ms});
    for body in [slow(900), refuse(500), limit(9_000)] {
        begin(&mut world, &body);
    }
    let newer = [slow(10), refuse(403), limit(20)].map(|body| begin(&mut world, &body));
    let limited = |ms: u64| Some(("user".to_owned(), ms));
    let now = met(&world);
    assert_eq!((now.delay_ms, now.refuse), (Some(10), Some(403)));
    assert_eq!(now.rate_limit, limited(20));
    for id in newer {
        world.end_fault(id);
    }
    let before = met(&world);
    assert_eq!((before.delay_ms, before.refuse), (Some(900), Some(500)));
    assert_eq!(before.rate_limit, limited(9_000));
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_node_at_once_is_over_at_once() {
    let mut world = with_node().await;
    for kind in ["malformed", "drop_node_socket", "expire_resume", "restart_node"] {
        let fault = begin(&mut world, &json!({"kind": kind, "node": "a", "for_ms": 60_000}));
        assert!(is_over(&world, fault), "{kind}");
    }
    for kind in ["hang_rest", "half_open", "kill_node", "lose_event"] {
        let fault = begin(&mut world, &json!({"kind": kind, "node": "a"}));
        assert!(!is_over(&world, fault), "{kind}");
        assert!(world.end_fault(fault), "{kind}");
        assert!(is_over(&world, fault), "{kind}");
        assert!(!world.end_fault(fault), "{kind}: it is over");
        assert!(world.had_fault(fault) && !world.had_fault(fault + 1));
    }
    world.nodes.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_node_is_repeated_until_the_fault_ends() {
    let mut world = with_node().await;
    let fault = begin(
        &mut world,
        &json!({"kind": "restart_node", "node": "a", "every_ms": 1_000}),
    );
    for round in 1..=3 {
        assert_eq!(count(&world, "node_down"), round);
        while world.nodes.world()[0]["up"] == false {
            tokio::task::yield_now().await;
        }
        world.tick();
        assert_eq!(count(&world, "node_down"), round, "not before its time");
        advance(Duration::from_secs(1)).await;
        world.tick();
    }
    assert!(!is_over(&world, fault));
    assert!(world.end_fault(fault));
    assert!(is_over(&world, fault));
    world.nodes.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_a_shard_without_guilds_moves_nobody_and_of_another_everybody_in_turn() {
    let mut world = world(3).await;
    let (socket, mut seen) = link(1);
    let token = world.token.clone();
    let shards = 64;
    let guilds: Vec<u64> = world.guilds.keys().copied().collect();
    let crowded = u64::from(crate::sim::discord::world::shard_of(guilds[0], shards));
    let of_shard = |shard: u64| {
        let theirs = guilds
            .iter()
            .filter(move |id| (**id >> 22) % u64::from(shards) == shard);
        theirs.count()
    };
    let login = json!({"token": token, "intents": 129, "shard": [crowded, shards]});
    world.identify(&socket, &login).unwrap();
    let empty = (0..u64::from(shards)).find(|shard| of_shard(*shard) == 0).unwrap();
    events(&mut seen);
    for (shard, wanted) in [(empty, 0), (crowded, 4)] {
        let flood = begin(&mut world, &json!({"kind": "flood", "per_s": 4, "shard": shard}));
        world.tick();
        advance(Duration::from_secs(1)).await;
        world.tick();
        assert_eq!(events(&mut seen).len(), wanted, "shard {shard}");
        world.end_fault(flood);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_could_do_nothing_is_refused() {
    let mut world = world(1).await;
    let why = world
        .begin_fault(&json!({"kind": "withhold", "what": "hello", "shard": 0}))
        .unwrap_err();
    assert!(why.contains("shard"), "{why}");
    for body in [
        json!({"kind": "withhold", "what": "hello"}),
        json!({"kind": "withhold", "what": "ready", "shard": 0}),
    ] {
        begin(&mut world, &body);
    }
}
