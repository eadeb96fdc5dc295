//! `/v4/websocket`: the handshake and the life of a socket.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;

use super::life::Life;
use super::outbox::{Out, Outbox};

/// The handshake. That it cancels the timer of the session it names, even where no socket follows, is Lavalink's own doing.
pub(super) async fn upgrade(
    State(life): State<Arc<Life>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let user = header("User-Id").unwrap_or_default();
    if user.is_empty() || user == "0" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let wanted = header("Session-Id");
    let disarmed = wanted.as_deref().is_some_and(|id| life.knock(id));
    let lies = life.shared.switches.borrow().wrong_header;
    let client = header("Client-Name").unwrap_or_default();
    let mut response = match upgrade {
        Ok(upgrade) => {
            let running = life.tasks.token();
            upgrade.on_upgrade(async move |socket| {
                let _running = running;
                if user.parse::<u64>().is_ok() {
                    live(socket, &life, wanted.as_deref(), &client).await;
                } else {
                    close(socket, 1011).await;
                }
            })
        }
        Err(refused) => refused.into_response(),
    };
    let resumed = HeaderValue::from_static(if disarmed == lies { "false" } else { "true" });
    response.headers_mut().insert("Session-Resumed", resumed);
    response
}

async fn live(mut socket: WebSocket, life: &Life, wanted: Option<&str>, client: &str) {
    let (out, mut said, full) = Outbox::new();
    let (session, number) = life.connect(wanted, client, out);
    let mut mute = false;
    loop {
        tokio::select! {
            () = life.killed.cancelled() => return,
            () = full.cancelled() => break,
            message = said.recv(), if !mute => match message {
                Some(Out::Text(text)) => {
                    let sent = full.run_until_cancelled(socket.send(Message::Text(text.into()))).await;
                    if !matches!(sent, Some(Ok(()))) {
                        break;
                    }
                }
                Some(Out::Close(code)) => {
                    close(socket, code).await;
                    break;
                }
                Some(Out::Drop) => {
                    drop(socket);
                    break;
                }
                None => mute = true,
            },
            // What a client says is ignored.
            heard = socket.recv() => if !matches!(heard, Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_)))) {
                break;
            },
        }
    }
    if unnoticed(life, &mut said).await {
        life.socket_closed(&session, number);
    }
}

/// While the network hides the end of connections, the session believes in its socket and talks to nobody. False if the node
/// died meanwhile.
async fn unnoticed(life: &Life, said: &mut mpsc::Receiver<Out>) -> bool {
    let mut switches = life.shared.switches.subscribe();
    loop {
        tokio::select! {
            () = life.killed.cancelled() => return false,
            _ = switches.wait_for(|switches| !switches.half_open) => return true,
            Some(_) = said.recv() => {}
        }
    }
}

async fn close(mut socket: WebSocket, code: u16) {
    let frame = CloseFrame {
        code,
        reason: "".into(),
    };
    drop(socket.send(Message::Close(Some(frame))).await);
}
