//! Discord's limits: IDENTIFY windows and budget, and the REST rate limits.

use std::collections::HashMap;

/// One IDENTIFY per key in this time. Discord says 5 s; what was sent 5 s apart may arrive a little closer.
pub(crate) const IDENTIFY_WINDOW_MS: u64 = 4_900;
/// IDENTIFYs a day.
pub(crate) const IDENTIFY_TOTAL: u64 = 1_000;
const DAY_MS: u64 = 86_400_000;
/// Requests that are answered 401, 403 or 429 in [`INVALID_WINDOW_MS`] before the address is banned.
pub(crate) const INVALID_TOTAL: u64 = 10_000;
const INVALID_WINDOW_MS: u64 = 600_000;
/// REST requests a second over all routes.
const GLOBAL_A_SECOND: u32 = 50;

/// What becomes of an IDENTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identify {
    /// It may go on.
    Go,
    /// Another of its key was less than the window ago.
    TooSoon,
    /// Nothing was left of the day's budget.
    Spent,
}

/// The state of one bucket after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_after_ms: u64,
    /// The request is one too many.
    pub(crate) exceeded: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since_ms: u64,
    used: u32,
}

impl Window {
    fn take(&mut self, limit: u32, length_ms: u64, now: u64) -> Bucket {
        if now >= self.since_ms + length_ms {
            *self = Self { since_ms: now, used: 0 };
        }
        let exceeded = self.used >= limit;
        if !exceeded {
            self.used += 1;
        }
        Bucket {
            limit,
            remaining: limit - self.used,
            reset_after_ms: (self.since_ms + length_ms).saturating_sub(now),
            exceeded,
        }
    }
}

/// All limits of the one bot.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    identified: HashMap<u32, u64>,
    identify_used: u64,
    day_since_ms: u64,
    token_is_void: bool,
    global: Window,
    invalid: u64,
    invalid_since_ms: u64,
    buckets: HashMap<(&'static str, u64), Window>,
}

impl Limits {
    /// Counts an IDENTIFY.
    pub(crate) fn identify(&mut self, key: u32, now: u64) -> Identify {
        if now >= self.day_since_ms + DAY_MS {
            self.day_since_ms = now;
            self.identify_used = 0;
        }
        if self.identify_used >= IDENTIFY_TOTAL {
            return Identify::Spent;
        }
        self.identify_used += 1;
        if self
            .identified
            .get(&key)
            .is_some_and(|last| now < last + IDENTIFY_WINDOW_MS)
        {
            return Identify::TooSoon;
        }
        self.identified.insert(key, now);
        Identify::Go
    }

    pub(crate) fn identify_left(&self) -> u64 {
        IDENTIFY_TOTAL - self.identify_used
    }

    /// Spends the budget down to what is given.
    pub(crate) fn leave(&mut self, remaining: u64) {
        self.identify_used = IDENTIFY_TOTAL.saturating_sub(remaining);
    }

    /// Milliseconds until the budget is whole again.
    pub(crate) fn identify_reset_after(&self, now: u64) -> u64 {
        (self.day_since_ms + DAY_MS).saturating_sub(now)
    }

    /// Counts a request that was answered 401, 403 or 429.
    pub(crate) fn count_invalid(&mut self, now: u64) {
        self.roll_invalid(now);
        self.invalid += 1;
    }

    /// Lets so many invalid requests pass before the ban.
    pub(crate) fn leave_invalid(&mut self, remaining: u64, now: u64) {
        self.roll_invalid(now);
        self.invalid = INVALID_TOTAL.saturating_sub(remaining);
    }

    /// For how long the address is banned, in ms, if it is.
    pub(crate) fn banned(&mut self, now: u64) -> Option<u64> {
        self.roll_invalid(now);
        (self.invalid >= INVALID_TOTAL).then(|| self.invalid_since_ms + INVALID_WINDOW_MS - now)
    }

    /// Invalid requests in the present window.
    pub(crate) fn invalid(&self) -> u64 {
        self.invalid
    }

    fn roll_invalid(&mut self, now: u64) {
        if now >= self.invalid_since_ms + INVALID_WINDOW_MS {
            (self.invalid, self.invalid_since_ms) = (0, now);
        }
    }

    pub(crate) fn token_is_valid(&self) -> bool {
        !self.token_is_void
    }

    pub(crate) fn void_token(&mut self) {
        self.token_is_void = true;
    }

    /// Counts a request against the 50 a second.
    pub(crate) fn global(&mut self, now: u64) -> Bucket {
        self.global.take(GLOBAL_A_SECOND, 1_000, now)
    }

    /// Counts a request against its bucket.
    pub(crate) fn bucket(&mut self, name: &'static str, major: u64, now: u64) -> Bucket {
        let (limit, length_ms) = match name {
            "messages" | "edits" => (5, 5_000),
            "deletes" => (5, 1_000),
            "webhook" => (5, 2_000),
            "commands" => (2, 5_000),
            _ => (30, 1_000),
        };
        // Buckets come and go with interactions; those long over are forgotten.
        if self.buckets.len() > 50_000 {
            self.buckets.retain(|_, window| now < window.since_ms + 10_000);
        }
        self.buckets
            .entry((name, major))
            .or_default()
            .take(limit, length_ms, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_identifies_once_a_window_and_keys_do_not_mind_each_other() {
        let mut limits = Limits::default();
        assert_eq!(limits.identify(0, 10), Identify::Go);
        assert_eq!(limits.identify(1, 11), Identify::Go);
        assert_eq!(limits.identify(0, 10 + IDENTIFY_WINDOW_MS - 1), Identify::TooSoon);
        assert_eq!(limits.identify(0, 10 + IDENTIFY_WINDOW_MS), Identify::Go);
        assert_eq!(limits.identify_left(), IDENTIFY_TOTAL - 4);
    }

    #[test]
    fn a_spent_budget_comes_back_after_a_day() {
        let mut limits = Limits::default();
        limits.leave(0);
        assert_eq!(limits.identify(0, 1), Identify::Spent);
        assert_eq!(limits.identify(0, DAY_MS), Identify::Go);
    }

    #[test]
    fn invalid_requests_end_in_a_ban_until_the_window_is_over() {
        let mut limits = Limits::default();
        limits.leave_invalid(2, 1_000);
        limits.count_invalid(1_001);
        assert_eq!(limits.banned(1_002), None);
        limits.count_invalid(1_003);
        assert_eq!(limits.banned(1_003), Some(INVALID_WINDOW_MS - 1_003));
        assert_eq!(limits.banned(INVALID_WINDOW_MS), None);
        assert_eq!(limits.invalid(), 0);
    }

    #[test]
    fn a_bucket_refuses_what_is_beyond_its_limit_until_it_resets() {
        let mut limits = Limits::default();
        for left in (0..5).rev() {
            let bucket = limits.bucket("messages", 9, 100_000);
            assert_eq!((bucket.remaining, bucket.exceeded), (left, false));
        }
        assert!(limits.bucket("messages", 9, 101_000).exceeded);
        assert!(!limits.bucket("messages", 8, 101_000).exceeded);
        assert!(!limits.bucket("messages", 9, 105_000).exceeded);
    }
}
