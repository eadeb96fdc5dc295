//! Keeps a node from being choked by voice calls it swallows. Pure.
//!
//! A voice `PATCH` whose voice server cannot be reached never answers, and holds one of the node's few request threads
//! until the node is restarted. Once all are held the node's REST and every later resume are dead, while its audio
//! goes on. So the calls that were swallowed are counted for good, and only a restart of the node forgives them.

use std::time::Duration;

use tokio::time::Instant;

/// At this many swallowed calls voice is sent to the node only as a probe. A node has at least eight threads.
pub(super) const OPENS_AT: u32 = 4;
/// First wait before a probe; doubles with every further swallowed call.
pub(super) const PROBE_AFTER: Duration = Duration::from_secs(30);
/// Longest wait before a probe.
pub(super) const PROBE_AFTER_MAX: Duration = Duration::from_mins(15);

/// The state of one node, shared by all shards of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breaker {
    swallowed: u32,
    gate: Gate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Voice calls pass.
    Closed,
    /// None passes before this moment; the first one after it is a probe.
    Open { probe_at: Instant },
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            swallowed: 0,
            gate: Gate::Closed,
        }
    }
}

impl Breaker {
    /// Whether a voice call may be sent now. One that may while open is a probe: no other passes for a while.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        match self.gate {
            Gate::Closed => true,
            Gate::Open { probe_at } if probe_at <= now => {
                self.gate = Gate::Open {
                    probe_at: now + self.wait(),
                };
                true
            }
            Gate::Open { .. } => false,
        }
    }

    /// Whether [`Self::admits`] would refuse, without taking the probe.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        matches!(self.gate, Gate::Open { probe_at } if probe_at > now)
    }

    /// A voice call was answered, well or badly: the node works. What it swallowed before is still held.
    pub(super) const fn answered(&mut self) {
        self.gate = Gate::Closed;
    }

    /// A voice call ran out of time. `true` if voice is cut off by this one.
    pub(super) fn swallowed(&mut self, now: Instant) -> bool {
        self.swallowed = self.swallowed.saturating_add(1);
        if self.swallowed < OPENS_AT {
            return false;
        }
        self.gate = Gate::Open {
            probe_at: now + self.wait(),
        };
        true
    }

    /// The node was restarted: its threads are free again.
    pub(super) const fn restarted(&mut self) {
        self.swallowed = 0;
        self.gate = Gate::Closed;
    }

    fn wait(&self) -> Duration {
        let doublings = self.swallowed.saturating_sub(OPENS_AT).min(10);
        (PROBE_AFTER * 2_u32.pow(doublings)).min(PROBE_AFTER_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_breaker_follows_its_table() {
        // s: swallowed, a: answered, r: restarted, +: 10 s pass, y and n: must (not) admit.
        let table = [
            ("three swallowed calls are borne", "sssy"),
            ("the fourth opens it", "ssssn"),
            ("one probe after the wait", "ssss+++yn"),
            ("an answered probe closes it", "ssss+++yayy"),
            ("held threads are not forgotten", "ssss+++yasn"),
            ("a swallowed probe doubles the wait", "ssss+++ys+++++n+y"),
            ("a probe that was dropped does not block for ever", "ssss+++y+++y"),
            ("a restart forgives", "ssssrysy"),
        ];
        for (name, steps) in table {
            let mut breaker = Breaker::default();
            let mut now = Instant::now();
            for (at, step) in steps.chars().enumerate() {
                match step {
                    's' => drop(breaker.swallowed(now)),
                    'a' => breaker.answered(),
                    'r' => breaker.restarted(),
                    '+' => now += Duration::from_secs(10),
                    _ => assert_eq!(breaker.admits(now), step == 'y', "{name}: step {at}, {breaker:?}"),
                }
            }
        }
    }

    #[test]
    fn the_wait_is_bounded_however_many_calls_are_swallowed() {
        let breaker = Breaker {
            swallowed: u32::MAX,
            gate: Gate::Closed,
        };
        assert_eq!(breaker.wait(), PROBE_AFTER_MAX);
    }
}
