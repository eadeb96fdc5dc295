//! The judgement as a table, and the resume against a small node that speaks the wire.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, patch};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::model::ids::NodeName;

const INFO: &str =
    r#"{"version":{"semver":"4.2.2","major":4,"minor":2,"patch":2},"sourceManagers":["http","youtube"]}"#;

#[expect(clippy::unnecessary_wraps, reason = "as the judge takes it")]
fn answer(status: u16, body: &str) -> Result<Answer, String> {
    Ok(Answer {
        status,
        date: None,
        body: body.to_owned(),
    })
}

#[test]
fn a_node_is_judged_by_its_answer_and_a_wrong_password_is_told_apart_from_silence() {
    let url = Url::parse("http://lava:2333").unwrap();
    let version = |major: u64, minor: u64| {
        format!(r#"{{"version":{{"semver":"{major}.{minor}.0","major":{major},"minor":{minor},"patch":0}}}}"#)
    };
    let cases = [
        (answer(200, INFO), Ok("Lavalink 4.2.2, sources: http, youtube")),
        (answer(200, &version(5, 0)), Ok("Lavalink 5.0.0")),
        (answer(200, &version(0, 0)), Ok("Lavalink 0.0.0")),
        (
            answer(200, &INFO.replace(r#""http","youtube""#, "")),
            Err("is Lavalink 4.2.2 without any source, so nothing can be played"),
        ),
        (answer(200, &version(4, 1)), Err("is Lavalink 4.1.0")),
        (
            answer(200, "<html>"),
            Err("what answers at http://lava:2333 is no Lavalink"),
        ),
        (answer(401, ""), Err("is there, but refuses the password (401)")),
        (answer(403, ""), Err("is there, but refuses the password (403)")),
        (answer(404, "{}"), Err("knows no /v4/info (404)")),
        (answer(502, ""), Err("answered 502")),
        (
            Err("connection refused".to_owned()),
            Err("cannot be reached at http://lava:2333 (connection refused)"),
        ),
    ];
    for (answer, expected) in cases {
        match (judge_info(&url, &answer), expected) {
            (Ok(seen), Ok(expected)) => assert_eq!(seen, expected),
            (Err(Verdict::Wrong { what, .. }), Err(expected)) => assert_eq!(what, expected),
            (found, expected) => panic!("{answer:?}: {found:?} instead of {expected:?}"),
        }
    }
}

/// A node that resumes an armed session from the `resumes_from`th reconnect on.
#[derive(Clone)]
struct Node {
    armed: Arc<Mutex<Vec<bool>>>,
    reconnects: Arc<AtomicU32>,
    resumes_from: u32,
}

async fn socket(State(node): State<Node>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> impl IntoResponse {
    let known = headers.get("session-id").is_some_and(|id| id == "first");
    let armed = node.armed.lock().unwrap().last() == Some(&true);
    let attempt = if known {
        node.reconnects.fetch_add(1, Ordering::Relaxed) + 1
    } else {
        0
    };
    let resumed = known && armed && attempt >= node.resumes_from;
    let ready = format!(r#"{{"op":"ready","resumed":{resumed},"sessionId":"first"}}"#);
    upgrade.on_upgrade(async move |mut socket| {
        for text in [r#"{"op":"stats","players":0}"#, &ready] {
            if socket.send(axum::extract::ws::Message::text(text)).await.is_err() {
                return;
            }
        }
        while let Some(Ok(_)) = socket.recv().await {}
    })
}

async fn session(State(node): State<Node>, Path(_id): Path<String>, body: axum::Json<serde_json::Value>) -> String {
    node.armed.lock().unwrap().push(body["resuming"] == true);
    body.0.to_string()
}

async fn judged(resumes_from: u32) -> (Verdict, Vec<bool>) {
    let node = Node {
        armed: Arc::default(),
        reconnects: Arc::default(),
        resumes_from,
    };
    let app = Router::new()
        .route("/v4/info", get(|| async { INFO }))
        .route("/v4/websocket", get(socket))
        .route("/v4/sessions/{id}", patch(session))
        .with_state(node.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let settings = NodeSettings {
        name: NodeName("a".to_owned()),
        url,
        password: SecretString::from("pw"),
    };
    let verdict = check(&settings, "7", &Fetch::new().unwrap()).await;
    let armed = node.armed.lock().unwrap().clone();
    (verdict, armed)
}

#[tokio::test]
async fn a_node_that_resumes_is_fine_even_when_the_first_reconnect_was_too_early() {
    for from in [1, 2] {
        let (verdict, armed) = judged(from).await;
        assert!(
            matches!(&verdict, Verdict::Fine(seen) if seen.contains("resumed")),
            "{verdict:?}"
        );
        assert_eq!(armed, [true, false], "armed, and disarmed at the end");
    }
}

#[tokio::test]
async fn a_node_that_forgets_its_sessions_is_told() {
    let (verdict, _) = judged(99).await;
    assert!(
        matches!(&verdict, Verdict::Wrong { what, .. } if what.contains("could not be resumed")),
        "{verdict:?}"
    );
}
