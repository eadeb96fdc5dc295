//! The Lavalink client against a small scripted node: what it asks in which order, and what guilds are told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use segue::lavalink::{CallError, Loaded, NodeMessage, NodeState, PlayerPatch};
use segue::lifecycle::NoAuthority;
use segue::model::ids::GuildId;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use fake::{Act, GUILD, Hello, LIMIT, healthy, player, ready, track, update, voice_and_track, world};

#[tokio::test]
async fn a_new_session_is_armed_then_stored_then_usable() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    assert_eq!(world.next().await, "session n1");
    assert_eq!(
        world.until("state").await,
        ["7 gone", "7 ready resumed=false holding nothing", "state new"]
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        world
            .fake
            .place(&format!("WS - as 1 segue/{version} member=m1 shard=0/4")),
        0
    );
    let armed = world
        .fake
        .place(r#"PATCH /v4/sessions/n1 {"resuming":true,"timeout":120}"#);
    assert!(armed < world.fake.place("STORED n1"));
    assert!(
        world
            .node
            .update(GUILD, &voice_and_track())
            .await
            .unwrap()
            .track
            .is_some()
    );
}

#[tokio::test]
async fn nobody_may_use_a_session_that_is_not_stored() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    let Some(NodeMessage::Session { ack, .. }) = timeout(LIMIT, world.messages.recv()).await.unwrap() else {
        panic!("the session comes first");
    };
    assert_eq!(
        world.node.update(GUILD, &voice_and_track()).await,
        Err(CallError::SessionGone)
    );
    drop(ack);
    world.fake.logged("WS ", 2).await;
    assert!(!world.fake.log().iter().any(|line| line.contains("/players/7")));
}

#[tokio::test]
async fn a_refused_resume_right_after_a_crash_is_asked_for_again() {
    let hellos = vec![ready("x1", false), ready("x2", false), ready("old", true)];
    let mut world = world(hellos, Some("old"), healthy).await;
    assert_eq!(
        world.until("state").await,
        ["7 ready resumed=true holding nothing", "state resumed"]
    );
    assert_eq!(
        world
            .fake
            .log()
            .iter()
            .filter(|line| line.starts_with("WS old "))
            .count(),
        3
    );
    assert!(
        !world.fake.log().iter().any(|line| line.contains("sessions/x1")),
        "a passing session is not armed"
    );
}

#[tokio::test]
async fn a_session_that_is_really_gone_is_replaced_after_five_attempts() {
    fn answer(line: &str) -> Option<(u16, Value)> {
        if line.contains("/old/") {
            Some((404, json!({ "status": 404, "message": "whatever" })))
        } else {
            healthy(line)
        }
    }
    let mut world = world(vec![ready("n", false)], Some("old"), answer).await;
    let seen = world.until("state").await;
    assert_eq!(
        seen,
        [
            "session n",
            "7 gone",
            "7 ready resumed=false holding nothing",
            "state new"
        ]
    );
    assert_eq!(
        world
            .fake
            .log()
            .iter()
            .filter(|line| line.starts_with("WS old "))
            .count(),
        5
    );
}

#[tokio::test]
async fn a_session_whose_dead_socket_closes_while_it_is_looked_for_is_resumed() {
    fn answer(line: &str) -> Option<(u16, Value)> {
        static ASKED: AtomicBool = AtomicBool::new(false);
        // Once the socket is closed, a session is known to who resumes it and to nobody else.
        if line.contains("/old/players") && !ASKED.swap(true, Ordering::SeqCst) {
            Some((404, json!({ "status": 404, "message": "Session not found" })))
        } else {
            healthy(line)
        }
    }
    let held = (0..4).map(|_| ready("n", false));
    let hellos = held.chain([ready("old", true)]).collect();
    let mut world = world(hellos, Some("old"), answer).await;
    assert_eq!(
        world.until("state").await,
        ["7 ready resumed=true holding nothing", "state resumed"]
    );
}

