//! `cargo xtask test`: what the tests need, the tests, and what they could not do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::progress::Progress;
use crate::{chromium, mongod};

/// The test that needs the program with the next schema.
const NEXT_TEST: &str = "versions::an_update_and_the_way_back_lose_nothing";

/// `cargo xtask test`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to `cargo test`: a part of a test's name, or flags
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs everything. The exit code is that of `cargo test`; what is missing on this machine is skipped and said.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let progress = Progress::start();
    progress.say("setting up: a real mongod, and a browser for the pages");
    let mut lacking = Vec::new();
    let mongod = mongod::install().map_err(|reason| lacking.push(reason)).ok();
    if let Err(reason) = chromium::install(progress) {
        lacking.push(reason);
    }
    for reason in &lacking {
        progress.say(&format!("not to be had here: {reason}"));
    }
    progress.say("building, then running every test; a first build takes about five minutes on two cores");
    if wants_next(&args.rest) {
        build_next()?;
    }
    let skips = Skips::new()?;
    let passed = cargo_test(args, mongod.as_deref(), &skips.0)?;
    progress.say(if passed {
        "all tests passed"
    } else {
        "some tests failed; their names stand above"
    });
    for line in told(&skips.lines()?, &lacking) {
        crate::progress::say(&line);
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test(args: &Args, mongod: Option<&Path>, skips: &Path) -> Result<bool, String> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(&args.rest);
    command.env("SEGUE_SKIPS", skips);
    if let Some(program) = mongod {
        command.env("SEGUE_MONGOD", program);
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo test does not start: {error}"))?;
    Ok(status.success())
}

/// The test that updates to a later version and goes back builds that one itself; here it is built before, so that no
/// compiler takes the machine from tests that measure time.
fn build_next() -> Result<(), String> {
    let mut command = cargo();
    let status = command
        .args(["build", "--locked", "--features", "next-schema", "--example", "next"])
        .status()
        .map_err(|error| format!("cargo build does not start: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("the program with the next schema does not build".to_owned())
    }
}

/// Whether the filter lets that test run.
fn wants_next(rest: &[String]) -> bool {
    let flags_only = rest.iter().all(|part| part.starts_with('-'));
    flags_only || rest.iter().any(|part| NEXT_TEST.contains(part.as_str()))
}

/// Cargo in the repository. What the Cargo that started this task said about itself is left out: build scripts would take
/// it for a change and build again.
fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}

/// The repository, wherever the task was started.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The file to which tests append a line for each thing that they could not do. Removed at the end.
struct Skips(PathBuf);

impl Skips {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("segue-skips-{}", std::process::id()));
        std::fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn lines(&self) -> Result<Vec<String>, String> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| format!("{}: {error}", self.0.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for Skips {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// The closing list: each reason once, with how often it was given, then what the machine lacks.
fn told(skipped: &[String], lacking: &[String]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for reason in skipped.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        *counts.entry(reason).or_insert(0_u32) += 1;
    }
    if counts.is_empty() {
        return vec!["skipped: nothing".to_owned()];
    }
    let reasons = counts.iter().map(|(reason, count)| match count {
        1 => format!("  {reason}"),
        _ => format!("  {reason} ({count} times)"),
    });
    let causes = lacking.iter().map(|reason| format!("  because {reason}"));
    std::iter::once("skipped:".to_owned())
        .chain(reasons)
        .chain(causes)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_version_is_built_when_its_test_may_run() {
        let rows: [(&[&str], bool); 5] = [
            (&[], true),
            (&["--", "--nocapture"], true),
            (&["an_update"], true),
            (&["store"], false),
            (&["--test", "it", "restart"], false),
        ];
        for (rest, expected) in rows {
            assert_eq!(wants_next(&owned(rest)), expected, "{rest:?}");
        }
    }

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_reason_given_often_is_told_once() {
        let skipped = owned(&["MongoDB: no mongod", "the page: no browser", "MongoDB: no mongod", ""]);
        let lacking = owned(&["mongod: python3 does not start"]);
        let expected = [
            "skipped:",
            "  MongoDB: no mongod (2 times)",
            "  the page: no browser",
            "  because mongod: python3 does not start",
        ];
        assert_eq!(told(&skipped, &lacking), expected);
    }

    #[test]
    fn a_run_that_skipped_nothing_says_so() {
        assert_eq!(told(&[], &[]), ["skipped: nothing"]);
    }
}
