//! Lavalink's rows L1 to L22.

use std::time::Duration;

use reqwest::Method;
use segue::sim::lavalink::Timing;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{GUILD, World, minted, quick, status_of, until, voice};

#[tokio::test]
async fn l1_a_handshake_needs_the_password_and_a_user() {
    let world = World::new(quick()).await;
    let password = world.node().password;
    let good = ("Authorization", password.as_str());
    assert_eq!(status_of(world.try_connect(&[("User-Id", "1")]).await), 401);
    assert_eq!(
        status_of(world.try_connect(&[("Authorization", "x"), ("User-Id", "1")]).await),
        401
    );
    assert_eq!(status_of(world.try_connect(&[good]).await), 400);
    assert_eq!(status_of(world.try_connect(&[good, ("User-Id", "0")]).await), 400);
    let (socket, ..) = world.connect(None).await;
    assert_eq!(socket.headers["Session-Resumed"], "false");
    world.nodes.shutdown().await;
}

#[tokio::test]
async fn l2_ready_comes_first_and_stats_at_once_unless_asked_otherwise() {
    let world = World::new(quick()).await;
    let (mut socket, id, _) = world.connect(None).await;
    assert_eq!(id.len(), 16);
    assert_eq!(socket.read().await.unwrap()["op"], "stats");
    world.fault("stats_first", json!({}));
    let password = world.node().password;
    let mut early = world
        .try_connect(&[("Authorization", &password), ("User-Id", "1")])
        .await
        .unwrap();
    assert_eq!(early.read().await.unwrap()["op"], "stats");
    assert_eq!(early.read().await.unwrap()["op"], "ready");
}

#[tokio::test]
async fn l3_rest_refuses_with_an_empty_body_and_unknown_paths_with_json() {
    let world = World::new(quick()).await;
    let url = format!("{}/v4/info", world.node().url);
    for (password, status) in [(None, 401), (Some("x"), 403)] {
        let mut request = world.http.get(&url);
        if let Some(password) = password {
            request = request.header("Authorization", password);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["Lavalink-Api-Version"], "4");
        assert_eq!(
            (response.status().as_u16(), response.text().await.unwrap()),
            (status, String::new())
        );
    }
    let response = world
        .http
        .get(format!("{}/nowhere?trace=true", world.node().url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 404);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (body["path"].as_str(), body["status"].as_u64()),
        (Some("/nowhere"), Some(404))
    );
    assert!(body["trace"].is_string());
}

#[tokio::test]
async fn l4_an_empty_session_patch_reads_and_an_unknown_session_is_404() {
    let world = World::new(quick()).await;
    let (_socket, id, _) = world.connect(None).await;
    let path = format!("/v4/sessions/{id}");
    let (_, read) = world.rest(Method::PATCH, &path, Some(&json!({}))).await;
    assert_eq!(read, json!({"resuming": false, "timeout": 60}));
    world.arm(&id, -5).await;
    let (status, body) = world.rest(Method::PATCH, "/v4/sessions/none", Some(&json!({}))).await;
    assert_eq!(
        (status.as_u16(), body["message"].as_str()),
        (404, Some("Session not found"))
    );
}

#[tokio::test]
async fn l5_a_session_that_may_not_be_resumed_dies_with_its_socket() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    socket.close(4000).await;
    until(async || match world.nodes.world()[0]["sessions"].clone() {
        sessions if sessions == json!([]) => Ok(()),
        sessions => Err(sessions),
    })
    .await;
    assert_eq!(world.events("frames_end").len(), 1);
    let (_socket, other, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed && other != id);
}

#[tokio::test]
async fn l6_a_paused_session_plays_on_refuses_rest_and_starts_no_next_track() {
    let world = World::new(Timing {
        stats_ms: 200,
        ..quick()
    })
    .await;
    let (socket, id) = world.playing("sim:A?length=1").await;
    world.arm(&id, 60).await;
    socket.close(1000).await;
    world.paused(&id).await;
    let players = format!("/v4/sessions/{id}/players");
    let player = format!("{players}/{GUILD}");
    let empty = json!({});
    for (method, path, body) in [
        (Method::GET, &players, None),
        (Method::GET, &player, None),
        (Method::PATCH, &player, Some(&empty)),
        (Method::DELETE, &player, None),
        (Method::PATCH, &format!("/v4/sessions/{id}"), Some(&empty)),
    ] {
        let (status, refused) = world.rest(method.clone(), path, body).await;
        assert_eq!(
            (status.as_u16(), &refused["message"]),
            (404, &json!("Session not found")),
            "{method} {path}"
        );
    }
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    until(async || match world.events("track_end").len() {
        1 => Ok(()),
        ends => Err(ends),
    })
    .await;
    let (mut socket, _, resumed) = world.connect(Some(&id)).await;
    assert!(resumed);
    let mut held = Vec::new();
    loop {
        let message = socket.read().await.unwrap();
        if message["op"] == "playerUpdate" {
            break;
        }
        held.push(message["type"].as_str().unwrap_or("stats").to_owned());
    }
    assert!(
        held.contains(&"TrackEndEvent".to_owned()) && held.contains(&"stats".to_owned()),
        "{held:?}"
    );
    assert_eq!(
        world.events("track_start").len(),
        1,
        "the next track is the client's to start"
    );
    assert!(world.get(&id).await.1["track"].is_null());
}

