//! Measures what Segue aims for and says what holds: `cargo xtask bench` builds this in release and runs it.
//!
//! Each line is a file in `lines`, listed in `lines/mod.rs`. It measures the program itself, as a process, against a
//! simulated world that runs here, and holds its figure against another one of the same run.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

mod bare;
mod crowd;
mod feed;
mod figure;
#[path = "../../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod harness;
mod lines;
#[path = "../../tests/it/mongod.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod mongod;
mod people;
mod process;
mod report;
#[path = "../../tests/it/skip.rs"]
mod skip;
mod stage;
#[path = "../../tests/it/cluster/team.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod team;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use futures_util::FutureExt as _;

use self::figure::Outcome;
use self::lines::Line;

/// Measures what Segue aims for
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Cli {
    /// Only these lines
    names: Vec<String>,
    /// Where the figures go as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// Name the lines, and measure nothing
    #[arg(long)]
    list: bool,
    /// What Cargo adds
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the bare loop that another process is compared with
    #[arg(long, hide = true, value_name = "URL")]
    bare: Option<String>,
}

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let cli = Cli::parse();
    if let Some(url) = cli.bare {
        bare::run(url);
        return ExitCode::SUCCESS;
    }
    if cli.list {
        report::list(lines::ALL);
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&Line> = lines::ALL.iter().filter(|line| is_wanted(line, &cli.names)).collect();
    if let Some(unknown) = cli
        .names
        .iter()
        .find(|name| wanted.iter().all(|line| line.name != **name))
    {
        report::say(&format!("no line is called {unknown}; --list names them"));
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcomes = runtime.block_on(measure(wanted));
    report::table(&outcomes);
    report::json(&outcomes, &cli.json);
    if outcomes.iter().all(|(_, outcome)| outcome.is_well()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn is_wanted(line: &Line, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| name == line.name)
}

/// One line after the other; one that fails does not keep the others from being measured.
async fn measure(lines: Vec<&Line>) -> Vec<(&Line, Outcome)> {
    let mut outcomes = Vec::new();
    for line in lines {
        report::say(&format!("{}: {}", line.name, line.about));
        // Why it panicked stands on the standard error already.
        let outcome = AssertUnwindSafe((line.run)())
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Outcome::Failed("it broke off; see above".to_owned()));
        outcomes.push((line, outcome));
    }
    outcomes
}
