//! The program as a later version would be: it reads and writes one snapshot schema more. Tests update to it and go back.

use std::process::ExitCode;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    segue::cli::main()
}
