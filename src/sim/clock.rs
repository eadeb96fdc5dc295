//! The simulator's own clock: monotonic, 0 at its start.

use tokio::time::Instant;

/// Milliseconds since the simulator started.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at 0.
    #[expect(clippy::new_without_default, reason = "starting a clock is an act, not a default")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(Instant::now().duration_since(self.0).as_millis()).unwrap_or(u64::MAX)
    }
}
