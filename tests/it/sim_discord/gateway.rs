//! Logins, resumes, replays, closes and faults of the gateway: G1 to G21.

use super::*;

#[tokio::test]
async fn g1_a_socket_is_greeted_and_only_version_10_in_json_is_spoken() {
    let sim = sim(0).await;
    for place in ["/", "//"] {
        let url = format!("{}{place}?v=10&encoding=json&compress=none", sim.ready.discord_gateway);
        let mut socket = Socket::at(&url).await;
        let hello = socket.next().await;
        assert_eq!(
            (&hello["op"], &hello["d"]["heartbeat_interval"]),
            (&json!(10), &json!(41_250))
        );
        assert!(hello["s"].is_null() && hello["t"].is_null());
    }
    for (query, code) in [("?v=9&encoding=json", 4012), ("?v=10&encoding=etf", 4002)] {
        let mut socket = Socket::bare(&sim, query).await;
        assert_eq!(socket.close_code().await, Some(code), "{query}");
    }
}

#[tokio::test]
async fn g2_a_login_gets_ready_with_unavailable_guilds_and_then_each_guild() {
    let sim = sim(2).await;
    let mut socket = Socket::open(&sim).await;
    let ready = socket.identify(&sim).await;
    assert_eq!(ready["s"], 1);
    assert_eq!(ready["d"]["guilds"].as_array().unwrap().len(), 2);
    assert_eq!(ready["d"]["guilds"][0]["unavailable"], true);
    assert!(text_of(&ready["d"]["resume_gateway_url"]).starts_with(&sim.ready.discord_gateway));
    assert_eq!(ready["d"]["user"]["mfa_enabled"], false);
    for seq in [2, 3] {
        let guild = socket.next().await;
        assert_eq!((&guild["t"], &guild["s"]), (&json!("GUILD_CREATE"), &json!(seq)));
        assert_eq!(guild["d"]["unavailable"], false);
    }
}

/// Closes a fresh socket by saying something wrong; the code.
async fn closed_by(sim: &Sim, payload: &str) -> Option<u16> {
    let mut socket = Socket::open(sim).await;
    socket.text(payload).await;
    socket.close_code().await
}

#[tokio::test]
async fn g3_a_login_that_discord_cannot_let_in_is_closed_with_its_code() {
    let sim = sim(2_501).await;
    let with = |change: Value| {
        let mut payload = identify(&sim.ready.token);
        for (name, value) in change.as_object().unwrap() {
            payload["d"][name] = value.clone();
        }
        payload.to_string()
    };
    let cases = [
        (json!({"token": "wrong"}), 4004),
        (json!({"shard": [1, 1]}), 4010),
        (json!({"shard": "odd"}), 4010),
        (json!({"shard": [0, 16_385]}), 4010),
        (json!({"shard": [0, u32::MAX]}), 4010),
        (json!({"intents": 1_u64 << 40}), 4013),
        (json!({"intents": 2}), 4014),
        (json!({"shard": [0, 1]}), 4011),
    ];
    for (change, code) in cases {
        assert_eq!(closed_by(&sim, &with(change.clone())).await, Some(code), "{change}");
    }
}

#[tokio::test]
async fn g4_whoever_is_not_logged_in_may_only_heartbeat() {
    let sim = sim(0).await;
    let mut socket = Socket::open(&sim).await;
    socket.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(socket.next().await["op"], 11);
    for op in [3, 4, 8, 31] {
        let payload = json!({"op": op, "d": {}}).to_string();
        assert_eq!(closed_by(&sim, &payload).await, Some(4003), "{op}");
    }
}

#[tokio::test]
async fn g5_nobody_logs_in_twice_on_one_socket() {
    let sim = sim(0).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    socket.send(&identify(&sim.ready.token)).await;
    assert_eq!(socket.close_code().await, Some(4005));
}

#[tokio::test]
async fn g6_unknown_ops_and_what_is_no_payload_are_closed() {
    let sim = sim(0).await;
    let long = json!({"op": 1, "d": "x".repeat(4_096)}).to_string();
    for (payload, code) in [("{\"op\":99,\"d\":{}}", 4001), ("{", 4002), ("[]", 4002), (&long, 4002)] {
        assert_eq!(closed_by(&sim, payload).await, Some(code), "{payload}");
    }
}

