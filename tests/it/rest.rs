//! Discord's REST API, against a server that does exactly what each test says.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in what it is built from")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response as Answer, StatusCode};
use secrecy::SecretString;
use segue::discord::{Discord, DiscordError, Response, Settings};
use segue::model::ids::MemberId;
use segue::model::message::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use twilight_model::id::Id;

/// What the server says to one request, and after how long.
#[derive(Clone, Debug, Default)]
struct Reply {
    after: Duration,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

/// A request as it arrived: method and path, headers, body.
#[derive(Clone, Debug)]
struct Got {
    line: String,
    authorization: Option<String>,
    agent: String,
    body: Value,
}

#[derive(Clone, Default)]
struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

struct Server {
    script: Script,
    discord: Discord,
    _tasks: JoinSet<()>,
}

async fn answer(State(script): State<Script>, request: Request) -> Answer<Body> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let mut got = Got {
        line: format!("{} {}", parts.method, parts.uri),
        authorization: header("authorization"),
        agent: header("user-agent").unwrap_or_default(),
        body: Value::Null,
    };
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    got.body = serde_json::from_slice(&bytes).unwrap_or_default();
    script.got.lock().unwrap().push(got);
    let reply = script.replies.lock().unwrap().pop_front().unwrap_or(Reply {
        status: 204,
        ..Reply::default()
    });
    tokio::time::sleep(reply.after).await;
    let mut answer = Answer::builder().status(StatusCode::from_u16(reply.status).unwrap());
    for (name, value) in reply.headers {
        answer = answer.header(name, value);
    }
    answer.body(Body::from(reply.body.to_string())).unwrap()
}

impl Server {
    async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = Script::default();
        script.replies.lock().unwrap().extend(replies);
        let discord = Discord::new(Settings {
            token: SecretString::from("token"),
            api_url: Some(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()),
            member: MemberId("m1".into()),
            version: "0.1.0",
            hook: None,
            now_ms: || 1_700_000_000_000,
        })
        .unwrap();
        let app = Router::new().fallback(answer).with_state(script.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            script,
            discord,
            _tasks: tasks,
        }
    }

    fn got(&self) -> Vec<Got> {
        self.script.got.lock().unwrap().clone()
    }
}

fn reply(status: u16, body: Value) -> Reply {
    Reply {
        status,
        body,
        ..Reply::default()
    }
}

fn limited(seconds: &str, global: bool) -> Reply {
    let mut headers = vec![("retry-after", seconds.to_owned())];
    if global {
        headers.push(("x-ratelimit-global", "true".into()));
    }
    Reply {
        status: 429,
        headers,
        body: json!({"message": "slow down", "global": global}),
        ..Reply::default()
    }
}

