//! Discord's clock, as far as it can be told from here: this machine's may be minutes off. Pure.
//!
//! Every answer's `Date` header and every event that just happened bound the offset; the bounds are kept as an interval and
//! widened by what clocks drift.

/// Clocks drift apart by at most this many milliseconds a minute (100 ppm).
const DRIFT_PER_MINUTE: i64 = 6;

/// What is known of Discord's clock minus this machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset(Option<Bounds>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    at_least: i64,
    at_most: i64,
    /// Local time of the last sample.
    as_of: i64,
}

impl Offset {
    /// An answer with a `Date` header (whole seconds). All in milliseconds since 1970, the last two by this machine.
    pub fn answered(&mut self, date_ms: i64, sent_ms: i64, received_ms: i64) {
        self.narrow(date_ms - received_ms, date_ms + 999 - sent_ms, received_ms);
    }

    /// Something that Discord issued at `issued_ms` just arrived: its clock is at least there now.
    pub fn arrived(&mut self, issued_ms: i64, received_ms: i64) {
        if let Some(known) = self.0 {
            let at_least = (issued_ms - received_ms).max(known.at_least);
            self.narrow(at_least, known.at_most.max(at_least), received_ms);
        }
    }

    /// Milliseconds to add to this machine's time.
    pub fn ms(&self) -> i64 {
        self.0.map_or(0, |known| known.at_least.midpoint(known.at_most))
    }

    fn narrow(&mut self, at_least: i64, at_most: i64, as_of: i64) {
        let fresh = Bounds {
            at_least,
            at_most,
            as_of,
        };
        let Some(known) = self.0 else {
            self.0 = Some(fresh);
            return;
        };
        let drift = (as_of - known.as_of).max(0) / 60_000 * DRIFT_PER_MINUTE;
        let (low, high) = (at_least.max(known.at_least - drift), at_most.min(known.at_most + drift));
        // Bounds that exclude each other: a clock was set. Only the new sample is worth anything.
        self.0 = Some(if low <= high {
            Bounds {
                at_least: low,
                at_most: high,
                as_of: if drift > 0 { as_of } else { known.as_of },
            }
        } else {
            fresh
        });
    }
}

/// Reads a `Date` header (`Sun, 06 Nov 1994 08:49:37 GMT`) as milliseconds since 1970.
pub fn parse_date(header: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(header)
        .ok()
        .map(|date| date.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_as_http_writes_them() {
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(parse_date("yesterday"), None);
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        let mut offset = Offset::default();
        offset.answered(1_000_000, 1_000_000, 1_000_020);
        assert!(offset.ms().abs() < 1_000);
        offset.answered(1_010_000, 71_010_000, 71_010_020);
        assert!((offset.ms() + 70_000_000).abs() < 1_000, "{}", offset.ms());
    }

    proptest! {
        #[test]
        fn the_estimate_is_never_further_off_than_a_second_and_a_round_trip(truth in -400_000_i64..400_000, steps in prop::collection::vec((1_i64..20_000, 1_i64..300, 1_i64..300), 1..60)) {
            let mut offset = Offset::default();
            let mut local = 1_700_000_000_000_i64;
            for (gap, there, back) in steps {
                local += gap;
                let server = local + there + truth;
                offset.answered(server / 1_000 * 1_000, local, local + there + back);
                offset.arrived(server, local + there + back);
                prop_assert!((offset.ms() - truth).abs() <= 1_000 + there + back, "{} {truth}", offset.ms());
            }
        }
    }
}