#[tokio::test]
async fn g7_too_many_payloads_close_with_4008_and_the_session_can_be_resumed() {
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

/// A simulator that wants a heartbeat this often.
async fn beating(heartbeat_ms: u64) -> Sim {
    let options = Options {
        guilds: 1,
        nodes: Vec::new(),
        heartbeat_ms,
        ..Options::default()
    };
    start(options).await.unwrap()
}

#[tokio::test]
async fn g8_heartbeats_are_acknowledged_and_who_sends_none_is_cut_but_may_resume() {
    let sim = beating(150).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket.event("GUILD_CREATE").await;
    socket.send(&json!({"op": 1, "d": 2})).await;
    assert_eq!(socket.next().await["op"], 11);
    let beat = tokio::time::Instant::now();
    assert_eq!(socket.close_code().await, None, "TCP just ends");
    assert!(
        beat.elapsed() >= Duration::from_millis(150),
        "not before a heartbeat was due"
    );
    let closed = rest.event("gateway_closed").await;
    assert_eq!(closed["heard"], 2, "what the client said it has");
    let mut again = Socket::open(&sim).await;
    again.send(&resume(&sim, &session, 2)).await;
    assert_eq!(again.next().await["t"], "RESUMED");
}

#[tokio::test]
async fn g9_discord_asks_for_a_heartbeat_and_sees_how_soon_it_comes() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    socket.event("GUILD_CREATE").await;
    rest.fault(json!({"kind": "request_heartbeat", "shard": 0})).await;
    assert_eq!(socket.next().await["op"], 1);
    socket.send(&json!({"op": 1, "d": 2})).await;
    assert_eq!(socket.next().await["op"], 11);
    let answered = rest.event("heartbeat_answered").await;
    assert_eq!((&answered["shard"], &answered["heard"]), (&json!(0), &json!(2)));
    assert!(answered["after_ms"].as_u64().unwrap() < 5_000);
    socket.send(&json!({"op": 1, "d": 2})).await;
    assert_eq!(socket.next().await["op"], 11);
    let answers = rest
        .log()
        .await
        .iter()
        .filter(|event| event["kind"] == "heartbeat_answered")
        .count();
    assert_eq!(answers, 1, "a heartbeat that nobody asked for is no answer");
}

#[tokio::test]
async fn g10_a_second_identify_in_the_window_is_answered_with_op_9_and_seen_by_the_oracle() {
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
async fn g11_an_identify_beyond_the_days_budget_ends_every_session_and_the_token() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    rest.fault(json!({"kind": "identify_budget", "remaining": 0})).await;
    assert_eq!(
        closed_by(&sim, &identify(&sim.ready.token).to_string()).await,
        Some(4004)
    );
    assert_eq!(socket.close_code().await, Some(4004));
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 401);
    assert_eq!(
        closed_by(&sim, &identify(&sim.ready.token).to_string()).await,
        Some(4004)
    );
}

#[tokio::test]
async fn g15_a_resume_replays_in_order_then_says_resumed_and_takes_op_4_meanwhile() {
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

    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 2)).await;
    let join = json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[1]}});
    socket.send(&join).await;
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
    assert_eq!(
        socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"],
        json!(at.voice[1])
    );
    assert_eq!(rest.look("/world").await["shards"][0]["connected"], true);
}

#[tokio::test]
async fn g16_a_resume_of_what_is_unknown_or_overflowed_is_refused_and_the_socket_may_identify() {
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
    let refused = late.next().await;
    assert_eq!((&refused["op"], &refused["d"]), (&json!(9), &json!(false)));
    let mut just = Socket::open(&sim).await;
    just.send(&resume(&sim, &session, 3)).await;
    assert_eq!(just.next().await["s"], 4);
    let mut unknown = Socket::open(&sim).await;
    unknown.send(&resume(&sim, &json!("unknown"), 1)).await;
    assert_eq!(unknown.next().await["d"], false);
    // A login of the same key must be five seconds away; then the socket that was refused may do it.
    let ready = loop {
        unknown.send(&identify(&sim.ready.token)).await;
        let answer = unknown.next().await;
        if answer["op"] != 9 {
            break answer;
        }
    };
    assert_eq!((&ready["t"], &ready["s"]), (&json!("READY"), &json!(1)));
}

