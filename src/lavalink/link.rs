//! What to do next about a connection: which session to ask for, when to try again, when to give up. Pure.

use std::time::Duration;

/// Waits before the old session is asked for again after the node said "not resumed": right after a crash the node may
/// not have noticed the end of the old socket yet.
const OLD_AGAIN: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(400),
];
/// Waits before the first attempts after a loss, in milliseconds; the last one repeats.
const WAITS_MS: [u64; 8] = [0, 50, 150, 400, 800, 1_600, 3_200, 5_000];
/// Wait when the node says that password or user are wrong: only an operator can help.
const DENIED_WAIT_MS: u64 = 15_000;
/// Refusals in a row after which the node's process is taken for dead.
const REFUSALS: u32 = 2;
/// A node that is merely silent is given up after this, in milliseconds: its audio may go on meanwhile.
pub(super) const SILENCE_MS: i64 = 10_000;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing listens there.
    Refused,
    /// No answer, no route, no name, or an answer that is no WebSocket.
    Silent,
    /// Password or user are wrong.
    Denied,
    /// It was open and closed, or was closed by us because it did not work.
    Closed,
}

impl Trouble {
    /// A short fixed word for metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Denied => "denied",
            Self::Closed => "closed",
        }
    }
}

/// What `ready` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The session before goes on.
    Resumed,
    /// Close it and ask for the old session again after this.
    AskAgain(Duration),
    /// A new session. The old one, if there was one, may be held open by a dead socket.
    New { old: Option<String> },
}

/// What to do after [`Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) after: Duration,
    /// The guilds are to be told that the node was given up; said once for each loss.
    pub(super) give_up: bool,
}

/// The memory of one session's connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// The session to ask for.
    wanted: Option<String>,
    asked_again: usize,
    vanished: bool,
    failures: usize,
    refusals: u32,
    refused_once: bool,
    down_since_ms: Option<i64>,
    gave_up: bool,
}

impl Link {
    pub(super) fn new(stored: Option<String>) -> Self {
        Self {
            wanted: stored.filter(|id| !id.is_empty()),
            ..Self::default()
        }
    }

    /// The session to ask for when connecting.
    pub(super) fn wanted(&self) -> Option<&str> {
        self.wanted.as_deref()
    }

    /// Whether guilds know that the node was given up.
    pub(super) const fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// The node said `ready`.
    pub(super) fn ready(&mut self, resumed: bool) -> Verdict {
        self.refusals = 0;
        if resumed {
            return Verdict::Resumed;
        }
        // A node that refused connections was restarted: its old sessions are gone with it.
        let wait = OLD_AGAIN
            .get(self.asked_again)
            .filter(|_| self.wanted.is_some() && !self.refused_once);
        match wait {
            Some(wait) => {
                self.asked_again += 1;
                Verdict::AskAgain(*wait)
            }
            None => Verdict::New {
                old: self.wanted.clone(),
            },
        }
    }

    /// The node does not know the session that it did not give us. Whether to ask for it once more: its dead socket may have
    /// closed in between, and then it can be resumed and plays on.
    pub(super) const fn vanished(&mut self) -> bool {
        !std::mem::replace(&mut self.vanished, true)
    }

    /// The session is armed and stored: from now on it is the one to ask for.
    pub(super) fn stored(&mut self, session_id: &str) {
        self.wanted = Some(session_id.to_owned());
    }

    /// Everybody knows that the session is usable.
    pub(super) fn settled(&mut self) {
        *self = Self {
            wanted: self.wanted.take(),
            ..Self::default()
        };
    }

