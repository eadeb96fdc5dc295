//! The control API, REST limits, faults and bad input.

use super::*;

#[tokio::test]
async fn ready_line_has_the_shape_of_the_contract() {
    let sim = sim(0).await;
    let line = serde_json::to_value(&sim.ready).unwrap();
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    for key in ["discord_api", "discord_gateway", "token", "lavalink", "control"] {
        assert!(!line[key].is_null(), "{key}");
    }
    sim.shutdown().await;
}

#[tokio::test]
async fn the_same_seed_makes_the_same_world() {
    let (one, other) = (sim(3).await, sim(3).await);
    let (a, b) = (
        Rest::new(&one).look("/world").await,
        Rest::new(&other).look("/world").await,
    );
    assert_eq!(a["guilds"], b["guilds"]);
    assert_eq!(one.ready.token, other.ready.token);
    assert!(a["guilds"][0]["members"].as_array().unwrap().len() >= 3);
}

#[tokio::test]
async fn rest_refuses_missing_permissions_and_too_many_requests() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let messages = format!("/channels/{}/messages", at.text);
    let hello = || Some(json!({"content": "hello"}));
    rest.control(
        Method::PATCH,
        &format!("/channels/{}", at.text),
        json!({"bot_denied": ["send_messages"]}),
    )
    .await;
    let (status, denied) = rest.api(Method::POST, &messages, hello()).await;
    assert_eq!((status, &denied["code"]), (403, &json!(50_013)));
    rest.control(
        Method::PATCH,
        &format!("/channels/{}", at.text),
        json!({"bot_denied": []}),
    )
    .await;
    let mut last = (0, Value::Null);
    for _ in 0..6 {
        last = rest.api(Method::POST, &messages, hello()).await;
    }
    assert_eq!((last.0, &last.1["global"]), (429, &json!(false)));
    assert!(last.1["retry_after"].as_f64().unwrap() > 0.0);
    let mut first_429 = Value::Null;
    for _ in 0..60 {
        let (status, body) = rest.api(Method::GET, "/users/@me", None).await;
        if status == 429 && body["global"] == true {
            first_429 = body;
            break;
        }
    }
    // A slow machine may spread 60 requests over more than a second.
    if !first_429.is_null() {
        assert_eq!(rest.look("/violations").await[0]["rule"], "rest_limit");
    }
}

#[tokio::test]
async fn faults_begin_end_and_unknown_ones_name_the_known() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let (status, body) = rest.control(Method::POST, "/faults", json!({"kind": "odd"})).await;
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().contains("drop_gateway"), "{body}");
    let (status, _) = rest
        .control(Method::POST, "/faults", json!({"kind": "drop_gateway"}))
        .await;
    assert_eq!(status, 400, "a shard is missing");

    let id = rest
        .fault(json!({"kind": "refuse_rest", "route": "/users/@me", "status": 503}))
        .await;
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 503);
    assert_eq!(rest.api(Method::GET, "/applications/@me", None).await.0, 200);
    let (status, _) = rest
        .control(Method::DELETE, &format!("/faults/{id}"), Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 200);
    assert_eq!(rest.control(Method::DELETE, "/faults/99", Value::Null).await.0, 404);

    rest.fault(json!({"kind": "refuse_rest", "route": "*", "status": 500, "for_ms": 50}))
        .await;
    let log = async {
        loop {
            let ends = rest
                .log()
                .await
                .iter()
                .filter(|event| event["kind"] == "fault_end")
                .count();
            if ends == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, log).await.expect("the fault never ended");
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 200);
}

#[tokio::test]
async fn bad_input_never_stops_it() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    for url in [
        format!("{}/guilds", rest.control),
        format!("{}/channels/{}/messages", rest.api, at.text),
    ] {
        for body in [b"{".to_vec(), b"\xff\xfe".to_vec(), vec![b'x'; 3 << 20]] {
            let sent = rest
                .client
                .post(&url)
                .header("authorization", &rest.token)
                .body(body)
                .send()
                .await;
            // A body beyond the limit may end the connection instead.
            if let Ok(response) = sent {
                assert_eq!(response.status().as_u16(), 400, "{url}");
            }
        }
    }
    for body in [
        json!([]),
        json!(7),
        json!({"user": {}}),
        json!({"channel": [], "user": "x"}),
    ] {
        for path in [
            "/guilds/1/voice",
            "/guilds/x/commands",
            "/messages/0/components",
            "/interactions/0/modal",
            "/faults",
        ] {
            let (status, _) = rest.control(Method::POST, path, body.clone()).await;
            assert!((400..500).contains(&status), "{path} {body}: {status}");
        }
    }
    let mut socket = Socket::open(&sim).await;
    socket.0.send(Message::binary(vec![0xff; 100])).await.unwrap();
    assert_eq!(socket.close_code().await, Some(4002));
    rest.look("/world").await;
}

#[tokio::test]
async fn an_admin_changes_the_world_and_the_bot_is_told() {
    let sim = sim(0).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let (_, guild) = rest
        .control(
            Method::POST,
            "/guilds",
            json!({"members": 5, "text_channels": 2, "voice_channels": 1}),
        )
        .await;
    assert_eq!(guild["members"].as_array().unwrap().len(), 5);
    assert_eq!(socket.event("GUILD_CREATE").await["d"]["id"], guild["id"]);
    let (id, voice) = (text_of(&guild["id"]), text_of(&guild["channels"][2]["id"]));
    rest.control(Method::PATCH, &format!("/channels/{voice}"), json!({"kind": "stage"}))
        .await;
    assert_eq!(socket.event("CHANNEL_UPDATE").await["d"]["type"], 13);

    let person = text_of(&guild["members"][1]["id"]);
    let path = format!("/guilds/{id}/members/{person}");
    assert_eq!(
        rest.control(Method::PATCH, &path, json!({"roles": ["DJ"]})).await.0,
        204
    );
    let (_, member) = rest.api(Method::GET, &path, None).await;
    assert_eq!(member["roles"].as_array().unwrap().len(), 1);

    // In a stage the bot is suppressed until it lifts that itself.
    socket
        .send(&json!({"op": 4, "d": {"guild_id": id, "channel_id": voice}}))
        .await;
    assert_eq!(socket.event("VOICE_STATE_UPDATE").await["d"]["suppress"], true);
    let path = format!("/guilds/{id}/voice-states/@me");
    let body = json!({"channel_id": voice, "suppress": false});
    assert_eq!(rest.api(Method::PATCH, &path, Some(body)).await.0, 204);
    assert_eq!(socket.event("VOICE_STATE_UPDATE").await["d"]["suppress"], false);

    let (status, _) = rest
        .control(Method::DELETE, &format!("/guilds/{id}"), Value::Null)
        .await;
    assert_eq!(status, 204);
    let gone = socket.event("GUILD_DELETE").await;
    assert_eq!(
        (&gone["d"]["id"], &gone["d"]["unavailable"]),
        (&json!(id), &Value::Null)
    );
    assert_eq!(rest.look("/world").await["guilds"], json!([]));
}
