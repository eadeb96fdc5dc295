//! Logins, resumes, replays, closes and faults of the gateway.

use super::*;

#[tokio::test]
async fn a_login_gets_ready_with_unavailable_guilds_and_then_each_guild() {
    let sim = sim(2).await;
    let mut socket = Socket::open(&sim).await;
    let ready = socket.identify(&sim).await;
    assert_eq!(ready["s"], 1);
    assert_eq!(ready["d"]["guilds"].as_array().unwrap().len(), 2);
    assert_eq!(ready["d"]["guilds"][0]["unavailable"], true);
    assert_eq!(ready["d"]["resume_gateway_url"], sim.ready.discord_gateway);
    assert_eq!(ready["d"]["user"]["mfa_enabled"], false);
    for seq in [2, 3] {
        let guild = socket.next().await;
        assert_eq!((&guild["t"], &guild["s"]), (&json!("GUILD_CREATE"), &json!(seq)));
        assert_eq!(guild["d"]["unavailable"], false);
    }
    socket.send(&json!({"op": 1, "d": 3})).await;
    assert_eq!(socket.next().await["op"], 11);
}

#[tokio::test]
async fn every_wrong_login_is_closed_with_its_code() {
    let sim = sim(1).await;
    let token = &sim.ready.token;
    let with = |change: Value| {
        let mut payload = identify(token);
        for (name, value) in change.as_object().unwrap() {
            payload["d"][name] = value.clone();
        }
        payload.to_string()
    };
    let cases = [
        (json!({"op": 4, "d": {}}).to_string(), 4003),
        (json!({"op": 99, "d": {}}).to_string(), 4001),
        ("{".to_owned(), 4002),
        ("[]".to_owned(), 4002),
        (json!({"op": 1, "d": "x".repeat(4_096)}).to_string(), 4002),
        (with(json!({"token": "wrong"})), 4004),
        (with(json!({"shard": [1, 1]})), 4010),
        (with(json!({"shard": "odd"})), 4010),
        (with(json!({"intents": 1_u64 << 40})), 4013),
        (with(json!({"intents": 2})), 4014),
        (
            json!({"op": 6, "d": {"token": "wrong", "session_id": "x", "seq": 1}}).to_string(),
            4004,
        ),
    ];
    for (payload, code) in cases {
        let mut socket = Socket::open(&sim).await;
        socket.text(&payload).await;
        assert_eq!(socket.close_code().await, Some(code), "{payload}");
    }
    for (query, code) in [("?v=9&encoding=json", 4012), ("?v=10&encoding=etf", 4002)] {
        assert_eq!(
            Socket::bare(&sim, query).await.close_code().await,
            Some(code),
            "{query}"
        );
    }
    let mut twice = Socket::open(&sim).await;
    twice.identify(&sim).await;
    twice.send(&identify(token)).await;
    assert_eq!(twice.close_code().await, Some(4005));
}

#[tokio::test]
async fn too_many_payloads_close_with_4008_and_the_session_can_be_resumed() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let ready = socket.identify(&sim).await;
    for _ in 0..120 {
        socket.send(&json!({"op": 1, "d": null})).await;
    }
    assert_eq!(socket.close_code().await, Some(4008));
    let violations = rest
        .until("/violations", |found| !found.as_array().unwrap().is_empty())
        .await;
    assert_eq!(violations[0]["rule"], "send_limit");
    let mut again = Socket::open(&sim).await;
    again.send(&resume(&sim, &ready["d"]["session_id"], 2)).await;
    assert_eq!(again.next().await["t"], "RESUMED");
}

#[tokio::test]
async fn a_second_identify_in_the_window_is_answered_with_op_9_and_seen_by_the_oracle() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut first = Socket::open(&sim).await;
    first.identify(&sim).await;
    let mut second = Socket::open(&sim).await;
    second.send(&identify(&sim.ready.token)).await;
    let answer = second.next().await;
    assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)));
    second.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(second.next().await["op"], 11, "the connection stays open");
    assert_eq!(rest.look("/violations").await[0]["rule"], "identify_window");
    assert_eq!(rest.look("/counters").await["identify"], 2);
    let (_, gateway) = rest.api(Method::GET, "/gateway/bot", None).await;
    assert_eq!(gateway["session_start_limit"]["remaining"], 998);
}

#[tokio::test]
async fn a_resume_replays_in_order_and_wrong_ones_are_refused_as_discord_does() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket.event("GUILD_CREATE").await;
    drop(socket);
    rest.until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    for channel in [json!(at.voice[0]), json!(at.voice[1]), Value::Null] {
        let body = json!({"user": at.people[0], "channel": channel});
        rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
            .await;
    }

    let mut beyond = Socket::open(&sim).await;
    beyond.send(&resume(&sim, &session, 99)).await;
    assert_eq!(beyond.close_code().await, Some(4007));
    let mut unknown = Socket::open(&sim).await;
    unknown.send(&resume(&sim, &json!("unknown"), 1)).await;
    assert_eq!(unknown.next().await["d"], false);

    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 2)).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let payload = socket.next().await;
        seen.push((payload["s"].as_u64().unwrap(), text_of(&payload["t"])));
    }
    let wanted = [
        (3, "VOICE_STATE_UPDATE"),
        (4, "VOICE_STATE_UPDATE"),
        (5, "VOICE_STATE_UPDATE"),
        (6, "RESUMED"),
    ];
    assert_eq!(seen, wanted.map(|(seq, name)| (seq, name.to_owned())));

    // The newest socket wins.
    let mut newer = Socket::open(&sim).await;
    newer.send(&resume(&sim, &session, 6)).await;
    assert_eq!(newer.event("RESUMED").await["s"], 7);
    assert_eq!(socket.close_code().await, Some(4000));
    assert_eq!(rest.look("/world").await["shards"][0]["connected"], true);
}

#[tokio::test]
async fn a_replay_that_overflowed_is_refused() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    drop(socket);
    rest.until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    for round in 0..101 {
        let body = json!({"user": at.people[0], "channel": at.voice[round % 2]});
        rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
            .await;
    }
    let mut late = Socket::open(&sim).await;
    late.send(&resume(&sim, &session, 2)).await;
    assert_eq!(late.next().await["op"], 9);
    let mut just = Socket::open(&sim).await;
    just.send(&resume(&sim, &session, 3)).await;
    assert_eq!(just.next().await["s"], 4);
}

#[tokio::test]
async fn gateway_faults_do_to_a_shard_what_they_say() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    rest.fault(json!({"kind": "drop_gateway", "shard": 0})).await;
    assert_eq!(socket.close_code().await, None, "TCP just ends");
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    socket.event("RESUMED").await;
    rest.fault(json!({"kind": "reconnect_gateway", "shard": 0})).await;
    assert_eq!(socket.next().await["op"], 7);
    rest.fault(json!({"kind": "invalidate_session", "shard": 0, "resumable": true}))
        .await;
    assert_eq!(socket.next().await["d"], true);
    rest.fault(json!({"kind": "expire_session", "shard": 0})).await;
    assert_eq!(socket.close_code().await, None);
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    assert_eq!(socket.next().await["d"], false);
    assert_eq!(rest.look("/counters").await["resume"], 2);
}
