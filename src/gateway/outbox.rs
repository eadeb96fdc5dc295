//! What a shard has yet to hand on. While it waits here the connection is still polled, so heartbeats go on; when it is
//! full the shard stops reading, and a caller that stays stuck costs the connection, not the memory.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};

use super::FromShard;

/// Most events kept beyond the caller's channel.
const BACKLOG_LIMIT: usize = 1_024;

/// In order, with gates: after a [`FromShard::Ready`] nothing leaves until it is acknowledged.
#[derive(Debug)]
pub(super) struct Outbox {
    out: mpsc::Sender<FromShard>,
    backlog: VecDeque<Entry>,
    gate: Option<oneshot::Receiver<()>>,
}

#[derive(Debug)]
struct Entry {
    message: FromShard,
    gate: Option<oneshot::Receiver<()>>,
}

/// The caller dropped its end of the channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Outbox {
    pub(super) fn new(out: mpsc::Sender<FromShard>) -> Self {
        Self {
            out,
            backlog: VecDeque::new(),
            gate: None,
        }
    }

    pub(super) fn push(&mut self, message: FromShard) {
        self.backlog.push_back(Entry { message, gate: None });
    }

    /// What is pushed later waits for the acknowledgement.
    pub(super) fn push_gated(&mut self, message: impl FnOnce(oneshot::Sender<()>) -> FromShard) {
        let (ack, gate) = oneshot::channel();
        let message = message(ack);
        self.backlog.push_back(Entry {
            message,
            gate: Some(gate),
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.backlog.len() >= BACKLOG_LIMIT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Hands one message on, and those behind it as far as there is room; waits for ever when there is none. May be dropped
    /// at any await without losing anything.
    pub(super) async fn deliver(&mut self) -> Result<(), Closed> {
        if let Some(gate) = &mut self.gate {
            // Dropped instead of answered: the caller decided not to store the session. Its choice.
            let _answered = gate.await;
            self.gate = None;
        }
        if self.backlog.is_empty() {
            return std::future::pending().await;
        }
        drop(self.out.reserve().await.map_err(|_| Closed)?);
        while self.gate.is_none()
            && !self.backlog.is_empty()
            && let Ok(permit) = self.out.try_reserve()
            && let Some(Entry { message, gate }) = self.backlog.pop_front()
        {
            self.gate = gate;
            permit.send(message);
        }
        Ok(())
    }

    /// What was not handed on is left to the successor: Discord will send it again.
    pub(super) fn leave(&mut self) {
        for Entry { message, .. } in self.backlog.drain(..) {
            match message {
                FromShard::Guild { seen, .. } | FromShard::Interaction { seen, .. } => seen.unprocessed(),
                FromShard::Ready { .. } | FromShard::SessionLost | FromShard::Down { .. } | FromShard::Fatal { .. } => {
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_passes_an_unanswered_ready() {
        let (out, mut received) = mpsc::channel(8);
        let mut outbox = Outbox::new(out);
        outbox.push_gated(|_ack| FromShard::SessionLost);
        outbox.push(FromShard::Down { code: None });
        outbox.deliver().await.unwrap();
        assert!(matches!(received.recv().await, Some(FromShard::SessionLost)));
        // The acknowledgement was dropped with the message above, so this passes; a kept one holds it back.
        outbox.deliver().await.unwrap();
        let mut kept = None;
        outbox.push_gated(|ack| {
            kept = Some(ack);
            FromShard::SessionLost
        });
        outbox.push(FromShard::Down { code: Some(4000) });
        outbox.deliver().await.unwrap();
        tokio::select! {
            biased;
            _ = outbox.deliver() => panic!("passed the gate"),
            () = std::future::ready(()) => {}
        }
        kept.unwrap().send(()).unwrap();
        outbox.deliver().await.unwrap();
    }
}