#[tokio::test]
async fn g16_after_op_9_on_a_live_session_its_socket_may_log_in_again() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket.event("GUILD_CREATE").await;
    for resumable in [true, false] {
        rest.fault(json!({"kind": "invalidate_session", "shard": 0, "resumable": resumable}))
            .await;
        let told = socket.next().await;
        assert_eq!((&told["op"], &told["d"]), (&json!(9), &json!(resumable)));
        socket.send(&resume(&sim, &session, 2)).await;
        let answer = socket.next().await;
        if resumable {
            assert_eq!(answer["t"], "RESUMED");
        } else {
            assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)));
        }
    }
    // A login of the same key must be five seconds away.
    socket.send(&identify(&sim.ready.token)).await;
    let ready = loop {
        let answer = socket.next().await;
        match answer["op"].as_u64() {
            Some(9) => socket.send(&identify(&sim.ready.token)).await,
            Some(0) => break answer,
            // A session that was resumed at the general address is told to move.
            _ => {}
        }
    };
    assert_eq!((&ready["t"], &ready["s"]), (&json!("READY"), &json!(1)));
    socket.event("GUILD_CREATE").await;
    socket.send(&identify(&sim.ready.token)).await;
    assert_eq!(socket.close_code().await, Some(4005), "it is logged in");
}

#[tokio::test]
async fn g17_a_resume_with_a_sequence_from_the_future_is_closed_with_4007() {
    let sim = sim(1).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket.event("GUILD_CREATE").await;
    for seq in [json!(3), json!(99), json!("x"), Value::Null] {
        let mut payload = resume(&sim, &session, 0);
        payload["d"]["seq"] = seq.clone();
        assert_eq!(closed_by(&sim, &payload.to_string()).await, Some(4007), "{seq}");
    }
    let mut exact = Socket::open(&sim).await;
    exact.send(&resume(&sim, &session, 2)).await;
    assert_eq!(exact.next().await["t"], "RESUMED");
}

#[tokio::test]
async fn g18_a_resume_with_a_wrong_token_is_closed_with_4004() {
    let sim = sim(1).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let payload = json!({"op": 6, "d": {"token": "wrong", "session_id": session, "seq": 1}});
    assert_eq!(closed_by(&sim, &payload.to_string()).await, Some(4004));
}

#[tokio::test]
async fn g19_of_two_sockets_that_resume_the_newest_wins_unless_a_fault_keeps_the_oldest() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let mut newer = Socket::open(&sim).await;
    newer.send(&resume(&sim, &session, 2)).await;
    newer.event("RESUMED").await;
    assert_eq!(socket.close_code().await, Some(4000));

    rest.fault(json!({"kind": "keep_oldest", "shard": 0})).await;
    let mut newest = Socket::open(&sim).await;
    newest.send(&resume(&sim, &session, 2)).await;
    let refused = newest.next().await;
    assert_eq!((&refused["op"], &refused["d"]), (&json!(9), &json!(false)));
    newer.send(&json!({"op": 1, "d": 3})).await;
    assert_eq!(newer.next().await["op"], 11, "the oldest is still there");
}

#[tokio::test]
async fn g21_a_session_is_resumed_at_any_address_and_at_the_general_one_it_is_soon_told_to_move() {
    let sim = sim(1).await;
    let mut socket = Socket::open(&sim).await;
    let ready = socket.identify(&sim).await;
    let (session, url) = (&ready["d"]["session_id"], text_of(&ready["d"]["resume_gateway_url"]));
    assert_ne!(url, sim.ready.discord_gateway);
    let second = format!("{}/gateway-77", sim.ready.discord_gateway);
    for (place, seq) in [(url, 2), (second, 3)] {
        let mut own = Socket::at(&format!("{place}/?v=10&encoding=json")).await;
        assert_eq!(own.next().await["op"], 10);
        own.send(&resume(&sim, session, seq)).await;
        own.event("RESUMED").await;
        own.send(&json!({"op": 1, "d": null})).await;
        assert_eq!(own.next().await["op"], 11);
    }
    let mut general = Socket::open(&sim).await;
    general.send(&resume(&sim, session, 4)).await;
    general.event("RESUMED").await;
    assert_eq!(general.next().await["op"], 7);
}

