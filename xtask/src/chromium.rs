//! Chromium and its driver, for the tests that look at pages. On Debian they are installed when root asks.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::progress::Progress;

/// Where Debian puts them; the tests look nowhere else.
const PROGRAMS: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromedriver"];
/// The browser, its driver, and a font, without which every page is blank boxes.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-dejavu-core"];

/// Finds both, or installs them. The error says what is missing and what to do; tests that need them then skip aloud.
pub(crate) fn install(progress: Progress) -> Result<(), String> {
    let Some(absent) = absent() else {
        progress.say("chromium: /usr/bin/chromium with its driver");
        return Ok(());
    };
    let by_hand = format!(
        "chromium: {absent} is missing; as root: apt-get install {}",
        PACKAGES.join(" ")
    );
    if !Path::new("/etc/debian_version").exists() || !is_root() {
        return Err(by_hand);
    }
    progress.say("chromium: installing Debian's packages, about two minutes");
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    apt_get(&["update", "--quiet"])?;
    apt_get(&[&install[..], &PACKAGES[..]].concat())?;
    match self::absent() {
        None => Ok(()),
        Some(_) => Err(by_hand),
    }
}

fn absent() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| !Path::new(program).exists())
}

/// Whether this process is root: its own folder in `/proc` belongs to whoever runs it.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|folder| folder.uid() == 0)
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let ended = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .map_err(|error| format!("chromium: apt-get does not start: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    Err(format!(
        "chromium: apt-get {} ended with {}: {}",
        arguments.join(" "),
        ended.status,
        words.trim()
    ))
}
