//! When the next REST call may go out. Pure.
//!
//! One bucket for everything that carries the bot's token (Discord allows 50 a second to all replicas together), one per
//! route and major parameter as the answers' headers tell. Unlike twilight's limiter this one believes headers without
//! `X-RateLimit-Scope`, and honours `Retry-After` of a global 429. Interactions are bound by neither.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Requests a second of all replicas together; Discord's limit is 50.
pub const CLUSTER_RATE: f64 = 40.0;
/// Most buckets remembered.
const BUCKETS_LIMIT: usize = 4_096;
/// Longest that Discord's word is taken for.
pub const RETRY_MAX: Duration = Duration::from_hours(1);

/// Which bucket a call falls in: its route and major parameter (guild, channel or webhook).
pub type BucketKey = (&'static str, u64);

/// What an answer said of its bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// `X-RateLimit-Remaining`.
    pub remaining: u32,
    /// `X-RateLimit-Reset-After`.
    pub reset_after: Duration,
}

#[derive(Debug)]
struct Bucket {
    remaining: u32,
    resets_at: Instant,
}

/// Why a call may not go yet, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its bucket is used up; other calls may go.
    Bucket(Instant),
    /// No call may go.
    All(Instant),
}

impl Wait {
    /// When to ask again.
    pub const fn until(self) -> Instant {
        match self {
            Self::Bucket(at) | Self::All(at) => at,
        }
    }
}

/// The limits of one token, as far as this process knows them.
#[derive(Debug)]
pub struct Limits {
    rate: f64,
    tokens: f64,
    /// For what nobody waits for: half of what there is.
    spare: f64,
    filled_at: Instant,
    paused_until: Option<Instant>,
    buckets: HashMap<BucketKey, Bucket>,
}

impl Limits {
    /// Of a process that has Discord for itself.
    pub fn new(now: Instant) -> Self {
        Self {
            rate: CLUSTER_RATE,
            tokens: CLUSTER_RATE / 4.0,
            spare: CLUSTER_RATE / 4.0,
            filled_at: now,
            paused_until: None,
            buckets: HashMap::new(),
        }
    }

    /// So many members share Discord's limit.
    pub fn share(&mut self, members: u32) {
        self.rate = CLUSTER_RATE / f64::from(members.max(1));
        self.tokens = self.tokens.min(self.burst());
        self.spare = self.spare.min(self.burst());
    }

    fn fill(&mut self, now: Instant) {
        let came = now.duration_since(self.filled_at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + came).min(self.burst());
        self.spare = (self.spare + came / 2.0).min(self.burst());
        self.filled_at = now;
    }

    /// Whether a call that nobody waits for may be made now; [`Limits::ask`] for it, too. Not while others use up what there is,
    /// and over time half of the limit is kept for them.
    pub fn may_spare(&mut self, now: Instant) -> bool {
        self.fill(now);
        // A whole one at least: else it would wait for it before whoever comes next.
        let may = self.spare >= 1.0 && self.tokens >= (self.burst() / 2.0).max(1.0);
        if may {
            self.spare -= 1.0;
        }
        may
    }

    /// An eighth of a second's worth, at least one: with a full second after it that leaves a tenth of Discord's limit for calls
    /// that were on their way for longer than those behind them.
    fn burst(&self) -> f64 {
        (self.rate / 8.0).max(1.0)
    }

