//! When to renew, and until when the permit reaches.

use rand::Rng as _;
use rand::rngs::SmallRng;

use super::event::Renewal;
use crate::cluster::timing;

/// One member's renewals.
#[derive(Debug)]
pub(super) struct Pace {
    next_ms: i64,
    in_flight: bool,
    /// Until when this member may act, as far as it knows.
    pub(super) permit_until_ms: i64,
    /// Since when the store does not answer.
    pub(super) failing_since_ms: Option<i64>,
    /// When the last renewal that is stored was sent.
    pub(super) renewed_ms: i64,
}

impl Pace {
    pub(super) fn new(joined_ms: i64) -> Self {
        Self {
            next_ms: joined_ms + timing::RENEWAL,
            in_flight: false,
            permit_until_ms: joined_ms + timing::SELF_FENCE,
            failing_since_ms: None,
            renewed_ms: joined_ms,
        }
    }

    /// Whether to renew now.
    pub(super) const fn due(&mut self, now: i64) -> bool {
        let due = !self.in_flight && now >= self.next_ms;
        self.in_flight |= due;
        due
    }

    pub(super) fn hurry(&mut self, now: i64) {
        self.next_ms = self.next_ms.min(now);
    }

    /// A renewal that was sent at `sent_ms` ended. Returns how far the permit reaches if it was pushed out.
    pub(super) fn ended(&mut self, sent_ms: i64, answer: &Renewal, now: i64, rng: &mut SmallRng) -> Option<i64> {
        self.in_flight = false;
        match answer {
            Renewal::Done(_) => {
                let tenth = timing::RENEWAL / 10;
                self.next_ms = sent_ms + timing::RENEWAL + rng.random_range(-tenth..=tenth);
                self.failing_since_ms = None;
                self.renewed_ms = sent_ms;
                self.extend(sent_ms + timing::SELF_FENCE)
            }
            Renewal::Refused => None,
            Renewal::Failed => {
                self.next_ms = now + timing::RETRY;
                self.failing_since_ms.get_or_insert(sent_ms);
                None
            }
            Renewal::Held => {
                self.next_ms = now + timing::RETRY;
                None
            }
        }
    }

    /// Pushes the permit out; never back.
    pub(super) fn extend(&mut self, until_ms: i64) -> Option<i64> {
        (until_ms > self.permit_until_ms).then(|| {
            self.permit_until_ms = until_ms;
            until_ms
        })
    }

    pub(super) const fn is_paused(&self, now: i64) -> bool {
        now >= self.permit_until_ms
    }

    /// Whether the store has not answered for at least `for_ms`.
    pub(super) fn has_failed_for(&self, for_ms: i64, now: i64) -> bool {
        self.failing_since_ms.is_some_and(|since| now - since >= for_ms)
    }

    pub(super) const fn wake_ms(&self) -> i64 {
        if self.in_flight { i64::MAX } else { self.next_ms }
    }
}
