//! Faults, what can be heard through them, and a client that others wrote.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;

use super::{GUILD, World, quick, until, voice};

#[tokio::test]
async fn a_killed_node_is_silent_at_once_and_comes_back_on_its_port() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let end = world.fault("kill_node", json!({}));
    assert_eq!(world.audio.report(GUILD, 0)["playing"], false);
    let broken = loop {
        if let Err(frame) = socket.read().await {
            break frame;
        }
    };
    assert!(broken.is_none(), "no close frame");
    let address = world.node().url.replace("http://", "");
    until(async || match TcpStream::connect(&address).await {
        Err(refused) if refused.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(other),
    })
    .await;
    end.end();
    until(async || {
        if world.nodes.world()[0]["up"] == true {
            Ok(())
        } else {
            Err(world.nodes.world())
        }
    })
    .await;
    assert!(!world.connect(Some(&id)).await.2, "its memory is lost");
    until(async || match world.audio.report(GUILD, 0) {
        report if report["gaps"].as_array().unwrap().len() == 1 => Ok(()),
        report => Err(report),
    })
    .await;
    world.nodes.shutdown().await;
}

#[tokio::test]
async fn a_source_that_gives_nothing_more_is_silent_and_the_track_stays() {
    let world = World::new(quick()).await;
    let (_socket, id) = world.playing("sim:A?length=60&stuck_at=0.5").await;
    let report = until(async || match world.audio.report(GUILD, 0) {
        report if report["playing"] == false => Ok(report),
        report => Err(report),
    })
    .await;
    let heard_to = report["segments"][0]["position_to_ms"].as_u64().unwrap();
    assert!((500..=600).contains(&heard_to), "{report}");
    assert_eq!(report["gaps"], json!([]), "the track itself failed");
    assert_eq!(world.get(&id).await.1["track"]["info"]["title"], "A");
}

#[tokio::test]
async fn lavalink_rs_reads_all_that_a_node_says() {
    use lavalink_rs::model::{events, http, player, track};
    let world = World::new(quick()).await;
    let (mut socket, id, _) = world.connect(None).await;
    serde_json::from_value::<events::Stats>(socket.next("stats").await).unwrap();
    let idle = world.player(&id, "", &json!({})).await.1;
    serde_json::from_value::<player::Player>(idle).unwrap();
    let playing = world
        .patch(
            &id,
            &json!({"voice": voice("t1"), "track": {"identifier": "sim:A?stream=1"}}),
        )
        .await;
    serde_json::from_value::<player::Player>(playing).unwrap();
    serde_json::from_value::<events::TrackStart>(socket.event("TrackStartEvent").await).unwrap();
    serde_json::from_value::<events::PlayerUpdate>(socket.next("playerUpdate").await).unwrap();
    world
        .patch(&id, &json!({"track": {"identifier": "sim:B?fail=1"}}))
        .await;
    serde_json::from_value::<events::TrackEnd>(socket.event("TrackEndEvent").await).unwrap();
    serde_json::from_value::<events::TrackException>(socket.event("TrackExceptionEvent").await).unwrap();
    world.switchboard.close(GUILD, 4014, false);
    serde_json::from_value::<events::WebSocketClosed>(socket.event("WebSocketClosedEvent").await).unwrap();
    let info = world.rest(Method::GET, "/v4/info", None).await.1;
    serde_json::from_value::<http::Info>(info).unwrap();
    for identifier in ["sim:A", "ytsearch:moon", "sim:playlist:x", "nothing"] {
        let loaded = world
            .rest(Method::GET, &format!("/v4/loadtracks?identifier={identifier}"), None)
            .await
            .1;
        serde_json::from_value::<track::Track>(loaded).unwrap();
    }
}

#[tokio::test]
async fn a_half_open_socket_keeps_its_session_open() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    let end = world.fault("half_open", json!({}));
    drop(socket);
    let (_other, _, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed);
    assert_eq!(world.get(&id).await.0, 200, "REST of the old session works");
    end.end();
    world.paused(&id).await;
}

#[tokio::test]
async fn rest_that_hangs_or_fails_leaves_the_socket_alone() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    let end = world.fault("hang_rest", json!({}));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), world.get(&id))
            .await
            .is_err()
    );
    end.end();
    assert_eq!(world.get(&id).await.0, 200);
    let end = world.fault("fail_rest", json!({"status": 503}));
    assert_eq!(world.get(&id).await.0, 503);
    end.end();
    let end = world.fault("refuse_voice", json!({}));
    let (status, body) = world.player(&id, "", &json!({"voice": voice("t9")})).await;
    assert_eq!(
        (status.as_u16(), body["message"].as_str()),
        (500, Some("Failed to connect to voice server"))
    );
    end.end();
    world.patch(&id, &json!({"position": 1})).await;
    socket.next("playerUpdate").await;
    assert_eq!(
        world.nodes.counters()["PATCH /v4/sessions/{session}/players/{guild}"],
        3
    );
    assert!(world.nodes.fault("drop_gateway", &json!({})).is_none());
    assert!(world.nodes.fault("hang_rest", &json!({"node": "z"})).unwrap().is_err());
}

