//! The binary of the image: static, stripped, and with the list of its crates inside (`cargo auditable`).

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use flate2::read::ZlibDecoder;
use serde_json::Value;

use crate::cargo;
use crate::chart::programs::cache;

/// The tool that writes the list.
const AUDITABLE: &str = "0.7.7";
/// What `cargo auditable` tells itself: the arguments that decide what Cargo says of the crates.
const ASKED: &str = r#"{"offline":false,"locked":true,"frozen":false,"config":[]}"#;
/// How large the list may be; it has some hundred crates.
const MOST_BYTES_OF_LIST: u64 = 8 << 20;
/// For the last step alone, so that everything before it is what other builds have too.
const LINKED: [&str; 4] = ["-C", "target-feature=+crt-static", "-C", "strip=symbols"];

/// Builds it; returns where it is. `dev`: an example that is the same program, which Cargo links from what it builds for
/// tests anyway; the program itself would be built from dependencies without what only tests want of them.
///
/// The tool is put around the compiler as `cargo auditable` would, but around every crate's rather than around our own's: it
/// changes nothing but the last step either way, and this way Cargo takes the library that is built for tests anyway.
pub(super) fn build(dev: bool) -> Result<PathBuf, String> {
    let mut command = cargo();
    command
        .env("RUSTC_WRAPPER", tool()?)
        .env("CARGO_AUDITABLE_ORIG_ARGS", ASKED);
    command.args([
        "rustc",
        "--locked",
        "--package",
        "segue",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if dev {
        command.args(["--example", "image"]);
    } else {
        command.args(["--bin", "segue", "--release"]);
    }
    command.arg("--").args(LINKED).stderr(Stdio::inherit());
    let ended = command
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !ended.status.success() {
        return Err(format!("cargo rustc ended with {}", ended.status));
    }
    let text = String::from_utf8_lossy(&ended.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = messages
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back();
    built.ok_or_else(|| "cargo named no executable".to_owned())
}

/// `cargo-auditable`, installed into the cache when it is not there.
fn tool() -> Result<PathBuf, String> {
    let folder = cache()
        .ok_or("no home folder for cargo-auditable")?
        .join(format!("cargo-auditable-{AUDITABLE}"));
    let tool = folder.join("bin/cargo-auditable");
    if tool.is_file() {
        return Ok(tool);
    }
    let ended = Command::new(env!("CARGO"))
        .args([
            "install",
            "cargo-auditable",
            "--version",
            AUDITABLE,
            "--locked",
            "--quiet",
            "--root",
        ])
        .arg(&folder)
        // A folder of its own, so that it never meets flags or targets of this build.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .current_dir(std::env::temp_dir())
        .status()
        .map_err(|error| format!("cargo install does not start: {error}"))?;
    if ended.success() {
        Ok(tool)
    } else {
        Err(format!("cargo install cargo-auditable ended with {ended}"))
    }
}

/// How many crates the binary says it was made of. The error says that it does not.
pub(super) fn crates(bytes: &[u8]) -> Result<usize, String> {
    let none = |error: String| format!("no list of crates in the binary: {error}");
    let packed = auditable_extract::raw_auditable_data(bytes).map_err(|error| none(error.to_string()))?;
    let unpacked = ZlibDecoder::new(packed).take(MOST_BYTES_OF_LIST);
    let list: Value = serde_json::from_reader(unpacked).map_err(|error| none(error.to_string()))?;
    let packages = list["packages"].as_array();
    packages
        .map(Vec::len)
        .ok_or_else(|| none("it names no packages".to_owned()))
}

/// Whether a 64-bit little-endian ELF file runs without a loader: it has no segment that names one.
pub(super) fn is_static(elf: &[u8]) -> bool {
    const INTERPRETER: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let segments = || {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let kind = |n| number(usize::try_from(table + n * size).ok()?, 4);
        (0..count).map(kind).collect::<Option<Vec<u64>>>()
    };
    elf.starts_with(b"\x7fELF\x02\x01") && segments().is_some_and(|kinds| !kinds.contains(&INTERPRETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_wants_a_loader_is_not_static() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(!is_static(&own), "tests are linked dynamically");
        assert!(!is_static(b"#!/bin/sh\n"));
        assert!(!is_static(&own[..60]));
        // The same without the segment that names the loader.
        let mut other = own.clone();
        let table = usize::try_from(u64::from_le_bytes(own[32..40].try_into().unwrap())).unwrap();
        for at in (table..).step_by(56).take(usize::from(own[56])) {
            if other[at] == 3 {
                other[at] = 0;
            }
        }
        assert!(is_static(&other));
    }

    #[test]
    fn a_binary_without_a_list_of_crates_is_refused() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(crates(&own).is_err());
    }
}