#[tokio::test]
async fn players_of_a_session_whose_dead_socket_closes_while_they_are_carried_are_ended_in_it() {
    fn answer(line: &str) -> Option<(u16, Value)> {
        static DELETES: AtomicUsize = AtomicUsize::new(0);
        let gone = Some((404, json!({ "status": 404, "message": "Session not found" })));
        match line {
            "GET /v4/sessions/old/players" => Some((200, json!([player(7, &track()), player(8, &track())]))),
            _ if line.starts_with("DELETE") && DELETES.fetch_add(1, Ordering::SeqCst) < 2 => gone,
            _ => healthy(line),
        }
    }
    let held = (0..4).map(|_| ready("n", false));
    let hellos = held.chain([ready("old", true)]).collect();
    let mut world = world(hellos, Some("old"), answer).await;
    let seen = world.until("state").await;
    let carried = seen
        .iter()
        .filter(|line| line.ends_with("resumed=true holding a track"));
    assert_eq!((carried.count(), seen.last().unwrap().as_str()), (2, "state new"));
    let log = world.fake.log();
    for guild in [7, 8] {
        // Once in vain, and once more when it was resumed.
        let ended = format!("DELETE /v4/sessions/old/players/{guild} ");
        assert_eq!(
            log.iter().filter(|line| line.starts_with(&ended)).count(),
            2,
            "{log:#?}"
        );
    }
    let asked: Vec<usize> = (0..log.len()).filter(|at| log[*at].starts_with("WS old ")).collect();
    let again = log.iter().rposition(|line| line.starts_with("DELETE")).unwrap();
    assert!(asked.len() == 5 && asked[4] < again, "it is resumed first: {log:#?}");
    assert!(
        log.iter().any(|line| line.starts_with("CLOSE")),
        "nobody keeps it: {log:#?}"
    );
}

