//! Debian's packages, installed when root asks.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::progress::Progress;

/// Makes sure that `programs` are there, by installing `packages` if they are not. The error says what is missing and
/// what to do; tests that need it then skip aloud.
pub(crate) fn install(what: &str, programs: &[&str], packages: &[&str], progress: Progress) -> Result<(), String> {
    let Some(missing) = absent(programs) else {
        progress.say(&format!("{what}: {}", programs.join(", ")));
        return Ok(());
    };
    let by_hand = format!(
        "{what}: {missing} is missing; as root: apt-get install {}",
        packages.join(" ")
    );
    if !Path::new("/etc/debian_version").exists() || !is_root() {
        return Err(by_hand);
    }
    progress.say(&format!("{what}: installing Debian's {}", packages.join(", ")));
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    apt_get(what, &["update", "--quiet"])?;
    apt_get(what, &[&install[..], packages].concat())?;
    match absent(programs) {
        None => Ok(()),
        Some(_) => Err(by_hand),
    }
}

fn absent<'a>(programs: &[&'a str]) -> Option<&'a str> {
    programs.iter().copied().find(|program| !Path::new(program).exists())
}

/// Whether this process is root: its own folder in `/proc` belongs to whoever runs it.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|folder| folder.uid() == 0)
}

fn apt_get(what: &str, arguments: &[&str]) -> Result<(), String> {
    let ended = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .map_err(|error| format!("{what}: apt-get does not start: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    Err(format!(
        "{what}: apt-get {} ended with {}: {}",
        arguments.join(" "),
        ended.status,
        words.trim()
    ))
}