    /// `Ok` when the call may go now (and is counted); otherwise why not, and when to ask again.
    pub fn ask(&mut self, key: BucketKey, now: Instant) -> Result<(), Wait> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(Wait::All(until));
        }
        if let Some(bucket) = self.buckets.get(&key)
            && bucket.remaining == 0
            && bucket.resets_at > now
        {
            return Err(Wait::Bucket(bucket.resets_at));
        }
        self.fill(now);
        if self.tokens < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - self.tokens) / self.rate);
            return Err(Wait::All(now + wait + Duration::from_millis(1)));
        }
        self.tokens -= 1.0;
        if let Some(bucket) = self.buckets.get_mut(&key) {
            bucket.remaining = bucket.remaining.saturating_sub(1);
        }
        Ok(())
    }

    /// An answer's headers.
    pub fn heard(&mut self, key: BucketKey, heard: Heard, now: Instant) {
        let resets_at = now + heard.reset_after.min(RETRY_MAX);
        if self.buckets.len() >= BUCKETS_LIMIT && !self.buckets.contains_key(&key) {
            self.buckets.retain(|_, bucket| bucket.resets_at > now);
            if self.buckets.len() >= BUCKETS_LIMIT {
                return;
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            remaining: heard.remaining,
            resets_at,
        });
        // Answers overtake each other: within a window the lowest number is the true one.
        bucket.remaining = if bucket.resets_at > now {
            bucket.remaining.min(heard.remaining)
        } else {
            heard.remaining
        };
        bucket.resets_at = resets_at;
    }

    /// A 429.
    pub fn refused(&mut self, key: BucketKey, retry_after: Duration, global: bool, now: Instant) {
        let retry_after = retry_after.min(RETRY_MAX);
        if global {
            let until = now + retry_after;
            self.paused_until = Some(self.paused_until.map_or(until, |before| before.max(until)));
        } else {
            let none = Heard {
                remaining: 0,
                reset_after: retry_after,
            };
            self.heard(key, none, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: BucketKey = ("POST /channels/{channel}/messages", 1);
    const OTHER: BucketKey = ("POST /channels/{channel}/messages", 2);

    fn calls_in(limits: &mut Limits, start: Instant, time: Duration) -> usize {
        let (mut now, mut calls) = (start, 0);
        while now < start + time {
            match limits.ask(KEY, now) {
                Ok(()) => calls += 1,
                Err(wait) => now = wait.until(),
            }
        }
        calls
    }

    #[tokio::test]
    async fn all_replicas_together_stay_below_fifty_a_second() {
        for members in [1_u32, 3, 10, 100] {
            let now = Instant::now();
            let mut limits = Limits::new(now);
            limits.share(members);
            let calls = calls_in(&mut limits, now, Duration::from_secs(10)) * members as usize;
            assert!((380..=500).contains(&calls), "{members}: {calls}");
            let second = calls_in(&mut limits, now + Duration::from_mins(1), Duration::from_secs(1));
            let most = if members > 3 { 50 } else { 45 };
            assert!(members > 10 || second * members as usize <= most, "{members}: {second}");
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_gets_half_of_the_limit() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        limits.share(2);
        let spared = (0..10_000_u64)
            .filter(|ms| limits.may_spare(now + Duration::from_millis(*ms)))
            .count();
        assert!((95..=110).contains(&spared), "{spared} in 10 s, of 200");
        limits.share(3);
        let later = now + Duration::from_secs(20);
        while limits.ask(KEY, later).is_ok() {}
        assert!(!limits.may_spare(later), "others need it");
        let next = limits.ask(KEY, later).expect_err("it is used up").until();
        assert!(!limits.may_spare(next - Duration::from_millis(2)), "and the next one");
        assert!(limits.may_spare(next), "nobody came for it");
    }

    #[tokio::test]
    async fn a_global_refusal_stops_everything_for_as_long_as_discord_says() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        limits.refused(KEY, Duration::from_secs(5), true, now);
        limits.refused(KEY, Duration::from_secs(1), true, now);
        assert_eq!(
            limits.ask(OTHER, now + Duration::from_secs(4)),
            Err(Wait::All(now + Duration::from_secs(5)))
        );
        assert_eq!(limits.ask(OTHER, now + Duration::from_secs(5)), Ok(()));
    }

    #[tokio::test]
    async fn a_bucket_that_is_used_up_waits_without_stopping_others() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        let reset_after = Duration::from_secs(2);
        limits.heard(
            KEY,
            Heard {
                remaining: 1,
                reset_after,
            },
            now,
        );
        assert_eq!(limits.ask(KEY, now), Ok(()));
        assert_eq!(limits.ask(KEY, now), Err(Wait::Bucket(now + reset_after)));
        assert_eq!(limits.ask(OTHER, now), Ok(()));
        assert_eq!(limits.ask(KEY, now + reset_after), Ok(()));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        for id in 0..10_000 {
            let heard = Heard {
                remaining: 1,
                reset_after: Duration::from_millis(id),
            };
            limits.heard(("GET /guilds/{guild}", id), heard, now + Duration::from_millis(id / 2));
        }
        assert!(limits.buckets.len() <= BUCKETS_LIMIT);
    }
}