#[tokio::test]
async fn players_under_a_half_open_socket_are_started_anew_before_they_are_deleted() {
    fn answer(line: &str) -> Option<(u16, Value)> {
        match line {
            "GET /v4/sessions/old/players" => Some((
                200,
                json!([player(7, &track()), player(8, &track()), player(9, &Value::Null)]),
            )),
            _ => healthy(line),
        }
    }
    let mut world = world(vec![ready("n", false)], Some("old"), answer).await;
    let mut seen = world.until("state").await;
    seen.retain(|line| line.starts_with('7') || line.starts_with('8') || line.starts_with('9'));
    // The fake answers every update as guild 7; what counts is that both were carried.
    assert_eq!(
        seen,
        [
            "7 ready resumed=true holding a track",
            "8 ready resumed=true holding a track"
        ]
    );
    for guild in [7, 8] {
        let started = world.fake.place(&format!("PATCH /v4/sessions/n/players/{guild}"));
        assert!(world.fake.place("STORED n") < started);
        assert!(started < world.fake.place(&format!("DELETE /v4/sessions/old/players/{guild}")));
        let line = &world.fake.log()[started];
        assert!(
            line.contains(r#""channelId":"5""#) && line.contains(r#""encoded":"QAAA""#),
            "{line}"
        );
    }
    assert!(
        !world
            .fake
            .log()
            .iter()
            .any(|line| line.starts_with("PATCH /v4/sessions/n/players/9"))
    );
}

#[tokio::test]
async fn a_guild_is_ready_first_then_hears_once_what_happened_while_away() {
    fn answer(line: &str) -> Option<(u16, Value)> {
        if line.starts_with("GET") {
            Some((200, json!([player(7, &Value::Null), player(8, &track())])))
        } else {
            healthy(line)
        }
    }
    let away = vec![
        json!({ "op": "event", "type": "TrackEndEvent", "guildId": "7", "track": track(), "reason": "finished" }),
        update(7, 0),
    ];
    let mut world = world(
        vec![Hello::Ready {
            id: "old",
            resumed: true,
            then: away,
        }],
        Some("old"),
        answer,
    )
    .await;
    let seen = world.until("7 at 0").await;
    let expected = [
        "7 ready resumed=true holding no track",
        "8 ready resumed=true holding a track",
        "state resumed",
        "7 finished id1",
        "7 at 0",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_mute_socket_is_closed_and_tried_again() {
    let mut world = world(vec![Hello::Mute, ready("old", true)], Some("old"), healthy).await;
    assert_eq!(
        world.until("state").await,
        ["7 ready resumed=true holding nothing", "state resumed"]
    );
}

#[tokio::test]
async fn a_lost_socket_is_resumed_at_once() {
    let mut world = world(vec![ready("n1", false), ready("n1", true)], None, healthy).await;
    world.until("state new").await;
    let began = Instant::now();
    world.fake.acts.send(Act::Kick).unwrap();
    let seen = world.until("state resumed").await;
    assert_eq!(
        seen,
        [
            "7 lost",
            "state lost",
            "7 ready resumed=true holding nothing",
            "state resumed"
        ]
    );
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(
        world
            .fake
            .log()
            .iter()
            .filter(|line| line.starts_with("WS n1 "))
            .count(),
        1
    );
}

#[tokio::test]
async fn an_unknown_session_on_an_open_socket_is_resumed() {
    let mut world = world(vec![ready("n1", false), ready("n1", true)], None, healthy).await;
    world.until("state new").await;
    *world.fake.answer.lock().unwrap() = |line| {
        if line.starts_with("DELETE") {
            Some((404, Value::Null))
        } else {
            healthy(line)
        }
    };
    assert_eq!(world.node.destroy(GUILD).await, Err(CallError::SessionGone));
    world.until("state resumed").await;
    world.fake.logged("WS n1 ", 1).await;
}

#[tokio::test]
async fn a_node_whose_process_died_is_given_up_quickly() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    world.until("state new").await;
    world.server.cancel();
    tokio::task::yield_now().await;
    let began = Instant::now();
    world.fake.acts.send(Act::Kick).unwrap();
    let seen = world.until("state gone").await;
    assert_eq!(seen, ["7 lost", "state lost", "7 gone", "state gone"]);
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
}

#[tokio::test]
async fn swallowed_voice_calls_delete_the_player_first_and_then_cut_the_node_off() {
    fn answer(line: &str) -> Option<(u16, Value)> {
        if line.starts_with("PATCH") && line.contains("/players/") {
            None
        } else {
            healthy(line)
        }
    }
    let mut world = world(vec![ready("n1", false)], None, answer).await;
    world.until("state new").await;
    let mut calls = JoinSet::new();
    for guild in 7..11 {
        let node = world.node.clone();
        calls.spawn(async move { node.update(GuildId::new(guild), &voice_and_track()).await });
    }
    for result in calls.join_all().await {
        assert_eq!(result, Err(CallError::Timeout("voice")));
    }
    assert!(world.node.load().voice_cut);
    assert_eq!(
        world.node.update(GuildId::new(11), &voice_and_track()).await,
        Err(CallError::VoiceCut)
    );
    assert!(!world.fake.log().iter().any(|line| line.contains("players/11")));
    let mut again = voice_and_track();
    again.track = None;
    assert_eq!(
        world.node.update(GUILD, &again).await,
        Err(CallError::PlayerGone),
        "it was deleted"
    );
    world.fake.logged("DELETE /v4/sessions/n1/players/7", 1).await;
    assert!(
        matches!(world.node.state(), NodeState::Ready { .. }),
        "nothing is moved: {:?}",
        world.node.state()
    );
}

#[tokio::test]
async fn a_dead_rest_moves_nothing_and_comes_back() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    world.until("state new").await;
    *world.fake.answer.lock().unwrap() = |_| None;
    let mut calls = JoinSet::new();
    for guild in 7..10 {
        let node = world.node.clone();
        calls.spawn(async move { node.player(GuildId::new(guild)).await });
    }
    calls.join_all().await;
    assert_eq!(world.next().await, "state rest dead");
    world.fake.say(update(7, 900));
    assert_eq!(world.next().await, "7 at 900", "its socket lives");
    *world.fake.answer.lock().unwrap() = healthy;
    assert_eq!(world.next().await, "state new");
}

#[tokio::test]
async fn a_refused_voice_is_told_from_a_refused_track() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    world.until("state new").await;
    *world.fake.answer.lock().unwrap() = |line| {
        if line.starts_with("PATCH") {
            Some((500, json!({ "message": "any words" })))
        } else {
            Some((404, Value::Null))
        }
    };
    assert_eq!(
        world.node.update(GUILD, &voice_and_track()).await,
        Err(CallError::VoiceRefused)
    );
    let track_only = PlayerPatch {
        voice: None,
        ..voice_and_track()
    };
    let refused = world.node.update(GUILD, &track_only).await;
    assert_eq!(
        refused,
        Err(CallError::Status {
            status: 500,
            text: "any words".into()
        })
    );
}

