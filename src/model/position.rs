//! A position is an anchor, never a ticking number: where the track was, when, and whether it moves.

use serde::{Deserialize, Serialize};

/// How far what Lavalink reports runs ahead of what the ear hears, in milliseconds (its send queue; measured on 4.2.2).
pub const NODE_LEAD_MS: u64 = 330;

/// A track position at a wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anchor {
    /// Milliseconds into the track at `at_ms`, as the node counts them.
    pub position_ms: u64,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: i64,
    /// Track milliseconds that pass per wall millisecond; 0 while paused.
    pub speed: f64,
}

impl Anchor {
    /// A position that moves at normal speed.
    pub const fn playing(position_ms: u64, at_ms: i64) -> Self {
        Self {
            position_ms,
            at_ms,
            speed: 1.0,
        }
    }

    /// A position that stands still.
    pub const fn still(position_ms: u64, at_ms: i64) -> Self {
        Self {
            position_ms,
            at_ms,
            speed: 0.0,
        }
    }

    /// The position at `now_ms`, never past `length_ms` and never before the anchor.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a track is shorter than 2^52 ms and speed is positive"
    )]
    pub fn at(&self, now_ms: i64, length_ms: Option<u64>) -> u64 {
        let passed = now_ms.saturating_sub(self.at_ms).max(0);
        let moved = (passed as f64 * self.speed).max(0.0) as u64;
        let position = self.position_ms.saturating_add(moved);
        length_ms.map_or(position, |length| position.min(length))
    }

    /// The same told by a clock that shows `ms` more.
    #[must_use]
    pub const fn by_clock(self, ms: i64) -> Self {
        Self {
            at_ms: self.at_ms.saturating_add(ms),
            ..self
        }
    }

    /// Whether `other` tells the same story within `tolerance_ms` at `now_ms`.
    pub fn agrees(&self, other: &Anchor, now_ms: i64, tolerance_ms: u64) -> bool {
        (self.speed - other.speed).abs() < f64::EPSILON
            && self.at(now_ms, None).abs_diff(other.at(now_ms, None)) <= tolerance_ms
    }
}
