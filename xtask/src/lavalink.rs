//! `cargo xtask test lavalink`: the rows of the simulator's Lavalink against any Lavalink by its address.

use std::process::{Command, ExitCode};

/// Where the Lavalink is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Its address, http://HOST:PORT
    #[arg(long)]
    url: String,
    /// Its password
    #[arg(long)]
    password: String,
    /// A Discord voice server of yours that takes any token, as the Lavalink reaches it; without one, the rows that need
    /// sound are skipped
    #[arg(long, value_name = "HOST:PORT")]
    voice_endpoint: Option<String>,
}

/// Runs the rows and prints what differs, row by row. Fails when any does.
pub(crate) fn run(at: &Args, mut cargo: Command) -> Result<ExitCode, String> {
    cargo
        .args(["--quiet", "--package", "segue", "--test", "lavalink"])
        .args([
            "--",
            "--ignored",
            "--exact",
            "a_lavalink_by_its_address_behaves_as_the_rows_say",
            "--nocapture",
        ])
        .env("SEGUE_LAVALINK_URL", at.url.trim_end_matches('/'))
        .env("SEGUE_LAVALINK_PASSWORD", &at.password);
    if let Some(endpoint) = &at.voice_endpoint {
        cargo.env("SEGUE_LAVALINK_VOICE", endpoint);
    }
    let status = cargo
        .status()
        .map_err(|error| format!("cargo test does not start: {error}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