#[tokio::test]
async fn a_pause_is_a_gap_unless_somebody_asked_for_it() {
    for asked in [false, true] {
        let world = World::new(quick()).await;
        let (_socket, id) = world.playing("sim:A?length=60").await;
        if asked {
            world.audio.mark_interaction(GUILD);
        }
        world.patch(&id, &json!({"paused": true})).await;
        assert_eq!(
            world.audio.report(GUILD, 0)["playing"],
            true,
            "the queue is still heard"
        );
        let report = until(async || match world.audio.report(GUILD, 0) {
            report
                if report["playing"] == false
                    && report["now_ms"].as_u64() > report["segments"][0]["to_ms"].as_u64().map(|to| to + 60) =>
            {
                Ok(report)
            }
            report => Err(report),
        })
        .await;
        assert_eq!(report["gaps"].as_array().unwrap().is_empty(), asked, "{report}");
    }
}

#[tokio::test]
async fn a_resume_is_not_heard() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    drop(socket);
    world.paused(&id).await;
    let (_socket, _, resumed) = world.connect(Some(&id)).await;
    assert!(resumed);
    world.patch(&id, &json!({"voice": voice("t1")})).await;
    let report = world.audio.report(GUILD, 0);
    assert_eq!(
        (report["segments"].as_array().unwrap().len(), &report["gaps"]),
        (1, &json!([])),
        "{report}"
    );
}

#[tokio::test]
async fn what_a_deleted_player_waited_for_does_not_reach_its_successor() {
    let world = World::new(quick()).await;
    let (_socket, id) = world.playing("sim:A?length=0.8").await;
    let path = format!("/v4/sessions/{id}/players/{GUILD}");
    world.rest(Method::DELETE, &path, None).await;
    let body = json!({"voice": voice("t1"), "track": {"identifier": "sim:B?length=60"}});
    world.patch(&id, &body).await;
    let position = until(async || {
        let player = world.get(&id).await.1;
        match player["state"]["position"].as_u64() {
            Some(position) if position > 1_400 || player["track"].is_null() => Ok(player),
            _ => Err(player),
        }
    })
    .await;
    assert_eq!(position["track"]["info"]["title"], "B");
}

