//! REST's rows that are not about interactions: R1, R3, R4, R5 and R7.

use reqwest::header::HeaderMap;

use super::*;

#[tokio::test]
async fn r1_the_gateway_the_bot_and_its_application_are_told_with_a_live_budget() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let budget = async || {
        let (status, told) = rest.api(Method::GET, "/gateway/bot", None).await;
        assert_eq!((status, &told["url"]), (200, &json!(sim.ready.discord_gateway)));
        (told["shards"].clone(), told["session_start_limit"].clone())
    };
    let (shards, limit) = budget().await;
    assert_eq!(
        (&shards, &limit["total"], &limit["remaining"]),
        (&json!(1), &json!(1_000), &json!(1_000))
    );
    assert_eq!(limit["max_concurrency"], 1);
    assert!(limit["reset_after"].as_u64().unwrap() > 0);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let mut other = Socket::open(&sim).await;
    other.send(&resume(&sim, &session, 2)).await;
    other.event("RESUMED").await;
    assert_eq!(budget().await.1["remaining"], 999, "a RESUME costs nothing");
    let more = rest.fault(json!({"kind": "recommend_shards", "shards": 4})).await;
    assert_eq!(budget().await.0, 4);
    rest.end_fault(&more).await;
    assert_eq!(budget().await.0, 1);

    let (_, user) = rest.api(Method::GET, "/users/@me", None).await;
    let (_, application) = rest.api(Method::GET, "/applications/@me", None).await;
    assert_eq!((&user["bot"], &user["id"]), (&json!(true), &application["id"]));
}

/// An interaction that was deferred: its application, its token, and who may be asked about it.
async fn deferred(sim: &Sim, rest: &Rest) -> (String, String) {
    let at = place(rest).await;
    let application = text_of(&register(rest).await);
    let mut socket = Socket::open(sim).await;
    socket.identify(sim).await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "skip", "options": {}});
    rest.control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    let token = text_of(&told["token"]);
    let callback = format!("/interactions/{}/{token}/callback", text_of(&told["id"]));
    assert_eq!(rest.api(Method::POST, &callback, Some(json!({"type": 5}))).await.0, 204);
    (application, token)
}

#[tokio::test]
async fn r3_a_reply_is_edited_followed_up_read_and_deleted_with_the_interactions_token() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let (application, token) = deferred(&sim, &rest).await;
    let hook = format!("/webhooks/{application}/{token}");
    let original = format!("{hook}/messages/@original");
    let text = |words: &str| Some(json!({"content": words}));
    let (status, edited) = rest.patient(Method::PATCH, &original, text("done")).await;
    assert_eq!((status, &edited["content"]), (200, &json!("done")));
    let (_, more) = rest.patient(Method::POST, &hook, text("more")).await;
    let follow_up = format!("{hook}/messages/{}", text_of(&more["id"]));
    let (_, again) = rest.patient(Method::PATCH, &follow_up, text("still more")).await;
    assert_eq!(again["content"], "still more");
    assert_eq!(rest.patient(Method::GET, &original, None).await.1["content"], "done");
    for message in [&follow_up, &original] {
        assert_eq!(rest.patient(Method::DELETE, message, None).await.0, 204);
        let (status, gone) = rest.patient(Method::GET, message, None).await;
        assert_eq!((status, &gone["code"]), (404, &json!(10_008)));
    }
    let stranger = format!("/webhooks/{application}/wrong");
    let (status, unknown) = rest.patient(Method::POST, &stranger, text("x")).await;
    assert_eq!((status, &unknown["code"]), (404, &json!(10_015)));
}

#[tokio::test]
async fn r4_the_bots_voice_state_is_told_and_its_suppression_on_a_stage_lifted() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let path = format!("/guilds/{}/voice-states/@me", at.guild);
    let (status, nowhere) = rest.api(Method::GET, &path, None).await;
    assert_eq!((status, &nowhere["code"]), (404, &json!(10_065)));
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let stage = format!("/channels/{}", at.voice[0]);
    rest.control(Method::PATCH, &stage, json!({"kind": "stage"})).await;
    socket
        .send(&json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0]}}))
        .await;
    assert_eq!(socket.event("VOICE_STATE_UPDATE").await["d"]["suppress"], true);
    let (found, seen) = rest.api(Method::GET, &path, None).await;
    assert_eq!((found, &seen["session_id"]), (200, &session));
    assert_eq!(
        (&seen["channel_id"], &seen["suppress"]),
        (&json!(at.voice[0]), &json!(true))
    );
    let lift = json!({"channel_id": at.voice[0], "suppress": false});
    assert_eq!(rest.api(Method::PATCH, &path, Some(lift)).await.0, 204);
    assert_eq!(socket.event("VOICE_STATE_UPDATE").await["d"]["suppress"], false);
    let speak = json!({"request_to_speak_timestamp": "2026-01-01T00:00:00.000000+00:00"});
    assert_eq!(rest.api(Method::PATCH, &path, Some(speak)).await.0, 204);
    assert!(socket.event("VOICE_STATE_UPDATE").await["d"]["request_to_speak_timestamp"].is_string());
}

