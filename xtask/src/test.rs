//! `cargo xtask test`: what the tests need, the tests, and what they could not do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::progress::Progress;
use crate::{chart, chromium, kubernetes, mongod};

/// `cargo xtask test`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Passed on to `cargo test`: a part of a test's name, or flags
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Tests that are no part of `cargo test`.
#[derive(Clone, Debug, clap::Subcommand)]
enum Other {
    /// Install the chart into a real Kubernetes on this machine, and see what happens to it
    Kubernetes(kubernetes::Args),
}

/// Runs everything. The exit code is that of `cargo test`; what is missing on this machine is skipped and said.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    if let Some(Other::Kubernetes(args)) = &args.other {
        return kubernetes::run(args);
    }
    let progress = Progress::start();
    progress.say("setting up: a real mongod, a browser for the pages, Helm and Prometheus for the chart");
    let mut lacking = Vec::new();
    let mongod = mongod::install().map_err(|reason| lacking.push(reason)).ok();
    if let Err(reason) = chromium::install(progress) {
        lacking.push(reason);
    }
    lacking.extend(chart::install(progress));
    for reason in &lacking {
        progress.say(&format!("not to be had here: {reason}"));
    }
    progress.say("building, then running every test; a first build takes about five minutes on two cores");
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
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--workspace", "--no-fail-fast"]).args(&args.rest);
    command.current_dir(root()).env("SEGUE_SKIPS", skips);
    if let Some(program) = mongod {
        command.env("SEGUE_MONGOD", program);
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo test does not start: {error}"))?;
    Ok(status.success())
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
