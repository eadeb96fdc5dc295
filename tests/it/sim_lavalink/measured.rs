//! What was measured of a real server: N1 to N16.

use std::time::Duration;

use reqwest::Method;
use segue::sim::lavalink::Timing;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{GUILD, World, minted, quick, until, voice};

#[tokio::test]
async fn n1_swallowed_voice_takes_workers_until_rest_is_dead_and_audio_goes_on() {
    let world = World::new(Timing { workers: 3, ..quick() }).await;
    let (_socket, id) = world.playing("sim:A?length=60").await;
    let swallowed = async |guild: u64| {
        let path = format!("/v4/sessions/{id}/players/{guild}");
        let asked = world
            .rest(Method::PATCH, &path, Some(&json!({"voice": voice("x")})))
            .await;
        asked.0
    };
    let end = world.fault("swallow_voice", json!({}));
    let short = Duration::from_millis(150);
    assert!(tokio::time::timeout(short, swallowed(6)).await.is_err());
    end.end();
    assert!(
        tokio::time::timeout(short, swallowed(6)).await.is_err(),
        "the guild is wedged even now"
    );
    assert_eq!(
        world
            .rest(Method::DELETE, &format!("/v4/sessions/{id}/players/6"), None)
            .await
            .0,
        204
    );
    assert_eq!(swallowed(6).await, 200, "the guild is free, the threads are not");
    let _end = world.fault("swallow_voice", json!({}));
    assert!(tokio::time::timeout(short, swallowed(7)).await.is_err());
    assert!(
        tokio::time::timeout(short, world.get(&id)).await.is_err(),
        "no worker is left"
    );
    assert!(tokio::time::timeout(short, world.connect(Some(&id))).await.is_err());
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
}

#[tokio::test]
async fn n2_a_mute_socket_owns_the_session_and_says_nothing() {
    let world = World::new(quick()).await;
    let (mut owner, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let end = world.fault("mute_socket", json!({}));
    let password = world.node().password;
    let headers = [
        ("Authorization", password.as_str()),
        ("User-Id", "1"),
        ("Session-Id", &id),
    ];
    let mut mute = world.try_connect(&headers).await.unwrap();
    assert_eq!(owner.next("ready").await["resumed"], true, "the owner is told twice");
    assert!(mute.silent(50).await);
    mute.close(1000).await;
    world.paused(&id).await;
    assert_eq!(world.get(&id).await.0, 404, "under the owner, whose socket is open");
    end.end();
    assert!(world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn n3_a_lost_resume_succeeds_at_the_next_try_with_the_old_id() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    world.fault("lose_resume", json!({}));
    drop(socket);
    world.paused(&id).await;
    let (loser, _, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed);
    drop(loser);
    let (_winner, _, resumed) = world.connect(Some(&id)).await;
    assert!(resumed);
}

#[tokio::test]
async fn n4_the_header_of_a_handshake_is_wrong_in_both_directions_and_ready_is_right() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    world.fault("lose_resume", json!({}));
    drop(socket);
    world.paused(&id).await;
    let (loser, _, resumed) = world.connect(Some(&id)).await;
    assert_eq!(
        (loser.headers["Session-Resumed"].as_bytes(), resumed),
        (&b"true"[..], false)
    );
    assert_eq!(world.aborts(&id).await.headers()["Session-Resumed"], "true");
    let (winner, _, resumed) = world.connect(Some(&id)).await;
    assert_eq!(
        (winner.headers["Session-Resumed"].as_bytes(), resumed),
        (&b"false"[..], true)
    );
    drop(winner);
    world.paused(&id).await;
    let end = world.fault("wrong_header", json!({}));
    let (again, _, resumed) = world.connect(Some(&id)).await;
    assert_eq!(
        (again.headers["Session-Resumed"].as_bytes(), resumed),
        (&b"false"[..], true)
    );
    end.end();
}

#[tokio::test]
async fn n5_opus_cannot_start_in_the_middle_and_counts_from_zero_after_a_seek() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60&format=opus").await;
    let started = Instant::now();
    until(async || {
        if started.elapsed() > Duration::from_millis(50) {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
    let sought = world.patch(&id, &json!({"position": 30_000})).await;
    assert!(sought["state"]["position"].as_u64().unwrap() < 1_000, "{sought}");
    until(async || match world.audio.report(GUILD, 0) {
        report if report["segments"][1]["position_from_ms"] == 30_000 => Ok(()),
        report => Err(report),
    })
    .await;
    let body = json!({"track": {"identifier": "sim:B?length=60&format=opus"}, "position": 5_000});
    world.patch(&id, &body).await;
    socket.event("TrackStartEvent").await;
    socket.event("TrackExceptionEvent").await;
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "loadFailed");
}

#[tokio::test]
async fn n6_a_restored_paused_player_reports_zero_and_starts_where_it_was() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    let body =
        json!({"voice": voice("t1"), "track": {"identifier": "sim:A?length=90"}, "position": 60_000, "paused": true});
    assert_eq!(world.patch(&id, &body).await["state"]["position"], 0);
    world.patch(&id, &json!({"paused": false})).await;
    assert_eq!(world.audio.report(GUILD, 0)["segments"][0]["position_from_ms"], 60_000);
}

#[tokio::test]
async fn n7_a_failed_patch_leaves_a_player() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    assert_eq!(
        world
            .player(&id, "", &json!({"track": {"identifier": "nothing"}}))
            .await
            .0,
        400
    );
    assert_eq!(world.get(&id).await.0, 200);
    let mut nowhere = voice("t1");
    nowhere["channelId"] = json!("general");
    for (guild, body, status) in [
        (6, json!({"track": {"encoded": "???"}}), 500),
        (7, json!({"voice": nowhere}), 500),
    ] {
        let path = format!("/v4/sessions/{id}/players/{guild}");
        assert_eq!(world.rest(Method::PATCH, &path, Some(&body)).await.0, status);
        let phantom = world.rest(Method::GET, &path, None).await.1;
        assert!(
            phantom["track"].is_null() && phantom["guildId"] == json!(guild.to_string()),
            "{phantom}"
        );
    }
}

