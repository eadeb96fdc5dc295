//! Whether a Lavalink node is there, takes the password, is new enough, and really resumes a session.

use std::time::Duration;

use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use url::Url;

use super::fetch::{Answer, Fetch, causes};
use super::verdict::Verdict;
use crate::config::NodeSettings;

/// The oldest version whose protocol Segue speaks.
const OLDEST: (u64, u64) = (4, 2);
/// How long a node may take to open a session.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// A reconnect right after a close can be too early for the node; it is tried again with the old id.
const RESUME_ATTEMPTS: u32 = 3;
/// Between those attempts.
const RESUME_AGAIN: Duration = Duration::from_millis(250);

#[derive(Debug, Deserialize)]
struct Info {
    version: Version,
    #[serde(rename = "sourceManagers")]
    sources: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Version {
    semver: String,
    major: u64,
    minor: u64,
}

#[derive(Debug, Deserialize)]
struct Ready {
    resumed: bool,
    #[serde(rename = "sessionId")]
    session: String,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// All checks of one node; `user` is the bot's id.
pub(super) async fn check(node: &NodeSettings, user: &str, fetch: &Fetch) -> Verdict {
    let password = node.password.expose_secret();
    let answer = match node.url.join("v4/info") {
        Ok(url) => fetch.get(&url, password).await,
        Err(error) => Err(error.to_string()),
    };
    let seen = match judge_info(&node.url, &answer) {
        Ok(seen) => seen,
        Err(verdict) => return verdict,
    };
    match resumes(node, user, fetch).await {
        Ok(()) => Verdict::fine(format!("{seen}; a session was opened, dropped and resumed")),
        Err(what) => Verdict::wrong(
            format!("{seen}, but {what}"),
            "look at the node's log; a proxy before it must pass WebSockets and the header Session-Id",
        ),
    }
}

fn judge_info(url: &Url, answer: &Result<Answer, String>) -> Result<String, Verdict> {
    let address = url.as_str().trim_end_matches('/');
    let answer = answer.as_ref().map_err(|why| {
        Verdict::wrong(
            format!("cannot be reached at {address} ({why})"),
            "start the node, and check host and port in SEGUE_LAVALINK_NODES",
        )
    })?;
    match answer.status {
        200 => {}
        401 | 403 => {
            return Err(Verdict::wrong(
                format!("is there, but refuses the password ({})", answer.status),
                "compare it with lavalink.server.password in the node's application.yml; percent-encode what is special in a URL",
            ));
        }
        404 => {
            return Err(Verdict::wrong(
                "knows no /v4/info (404)",
                "Lavalink 4.2 or newer is needed; if it is, check the path in SEGUE_LAVALINK_NODES",
            ));
        }
        status => {
            return Err(Verdict::wrong(
                format!("answered {status}"),
                "look at the node's log; a proxy before it may be the one that answers",
            ));
        }
    }
    let Some(Info { version, sources }) = answer.json() else {
        return Err(Verdict::wrong(
            format!("what answers at {address} is no Lavalink"),
            "check host and port in SEGUE_LAVALINK_NODES",
        ));
    };
    // A build between releases says 0.0.0 and a commit; it is taken at its protocol's word.
    let unreleased = (version.major, version.minor) == (0, 0);
    if !unreleased && (version.major, version.minor) < OLDEST {
        return Err(Verdict::wrong(
            format!("is Lavalink {}", version.semver),
            format!("update it to {}.{} or newer", OLDEST.0, OLDEST.1),
        ));
    }
    let Some(sources) = sources else {
        return Ok(format!("Lavalink {}", version.semver));
    };
    if sources.is_empty() {
        return Err(Verdict::wrong(
            format!(
                "is Lavalink {} without any source, so nothing can be played",
                version.semver
            ),
            "switch some on in the node's application.yml (lavalink.server.sources), or add a plugin that has them",
        ));
    }
    Ok(format!("Lavalink {}, sources: {}", version.semver, sources.join(", ")))
}

/// Opens a session, arms it, drops it, and takes it up again; `Err` says what failed.
async fn resumes(node: &NodeSettings, user: &str, fetch: &Fetch) -> Result<(), String> {
    let (mut socket, first) = open(node, user, None).await?;
    arm(node, &first.session, true, fetch).await?;
    close(&mut socket).await;
    for _ in 0..RESUME_ATTEMPTS {
        let (mut socket, again) = open(node, user, Some(&first.session)).await?;
        if again.resumed {
            let disarmed = arm(node, &again.session, false, fetch).await;
            close(&mut socket).await;
            return disarmed;
        }
        close(&mut socket).await;
        tokio::time::sleep(RESUME_AGAIN).await;
    }
    Err("a session that was dropped could not be resumed".to_owned())
}

async fn open(node: &NodeSettings, user: &str, session: Option<&str>) -> Result<(Socket, Ready), String> {
    let mut url = node.url.join("v4/websocket").map_err(|error| error.to_string())?;
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme)
        .map_err(|()| "its address has no WebSocket".to_owned())?;
    let mut request = url.as_str().into_client_request().map_err(|error| error.to_string())?;
    let agent = concat!("segue-doctor/", env!("CARGO_PKG_VERSION"));
    let password = node.password.expose_secret();
    for (name, value) in [("authorization", password), ("user-id", user), ("client-name", agent)] {
        let value = HeaderValue::from_str(value).map_err(|_| format!("{name} cannot be sent in a header"))?;
        request.headers_mut().insert(name, value);
    }
    if let Some(session) = session {
        let value = HeaderValue::from_str(session).map_err(|_| "its session id cannot be sent back".to_owned())?;
        request.headers_mut().insert("session-id", value);
    }
    let opening = async {
        let (mut socket, _) = connect_async(request).await.map_err(|error| refusal(&error))?;
        let ready = ready(&mut socket).await?;
        Ok((socket, ready))
    };
    tokio::time::timeout(READY_WITHIN, opening)
        .await
        .unwrap_or_else(|_| Err(format!("no session was ready within {} s", READY_WITHIN.as_secs())))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other errors of the library read the same"
)]
fn refusal(error: &Error) -> String {
    match error {
        Error::Http(response) => format!("its WebSocket answered {}", response.status().as_u16()),
        other => format!("its WebSocket cannot be opened ({})", causes(other)),
    }
}

