//! The permit: a deadline that renewals push out, checked at every use and never by a timer alone.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use crate::lifecycle::{Authority, NoAuthority};

/// From sending a renewal, how long it is good for, milliseconds. Shorter than [`super::member::TIMEOUT_MS`], so that a
/// member has stopped before anybody may take its place.
pub const SELF_FENCE_MS: i64 = 8_000;

const _: () = assert!(
    SELF_FENCE_MS + 1_500 < super::member::TIMEOUT_MS,
    "a call begun under the permit must end before a take-over"
);

/// Milliseconds on `CLOCK_BOOTTIME`: a laptop or VM that slept wakes without authority.
pub fn boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// Whether this member may act.
#[derive(Debug, Default)]
pub struct Permit {
    valid_until: AtomicI64,
    fenced: AtomicBool,
}

impl Permit {
    /// A renewal that was sent at `sent_ms` (of [`boot_ms`]) succeeded.
    pub fn renewed(&self, sent_ms: i64) {
        self.valid_until.fetch_max(sent_ms + SELF_FENCE_MS, Ordering::SeqCst);
    }

    /// Somebody declared this member dead: final.
    pub fn fence(&self) {
        self.fenced.store(true, Ordering::SeqCst);
    }

    fn check_at(&self, now_ms: i64) -> Result<(), NoAuthority> {
        let valid = !self.fenced.load(Ordering::SeqCst) && now_ms < self.valid_until.load(Ordering::SeqCst);
        valid.then_some(()).ok_or(NoAuthority)
    }
}

impl Authority for Permit {
    fn check(&self) -> Result<(), NoAuthority> {
        self.check_at(boot_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_ends_by_itself_counted_from_sending_and_never_comes_back_after_a_fence() {
        let permit = Permit::default();
        assert_eq!(permit.check_at(0), Err(NoAuthority));
        permit.renewed(1_000);
        assert_eq!(permit.check_at(1_000 + SELF_FENCE_MS - 1), Ok(()));
        assert_eq!(permit.check_at(1_000 + SELF_FENCE_MS), Err(NoAuthority));
        permit.renewed(500);
        assert_eq!(
            permit.check_at(1_000 + SELF_FENCE_MS - 1),
            Ok(()),
            "a late answer to an earlier renewal takes nothing away"
        );
        permit.fence();
        permit.renewed(2_000);
        assert_eq!(permit.check_at(2_001), Err(NoAuthority));
    }
}
