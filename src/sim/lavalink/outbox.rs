//! The way from a session to its socket's task: bounded, for a client that reads nothing must not fill the memory.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait for a slow client. One who is further behind loses its connection.
const PATIENCE: usize = 8_192;

/// What a socket's task is told.
#[derive(Clone, Debug)]
pub(super) enum Out {
    /// A message.
    Text(String),
    /// Close with a code.
    Close(u16),
    /// Drop the connection without a word.
    Drop,
}

/// The sending end.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    out: mpsc::Sender<Out>,
    full: CancellationToken,
}

impl Outbox {
    /// Both ends, and what is cancelled when the client is too far behind.
    pub(super) fn new() -> (Self, mpsc::Receiver<Out>, CancellationToken) {
        let (out, said) = mpsc::channel(PATIENCE);
        let full = CancellationToken::new();
        (
            Self {
                out,
                full: full.clone(),
            },
            said,
            full,
        )
    }

    /// Tells the socket's task. One that has ended hears nothing.
    pub(super) fn send(&self, out: Out) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.out.try_send(out) {
            self.full.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_too_far_behind_is_cut_off() {
        let (outbox, mut said, full) = Outbox::new();
        for _ in 0..PATIENCE {
            outbox.send(Out::Text(String::new()));
        }
        assert!(!full.is_cancelled());
        outbox.send(Out::Drop);
        assert!(full.is_cancelled());
        assert!(matches!(said.try_recv(), Ok(Out::Text(_))));
    }
}
