//! What to do after a gateway connection ended: resume, begin a new session, or give up. Pure.
//!
//! <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>. Where Discord's
//! table says "reconnect" but the session cannot go on (4001, 4003, 4005, 4006, 4007, 4009), resuming again would only
//! be refused again, at once and for ever.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Longest time in which nothing but failures to resume is answered with another try.
pub const RESUME_FOR: Duration = Duration::from_secs(90);
/// Most times that Discord may answer "try again" (op 9 `true`) to RESUMEs of one session in a row.
pub const RESUME_AGAIN: u32 = 3;
/// Ends of connections in this time are counted for the delay.
const COUNTED: Duration = Duration::from_mins(1);
/// Longest delay before the next connection.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It could not be made.
    Unreachable,
    /// Discord closed it, or it broke (1006, or without a code).
    Closed(Option<u16>),
    /// op 9: the session cannot go on (`resumable: false`), or not now.
    Invalid {
        /// Whether Discord says that it may.
        resumable: bool,
    },
    /// op 7: Discord asks for a new connection.
    Asked,
    /// HELLO, READY or RESUMED did not come in time.
    Silent,
}

impl Ended {
    /// The close code, if there was one.
    pub const fn code(self) -> Option<u16> {
        match self {
            Self::Closed(code) => code,
            Self::Unreachable | Self::Invalid { .. } | Self::Asked | Self::Silent => None,
        }
    }

    /// As metrics name it: one of a few words. Close codes that Discord does not document are `other`.
    pub fn word(self) -> &'static str {
        const CODES: [(u16, &str); 18] = [
            (1000, "1000"),
            (1001, "1001"),
            (1006, "1006"),
            (4000, "4000"),
            (4001, "4001"),
            (4002, "4002"),
            (4003, "4003"),
            (4004, "4004"),
            (4005, "4005"),
            (4006, "4006"),
            (4007, "4007"),
            (4008, "4008"),
            (4009, "4009"),
            (4010, "4010"),
            (4011, "4011"),
            (4012, "4012"),
            (4013, "4013"),
            (4014, "4014"),
        ];
        match self {
            Self::Unreachable => "unreachable",
            Self::Closed(None) => "io",
            Self::Closed(Some(code)) => CODES
                .iter()
                .find(|(known, _)| *known == code)
                .map_or("other", |(_, word)| word),
            Self::Invalid { .. } => "invalid_session",
            Self::Asked => "reconnect",
            Self::Silent => "silent",
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Connect after the delay, with the session if there is one.
    Again {
        /// Before the connection is made.
        after: Duration,
        /// Whether the session is to be forgotten first.
        forget: bool,
    },
    /// Trying again cannot help.
    Fatal(u16),
}

/// Remembers how the last connections of a shard ended.
#[derive(Debug, Default)]
pub struct Reconnect {
    ends: VecDeque<Instant>,
    failing_since: Option<Instant>,
    refused: u32,
    avoid_resume_url: bool,
}

impl Reconnect {
    /// Whether the session's own address is to be used, or in turn the general one because it could not be reached.
    pub const fn use_resume_url(&self) -> bool {
        !self.avoid_resume_url
    }

    /// READY or RESUMED came.
    pub fn succeeded(&mut self) {
        self.failing_since = None;
        self.refused = 0;
    }

    /// Decides. `session`: whether the connection had one to resume (or resumed). `jitter` in `0.0..1.0` spreads delays.
    pub fn ended(&mut self, ended: Ended, session: bool, now: Instant, jitter: f64) -> Verdict {
        if let Some(code @ (4004 | 4010..=4014)) = ended.code() {
            return Verdict::Fatal(code);
        }
        self.avoid_resume_url = ended == Ended::Unreachable && !self.avoid_resume_url;
        let after = self.delay(ended, now, jitter);
        let since = *self.failing_since.get_or_insert(now);
        let forget = session && (self.is_lost(ended) || now.duration_since(since) >= RESUME_FOR);
        if forget {
            self.failing_since = None;
            self.refused = 0;
        }
        Verdict::Again { after, forget }
    }

