//! Why tests failed, told again at the end of a run: what stands thousands of lines above is not read, and the middle of a
//! long log is the part that is not kept.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

/// Told of each test that failed, at most.
const LINES: usize = 14;
/// Of its warnings, at most.
const WARNINGS: usize = 6;
/// Bytes of a line.
const WIDTH: usize = 240;
/// Tests that are told of; more have one cause.
const TESTS: usize = 6;

/// Runs `cargo test`, shows all that it prints, and returns whether all passed, and why those that failed did.
pub(crate) fn run(command: &mut Command) -> Result<(bool, Vec<String>), String> {
    let starting = |error| format!("cargo test does not start: {error}");
    let reading = |error| format!("the output of cargo test: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(starting)?;
    let mut failures = Failures::default();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).map_err(reading)? > 0 {
            // Whoever reads no more is no reason to end the tests.
            std::io::stdout().write_all(&line).ok();
            failures.read(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    let passed = child.wait().map_err(reading)?.success();
    Ok((passed, failures.told()))
}

/// Collects what stands between `---- a test stdout ----` and the next such line.
#[derive(Debug, Default)]
struct Failures {
    each: Vec<Failure>,
    /// Whether lines belong to the last one.
    within: bool,
}

#[derive(Debug, Default)]
struct Failure {
    name: String,
    /// The first lines, without a backtrace.
    said: Vec<String>,
    warnings: Vec<String>,
    traced: bool,
}

impl Failures {
    fn read(&mut self, line: &str) {
        let heading = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = heading {
            self.within = true;
            self.each.push(Failure {
                name: name.to_owned(),
                ..Failure::default()
            });
        } else if line == "failures:" {
            self.within = false;
        } else if let Some(failure) = self.each.last_mut().filter(|_| self.within) {
            failure.read(line);
        }
    }

    fn told(&self) -> Vec<String> {
        if self.each.is_empty() {
            return Vec::new();
        }
        let more = self.each.len().saturating_sub(TESTS);
        let rest = (more > 0).then(|| format!("  and {more} more"));
        std::iter::once("failed:".to_owned())
            .chain(self.each.iter().take(TESTS).flat_map(Failure::told))
            .chain(rest)
            .collect()
    }
}

impl Failure {
    fn read(&mut self, line: &str) {
        let level = |level| line.contains(&format!("\"level\":\"{level}\""));
        if level("WARN") || level("ERROR") {
            if self.warnings.len() < WARNINGS {
                self.warnings.push(cut(line.trim_start()));
            }
            return;
        }
        self.traced |= line == "stack backtrace:";
        if !self.traced && !line.is_empty() && self.said.len() < LINES {
            self.said.push(cut(line));
        }
    }

    fn told(&self) -> Vec<String> {
        let lines = self.said.iter().chain(&self.warnings);
        std::iter::once(format!("  {}", self.name))
            .chain(lines.map(|line| format!("    {line}")))
            .collect()
    }
}

fn cut(line: &str) -> String {
    let end = line.floor_char_boundary(WIDTH);
    let rest = if end < line.len() { "…" } else { "" };
    format!("{}{rest}", &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"
running 3 tests
test one ... ok
test two ... FAILED
test three ... FAILED

failures:

---- two stdout ----
Starting.

thread 'two' panicked at tests/it/two.rs:3:5:
not within 20s: music
stack backtrace:
   0: std::panicking::begin
the bot's last lines, of 2:
  {"level":"INFO","message":"ready"}
  {"error":"the disk is slow","level":"WARN","message":"not stored"}

---- three stdout ----

thread 'three' panicked at tests/it/three.rs:3:5:
no

failures:
    two
    three

test result: FAILED. 1 passed; 2 failed
"#;

    #[test]
    fn what_each_failed_test_said_and_its_warnings_are_told_again() {
        let mut failures = Failures::default();
        OUTPUT.lines().for_each(|line| failures.read(line));
        let expected = [
            "failed:",
            "  two",
            "    Starting.",
            "    thread 'two' panicked at tests/it/two.rs:3:5:",
            "    not within 20s: music",
            r#"    {"error":"the disk is slow","level":"WARN","message":"not stored"}"#,
            "  three",
            "    thread 'three' panicked at tests/it/three.rs:3:5:",
            "    no",
        ];
        assert_eq!(failures.told(), expected);
    }

    #[test]
    fn however_much_failed_little_is_told_again() {
        let mut failures = Failures::default();
        for test in 0..50 {
            failures.read(&format!("---- {test} stdout ----"));
            (0..500).for_each(|_| failures.read(&"ä".repeat(1_000)));
        }
        let told = failures.told();
        assert_eq!(told.len(), 1 + TESTS * (1 + LINES) + 1);
        assert_eq!(told.last().map(String::as_str), Some("  and 44 more"));
        assert!(told.iter().all(|line| line.len() <= WIDTH + 8));
    }

    #[test]
    fn a_run_without_failures_tells_nothing() {
        assert!(Failures::default().told().is_empty());
    }
}
