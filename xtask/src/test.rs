//! `cargo xtask test`: what the tests need, the tests, and what they could not do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::progress::{self, Progress};
use crate::{cargo, chart, chromium, clients, failures, kubernetes, lavalink, mongod};

/// The rows of the conformance list: Discord's gateway and REST, and Lavalink.
const LISTED: [(&str, u32); 3] = [("G", 28), ("R", 7), ("L", 22)];

/// The test that needs the program with the next schema.
const NEXT_TEST: &str = "versions::an_update_and_the_way_back_lose_nothing";

/// `cargo xtask test`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Only a part of the tests
    #[command(subcommand)]
    part: Option<Part>,
    /// Passed on to `cargo test`: a part of a test's name, or flags
    #[arg(last = true)]
    rest: Vec<String>,
}

/// A part of the tests that has a name of its own.
#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Install the chart into a real Kubernetes on this machine, and see what happens to it
    Kubernetes(kubernetes::Args),
    /// Only the clients that are not ours, against the simulator
    Clients,
    /// The rows of the simulator's Lavalink, against any Lavalink by its address
    Lavalink(lavalink::Args),
}

/// Runs everything, or the part that was named. The exit code is that of `cargo test`; what is missing on this machine is
/// skipped and said.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let progress = Progress::start();
    let mut lacking = Vec::new();
    let mut command = cargo();
    command.arg("test");
    match &args.part {
        Some(Part::Lavalink(at)) => return lavalink::run(at, command),
        Some(Part::Kubernetes(at)) => return kubernetes::run(at),
        Some(Part::Clients) => {
            command.args(["--package", "segue", "--test", "clients"]);
        }
        None => {
            progress.say("setting up: a real mongod, a browser for the pages, Helm and Prometheus for the chart");
            match mongod::install() {
                Ok(program) => {
                    command.env("SEGUE_MONGOD", program);
                }
                Err(reason) => lacking.push(reason),
            }
            lacking.extend(chromium::install(progress).err());
            lacking.extend(chart::install(progress));
            command.args(["--workspace", "--no-fail-fast"]);
        }
    }
    progress.say(&format!(
        "setting up: clients that are not ours ({})",
        clients::versions()
    ));
    lacking.extend(clients::install());
    for reason in &lacking {
        progress.say(&format!("not to be had here: {reason}"));
    }
    progress.say("building, then running the tests; a first build takes about five minutes on two cores");
    if args.part.is_none() && wants_next(&args.rest) {
        build_next()?;
    }
    let (skips, rows) = (Lines::new("skips")?, Lines::new("rows")?);
    command.env("SEGUE_SKIPS", &skips.0).env("SEGUE_CLIENT_ROWS", &rows.0);
    let (passed, failed) = failures::run(command.args(&args.rest))?;
    progress.say(if passed {
        "all tests passed"
    } else {
        "some tests failed; their names stand above, and last why"
    });
    let (rows, skipped) = (exercised(&rows.read()?), told(&skips.read()?, &lacking));
    for line in rows.iter().chain(&skipped).chain(&failed) {
        progress::say(line);
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

/// A file to which tests append lines, for what is said at the end. Removed then.
struct Lines(PathBuf);

impl Lines {
    fn new(kind: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("segue-{kind}-{}", std::process::id()));
        std::fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn read(&self) -> Result<Vec<String>, String> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| format!("{}: {error}", self.0.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Which rows each client exercised, and all together; nothing when no client ran. Lines are a name, a tab, and rows.
fn exercised(lines: &[String]) -> Vec<String> {
    let clients: BTreeMap<&str, &str> = lines.iter().filter_map(|line| line.split_once('\t')).collect();
    let all: BTreeSet<(&str, u32)> = clients
        .values()
        .flat_map(|rows| rows.split(' '))
        .filter_map(|row| Some((row.get(..1)?, row.get(1..)?.parse().ok()?)))
        .collect();
    if all.is_empty() {
        return Vec::new();
    }
    let each = |(client, rows): (&&str, &&str)| {
        let count = rows.split(' ').count();
        format!("  {client:<16} {count:>2}: {rows}")
    };
    let missing: Vec<String> = LISTED
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| (*letter, number)))
        .filter(|row| !all.contains(row))
        .map(|(letter, number)| format!("{letter}{number}"))
        .collect();
    let of_list: u32 = LISTED.iter().map(|(_, count)| count).sum();
    let done = of_list - u32::try_from(missing.len()).unwrap_or(of_list);
    std::iter::once("rows of the simulator that clients other than ours exercised:".to_owned())
        .chain(clients.iter().map(each))
        .chain([format!("  together {done} of {of_list}; not {}", missing.join(" "))])
        .collect()
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
    fn rows_are_told_by_client_and_together() {
        let lines = owned(&["b\tG1 G2 N1", "a\tG2 L22", ""]);
        let told = exercised(&lines);
        assert_eq!(
            told[1..3],
            ["  a                 2: G2 L22", "  b                 3: G1 G2 N1"]
        );
        assert!(told[3].starts_with("  together 3 of 57; not G3 G4"), "{}", told[3]);
        assert!(told[3].ends_with("L20 L21"), "{}", told[3]);
        assert!(exercised(&[]).is_empty());
    }

    #[test]
    fn a_run_that_skipped_nothing_says_so() {
        assert_eq!(told(&[], &[]), ["skipped: nothing"]);
    }
}