#[tokio::test]
async fn n8_the_end_is_told_before_it_is_heard_and_what_follows_at_once_has_no_gap() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=1").await;
    socket.event("TrackEndEvent").await;
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    world
        .patch(&id, &json!({"track": {"identifier": "sim:B?length=1"}}))
        .await;
    socket.event("TrackEndEvent").await;
    let report = world.audio.report(GUILD, 0);
    assert_eq!(report["gaps"], json!([]), "{report}");
    assert_eq!(report["segments"][0]["position_to_ms"], 1_000);
    assert_eq!(report["segments"][1]["position_from_ms"], 0);
    assert_eq!(report["segments"][0]["to_ms"], report["segments"][1]["from_ms"]);
}

#[tokio::test]
async fn n10_a_missing_channel_is_only_a_bad_request() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    let (status, body) = world
        .player(
            &id,
            "",
            &json!({"voice": {"token": "t", "endpoint": "e", "sessionId": "s"}}),
        )
        .await;
    assert_eq!((status.as_u16(), body["message"].as_str()), (400, Some("Bad Request")));
    let mut named = voice("t1");
    named["channelId"] = json!("general");
    assert_eq!(world.player(&id, "", &json!({"voice": named})).await.0, 500);
}

#[tokio::test]
async fn n11_a_paused_player_is_still_reported() {
    let world = World::new(Timing {
        update_ms: 40,
        ..quick()
    })
    .await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.patch(&id, &json!({"paused": true})).await;
    let mut last = json!(-1);
    until(async || {
        let position = socket.next("playerUpdate").await["state"]["position"].clone();
        let frozen = position == last;
        last = position.clone();
        if frozen { Ok(()) } else { Err(position) }
    })
    .await;
}

#[tokio::test]
async fn n12_a_track_that_breaks_in_the_middle_plays_its_buffer_and_is_finished() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60&fail_at=0.5").await;
    let exception = socket.event("TrackExceptionEvent").await;
    assert!(exception["exception"]["message"].is_string());
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "finished");
    assert!(world.get(&id).await.1["track"].is_null());
    let report = until(async || match world.audio.report(GUILD, 0) {
        report if report["playing"] == false => Ok(report),
        report => Err(report),
    })
    .await;
    assert_eq!(report["segments"][0]["position_to_ms"], 5_500);
}

#[tokio::test]
async fn n13_the_close_that_a_delete_causes_may_look_like_discords() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    let _end = world.fault("echo_close", json!({}));
    let path = format!("/v4/sessions/{id}/players/{GUILD}");
    world.rest(Method::DELETE, &path, None).await;
    let closed = socket.event("WebSocketClosedEvent").await;
    assert_eq!((&closed["code"], &closed["byRemote"]), (&json!(1000), &json!(true)));
}

