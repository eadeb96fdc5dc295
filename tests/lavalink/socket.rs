//! A WebSocket to a Lavalink, and waiting with a limit.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// No single wait is longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// An open socket and the headers of its handshake.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) headers: HeaderMap,
}

/// What a socket says.
#[derive(Debug)]
pub(crate) enum Said {
    Message(Value),
    Closed(Option<u16>),
}

impl Socket {
    pub(crate) fn new(stream: WebSocketStream<MaybeTlsStream<TcpStream>>, headers: HeaderMap) -> Self {
        Self { stream, headers }
    }

    /// What it says next.
    pub(crate) async fn read(&mut self) -> anyhow::Result<Said> {
        let said = timeout(LIMIT, self.stream.next())
            .await
            .context("the socket says nothing")?;
        Ok(match said {
            Some(Ok(Message::Text(text))) => Said::Message(serde_json::from_str(&text)?),
            Some(Ok(Message::Close(frame))) => Said::Closed(frame.map(|frame| frame.code.into())),
            Some(Ok(other)) => bail!("the socket says {other:?}"),
            Some(Err(_)) | None => Said::Closed(None),
        })
    }

    /// The next message with this `op`.
    pub(crate) async fn next(&mut self, op: &str) -> anyhow::Result<Value> {
        loop {
            match self.read().await? {
                Said::Message(message) if message["op"] == op => return Ok(message),
                Said::Message(_) => {}
                Said::Closed(code) => bail!("the socket closed with {code:?} instead of {op}"),
            }
        }
    }

    /// The next event of this type.
    pub(crate) async fn event(&mut self, kind: &str) -> anyhow::Result<Value> {
        loop {
            let event = self
                .next("event")
                .await
                .with_context(|| format!("waiting for {kind}"))?;
            if event["type"] == kind {
                return Ok(event);
            }
        }
    }

    /// Whether an event of this type comes within a while.
    pub(crate) async fn tells_within(&mut self, kind: &str, while_: Duration) -> bool {
        timeout(while_, self.event(kind)).await.is_ok_and(|event| event.is_ok())
    }

    /// Closes with a code.
    pub(crate) async fn close(mut self, code: u16) -> anyhow::Result<()> {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.stream.send(Message::Close(Some(frame))).await?;
        // The server's answer, or its end.
        while let Ok(Some(Ok(_))) = timeout(LIMIT, self.stream.next()).await {}
        Ok(())
    }
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = ask().await? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("not within {LIMIT:?}: {what}");
        }
        sleep(Duration::from_millis(10)).await;
    }
}
