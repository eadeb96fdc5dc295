//! `cargo xtask bench`: builds the program and its measurements in release, and runs them.
//!
//! The measurements themselves are `benches/aims`, a benchmark of the bot's own package: they need its libraries, which
//! this program must not, or `cargo xtask test` would begin with a build of everything.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::progress::Progress;
use crate::{cargo, mongod};

/// `cargo xtask bench`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these lines
    names: Vec<String>,
    /// Where the figures go as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// Name the lines, and measure nothing
    #[arg(long)]
    list: bool,
}

/// Measures. Fails when an aim was missed or a line broke off.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let progress = Progress::start();
    let mut command = cargo();
    command
        .args(["bench", "--quiet", "--bench", "aims", "--"])
        .args(&args.names);
    if args.list {
        command.arg("--list");
    } else {
        match mongod::install() {
            Ok(program) => drop(command.env("SEGUE_MONGOD", program)),
            Err(reason) => progress.say(&format!("not to be had here: {reason}")),
        }
        // Cargo runs a benchmark in its package's folder, wherever the task was started.
        let json = std::path::absolute(&args.json).map_err(|error| format!("{}: {error}", args.json.display()))?;
        command.arg("--json").arg(json);
        progress.say("building in release; a first build takes about ten minutes on two cores");
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo bench does not start: {error}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