#[tokio::test]
async fn l7_a_resume_in_time_keeps_id_and_settings_and_replays_in_order() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=1").await;
    world.arm(&id, 60).await;
    socket.close(4000).await;
    world.paused(&id).await;
    until(async || match world.events("track_end").len() {
        1 => Ok(()),
        ends => Err(ends),
    })
    .await;
    world.switchboard.close(GUILD, 4014, false);
    until(async || match world.events("voice_closed").len() {
        1 => Ok(()),
        closed => Err(closed),
    })
    .await;
    let password = world.node().password;
    let headers = [
        ("Authorization", password.as_str()),
        ("User-Id", "2"),
        ("Session-Id", &id),
    ];
    let mut socket = world.try_connect(&headers).await.unwrap();
    assert_eq!(socket.headers["Session-Resumed"], "true");
    let ready = socket.read().await.unwrap();
    assert_eq!(
        (&ready["resumed"], ready["sessionId"].as_str()),
        (&json!(true), Some(id.as_str()))
    );
    let end = socket.read().await.unwrap();
    assert_eq!(
        (&end["type"], &end["reason"]),
        (&json!("TrackEndEvent"), &json!("finished"))
    );
    let closed = socket.read().await.unwrap();
    assert_eq!((&closed["code"], &closed["byRemote"]), (&json!(4014), &json!(true)));
    let update = socket.read().await.unwrap();
    assert_eq!(
        (&update["op"], &update["state"]["connected"]),
        (&json!("playerUpdate"), &json!(false))
    );
    assert!(socket.silent(100).await, "and nothing more");
    let path = format!("/v4/sessions/{id}");
    let settings = world.rest(Method::PATCH, &path, Some(&json!({}))).await.1;
    assert_eq!(settings, json!({"resuming": true, "timeout": 60}));
}

#[tokio::test]
async fn l8_after_the_timeout_the_session_is_gone() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 0).await;
    drop(socket);
    until(async || match world.events("node_session_gone").len() {
        1 => Ok(()),
        gone => Err(gone),
    })
    .await;
    let (_socket, other, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed && other != id);
    let (_socket, other, resumed) = world.connect(Some("neverheardofthis")).await;
    assert!(!resumed && other != "neverheardofthis");
}

