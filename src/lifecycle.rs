//! Readiness as handles that are dropped, authority that is asked at the act, and the clock.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// What still keeps the process from being ready; `/readyz?verbose` lists it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    reasons: Vec<(u64, String)>,
    next: u64,
    draining: bool,
}

/// Holds readiness back until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it says that the thing is ready"]
pub struct Waiting {
    readiness: Readiness,
    key: u64,
}

impl Readiness {
    /// Keeps the process unready until the handle is dropped.
    pub fn waiting(&self, reason: impl Into<String>) -> Waiting {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.next += 1;
        let key = held.next;
        held.reasons.push((key, reason.into()));
        Waiting {
            readiness: self.clone(),
            key,
        }
    }

    /// From now on the process is unready for good: it is leaving.
    pub fn drain(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draining = true;
    }

    /// Whether it is leaving.
    pub fn is_draining(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draining
    }

    /// What is still waited for; empty when ready.
    pub fn missing(&self) -> Vec<String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let leaving = held.draining.then(|| "leaving".to_owned());
        held.reasons
            .iter()
            .map(|(_, reason)| reason.clone())
            .chain(leaving)
            .collect()
    }

    /// Whether nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut held = self.readiness.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.reasons.retain(|(key, _)| *key != self.key);
    }
}

/// This member may not act outwards at this moment: it could not renew in time, or it was fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this member has no authority to act")]
pub struct NoAuthority;

/// Asked at every outward act, never remembered.
pub trait Authority: Send + Sync + std::fmt::Debug {
    /// `Ok` while this member may act for the shard or guild it was given for.
    fn check(&self) -> Result<(), NoAuthority>;
}

/// Wall-clock milliseconds since 1970 that never run backwards within the process: read once, then carried on by a clock that
/// goes on while the machine sleeps.
pub fn wall_ms() -> i64 {
    static START: OnceLock<(i64, i64, Instant)> = OnceLock::new();
    let (wall, boot, instant) = START.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let since_1970 = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let wall = i64::try_from(since_1970.as_millis()).unwrap_or(0);
        (wall, boot_ms(), Instant::now())
    });
    let awake = i64::try_from(instant.elapsed().as_millis()).unwrap_or(0);
    wall + passed_ms(awake, boot_ms() - boot)
}

/// `CLOCK_BOOTTIME`.
fn boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// What passed of a time of which a process was `awake` for so long. A test whose time is made has more of that.
fn passed_ms(awake: i64, since_boot: i64) -> i64 {
    awake.max(since_boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_goes_on_while_the_machine_sleeps() {
        for (awake, since_boot, passed) in [(5, 5, 5), (1_000, 3_601_000, 3_601_000), (60_000, 3, 60_000)] {
            assert_eq!(passed_ms(awake, since_boot), passed);
        }
        let before = wall_ms();
        assert!(wall_ms() >= before, "it never runs backwards");
    }

    #[test]
    fn ready_when_the_last_handle_is_dropped_and_never_again_once_draining() {
        let readiness = Readiness::default();
        let store = readiness.waiting("store");
        let shards = readiness.waiting("shards");
        assert_eq!(readiness.missing(), ["store", "shards"]);
        drop(store);
        assert_eq!(readiness.missing(), ["shards"]);
        drop(shards);
        assert!(readiness.is_ready());
        readiness.drain();
        assert_eq!(readiness.missing(), ["leaving"]);
    }
}