#[tokio::test]
async fn without_authority_nothing_is_changed_and_the_socket_is_let_go() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    world.until("state new").await;
    world.permit.0.store(false, Ordering::SeqCst);
    assert_eq!(
        world.node.update(GUILD, &voice_and_track()).await,
        Err(CallError::NoAuthority(NoAuthority))
    );
    assert_eq!(
        world.node.destroy(GUILD).await,
        Err(CallError::NoAuthority(NoAuthority))
    );
    assert_eq!(world.until("state").await, ["7 lost", "state lost"]);
    world.fake.logged("CLOSE Some(1000)", 1).await;
    assert!(
        !world.fake.log().iter().any(|line| line.contains("/players/7")),
        "{:#?}",
        world.fake.log()
    );
}

#[tokio::test]
async fn stopping_closes_the_socket_so_that_the_next_member_can_resume() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    world.until("state new").await;
    world.stop.cancel();
    timeout(LIMIT, world.tasks.join_next())
        .await
        .expect("the task ends")
        .unwrap()
        .unwrap();
    world.fake.logged("CLOSE Some(1000)", 1).await;
    assert_eq!(world.node.destroy(GUILD).await, Err(CallError::SessionGone));
}

#[tokio::test]
async fn nonsense_does_not_end_a_session() {
    let mut world = world(vec![ready("n1", false)], None, healthy).await;
    world.until("state new").await;
    for nonsense in [
        json!(null),
        json!({ "op": 1 }),
        json!({ "op": "event", "guildId": [] }),
        json!({ "op": "later", "x": {} }),
    ] {
        world.fake.say(nonsense);
    }
    world.fake.say(update(7, 5));
    assert_eq!(world.next().await, "7 at 5");
}

#[tokio::test]
async fn tracks_are_loaded_with_their_identifier_escaped() {
    let mut world = world(vec![ready("n1", false)], None, |line| {
        if line.starts_with("GET /v4/loadtracks") {
            Some((200, json!({ "loadType": "search", "data": [track()] })))
        } else {
            healthy(line)
        }
    })
    .await;
    world.until("state new").await;
    let Loaded::Search(found) = world.node.load_tracks("ytsearch:a&b ü").await.unwrap() else {
        panic!("a search")
    };
    assert_eq!(found[0].identifier, "id1");
    world
        .fake
        .place("GET /v4/loadtracks?identifier=ytsearch%3Aa%26b%20%C3%BC");
}

#[tokio::test]
async fn loads_that_wait_for_servers_that_never_answer_keep_no_player_waiting() {
    let mut world = world(vec![ready("n1", false)], None, |line| {
        if line.starts_with("GET /v4/loadtracks") {
            None
        } else {
            healthy(line)
        }
    })
    .await;
    world.until("state new").await;
    let mut loads = JoinSet::new();
    for link in 0..100 {
        let node = world.node.clone();
        loads.spawn(async move { node.load_tracks(&format!("https://mute.example/{link}")).await });
    }
    world.fake.logged("GET /v4/loadtracks", 16).await;
    let pause = PlayerPatch {
        paused: Some(true),
        ..PlayerPatch::default()
    };
    let updated = timeout(Duration::from_secs(2), world.node.update(GUILD, &pause)).await;
    updated.expect("it has a turn").unwrap();
    let loads = world
        .fake
        .log()
        .into_iter()
        .filter(|line| line.contains("loadtracks"))
        .count();
    assert_eq!(loads, 16, "the others wait");
}