    /// There is no connection. `jitter` is in 0..1.
    pub(super) fn failed(&mut self, trouble: Trouble, now_ms: i64, jitter: f64) -> Next {
        self.refusals = if trouble == Trouble::Refused {
            self.refusals + 1
        } else {
            0
        };
        self.refused_once |= trouble == Trouble::Refused;
        let since = *self.down_since_ms.get_or_insert(now_ms);
        let dead = self.refusals >= REFUSALS || now_ms.saturating_sub(since) >= SILENCE_MS;
        let give_up = dead && !self.gave_up;
        self.gave_up |= dead;
        let wait = WAITS_MS[self.failures.min(WAITS_MS.len() - 1)];
        self.failures += 1;
        let wait = if trouble == Trouble::Denied {
            DENIED_WAIT_MS
        } else {
            wait
        };
        Next {
            after: Duration::from_millis(wait).mul_f64(0.75 + jitter / 2.0),
            give_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link::new(Some("old".into()))
    }

    #[test]
    fn the_old_session_is_asked_for_three_times_before_a_new_one_is_taken() {
        let mut link = link();
        let waits: Vec<_> = (0..3)
            .map(|_| match link.ready(false) {
                Verdict::AskAgain(wait) => wait,
                other @ (Verdict::Resumed | Verdict::New { .. }) => panic!("{other:?}"),
            })
            .collect();
        assert!(waits.is_sorted() && waits[2] < Duration::from_secs(1), "{waits:?}");
        assert_eq!(link.wanted(), Some("old"));
        assert_eq!(
            link.ready(false),
            Verdict::New {
                old: Some("old".into())
            }
        );
        assert!(link.vanished() && !link.vanished(), "it is asked for once more");
        link.stored("new");
        link.settled();
        assert!(link.vanished(), "the next loss counts anew");
        assert_eq!(link.wanted(), Some("new"));
        assert!(
            matches!(link.ready(false), Verdict::AskAgain(_)),
            "the next loss asks again"
        );
    }

    #[test]
    fn without_an_old_session_or_after_a_restart_the_new_one_is_taken_at_once() {
        assert_eq!(Link::new(None).ready(false), Verdict::New { old: None });
        assert_eq!(Link::new(Some(String::new())).ready(false), Verdict::New { old: None });
        let mut restarted = link();
        restarted.failed(Trouble::Closed, 0, 0.5);
        restarted.failed(Trouble::Refused, 5, 0.5);
        assert_eq!(
            restarted.ready(false),
            Verdict::New {
                old: Some("old".into())
            }
        );
        assert_eq!(link().ready(true), Verdict::Resumed);
    }

    #[test]
    fn a_node_that_refuses_after_its_socket_closed_is_given_up_within_300_ms() {
        let mut link = link();
        let mut passed = Duration::ZERO;
        let mut gave_up = false;
        for trouble in [Trouble::Closed, Trouble::Refused, Trouble::Refused] {
            assert!(!gave_up);
            let next = link.failed(trouble, i64::try_from(passed.as_millis()).unwrap(), 0.999);
            gave_up = next.give_up;
            if !gave_up {
                passed += next.after;
            }
        }
        assert!(gave_up && passed < Duration::from_millis(300), "{passed:?}");
        assert!(!link.failed(Trouble::Refused, 400, 0.5).give_up, "it is said once");
    }

    #[test]
    fn a_silent_node_is_given_up_only_after_ten_seconds() {
        let mut link = link();
        let table = [
            (Trouble::Closed, 0, false),
            (Trouble::Silent, 3_000, false),
            (Trouble::Refused, 6_000, false),
            (Trouble::Silent, 9_999, false),
            (Trouble::Silent, 10_000, true),
            (Trouble::Silent, 13_000, false),
        ];
        for (trouble, now, expected) in table {
            assert_eq!(link.failed(trouble, now, 0.5).give_up, expected, "{trouble:?} at {now}");
        }
        link.settled();
        assert!(!link.gave_up());
        assert!(
            !link.failed(Trouble::Silent, 99_000, 0.5).give_up,
            "a new loss counts anew"
        );
    }

    #[test]
    fn the_first_retry_is_at_once_and_later_ones_wait_longer_up_to_a_limit() {
        let mut link = link();
        let waits: Vec<_> = (0..20).map(|_| link.failed(Trouble::Closed, 0, 0.5).after).collect();
        assert_eq!(waits[0], Duration::ZERO);
        assert!(waits.is_sorted(), "{waits:?}");
        assert_eq!(waits[19], Duration::from_secs(5));
        let denied = link.failed(Trouble::Denied, 0, 0.5);
        assert_eq!(denied.after, Duration::from_secs(15));
    }
}