/// The status and the headers of `GET /users/@me`.
async fn limits(rest: &Rest) -> (u16, HeaderMap, String) {
    let url = format!("{}/users/@me", rest.api);
    let request = rest.client.get(url).header("authorization", &rest.token);
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

#[tokio::test]
async fn r5_limits_are_told_on_every_answer_and_their_scope_on_429_unless_a_fault_shows_it_always() {
    let sim = sim(0).await;
    let rest = Rest::new(&sim);
    let (status, headers, _) = limits(&rest).await;
    assert_eq!(status, 200);
    for name in ["limit", "remaining", "reset", "reset-after", "bucket"] {
        assert!(headers.contains_key(format!("x-ratelimit-{name}")), "{name}");
    }
    assert!(!headers.contains_key("x-ratelimit-scope"));
    let shown = rest.fault(json!({"kind": "show_scope"})).await;
    assert_eq!(limits(&rest).await.1["x-ratelimit-scope"], "user");
    rest.end_fault(&shown).await;
    for scope in ["user", "shared", "global"] {
        let fault = json!({"kind": "rate_limit", "route": "/users/@me", "scope": scope, "retry_after_ms": 1_500});
        let limit = rest.fault(fault).await;
        let (status, headers, body) = limits(&rest).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, headers["x-ratelimit-scope"].to_str().unwrap()), (429, scope));
        assert_eq!(
            (&body["retry_after"], headers["retry-after"].to_str().unwrap()),
            (&json!(1.5), "2")
        );
        assert_eq!(
            (&body["global"], headers.contains_key("x-ratelimit-global")),
            (&json!(scope == "global"), scope == "global")
        );
        rest.end_fault(&limit).await;
    }
    assert_eq!(limits(&rest).await.0, 200);
}

#[tokio::test]
async fn r5_the_global_limit_holds_for_the_bots_requests_and_not_for_interactions() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let application = text_of(&register(&rest).await);
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let wish = json!({"user": at.people[0], "channel": at.text, "name": "skip", "options": {}});
    let limit =
        json!({"kind": "rate_limit", "route": "*", "scope": "global", "retry_after_ms": 5_000, "for_ms": 60_000});
    rest.fault(limit).await;
    rest.control(Method::POST, &format!("/guilds/{}/commands", at.guild), wish)
        .await;
    let told = socket.event("INTERACTION_CREATE").await["d"].clone();
    let token = text_of(&told["token"]);
    let callback = format!("/interactions/{}/{token}/callback", text_of(&told["id"]));
    assert_eq!(rest.api(Method::POST, &callback, Some(json!({"type": 5}))).await.0, 204);
    let original = format!("/webhooks/{application}/{token}/messages/@original");
    let edit = Some(json!({"content": "done"}));
    assert_eq!(rest.api(Method::PATCH, &original, edit).await.0, 200);
    let (status, body) = rest.api(Method::GET, "/users/@me", None).await;
    assert_eq!((status, &body["global"]), (429, &json!(true)));
    let messages = format!("/channels/{}/messages", at.text);
    let hello = Some(json!({"content": "hello"}));
    assert_eq!(rest.api(Method::POST, &messages, hello).await.0, 429);
}

#[tokio::test]
async fn r7_a_wrong_token_is_refused_and_too_many_invalid_requests_ban_the_address() {
    let sim = sim(0).await;
    let mut rest = Rest::new(&sim);
    let right = std::mem::replace(&mut rest.token, "Bot wrong".to_owned());
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 401);
    assert_eq!(rest.look("/counters").await["invalid_requests"], 1);
    rest.fault(json!({"kind": "rate_limit", "scope": "shared", "for_ms": 60_000}))
        .await;
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 429);
    assert_eq!(
        rest.look("/counters").await["invalid_requests"],
        1,
        "what all bots share is nobody's fault"
    );
    rest.fault(json!({"kind": "invalid_budget", "remaining": 1})).await;
    rest.fault(json!({"kind": "refuse_rest", "route": "/users/@me", "status": 403}))
        .await;
    assert_eq!(rest.api(Method::GET, "/users/@me", None).await.0, 403);
    rest.token = right;
    let (status, headers, body) = limits(&rest).await;
    assert_eq!((status, body.as_str()), (429, "error code: 1015"));
    assert!(headers.contains_key("retry-after") && !headers.contains_key("x-ratelimit-bucket"));
    rest.event("rest_banned").await;
}

#[tokio::test]
async fn a_ban_can_be_had_for_a_while() {
    let sim = sim(0).await;
    let rest = Rest::new(&sim);
    let ban = rest.fault(json!({"kind": "ban"})).await;
    assert_eq!(limits(&rest).await.2, "error code: 1015");
    rest.end_fault(&ban).await;
    assert_eq!(limits(&rest).await.0, 200);
}
