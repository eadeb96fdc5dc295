//! How old the oldest snapshot of a guild that plays may be. Between two looks nothing moves it but time, so it is worked out
//! when it is asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shared between those who save and those who show.
#[derive(Clone, Debug, Default)]
pub struct SnapshotAge(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Since when the positions of all players were surely stored, while there are players.
    positions: Option<Instant>,
    /// Guilds whose last write failed, and since when there are any.
    failing: usize,
    failing_since: Option<Instant>,
}

impl SnapshotAge {
    /// At `at` the positions of all players were as stored, or are since.
    pub fn saved(&self, at: Instant) {
        self.lock().positions = Some(at);
    }

    /// They could not be saved at `at`: what was stored before is what there is.
    pub fn not_saved(&self, at: Instant) {
        self.lock().positions.get_or_insert(at);
    }

    /// Nothing plays.
    pub fn silent(&self) {
        self.lock().positions = None;
    }

    /// A guild's changes cannot be written at `at`.
    pub fn failing(&self, at: Instant) {
        let mut known = self.lock();
        known.failing += 1;
        known.failing_since.get_or_insert(at);
    }

    /// They can again, or nobody tries any more.
    pub fn mended(&self) {
        let mut known = self.lock();
        known.failing = known.failing.saturating_sub(1);
        if known.failing == 0 {
            known.failing_since = None;
        }
    }

    /// The age at `now`.
    pub fn at(&self, now: Instant) -> Duration {
        let known = self.lock();
        let oldest = [known.positions, known.failing_since].into_iter().flatten().min();
        oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_grows_from_the_last_round_that_worked_and_from_the_first_write_that_did_not() {
        let (age, start) = (SnapshotAge::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let seen = |seconds| age.at(at(seconds)).as_secs();
        assert_eq!(seen(100), 0, "nothing plays");
        age.saved(at(100));
        assert_eq!(seen(104), 4);
        age.not_saved(at(105));
        assert_eq!(seen(106), 6, "a round that failed moves nothing");
        age.saved(at(110));
        assert_eq!(seen(110), 0);
        age.failing(at(111));
        age.failing(at(115));
        age.saved(at(120));
        assert_eq!(seen(120), 9, "a guild's own write fails although the round worked");
        age.mended();
        assert_eq!(seen(120), 9, "another one still fails");
        age.mended();
        assert_eq!(seen(121), 1);
        age.silent();
        assert_eq!(seen(200), 0);
    }
}
