//! One request to a node: its deadline, its turn, its authority, and what its answer says of the node.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::NodeState;
use super::client::{self, Reply};
use super::error::CallError;
use super::node::Node;

/// After this many calls in a row without an answer, REST is taken for dead.
const SILENT_CALLS: u32 = 3;

/// What is asked of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Arm,
    Update,
    Voice,
    Destroy,
    Player,
    Players,
    Load,
}

impl Operation {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Arm => "arm",
            Self::Update => "update",
            Self::Voice => "voice",
            Self::Destroy => "destroy",
            Self::Player => "player",
            Self::Players => "players",
            Self::Load => "load",
        }
    }

    pub(super) const fn limit(self) -> Duration {
        match self {
            Self::Voice => Duration::from_secs(4),
            Self::Load => Duration::from_secs(10),
            Self::Arm | Self::Update | Self::Destroy | Self::Player | Self::Players => Duration::from_secs(3),
        }
    }

    const fn mutates(self) -> bool {
        match self {
            Self::Arm | Self::Update | Self::Voice | Self::Destroy => true,
            Self::Player | Self::Players | Self::Load => false,
        }
    }

    /// Whether a missing answer says something about the node: voice and loading wait for others.
    const fn tells_of_node(self) -> bool {
        !matches!(self, Self::Voice | Self::Load)
    }
}

impl Node {
    /// A call below `/sessions/…` for which 404 means that the session is not open.
    pub(super) async fn in_session(
        &self,
        operation: Operation,
        session: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, CallError> {
        match self.call(operation, method, path, body).await {
            Err(CallError::Status { status: 404, .. }) => {
                if self.shared().lock().session.as_deref() == Some(session) {
                    self.shared().suspect.notify_one();
                }
                Err(CallError::SessionGone)
            }
            other => other,
        }
    }

    pub(super) async fn call(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, CallError> {
        let span = tracing::debug_span!("lavalink.request", node = %self.shared().name, operation = operation.word());
        let began = Instant::now();
        let result = self.send(operation, method, path, body).instrument(span).await;
        let outcome = result.as_ref().map_or_else(CallError::word, |_| "ok");
        self.shared()
            .metrics
            .request(&self.shared().name, operation.word(), outcome, began.elapsed());
        if operation.tells_of_node() {
            self.judge_rest(&result);
        }
        result
    }

    async fn send(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, CallError> {
        let limit = operation.limit();
        let Ok(Ok(_turn)) = timeout(limit, self.shared().turns(operation).acquire()).await else {
            return Err(CallError::Busy);
        };
        if operation.mutates() {
            self.shared().authority.check()?;
        }
        let reply = timeout(limit, self.shared().client.send(method, path, body))
            .await
            .map_err(|_| CallError::Timeout(operation.word()))??;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let answer: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let text = answer
            .as_ref()
            .and_then(|answer| answer["message"].as_str())
            .map(client::cut)
            .unwrap_or_default();
        Err(CallError::Status {
            status: reply.status,
            text,
        })
    }

    /// Calls without an answer while the socket lives: the node's REST is dead, its audio is not.
    fn judge_rest(&self, result: &Result<Reply, CallError>) {
        let mut inner = self.shared().lock();
        match result {
            Err(CallError::Timeout(_)) => inner.silent_calls = inner.silent_calls.saturating_add(1),
            Err(CallError::NoAuthority(_) | CallError::Busy | CallError::Unreachable(_)) => return,
            Ok(_) | Err(_) => inner.silent_calls = 0,
        }
        let next = match inner.state {
            NodeState::Ready { .. } if inner.silent_calls >= SILENT_CALLS => NodeState::RestDead,
            NodeState::RestDead if inner.silent_calls == 0 => NodeState::Ready { resumed: inner.resumed },
            NodeState::Ready { .. }
            | NodeState::RestDead
            | NodeState::Connecting
            | NodeState::Lost { .. }
            | NodeState::Gone => return,
        };
        inner.state = next;
        drop(inner);
        tracing::warn!(node = %self.shared().name, state = ?next, "the node's REST changed");
        self.shared().changed.notify_one();
    }
}
