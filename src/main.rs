//! The `segue` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two crates bring a provider of their own; whoever asks first decides, so it is decided here.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    segue::cli::main()
}