/// Waits for `ready`; `stats` may come before it.
async fn ready(socket: &mut Socket) -> Result<Ready, String> {
    while let Some(message) = socket.next().await {
        match message.map_err(|error| refusal(&error))? {
            Message::Text(text) => {
                let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                if value["op"] == "ready" {
                    return serde_json::from_value(value)
                        .map_err(|error| format!("its ready cannot be read ({error})"));
                }
            }
            Message::Close(frame) => {
                let code = frame.map_or(0, |frame| u16::from(frame.code));
                return Err(format!("it closed the WebSocket with {code}"));
            }
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err("it closed the WebSocket before a session was ready".to_owned())
}

async fn arm(node: &NodeSettings, session: &str, resuming: bool, fetch: &Fetch) -> Result<(), String> {
    let url = node
        .url
        .join(&format!("v4/sessions/{session}"))
        .map_err(|error| error.to_string())?;
    let body = serde_json::json!({ "resuming": resuming, "timeout": 10 });
    let answer = fetch
        .patch(&url, node.password.expose_secret(), body.to_string())
        .await?;
    match answer.status {
        200 => Ok(()),
        status => Err(format!("switching resuming on was answered with {status}")),
    }
}

async fn close(socket: &mut Socket) {
    // The answer to the close frame is read, so that the node has seen it before the next connection.
    let closing = async {
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    tokio::time::timeout(Duration::from_secs(1), closing).await.ok();
}

#[cfg(test)]
#[path = "lavalink_tests.rs"]
mod tests;