#[tokio::test]
async fn l9_a_second_socket_gets_its_own_session_while_the_first_is_open() {
    let world = World::new(quick()).await;
    let (mut first, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let (_second, other, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed && other != id);
    world.patch(&id, &json!({"position": 5000})).await;
    first.next("playerUpdate").await;
}

#[tokio::test]
async fn l10_a_handshake_that_aborts_still_cancels_the_timeout() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 1).await;
    drop(socket);
    world.paused(&id).await;
    let response = world.aborts(&id).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["Session-Resumed"], "true");
    let paused = Instant::now();
    until(async || {
        if paused.elapsed() > Duration::from_millis(1_200) {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
    let (socket, same, resumed) = world.connect(Some(&id)).await;
    assert_eq!(socket.headers["Session-Resumed"], "false");
    assert!(resumed && same == id);
}

#[tokio::test]
async fn l11_the_same_voice_again_does_nothing_and_another_replaces_it() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    let again = world.patch(&id, &json!({"voice": voice("t1")})).await;
    assert_eq!(
        (&again["state"]["connected"], &again["voice"]),
        (&json!(true), &voice("t1"))
    );
    assert_eq!(world.events("voice_closed").len(), 0);
    world.switchboard.mint(GUILD, minted("t2"));
    world.patch(&id, &json!({"voice": voice("t2")})).await;
    let closed = socket.event("WebSocketClosedEvent").await;
    assert_eq!((&closed["code"], &closed["byRemote"]), (&json!(1000), &json!(false)));
    let mut blank = voice("t2");
    blank["channelId"] = Value::Null;
    let (status, refused) = world.player(&id, "", &json!({"voice": blank})).await;
    assert_eq!(
        (status.as_u16(), refused["message"].as_str()),
        (
            400,
            Some("token, endpoint, sessionId and channelId must be provided in voice state")
        )
    );
}

#[tokio::test]
async fn l12_stale_credentials_are_accepted_and_then_closed_with_4006() {
    let world = World::new(quick()).await;
    let (mut socket, id, _) = world.connect(None).await;
    world
        .patch(
            &id,
            &json!({"voice": voice("old"), "track": {"identifier": "sim:A?length=60"}}),
        )
        .await;
    let closed = socket.event("WebSocketClosedEvent").await;
    assert_eq!((&closed["code"], &closed["byRemote"]), (&json!(4006), &json!(true)));
    let (_, player) = world.get(&id).await;
    assert_eq!(
        (&player["state"]["position"], &player["state"]["connected"]),
        (&json!(0), &json!(false))
    );
}

#[tokio::test]
async fn l13_after_4014_the_player_plays_on_to_nobody() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.switchboard.close(GUILD, 4014, false);
    assert_eq!(socket.event("WebSocketClosedEvent").await["code"], 4014);
    assert_eq!(world.audio.report(GUILD, 0)["playing"], false);
    let before = world.get(&id).await.1["state"]["position"].as_u64().unwrap();
    until(async || {
        let state = world.get(&id).await.1["state"].clone();
        if state["position"].as_u64().unwrap() > before + 50 && state["connected"] == false {
            Ok(())
        } else {
            Err(state)
        }
    })
    .await;
    until(async || {
        let report = world.audio.report(GUILD, 0);
        if report["gaps"][0]["to_ms"].is_null() && report["gaps"][0].is_object() {
            Ok(())
        } else {
            Err(report)
        }
    })
    .await;
    world.patch(&id, &json!({"voice": voice("t1")})).await;
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    assert_eq!(
        world.events("voice_closed").len(),
        1,
        "a dead connection is replaced without a word"
    );
}

#[tokio::test]
async fn l14_a_track_that_nobody_pulls_is_cleaned_up() {
    let world = World::new(Timing {
        cleanup_ms: 100,
        ..quick()
    })
    .await;
    let (mut socket, id, _) = world.connect(None).await;
    world
        .patch(&id, &json!({"track": {"identifier": "sim:A?length=60"}}))
        .await;
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "cleanup");
}

#[tokio::test]
async fn l15_tracks_start_replace_and_stop() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.patch(&id, &json!({"paused": true})).await;
    let kept = world
        .player(
            &id,
            "?noReplace=true",
            &json!({"track": {"identifier": "sim:B"}, "volume": 2000}),
        )
        .await
        .1;
    assert_eq!(
        (&kept["track"]["info"]["title"], &kept["volume"], &kept["paused"]),
        (&json!("A"), &json!(1000), &json!(true))
    );
    let new = world
        .patch(&id, &json!({"track": {"identifier": "sim:B", "userData": {"n": 1}}}))
        .await;
    assert_eq!(
        (&new["track"]["info"]["title"], &new["paused"]),
        (&json!("B"), &json!(false))
    );
    assert_eq!(new["track"]["userData"], json!({"n": 1}));
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "replaced");
    assert_eq!(socket.event("TrackStartEvent").await["track"]["info"]["title"], "B");
    for _ in 0..2 {
        assert_eq!(socket.read().await.unwrap()["op"], "playerUpdate", "twice at a start");
    }
    let none = world.patch(&id, &json!({"track": {"encoded": null}})).await;
    assert!(none["track"].is_null());
    assert_eq!(socket.event("TrackEndEvent").await["reason"], "stopped");
    for (identifier, words) in [
        ("nothing", "No matches found for identifier"),
        ("ytsearch:moon", "Cannot play a playlist or search result"),
        ("sim:playlist:x", "Cannot play a playlist or search result"),
    ] {
        let (status, body) = world
            .player(&id, "", &json!({"track": {"identifier": identifier}}))
            .await;
        assert_eq!((status.as_u16(), body["message"].as_str()), (400, Some(words)));
    }
    assert_eq!(
        world.player(&id, "", &json!({"track": {"encoded": "???"}})).await.0,
        500
    );
}

#[tokio::test]
async fn l16_the_position_runs_ahead_of_the_ear_and_counts_output_time() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=3").await;
    world
        .patch(&id, &json!({"filters": {"timescale": {"speed": 2.0}}}))
        .await;
    let end = socket.event("TrackEndEvent").await;
    let position = end["track"]["info"]["position"].as_u64().unwrap();
    assert!(
        (1_400..=1_800).contains(&position),
        "three seconds at twice the speed: {end}"
    );
    let report = until(async || match world.audio.report(GUILD, 0) {
        report if report["playing"] == false => Ok(report),
        report => Err(report),
    })
    .await;
    let heard = report["segments"].as_array().unwrap().last().unwrap().clone();
    let heard_to = heard["position_to_ms"].as_i64().unwrap();
    assert!((2_980..=3_020).contains(&heard_to), "the ear hears it whole: {report}");
    assert_eq!(report["gaps"], json!([]));
}

