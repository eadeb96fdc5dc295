//! Tells people what happens, each line with the minutes since the start.

use std::time::{Duration, Instant};

/// A task's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress(Instant);

impl Progress {
    /// Starts the clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool without a runtime has no other monotonic clock"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// One line on the standard error, with the minutes since the start.
    pub(crate) fn say(self, text: &str) {
        say(&line(self.0.elapsed(), text));
    }
}

fn line(since_start: Duration, text: &str) -> String {
    format!("[{:4.1} min] {text}", since_start.as_secs_f64() / 60.0)
}

/// One line on the standard error.
#[expect(clippy::print_stderr, reason = "a tool for people")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_minutes_have_passed() {
        assert_eq!(line(Duration::from_secs(0), "a"), "[ 0.0 min] a");
        assert_eq!(line(Duration::from_secs(90), "b"), "[ 1.5 min] b");
        assert_eq!(line(Duration::from_secs(1_234), "c"), "[20.6 min] c");
    }
}
