//! A node's clock in terms of ours. Pure.

/// A step of the node's clock (or of ours) larger than this, in milliseconds, starts the estimate anew.
const STEP_MS: i64 = 5_000;

/// Learns how far a node's clock is from ours: the least delayed message tells it best. So a message that waited in a
/// buffer keeps the time it was made at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeClock {
    offset_ms: Option<i64>,
}

impl NodeClock {
    /// When, by our clock, the node wrote `theirs_ms` into a message that was read at `now_ms`. Never later than that.
    pub(super) fn ours(&mut self, theirs_ms: Option<u64>, now_ms: i64) -> i64 {
        let Some(theirs) = theirs_ms.and_then(|theirs| i64::try_from(theirs).ok()) else {
            return now_ms;
        };
        let seen = now_ms.saturating_sub(theirs);
        let offset = match self.offset_ms {
            Some(known) if seen >= known && seen - known <= STEP_MS => known,
            Some(_) | None => seen,
        };
        self.offset_ms = Some(offset);
        theirs.saturating_add(offset).min(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delayed_message_keeps_its_time_and_a_stepped_clock_is_learned_anew() {
        let mut clock = NodeClock::default();
        let table = [
            ("the first is taken as it comes", Some(1_000), 50_010, 50_010),
            ("a faster one corrects", Some(2_000), 51_000, 51_000),
            ("a delayed one keeps its time", Some(3_000), 53_500, 52_000),
            ("no time", None, 54_000, 54_000),
            ("not a time", Some(u64::MAX), 54_000, 54_000),
            ("the node's clock was set back", Some(100), 60_000, 60_000),
            ("and forth", Some(90_000), 61_000, 61_000),
        ];
        for (name, theirs, now, expected) in table {
            assert_eq!(clock.ours(theirs, now), expected, "{name}");
        }
    }
}
