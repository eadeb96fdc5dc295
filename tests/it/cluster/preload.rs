//! Libraries in C that stand between a replica and its system, to give it what cannot be had otherwise.

use std::path::Path;
use std::process::Command;

/// Makes a library for `LD_PRELOAD` of the source. `false` where there is no C compiler.
pub(super) fn library(source: &str, at: &Path) -> bool {
    let text = at.with_extension("c");
    std::fs::write(&text, source).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([at, &text])
        .arg("-ldl")
        .status();
    built.is_ok_and(|status| status.success())
}
