//! The program itself, as an example: Cargo then builds it from what it builds for tests, and `cargo xtask` links it
//! statically for the image that the real cluster runs. What users run is `src/main.rs`, which does the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    segue::cli::main()
}