#[tokio::test]
async fn l17_encoded_tracks_carry_the_position_and_start_there() {
    let world = World::new(quick()).await;
    let (_socket, id) = world.playing("sim:A?length=60").await;
    let encoded = async || {
        let player = world.get(&id).await.1;
        player["track"]["encoded"]
            .as_str()
            .unwrap()
            .replace('+', "%2B")
            .replace('=', "%3D")
    };
    let first = encoded().await;
    let second = until(async || match encoded().await {
        same if same == first => Err(same),
        other => Ok(other),
    })
    .await;
    let decoded = world
        .rest(Method::GET, &format!("/v4/decodetrack?encodedTrack={second}"), None)
        .await
        .1;
    assert!(decoded["info"]["position"].as_u64().unwrap() > 0);
    let body = json!({"track": {"encoded": decoded["encoded"]}});
    assert_eq!(world.patch(&id, &body).await["track"]["info"]["title"], "A");
}

#[tokio::test]
async fn l18_loading_has_five_answers() {
    let world = World::new(quick()).await;
    for (identifier, kind) in [
        ("sim:A", "track"),
        ("sim:playlist:P?count=3", "playlist"),
        ("ytsearch:moon", "search"),
        ("nope", "empty"),
        ("sim:error", "error"),
    ] {
        let path = format!(
            "/v4/loadtracks?identifier={}",
            identifier.replace('?', "%3F").replace('=', "%3D")
        );
        let (status, body) = world.rest(Method::GET, &path, None).await;
        assert_eq!(
            (status.as_u16(), body["loadType"].as_str()),
            (200, Some(kind)),
            "{body}"
        );
        match kind {
            "playlist" => assert_eq!(body["data"]["tracks"].as_array().unwrap().len(), 3),
            "empty" => assert!(body.as_object().unwrap()["data"].is_null()),
            _ => assert!(body["data"].is_object() || body["data"].is_array()),
        }
    }
}

#[tokio::test]
async fn l19_deleting_is_always_204() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    let path = format!("/v4/sessions/{id}/players/{GUILD}");
    for _ in 0..2 {
        assert_eq!(world.rest(Method::DELETE, &path, None).await.0, 204);
    }
    socket.event("WebSocketClosedEvent").await;
    assert_eq!(world.get(&id).await.1["message"], "Player not found");
}

#[tokio::test]
async fn l20_a_server_told_to_stop_says_1001_and_forgets() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    world.fault("restart_node", json!({"graceful": true}));
    let frame = loop {
        if let Err(frame) = socket.read().await {
            break frame;
        }
    };
    assert_eq!(frame.unwrap().code, 1001.into());
    until(async || match world.nodes.world() {
        nodes if nodes[0]["up"] == true && nodes[0]["sessions"] == json!([]) => Ok(()),
        nodes => Err(nodes),
    })
    .await;
    assert!(!world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn l21_stats_count_the_whole_node() {
    let world = World::new(Timing {
        stats_ms: 100,
        ..quick()
    })
    .await;
    let (_first, id) = world.playing("sim:A?length=60").await;
    let (mut other, ..) = world.connect(None).await;
    let stats = other.next("stats").await;
    assert_eq!((&stats["players"], &stats["playingPlayers"]), (&json!(1), &json!(1)));
    world.patch(&id, &json!({"paused": true})).await;
    let (_, stats) = world.rest(Method::GET, "/v4/stats", None).await;
    assert_eq!((&stats["players"], &stats["playingPlayers"]), (&json!(1), &json!(0)));
    assert!(stats["frameStats"].is_null() && stats["op"].is_null());
}

#[tokio::test]
async fn l22_what_a_session_says_comes_in_the_order_in_which_it_happened() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:T0?length=60").await;
    for number in 1..20 {
        let body = json!({"track": {"identifier": format!("sim:T{number}?length=60")}});
        world.patch(&id, &body).await;
    }
    for number in 1..20 {
        let end = socket.next("event").await;
        assert_eq!(
            (&end["type"], &end["track"]["info"]["title"]),
            (&json!("TrackEndEvent"), &json!(format!("T{}", number - 1)))
        );
        let start = socket.next("event").await;
        assert_eq!(
            (&start["type"], &start["track"]["info"]["title"]),
            (&json!("TrackStartEvent"), &json!(format!("T{number}")))
        );
    }
}
