//! `cargo xtask fuzz`: bytes that nobody would send in good faith, for a while, at every parser of the simulator.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::progress::Progress;

/// Parsers, as functions of `segue::sim::hostile`, as tests in `tests/hostile`, and as targets in `fuzz`.
const TARGETS: [&str; 5] = ["gateway", "control", "patch", "identifier", "story"];

/// `cargo xtask fuzz`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// For how long each
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Where the random source starts; the same seed gives the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let libFuzzer follow the code's branches; needs a nightly compiler and `cargo install cargo-fuzz`
    #[arg(long)]
    libfuzzer: bool,
}

/// Runs each target for its time. Fails with the first finding, which is printed.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let progress = Progress::start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let seconds = args.minutes * 60;
    if !args.libfuzzer {
        progress.say(&format!(
            "{} for {} minutes each, two at a time, by mutation of known inputs (stable compiler, no coverage)",
            TARGETS.join(", "),
            args.minutes
        ));
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(root)
            .args(["test", "--package", "segue", "--test", "hostile"]);
        cargo.args(["--", "--nocapture", "--test-threads=2"]);
        cargo
            .env("SEGUE_FUZZ_SECONDS", seconds.to_string())
            .env("SEGUE_FUZZ_SEED", args.seed.to_string());
        return Ok(if passes(&mut cargo)? {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    for target in TARGETS {
        progress.say(&format!("{target} under libFuzzer for {} minutes", args.minutes));
        let mut cargo = Command::new("cargo");
        // The compiler that runs this task must not choose for the fuzzer.
        cargo.env_remove("RUSTUP_TOOLCHAIN").current_dir(&root);
        // Nothing here is unsafe, so there is nothing for a sanitizer to find; debug assertions and overflow checks find more.
        cargo.args(["+nightly", "fuzz", "run", "--dev", "--sanitizer", "none", target, "--"]);
        cargo
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-seed={}", args.seed));
        if !passes(&mut cargo)? {
            return Err(format!(
                "{target}: see above; the input lies in fuzz/artifacts/{target}"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn passes(cargo: &mut Command) -> Result<bool, String> {
    let status = cargo
        .status()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    Ok(status.success())
}