    fn is_lost(&mut self, ended: Ended) -> bool {
        match ended {
            Ended::Closed(Some(4001 | 4003 | 4005 | 4006 | 4007 | 4009)) | Ended::Invalid { resumable: false } => true,
            Ended::Invalid { resumable: true } => {
                self.refused += 1;
                self.refused > RESUME_AGAIN
            }
            Ended::Closed(_) | Ended::Unreachable | Ended::Asked | Ended::Silent => false,
        }
    }

    /// None for the first end in a while, then doubling from 250 ms; op 9 always waits 1 to 5 s, as Discord asks.
    fn delay(&mut self, ended: Ended, now: Instant, jitter: f64) -> Duration {
        while self
            .ends
            .front()
            .is_some_and(|at| now.duration_since(*at) > COUNTED || self.ends.len() > 32)
        {
            self.ends.pop_front();
        }
        let before = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        self.ends.push_back(now);
        let floor = match ended {
            Ended::Invalid { .. } => Duration::from_secs(1) + Duration::from_secs(4).mul_f64(jitter),
            Ended::Unreachable | Ended::Closed(_) | Ended::Asked | Ended::Silent => Duration::ZERO,
        };
        let doubled = match before {
            0 => Duration::ZERO,
            n => Duration::from_millis(250).saturating_mul(1 << (n - 1).min(10)),
        };
        floor.max(doubled.min(DELAY_MAX).mul_f64(0.75 + jitter / 4.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(verdict: Verdict) -> (Duration, bool) {
        match verdict {
            Verdict::Again { after, forget } => (after, forget),
            Verdict::Fatal(code) => panic!("fatal {code}"),
        }
    }

    #[tokio::test]
    async fn every_close_code_is_answered_as_the_protocol_needs() {
        let now = Instant::now();
        let keeps = [
            None,
            Some(1000),
            Some(1001),
            Some(1006),
            Some(4000),
            Some(4002),
            Some(4008),
        ];
        for code in keeps {
            let verdict = Reconnect::default().ended(Ended::Closed(code), true, now, 0.5);
            assert_eq!(
                verdict,
                Verdict::Again {
                    after: Duration::ZERO,
                    forget: false
                },
                "{code:?}"
            );
        }
        for code in [4001, 4003, 4005, 4006, 4007, 4009] {
            let verdict = Reconnect::default().ended(Ended::Closed(Some(code)), true, now, 0.5);
            assert_eq!(
                verdict,
                Verdict::Again {
                    after: Duration::ZERO,
                    forget: true
                },
                "{code}"
            );
        }
        for code in [4004, 4010, 4011, 4012, 4013, 4014] {
            let verdict = Reconnect::default().ended(Ended::Closed(Some(code)), true, now, 0.5);
            assert_eq!(verdict, Verdict::Fatal(code));
        }
    }

    #[tokio::test]
    async fn a_session_that_is_asked_to_try_again_is_given_up_after_three_times() {
        let (mut reconnect, now) = (Reconnect::default(), Instant::now());
        let ended = Ended::Invalid { resumable: true };
        let forgets: Vec<_> = (0..4)
            .map(|_| again(reconnect.ended(ended, true, now, 0.0)).1)
            .collect();
        assert_eq!(forgets, [false, false, false, true]);
    }

    #[tokio::test]
    async fn resets_for_90_seconds_end_in_a_new_session() {
        let (mut reconnect, start) = (Reconnect::default(), Instant::now());
        let mut now = start;
        let mut tries = 0;
        loop {
            let (after, forget) = again(reconnect.ended(Ended::Closed(Some(1006)), true, now, 0.0));
            if forget {
                break;
            }
            tries += 1;
            now += after + Duration::from_millis(5);
        }
        assert!(
            now - start >= RESUME_FOR && now - start < Duration::from_secs(125),
            "{:?}",
            now - start
        );
        assert!(tries < 20, "{tries}");
    }

    #[tokio::test]
    async fn connections_that_end_at_once_never_become_a_hot_loop() {
        let (mut reconnect, mut now) = (Reconnect::default(), Instant::now());
        let start = now;
        let mut count = 0;
        while now - start < Duration::from_mins(1) {
            reconnect.succeeded();
            now += again(reconnect.ended(Ended::Closed(Some(4009)), true, now, 0.0)).0 + Duration::from_millis(1);
            count += 1;
        }
        assert!(count <= 12, "{count}");
    }
}