#[tokio::test]
async fn g27_compressed_payloads_are_one_stream_for_the_connection() {
    let sim = sim(3).await;
    let login = identify(&sim.ready.token);
    let mut zlib = Socket::bare(&sim, "?v=10&encoding=json&compress=zlib-stream").await;
    let mut inflate = flate2::Decompress::new(true);
    zlib.send(&login).await;
    for wanted in ["10 null", "0 READY", "0 GUILD_CREATE", "0 GUILD_CREATE"] {
        let frame = zlib.binary().await;
        assert!(frame.ends_with(&[0, 0, 0xff, 0xff]), "{wanted}");
        let mut text = Vec::with_capacity(1 << 16);
        inflate
            .decompress_vec(&frame, &mut text, flate2::FlushDecompress::Sync)
            .unwrap();
        assert_eq!(brief(&text), wanted);
    }
    let mut zstd = Socket::bare(&sim, "?v=10&encoding=json&compress=zstd-stream").await;
    let mut context = zstd_safe::DCtx::create();
    zstd.send(&resume(&sim, &json!("none"), 1)).await;
    for wanted in ["10 null", "9 null"] {
        let frame = zstd.binary().await;
        let mut text = vec![0; 1 << 16];
        let mut input = zstd_safe::InBuffer::around(&frame);
        let mut output = zstd_safe::OutBuffer::around(text.as_mut_slice());
        context.decompress_stream(&mut output, &mut input).unwrap();
        let length = output.pos();
        assert_eq!((input.pos(), brief(&text[..length]).as_str()), (frame.len(), wanted));
    }
    let mut plain = Socket::bare(&sim, "?v=10&encoding=json&compress=odd").await;
    assert_eq!(plain.next().await["op"], 10, "whoever asks for the unknown gets text");
}

/// An op and an event's name.
fn brief(payload: &[u8]) -> String {
    let payload: Value = serde_json::from_slice(payload).unwrap();
    format!("{} {}", payload["op"], payload["t"].as_str().unwrap_or("null"))
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

#[tokio::test]
async fn logins_meet_what_faults_withhold_refuse_and_repeat() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket.event("GUILD_CREATE").await;

    let early = rest.fault(json!({"kind": "reconnect_early"})).await;
    assert_eq!(Socket::bare(&sim, "?v=10&encoding=json").await.next().await["op"], 7);
    rest.end_fault(&early).await;

    let silent = rest
        .fault(json!({"kind": "withhold", "what": "resumed", "shard": 0}))
        .await;
    let mut waiting = Socket::open(&sim).await;
    waiting.send(&resume(&sim, &session, 2)).await;
    waiting.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(waiting.next().await["op"], 11, "nothing but the heartbeat is answered");
    rest.end_fault(&silent).await;

    let again = rest
        .fault(json!({"kind": "refuse_resume", "shard": 0, "resumable": true}))
        .await;
    for _ in 0..2 {
        waiting.send(&resume(&sim, &session, 2)).await;
        let refused = waiting.next().await;
        assert_eq!((&refused["op"], &refused["d"]), (&json!(9), &json!(true)));
    }
    rest.end_fault(&again).await;
    waiting.send(&resume(&sim, &session, 2)).await;
    waiting.event("RESUMED").await;

    let often = rest
        .fault(json!({"kind": "reconnect_gateway", "shard": 0, "every_ms": 50}))
        .await;
    for _ in 0..3 {
        assert_eq!(waiting.next().await["op"], 7);
    }
    rest.end_fault(&often).await;
    rest.fault(json!({"kind": "drop_gateway", "shard": 0, "for_ms": 60_000}))
        .await;
    let mut cut = Socket::open(&sim).await;
    cut.send(&resume(&sim, &session, 2)).await;
    assert_eq!(cut.close_code().await, None, "each login is cut while it lasts");
}

#[tokio::test]
async fn a_flood_dispatches_as_many_events_as_asked() {
    let sim = sim(5).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    for _ in 0..5 {
        socket.event("GUILD_CREATE").await;
    }
    let flood = rest.fault(json!({"kind": "flood", "per_s": 400})).await;
    let began = tokio::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(socket.next().await["t"], "VOICE_STATE_UPDATE");
    }
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    rest.end_fault(&flood).await;
}
