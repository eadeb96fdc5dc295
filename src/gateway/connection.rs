//! One connection of a shard: its twilight shard, its place in the queue for IDENTIFY, and how it is closed.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use twilight_gateway::queue::Queue;
use twilight_gateway::{CloseFrame, Message, Shard};

/// How long a closing handshake may take; the session survives without it.
const CLOSING: Duration = Duration::from_secs(2);
/// twilight asks this queue; the task sees the question and asks the real queue inside its own `select!`.
#[derive(Debug)]
pub(super) struct Slot(pub(super) mpsc::Sender<oneshot::Sender<()>>);

impl Queue for Slot {
    fn enqueue(&self, _shard: u32) -> oneshot::Receiver<()> {
        let (grant, granted) = oneshot::channel();
        // Full means that a question is open already; twilight asks again when its receiver closes.
        let _full = self.0.try_send(grant);
        granted
    }
}

/// Where the shard is in the queue for IDENTIFY. The sender is twilight's go-ahead.
pub(super) enum Turn {
    /// Not in it.
    Not,
    /// The real queue's answer is to come.
    Asked(oneshot::Sender<()>, oneshot::Receiver<()>),
    /// It was refused, or there was no authority: asks again then.
    Later(oneshot::Sender<()>, Instant),
}

impl Turn {
    /// Returns when there is something to decide: whether the queue said yes.
    pub(super) async fn came(&mut self) -> bool {
        match self {
            Self::Not => std::future::pending().await,
            Self::Asked(_, answer) => answer.await.is_ok(),
            Self::Later(_, at) => {
                sleep_until(*at).await;
                false
            }
        }
    }
}

/// What one connection is waiting for.
pub(super) struct Connection {
    pub(super) shard: Shard<Slot>,
    pub(super) questions: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) turn: Turn,
    /// When HELLO, READY or RESUMED is overdue.
    pub(super) overdue: Option<Instant>,
    /// Whether it began with a session.
    pub(super) resuming: bool,
    /// Whether HELLO came: after a socket that just broke, twilight makes another one by itself, and it comes again.
    pub(super) greeted: bool,
}

/// An address twilight can use: it panics on others.
pub(super) fn usable(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    let parsed: hyper::Uri = format!("{url}/?v=10").parse().ok()?;
    matches!(parsed.scheme_str(), Some("ws" | "wss")).then(|| url.to_owned())
}

/// Closes with 4000 (after op 7 twilight has begun that) and reads until the other side agrees. What still arrives is not
/// taken: it will be replayed.
pub(super) async fn close_resumable(shard: &mut Shard<Slot>) {
    use twilight_gateway::ShardState::Disconnected;
    if shard.state().is_identified() {
        shard.close(CloseFrame::RESUME);
    }
    let mut closing = false;
    let closed = poll_fn(|cx| {
        loop {
            let polled = shard.poll_next_unpin(cx);
            let disconnected = matches!(shard.state(), Disconnected { .. });
            if closing && !disconnected {
                // The other side hung up without a close frame and twilight connects again, which is not wanted.
                return Poll::Ready(());
            }
            closing |= disconnected;
            match polled {
                Poll::Ready(Some(Ok(Message::Text(_)))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    if timeout(CLOSING, closed).await.is_err() {
        tracing::debug!("Discord did not answer the close frame; the connection is dropped");
    }
}
