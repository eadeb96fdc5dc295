//! Voice: op 4, secrets, full and forbidden channels.

use super::*;

#[tokio::test]
async fn closing_with_1000_ends_the_session_and_takes_the_bot_out_of_voice() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    socket
        .send(&json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0]}}))
        .await;
    socket.event("VOICE_SERVER_UPDATE").await;
    socket.close(4000).await;
    let world = rest
        .until("/world", |world| world["shards"][0]["connected"] == false)
        .await;
    assert_eq!(
        world["guilds"][0]["bot"]["voice"],
        json!(at.voice[0]),
        "4000 keeps the session"
    );
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    socket.event("RESUMED").await;
    socket.close(1000).await;
    rest.until("/world", |world| world["guilds"][0]["bot"]["voice"].is_null())
        .await;
    let mut socket = Socket::open(&sim).await;
    socket.send(&resume(&sim, &session, 1)).await;
    assert_eq!(socket.next().await["op"], 9);
    assert_eq!(rest.look("/counters").await["closes"]["1000"], 1);
}

#[tokio::test]
async fn joining_voice_gives_state_and_server_and_new_secrets_only_when_needed() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let join = |channel: &str| json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": channel, "self_deaf": true}});
    let mut tokens = Vec::new();
    for channel in [&at.voice[0], &at.voice[0], &at.voice[1]] {
        socket.send(&join(channel)).await;
        let state = socket.event("VOICE_STATE_UPDATE").await;
        assert_eq!(state["d"]["session_id"], session);
        assert_eq!(state["d"]["channel_id"], json!(channel));
        let server = socket.next().await;
        assert_eq!(server["t"], "VOICE_SERVER_UPDATE");
        tokens.push(server["d"]["token"].clone());
    }
    assert_eq!(tokens[0], tokens[1]);
    assert_ne!(tokens[1], tokens[2]);

    let (status, state) = rest
        .api(Method::GET, &format!("/guilds/{}/voice-states/@me", at.guild), None)
        .await;
    assert_eq!((status, &state["session_id"]), (200, &session));
    let kick = json!({"user": "bot", "channel": null});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), kick)
        .await;
    assert!(socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"].is_null());
    let (status, gone) = rest
        .api(Method::GET, &format!("/guilds/{}/voice-states/@me", at.guild), None)
        .await;
    assert_eq!((status, &gone["code"]), (404, &json!(10_065)));
}

#[tokio::test]
async fn a_full_or_forbidden_channel_answers_nothing() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let channel = format!("/channels/{}", at.voice[0]);
    rest.control(Method::PATCH, &channel, json!({"bot_denied": ["connect"]}))
        .await;
    let join = json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0]}});
    socket.send(&join).await;
    rest.until("/counters", |counters| counters["voice_state_update"] == 1)
        .await;
    assert!(rest.look("/world").await["guilds"][0]["bot"]["voice"].is_null());
    let (_, shown) = rest.api(Method::GET, &channel, None).await;
    assert_eq!(shown["permission_overwrites"][0]["deny"], "1048576");

    rest.control(Method::PATCH, &channel, json!({"bot_denied": [], "user_limit": 1}))
        .await;
    let body = json!({"user": at.people[0], "channel": at.voice[0]});
    rest.control(Method::POST, &format!("/guilds/{}/voice", at.guild), body)
        .await;
    socket.send(&join).await;
    rest.until("/counters", |counters| counters["voice_state_update"] == 2)
        .await;
    assert!(rest.look("/world").await["guilds"][0]["bot"]["voice"].is_null());
    rest.control(Method::PATCH, &channel, json!({"user_limit": 2})).await;
    socket.send(&join).await;
    socket.event("VOICE_SERVER_UPDATE").await;
}