#[tokio::test]
async fn a_slow_answer_to_one_interaction_delays_no_other() {
    let slow = Reply {
        after: Duration::from_secs(4),
        status: 204,
        ..Reply::default()
    };
    let server = Server::new([slow]).await;
    let (start, discord) = (Instant::now(), &server.discord);
    let first = async { discord.respond(Id::new(1), "a", &Response::DeferredUpdate).await };
    let others = async {
        while server.got().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for id in 2..10 {
            assert_eq!(
                discord.respond(Id::new(id), "b", &Response::DeferredUpdate).await,
                Ok(())
            );
        }
        start.elapsed()
    };
    let (first, others) = tokio::join!(first, others);
    assert!(others < Duration::from_secs(1), "{others:?}");
    assert_eq!(first, Err(DiscordError::Timeout));
    assert!(start.elapsed() < Duration::from_millis(2_500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_global_limit_is_honoured_and_interactions_are_unaffected() {
    let user = reply(200, json!({"id": "99", "username": "segue"}));
    let server = Server::new([limited("1", true), reply(204, Value::Null), user]).await;
    let start = Instant::now();
    let waiting = async {
        let user = server.discord.bot_user().await.unwrap();
        (user.id.get(), start.elapsed())
    };
    let answered = async {
        while server.got().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
            .discord
            .respond(Id::new(1), "a", &Response::DeferredUpdate)
            .await
            .unwrap();
        start.elapsed()
    };
    let ((id, waited), answered) = tokio::join!(waiting, answered);
    assert_eq!(id, 99);
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert!(answered < Duration::from_millis(900), "{answered:?}");
    assert_eq!(server.got().len(), 3);
}

#[tokio::test]
async fn a_limit_that_outlasts_the_deadline_fails_at_once() {
    let server = Server::new([limited("30", true)]).await;
    let start = Instant::now();
    for _ in 0..5 {
        let refused = server.discord.bot_user().await.unwrap_err();
        assert!(matches!(refused, DiscordError::RateLimited { retry_after } if retry_after > Duration::from_secs(28)));
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn calls_that_wait_for_the_limit_go_in_the_order_in_which_they_came() {
    // Fewer than have time to go before the deadline.
    const CALLS: u64 = 42;
    let server = Server::new([]).await;
    // Ten a second: each is alone on its way.
    server.discord.share(4);
    let mut calls = JoinSet::new();
    for channel in 1..=CALLS {
        let discord = server.discord.clone();
        calls.spawn(async move {
            let message = Message::default();
            discord.edit_message(Id::new(channel), Id::new(9), &message).await
        });
        // Others come while some wait.
        tokio::time::sleep(Duration::from_millis(11)).await;
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    let lines: Vec<String> = server.got().into_iter().map(|got| got.line).collect();
    let expected: Vec<String> = (1..=CALLS)
        .map(|id| format!("PATCH /api/v10/channels/{id}/messages/9"))
        .collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_limited_answer_to_an_interaction_is_tried_once_more() {
    let server = Server::new([limited("0.2", false), limited("0.2", false)]).await;
    let refused = server.discord.respond(Id::new(1), "a", &Response::DeferredUpdate).await;
    assert!(matches!(refused, Err(DiscordError::RateLimited { .. })), "{refused:?}");
    assert_eq!(server.got().len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_not_tried_again() {
    let server = Server::new([reply(401, json!({"message": "401: Unauthorized", "code": 0}))]).await;
    for _ in 0..10 {
        assert_eq!(server.discord.bot_user().await, Err(DiscordError::TokenRefused));
    }
    assert_eq!(server.got().len(), 1);
    // Interactions carry their own token and go on.
    assert_eq!(
        server.discord.respond(Id::new(1), "a", &Response::DeferredUpdate).await,
        Ok(())
    );
}

#[tokio::test]
async fn every_call_tells_the_member_and_only_the_bots_carry_its_token() {
    let server = Server::new([
        reply(200, json!({"id": "7"})),
        reply(204, Value::Null),
        reply(200, json!({"id": "8"})),
    ])
    .await;
    let message = Message {
        content: "@everyone".into(),
        ..Message::default()
    };
    assert_eq!(
        server.discord.create_message(Id::new(5), &message).await,
        Ok(Id::new(7))
    );
    let said = Response::Message(message.clone());
    server.discord.respond(Id::new(1), "tok", &said).await.unwrap();
    assert_eq!(
        server.discord.edit_original(Id::new(98), "tok", &message).await,
        Ok(Id::new(8))
    );
    let got = server.got();
    let lines: Vec<_> = got.iter().map(|got| got.line.as_str()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    POST /api/v10/channels/5/messages
    POST /api/v10/interactions/1/tok/callback
    PATCH /api/v10/webhooks/98/tok/messages/@original
    ");
    assert!(
        got.iter()
            .all(|got| got.agent.starts_with("DiscordBot (") && got.agent.contains("m1")),
        "{got:?}"
    );
    let carried: Vec<_> = got.iter().map(|got| got.authorization.as_deref()).collect();
    assert_eq!(carried, [Some("Bot token"), None, None]);
    for body in [&got[0].body, &got[1].body["data"], &got[2].body] {
        assert_eq!(body["allowed_mentions"]["parse"], json!([]), "{body}");
    }
}

#[tokio::test]
async fn being_in_no_voice_channel_is_an_answer_and_an_outage_is_not() {
    let unknown = reply(404, json!({"message": "Unknown Voice State", "code": 10_065}));
    let state = reply(200, json!({"channel_id": "10", "session_id": "abc", "user_id": "99"}));
    let down = || reply(503, Value::Null);
    let server = Server::new([unknown, state, down(), down(), reply(204, Value::Null)]).await;
    let (discord, guild) = (&server.discord, Id::new(1));
    assert_eq!(discord.user_voice(guild, Id::new(7)).await, Ok(None));
    assert_eq!(discord.own_voice(guild).await, Ok(Some((Id::new(10), "abc".into()))));
    assert_eq!(discord.own_voice(guild).await, Err(DiscordError::Down { status: 503 }));
    discord.unsuppress(guild, Id::new(10)).await.unwrap();
    let got = server.got();
    let last = got.last().unwrap();
    assert_eq!(last.line, "PATCH /api/v10/guilds/1/voice-states/@me");
    assert_eq!(last.body, json!({"channel_id": "10", "suppress": false}));
}

#[tokio::test]
async fn an_interactions_age_is_told_by_discords_clock() {
    let mut user = reply(200, json!({"id": "99", "username": "segue"}));
    // This machine says 22:13:20; Discord is an hour ahead.
    user.headers.push(("date", "Tue, 14 Nov 2023 23:13:20 GMT".into()));
    let server = Server::new([user]).await;
    let local = 1_700_000_000_000_i64;
    let issued = local + 3_600_000 - 1_000;
    let id = Id::new(u64::try_from(issued - 1_420_070_400_000).unwrap() << 22);
    assert_eq!(server.discord.age_ms(id, local), 0, "nothing known yet");
    server.discord.bot_user().await.unwrap();
    let age = server.discord.age_ms(id, local);
    assert!((1_000..2_000).contains(&age), "{age}");
}

#[tokio::test]
async fn a_server_that_is_gone_is_down_and_not_a_panic() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut server = Server::new([]).await;
    server.discord = Discord::new(Settings {
        token: SecretString::from("token"),
        api_url: Some(format!("http://{address}").parse().unwrap()),
        member: MemberId("m1".into()),
        version: "0.1.0",
        hook: None,
        now_ms: || 0,
    })
    .unwrap();
    assert_eq!(server.discord.bot_user().await, Err(DiscordError::Down { status: 0 }));
}
