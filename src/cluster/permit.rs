//! The permit: a deadline that renewals push out, checked at every use and never by a timer alone.
//!
//! Two levels. *Paused*: the deadline has passed; nothing is done outwards, but every socket stays open, and a renewal
//! brings the member back as if nothing had been. *Fenced*: others may have taken its place; final.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use super::timing;
use crate::lifecycle::{Authority, NoAuthority};

/// Milliseconds on `CLOCK_BOOTTIME`: a laptop or VM that slept wakes without authority.
pub fn boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// The clock that deadlines of one member are on, in milliseconds. Monotonic, and goes on while the machine sleeps.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's own ([`boot_ms`]).
    pub fn boot() -> Self {
        Self(Arc::new(boot_ms))
    }

    /// Another one: for a simulation that makes its own time.
    pub fn of(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// Now.
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now_ms()).finish()
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may act until then (of its [`Clock`]).
    Valid {
        /// The deadline.
        until_ms: i64,
    },
    /// It may not act, but nobody else may either; its sockets stay open.
    Paused,
    /// It will never act again.
    Fenced,
}

/// Whether this member may act.
#[derive(Debug)]
pub struct Permit {
    clock: Clock,
    valid_until: AtomicI64,
    fenced: AtomicBool,
}

impl Default for Permit {
    fn default() -> Self {
        Self::new(Clock::boot())
    }
}

impl Permit {
    /// One that was never renewed.
    pub const fn new(clock: Clock) -> Self {
        Self {
            clock,
            valid_until: AtomicI64::new(i64::MIN),
            fenced: AtomicBool::new(false),
        }
    }

    /// A renewal that was sent at `sent_ms` (of its clock) succeeded.
    pub fn renewed(&self, sent_ms: i64) {
        self.extend(sent_ms + timing::SELF_FENCE);
    }

    /// Pushes the deadline out to `until_ms`; never back.
    pub fn extend(&self, until_ms: i64) {
        self.valid_until.fetch_max(until_ms, Ordering::SeqCst);
    }

    /// Somebody declared this member dead, or may have: final.
    pub fn fence(&self) {
        self.fenced.store(true, Ordering::SeqCst);
    }

    /// What it allows now.
    pub fn standing(&self) -> Standing {
        self.standing_at(self.clock.now_ms())
    }

    /// The clock that it is on.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    fn standing_at(&self, now_ms: i64) -> Standing {
        let until_ms = self.valid_until.load(Ordering::SeqCst);
        if self.fenced.load(Ordering::SeqCst) {
            Standing::Fenced
        } else if now_ms < until_ms {
            Standing::Valid { until_ms }
        } else {
            Standing::Paused
        }
    }
}

impl Authority for Permit {
    fn check(&self) -> Result<(), NoAuthority> {
        match self.standing() {
            Standing::Valid { .. } => Ok(()),
            Standing::Paused | Standing::Fenced => Err(NoAuthority),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_ends_by_itself_counted_from_sending_and_never_comes_back_after_a_fence() {
        let permit = Permit::default();
        assert_eq!(permit.standing_at(0), Standing::Paused);
        permit.renewed(1_000);
        let until_ms = 1_000 + timing::SELF_FENCE;
        assert_eq!(permit.standing_at(until_ms - 1), Standing::Valid { until_ms });
        assert_eq!(permit.standing_at(until_ms), Standing::Paused);
        permit.renewed(500);
        assert_eq!(
            permit.standing_at(until_ms - 1),
            Standing::Valid { until_ms },
            "a late answer to an earlier renewal takes nothing away"
        );
        permit.renewed(20_000);
        assert_eq!(
            permit.standing_at(20_001),
            Standing::Valid {
                until_ms: 20_000 + timing::SELF_FENCE
            },
            "a pause ends with the next renewal"
        );
        permit.fence();
        permit.renewed(21_000);
        assert_eq!(permit.standing_at(21_001), Standing::Fenced);
        assert_eq!(permit.check(), Err(NoAuthority));
    }
}
