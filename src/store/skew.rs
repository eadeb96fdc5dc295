//! How far this machine's wall clock is from the store's: positions are stored by the store's clock, so that whoever reads
//! them need not know whose clock was wrong.

use std::sync::atomic::{AtomicI64, Ordering};

/// Clocks that agree like this count as equal: positions are then stored as they always were.
const SLACK_MS: i64 = 250;

/// This machine's wall clock less the store's, as the looks at it tell.
#[derive(Debug, Default)]
pub(super) struct Skew(AtomicI64);

impl Skew {
    pub(super) fn ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The store's clock showed `store_ms` between two moments of this machine's.
    pub(super) fn looked(&self, asked_ms: i64, answered_ms: i64, store_ms: i64) {
        let skew = after(self.ms(), asked_ms - store_ms, answered_ms - store_ms);
        self.0.store(skew, Ordering::Relaxed);
    }
}

/// What is believed after a look that says it is from `least` to `most`. What was believed stays unless that proves it wrong:
/// else positions would tremble with how long answers take.
const fn after(believed: i64, least: i64, most: i64) -> i64 {
    if least - SLACK_MS <= believed && believed <= most + SLACK_MS {
        believed
    } else {
        least.midpoint(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_skew_is_believed_only_when_a_look_proves_it() {
        let table = [
            ("the clocks agree", 0, -3, 4, 0),
            ("within the slack", 0, 100, 240, 0),
            ("a slow answer proves nothing", 0, -1_400, 90, 0),
            ("an hour behind", 0, -3_600_010, -3_599_990, -3_600_000),
            ("still so", -3_600_000, -3_600_400, -3_599_900, -3_600_000),
            ("set right meanwhile", -3_600_000, -4, 6, 1),
            ("ahead", 0, 5_000, 5_020, 5_010),
        ];
        for (name, believed, least, most, expected) in table {
            assert_eq!(after(believed, least, most), expected, "{name}");
        }
    }
}
