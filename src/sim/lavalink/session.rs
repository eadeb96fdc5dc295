//! The life of a session as a pure machine: open, paused, gone.

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A socket owns it; REST works.
    Open {
        /// The socket's number.
        socket: u64,
    },
    /// No socket, but it may be resumed; REST says 404.
    Paused {
        /// When it dies; `None` once a handshake that never completed cancelled the timer.
        until_ms: Option<u64>,
    },
    /// Destroyed.
    Gone,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A socket ended.
    Closed {
        /// Which.
        socket: u64,
        /// The session's `resuming`.
        resuming: bool,
        /// When it would die.
        until_ms: u64,
    },
    /// A handshake names it; the socket may never come.
    Knocked,
    /// A socket that names it came.
    Connected {
        /// Its number.
        socket: u64,
    },
    /// A socket that names it came and got a session of its own: the end of the one before was not processed yet (N3), so
    /// it is now that the time begins.
    Missed {
        /// When it dies.
        until_ms: u64,
    },
    /// Time passed.
    Tick {
        /// Now.
        now_ms: u64,
    },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// Keep what is to be said.
    Hold,
    /// Say `ready`, what was held, and every player's state.
    Replay,
    /// The newcomer gets a session of its own.
    Refuse,
    /// The timer was cancelled by a handshake.
    Disarm,
    /// The timer begins again.
    Arm,
    /// Destroy the players.
    Destroy,
}

impl Phase {
    /// The next phase, and what to do.
    pub(super) fn step(self, input: Input) -> (Self, Effect) {
        match (self, input) {
            (
                Self::Open { socket: owner },
                Input::Closed {
                    socket,
                    resuming,
                    until_ms,
                },
            ) if owner == socket => {
                if resuming {
                    (
                        Self::Paused {
                            until_ms: Some(until_ms),
                        },
                        Effect::Hold,
                    )
                } else {
                    (Self::Gone, Effect::Destroy)
                }
            }
            (Self::Paused { until_ms: Some(_) }, Input::Knocked) => (Self::Paused { until_ms: None }, Effect::Disarm),
            (Self::Paused { .. }, Input::Missed { until_ms }) => (
                Self::Paused {
                    until_ms: Some(until_ms),
                },
                Effect::Arm,
            ),
            (Self::Paused { .. }, Input::Connected { socket }) => (Self::Open { socket }, Effect::Replay),
            (Self::Paused { until_ms: Some(until) }, Input::Tick { now_ms }) if until <= now_ms => {
                (Self::Gone, Effect::Destroy)
            }
            (Self::Open { .. } | Self::Gone, Input::Connected { .. }) => (self, Effect::Refuse),
            (_, Input::Closed { .. } | Input::Knocked | Input::Missed { .. } | Input::Tick { .. }) => {
                (self, Effect::None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_as_lavalinks_do() {
        let open = Phase::Open { socket: 1 };
        let paused = Phase::Paused { until_ms: Some(60) };
        let kept = Phase::Paused { until_ms: None };
        let closed = |socket, resuming| Input::Closed {
            socket,
            resuming,
            until_ms: 60,
        };
        let connected = Input::Connected { socket: 2 };
        let missed = Input::Missed { until_ms: 60 };
        let again = Phase::Open { socket: 2 };
        let table = [
            (open, closed(1, true), paused, Effect::Hold),
            (open, closed(1, false), Phase::Gone, Effect::Destroy),
            (open, closed(9, false), open, Effect::None),
            (open, Input::Knocked, open, Effect::None),
            (open, connected, open, Effect::Refuse),
            (open, Input::Tick { now_ms: 99 }, open, Effect::None),
            (paused, connected, again, Effect::Replay),
            (paused, Input::Knocked, kept, Effect::Disarm),
            (paused, Input::Tick { now_ms: 59 }, paused, Effect::None),
            (paused, Input::Tick { now_ms: 60 }, Phase::Gone, Effect::Destroy),
            (paused, closed(1, true), paused, Effect::None),
            (kept, Input::Tick { now_ms: 99 }, kept, Effect::None),
            (kept, Input::Knocked, kept, Effect::None),
            (kept, missed, paused, Effect::Arm),
            (open, missed, open, Effect::None),
            (Phase::Gone, missed, Phase::Gone, Effect::None),
            (kept, connected, again, Effect::Replay),
            (Phase::Gone, connected, Phase::Gone, Effect::Refuse),
            (Phase::Gone, Input::Knocked, Phase::Gone, Effect::None),
        ];
        for (phase, input, next, effect) in table {
            assert_eq!(phase.step(input), (next, effect), "{phase:?} {input:?}");
        }
    }
}