#[tokio::test]
async fn n9_a_changed_connection_is_told_as_lost_and_then_made_and_skips_a_third_of_a_second() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    for _ in 0..2 {
        socket.next("playerUpdate").await;
    }
    world.switchboard.mint(GUILD, minted("t2"));
    world.patch(&id, &json!({"voice": voice("t2")})).await;
    assert_eq!(socket.read().await.unwrap()["type"], "WebSocketClosedEvent");
    for connected in [false, true] {
        assert_eq!(socket.read().await.unwrap()["state"]["connected"], connected);
    }
    let report = world.audio.report(GUILD, 0);
    assert_eq!(report["gaps"], json!([]), "{report}");
    let segments = report["segments"].as_array().unwrap();
    let skipped = segments[1]["position_from_ms"].as_i64().unwrap() - segments[0]["position_to_ms"].as_i64().unwrap();
    assert!((300..=360).contains(&skipped), "{report}");
}

#[tokio::test]
async fn n14_odd_requests_are_answered_as_the_real_server_does() {
    let world = World::new(quick()).await;
    let password = world.node().password;
    let named = [("Authorization", password.as_str()), ("User-Id", "segue")];
    let mut socket = world.try_connect(&named).await.unwrap();
    assert_eq!(socket.read().await.unwrap_err().unwrap().code, 1011.into());
    let nowhere = world
        .http
        .get(format!("{}/nowhere", world.node().url))
        .send()
        .await
        .unwrap();
    assert_eq!(nowhere.status(), 404, "even without a password");
    let (_socket, id, _) = world.connect(None).await;
    for timeout in [0, -5] {
        world.arm(&id, timeout).await;
    }
    assert_eq!(world.rest(Method::GET, "/v4/loadtracks", None).await.0, 400);
    assert_eq!(
        world.rest(Method::GET, "/v4/decodetrack?encodedTrack=xx", None).await.0,
        500
    );
}

#[tokio::test]
async fn n15_ping_and_frame_statistics_are_empty_at_first() {
    let world = World::new(Timing {
        stats_ms: 150,
        ..quick()
    })
    .await;
    let (mut socket, id, _) = world.connect(None).await;
    let without = world.patch(&id, &json!({})).await;
    assert_eq!(without["state"]["ping"], -1);
    let body = json!({"voice": voice("t1"), "track": {"identifier": "sim:A?length=60"}});
    assert_eq!(world.patch(&id, &body).await["state"]["ping"], 0);
    for nth in 0..2 {
        assert!(socket.next("stats").await["frameStats"].is_null(), "{nth}");
    }
    let frames = socket.next("stats").await["frameStats"].clone();
    assert_eq!(frames, json!({"sent": 3000, "nulled": 0, "deficit": 0}));
}

#[tokio::test]
async fn n16_a_voice_server_that_may_be_tried_again_is_tried_four_times_at_once() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    for code in [4015, 4000, 1001, 4009] {
        world.switchboard.close(GUILD, code, false);
        until(async || match world.events("voice_retry") {
            tries if tries.last().is_some_and(|one| one["code"] == code) => Ok(()),
            tries => Err(tries),
        })
        .await;
    }
    let report = world.audio.report(GUILD, 0);
    assert_eq!(
        (&report["playing"], &report["gaps"]),
        (&json!(true), &json!([])),
        "{report}"
    );
    assert_eq!(report["segments"].as_array().unwrap().len(), 1, "no break, no event");
    assert_eq!(world.events("voice_closed").len(), 0);

    world.switchboard.refuse(GUILD, Some(4015));
    world.switchboard.close(GUILD, 4015, false);
    assert_eq!(socket.event("WebSocketClosedEvent").await["code"], 4015);
    let tries = world.events("voice_retry");
    let refused: Vec<&Value> = tries.iter().filter(|one| one["accepted"] == false).collect();
    assert_eq!(refused.len(), 4);
    let moments: Vec<u64> = refused.iter().map(|one| one["at_ms"].as_u64().unwrap()).collect();
    assert!(moments[3] - moments[0] <= 80, "{moments:?}");
    assert_eq!(world.get(&id).await.1["state"]["connected"], false);

    world.switchboard.refuse(GUILD, None);
    world.patch(&id, &json!({"voice": voice("t1")})).await;
    world.switchboard.forget(GUILD);
    world.switchboard.close(GUILD, 4015, false);
    assert_eq!(
        socket.event("WebSocketClosedEvent").await["code"],
        4006,
        "a resume with what is stale"
    );
}
