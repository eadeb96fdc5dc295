//! The WebSocket itself: connecting with a deadline, reading, pings, closing.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::link::Trouble;
use super::{BadNode, Identity, NodeConfig, client};

/// Largest message taken, in bytes. A player's event is a few kilobytes.
const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;
/// What a socket reads at once, bytes; kept for as long as it is open. Most messages have a few hundred.
const READ_BUFFER: usize = 8 * 1024;
/// Longest wait for connection and handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// After this long without a word, a ping is sent.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Longest wait for any word after a ping; then the connection is taken for half open.
const PONG_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a close to be written and answered.
const CLOSE_LIMIT: Duration = Duration::from_millis(300);

/// Where to connect and how to introduce oneself.
#[derive(Clone)]
pub(super) struct Request {
    url: String,
    headers: HeaderMap,
}

pub(super) fn request(config: &NodeConfig, identity: &Identity) -> Result<Request, BadNode> {
    let name = client::name(identity)?;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, client::password(config)?);
    headers.insert("User-Id", HeaderValue::from(identity.user.get()));
    headers.insert("Client-Name", name.clone());
    headers.insert(USER_AGENT, name);
    Ok(Request {
        url: config.websocket()?,
        headers,
    })
}

/// An open WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    watch: Watch,
}

/// What the socket waits for: silence to end in a ping, or a ping to be answered.
#[derive(Clone, Copy, Debug)]
enum Watch {
    Quiet { ping_at: Instant },
    Pinged { give_up_at: Instant },
}

/// Why an open socket ended, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum End {
    /// The node said goodbye.
    #[error("closed by the node with {code}")]
    Closed { code: u16 },
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// Nothing came, not even a pong.
    #[error("no word and no pong")]
    HalfOpen,
}

impl Socket {
    /// Connects, asking for `session`. The word is for the log.
    pub(super) async fn connect(request: &Request, session: Option<&str>) -> Result<Self, (Trouble, String)> {
        let mut upgrade = request
            .url
            .as_str()
            .into_client_request()
            .map_err(|error| judge(&error))?;
        upgrade.headers_mut().extend(request.headers.clone());
        if let Some(value) = session.and_then(|id| HeaderValue::from_str(id).ok()) {
            upgrade.headers_mut().insert("Session-Id", value);
        }
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let connecting = connect_async_with_config(upgrade, Some(limits), true);
        let (stream, _) = timeout(CONNECT_LIMIT, connecting)
            .await
            .map_err(|_| (Trouble::Silent, "no answer to the handshake".to_owned()))?
            .map_err(|error| judge(&error))?;
        Ok(Self { stream, watch: quiet() })
    }

    /// The next text. Sends pings meanwhile. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, End> {
        loop {
            let wake = match self.watch {
                Watch::Quiet { ping_at } => ping_at,
                Watch::Pinged { give_up_at } => give_up_at,
            };
            tokio::select! {
                biased;
                message = self.stream.next() => {
                    self.watch = quiet();
                    match message {
                        Some(Ok(Message::Text(text))) => return Ok(text),
                        Some(Ok(Message::Close(frame))) => {
                            return Err(End::Closed { code: frame.map_or(1005, |frame| frame.code.into()) });
                        }
                        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                        Some(Err(error)) => return Err(End::Broken(error.to_string())),
                        None => return Err(End::Broken("end of stream".to_owned())),
                    }
                }
                () = tokio::time::sleep_until(wake) => match self.watch {
                    Watch::Quiet { .. } => {
                        self.watch = Watch::Pinged { give_up_at: Instant::now() + PONG_LIMIT };
                        let sent = timeout(PONG_LIMIT, self.stream.send(Message::Ping(Vec::new().into()))).await;
                        match sent {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => return Err(End::Broken(error.to_string())),
                            Err(_) => return Err(End::HalfOpen),
                        }
                    }
                    Watch::Pinged { .. } => return Err(End::HalfOpen),
                },
            }
        }
    }

    /// Closes it in order, so that the node sees the end before the next connection; waits a moment at most.
    pub(super) async fn close(mut self) {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::from_static(""),
        };
        let closing = async {
            if self.stream.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // A node that does not answer sees the TCP connection end instead.
        let _elapsed = timeout(CLOSE_LIMIT, closing).await;
    }
}

fn quiet() -> Watch {
    Watch::Quiet {
        ping_at: Instant::now() + PING_EVERY,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "two foreign enums of many kinds, of which few matter"
)]
fn judge(error: &Error) -> (Trouble, String) {
    let trouble = match error {
        Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Trouble::Refused,
            _ => Trouble::Silent,
        },
        Error::Http(response) if matches!(response.status().as_u16(), 401 | 403) => Trouble::Denied,
        _ => Trouble::Silent,
    };
    (trouble, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{MemberId, NodeName, ShardId, UserId};

    /// An accepted connection whose far end does not read by itself.
    async fn pair() -> (Socket, WebSocketStream<TcpStream>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let config = NodeConfig::new(NodeName("a".into()), url, "pw".into());
        let identity = Identity {
            user: UserId::new(1),
            member: MemberId("m".into()),
            shard: ShardId::ONE,
        };
        let request = request(&config, &identity).unwrap();
        let accept = async {
            tokio_tungstenite::accept_async(listener.accept().await.unwrap().0)
                .await
                .unwrap()
        };
        let (near, far) = tokio::join!(Socket::connect(&request, Some("s")), accept);
        (near.map_err(|(_, why)| why).unwrap(), far)
    }

    #[tokio::test]
    async fn a_peer_that_answers_nothing_is_half_open_after_a_ping_and_its_deadline() {
        let (mut near, _far) = pair().await;
        tokio::time::pause();
        let began = Instant::now();
        assert_eq!(near.next().await, Err(End::HalfOpen));
        assert_eq!(began.elapsed().as_secs(), (PING_EVERY + PONG_LIMIT).as_secs());
    }

    #[tokio::test]
    async fn a_close_and_a_break_are_told_apart() {
        let (mut near, mut far) = pair().await;
        let frame = CloseFrame {
            code: CloseCode::Away,
            reason: Utf8Bytes::from_static(""),
        };
        far.close(Some(frame)).await.unwrap();
        assert_eq!(near.next().await, Err(End::Closed { code: 1001 }));
        let (mut near, far) = pair().await;
        drop(far);
        assert!(matches!(near.next().await, Err(End::Broken(_))));
    }

    #[tokio::test]
    async fn a_port_where_nothing_listens_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let config = NodeConfig::new(NodeName("a".into()), url, "pw".into());
        let identity = Identity {
            user: UserId::new(1),
            member: MemberId("m".into()),
            shard: ShardId::ONE,
        };
        let request = request(&config, &identity).unwrap();
        let refused = Socket::connect(&request, None).await.err().map(|(trouble, _)| trouble);
        assert_eq!(refused, Some(Trouble::Refused));
    }
}