#[tokio::test]
async fn strange_messages_come_between_good_ones_and_a_dropped_socket_has_no_close_frame() {
    let world = World::new(quick()).await;
    let (mut socket, id, _) = world.connect(None).await;
    world.arm(&id, 60).await;
    assert_eq!(socket.read().await.unwrap()["op"], "stats");
    world.fault("malformed", json!({}));
    let broken = tokio_tungstenite::tungstenite::Message::text("{\"op\":");
    assert_eq!(socket.stream.next().await.unwrap().unwrap(), broken);
    let exception = socket.event("TrackExceptionEvent").await;
    assert!(exception["exception"]["message"].is_null());
    world.fault("drop_node_socket", json!({}));
    assert_eq!(socket.read().await.unwrap_err(), None);
    world.paused(&id).await;
    assert!(world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn a_restarted_node_is_down_for_as_long_as_told_and_then_empty() {
    let world = World::new(quick()).await;
    let (_socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 60).await;
    world.fault("restart_node", json!({"down_ms": 200}));
    assert_eq!(world.nodes.world()[0]["up"], false);
    assert_eq!(world.nodes.world()[1]["up"], true);
    until(async || match world.nodes.world() {
        nodes if nodes[0]["up"] == true => Ok(()),
        nodes => Err(nodes),
    })
    .await;
    let kinds: Vec<u64> = ["node_down", "node_up"]
        .iter()
        .map(|kind| world.events(kind).last().unwrap()["at_ms"].as_u64().unwrap())
        .collect();
    assert!(kinds[1] - kinds[0] >= 200, "{kinds:?}");
    assert!(!world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn a_wrong_channel_and_a_fault_make_a_connection_that_nobody_hears() {
    let world = World::new(quick()).await;
    let (mut socket, id, _) = world.connect(None).await;
    let mut wrong = voice("t1");
    wrong["channelId"] = json!("78");
    let body = json!({"voice": wrong, "track": {"identifier": "sim:A?length=60"}});
    assert_eq!(world.patch(&id, &body).await["state"]["connected"], true);
    socket.event("TrackStartEvent").await;
    assert_eq!(world.audio.report(GUILD, 0)["playing"], false);
    world.patch(&id, &json!({"voice": voice("t1")})).await;
    assert_eq!(world.audio.report(GUILD, 0)["playing"], true);
    world.switchboard.hush(GUILD, true);
    world.switchboard.mint(GUILD, super::minted("t2"));
    assert_eq!(
        world.patch(&id, &json!({"voice": voice("t2")})).await["state"]["connected"],
        true
    );
    until(async || match world.audio.report(GUILD, 0) {
        report if report["playing"] == false => Ok(()),
        report => Err(report),
    })
    .await;
}

#[tokio::test]
async fn events_are_lost_or_come_too_late_when_a_fault_says_so() {
    let world = World::new(quick()).await;
    let (mut socket, id) = world.playing("sim:A?length=60").await;
    world.fault("lose_event", json!({"type": "TrackEndEvent"}));
    world
        .patch(&id, &json!({"track": {"identifier": "sim:B?length=60"}}))
        .await;
    let start = socket.next("event").await;
    assert_eq!(start["track"]["info"]["title"], "B", "the end of A never came");
    world.fault("reorder", json!({}));
    world
        .patch(&id, &json!({"track": {"identifier": "sim:C?length=60"}}))
        .await;
    let (first, second) = (socket.next("event").await, socket.next("event").await);
    assert_eq!(
        (&first["type"], &second["type"]),
        (&json!("TrackStartEvent"), &json!("TrackEndEvent"))
    );
    assert_eq!(world.events("track_end").len(), 2, "the log has all of them");
}

#[tokio::test]
async fn a_paused_session_expires_when_a_fault_says_so() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 600).await;
    drop(socket);
    world.paused(&id).await;
    let (open, other, _) = world.connect(None).await;
    world.fault("expire_resume", json!({}));
    assert_eq!(world.audio.report(GUILD, 0)["segments"].as_array().unwrap().len(), 1);
    assert_eq!(
        world.nodes.world()[0]["sessions"][0]["id"],
        json!(other),
        "open ones stay"
    );
    drop(open);
    assert!(!world.connect(Some(&id)).await.2);
}

#[tokio::test]
async fn what_a_member_writes_is_logged_with_its_name_and_when_it_began() {
    let world = World::new(quick()).await;
    let (_socket, id) = world.playing("sim:A?length=60").await;
    world.patch(&id, &json!({"paused": true})).await;
    let audio = world.events("audio");
    let heard = audio.iter().find(|event| event["track"].is_string()).unwrap();
    assert_eq!((&heard["title"], &heard["position_ms"]), (&json!("A"), &json!(0)));
    assert!(audio.last().unwrap()["track"].is_null(), "{audio:?}");
    let writes = world.events("node_rest");
    let last = writes.last().unwrap();
    assert!(last["began_ms"].as_u64() <= last["at_ms"].as_u64());
    assert_eq!(last["status"], 200);
}

/// The ids of the sessions that the first node knows.
fn sessions(world: &World) -> Vec<String> {
    let nodes = world.nodes.world();
    let known = nodes[0]["sessions"].as_array().unwrap();
    known
        .iter()
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn n3_a_session_whose_resume_was_lost_can_be_had_again_and_ends_when_its_time_is_up() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, 2).await;
    socket.close(4000).await;
    world.paused(&id).await;
    world.fault("lose_resume", json!({"times": 1}));
    let (_other, new, resumed) = world.connect(Some(&id)).await;
    assert!(!resumed && new != id);
    let (socket, again, resumed) = world.connect(Some(&id)).await;
    assert!(resumed && again == id, "a second try has the old one");

    socket.close(4000).await;
    world.paused(&id).await;
    world.fault("lose_resume", json!({"times": 1}));
    assert!(!world.connect(Some(&id)).await.2);
    until(async || {
        let known = sessions(&world);
        if known.contains(&id) { Err(known) } else { Ok(()) }
    })
    .await;
    assert!(!world.connect(Some(&id)).await.2, "nobody came, and it is gone");
}

#[tokio::test]
async fn a_session_that_may_wait_for_ever_waits() {
    let world = World::new(quick()).await;
    let (socket, id) = world.playing("sim:A?length=60").await;
    world.arm(&id, i64::MAX).await;
    socket.close(4000).await;
    world.paused(&id).await;
    let (socket, again, resumed) = world.connect(Some(&id)).await;
    assert!(resumed && again == id);
    drop(socket);
    world.paused(&id).await;
}

#[tokio::test]
async fn an_extreme_timescale_leaves_the_player_and_its_record_alone() {
    for speed in [1e-300, 1e300] {
        let world = World::new(quick()).await;
        let (_socket, id) = world.playing("sim:A?length=36000").await;
        let filters = json!({"timescale": {"speed": speed}});
        let shown = world.patch(&id, &json!({"filters": filters})).await;
        assert_eq!(shown["filters"], filters);
        world.patch(&id, &json!({"volume": 50})).await;
        assert_eq!(world.get(&id).await.0, 200);
        let last = until(async || {
            let report = world.audio.report(GUILD, 0);
            let last = report["segments"].as_array().and_then(|all| all.last()).cloned();
            last.filter(|last| last["volume"] == 50).ok_or(report)
        })
        .await;
        assert!(last["position_to_ms"].is_u64(), "{last}");
    }
}
