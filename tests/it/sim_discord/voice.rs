//! Voice: G13 and G22 to G26 over the wire.

use super::*;

#[tokio::test]
async fn g13_closing_with_1000_or_1001_ends_the_session_and_takes_the_bot_out_of_voice() {
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
    let logged_out = async || {
        let log = rest.log().await;
        log.iter().filter(|event| event["why"] == "closed_by_client").count()
    };
    assert_eq!(logged_out().await, 1);
    // The same with 1001, once five seconds lie between two logins.
    let mut socket = loop {
        let mut socket = Socket::open(&sim).await;
        socket.send(&identify(&sim.ready.token)).await;
        if socket.next().await["t"] == "READY" {
            break socket;
        }
    };
    socket.event("GUILD_CREATE").await;
    socket.close(1001).await;
    rest.until("/counters", |counters| counters["closes"]["1001"] == 1)
        .await;
    assert_eq!(logged_out().await, 2);
}

#[tokio::test]
async fn g22_joining_voice_gives_the_state_with_the_sessions_id_and_then_the_server() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let join = json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0], "self_deaf": true}});
    let mut tokens = Vec::new();
    for _ in 0..2 {
        socket.send(&join).await;
        let state = socket.event("VOICE_STATE_UPDATE").await["d"].clone();
        assert_eq!(
            (&state["session_id"], &state["channel_id"]),
            (&session, &json!(at.voice[0]))
        );
        assert_eq!((&state["self_deaf"], &state["suppress"]), (&json!(true), &json!(false)));
        let server = socket.next().await;
        assert_eq!(server["t"], "VOICE_SERVER_UPDATE");
        assert_eq!(server["d"]["guild_id"], json!(at.guild));
        assert!(!text_of(&server["d"]["endpoint"]).contains("://"));
        tokens.push(server["d"]["token"].clone());
    }
    assert_eq!(tokens[0], tokens[1], "the same once more changes nothing");
}

#[tokio::test]
async fn g23_another_channel_gives_another_token() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let mut servers = Vec::new();
    for channel in &at.voice {
        socket
            .send(&json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": channel}}))
            .await;
        assert_eq!(
            socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"],
            json!(channel)
        );
        servers.push(socket.event("VOICE_SERVER_UPDATE").await["d"].clone());
    }
    assert_ne!(servers[0]["token"], servers[1]["token"]);
    assert_eq!(servers[0]["endpoint"], servers[1]["endpoint"]);
}

#[tokio::test]
async fn g24_no_channel_takes_the_bot_out_of_voice() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    for channel in [json!(at.voice[0]), Value::Null] {
        socket
            .send(&json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": channel}}))
            .await;
        assert_eq!(socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"], channel);
        assert_eq!(rest.look("/world").await["guilds"][0]["bot"]["voice"], channel);
    }
}

#[tokio::test]
async fn g26_admins_move_and_kick_the_bot_and_delete_its_channel() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let at = place(&rest).await;
    let mut socket = Socket::open(&sim).await;
    socket.identify(&sim).await;
    let join = json!({"op": 4, "d": {"guild_id": at.guild, "channel_id": at.voice[0]}});
    socket.send(&join).await;
    let first = socket.event("VOICE_SERVER_UPDATE").await["d"]["token"].clone();
    let voice = format!("/guilds/{}/voice", at.guild);
    rest.control(Method::POST, &voice, json!({"user": "bot", "channel": at.voice[1]}))
        .await;
    assert_eq!(
        socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"],
        json!(at.voice[1])
    );
    assert_ne!(socket.event("VOICE_SERVER_UPDATE").await["d"]["token"], first);
    rest.control(Method::POST, &voice, json!({"user": "bot", "channel": null}))
        .await;
    assert!(socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"].is_null());
    let (status, _) = rest
        .control(Method::POST, &voice, json!({"user": "bot", "channel": null}))
        .await;
    assert_eq!(status, 409, "it is nowhere any more");

    socket.send(&join).await;
    socket.event("VOICE_SERVER_UPDATE").await;
    let channel = format!("/channels/{}", at.voice[0]);
    assert_eq!(rest.control(Method::DELETE, &channel, Value::Null).await.0, 204);
    assert!(socket.event("VOICE_STATE_UPDATE").await["d"]["channel_id"].is_null());
    assert_eq!(socket.event("CHANNEL_DELETE").await["d"]["id"], json!(at.voice[0]));
    assert_eq!(rest.control(Method::DELETE, &channel, Value::Null).await.0, 404);
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
