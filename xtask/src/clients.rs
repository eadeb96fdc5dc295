//! Independent clients for the simulator: npm and `PyPI` packages as `tests/clients` locks them, in a cache folder.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Node.js and Python that every locked package runs on.
const NODE: (u32, u32) = (20, 0);
const PYTHON: (u32, u32) = (3, 11);

/// The folder of npm packages, where [`install`] left one for this lock file.
pub(crate) fn javascript() -> Option<PathBuf> {
    version("node", NODE).ok()?;
    Some(node_folder()?.join("node_modules")).filter(|folder| folder.is_dir())
}

/// The folder of Python packages, where [`install`] left one for this lock file and this Python.
pub(crate) fn python() -> Option<PathBuf> {
    python_folder(&version("python3", PYTHON).ok()?).filter(|folder| folder.is_dir())
}

/// Installs what is missing. The errors say what a machine lacks; its clients are then skipped.
pub(crate) fn install() -> Vec<String> {
    [install_javascript(), install_python()]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// Each package and its version, for people: as npm's and Python's own files name them.
pub(crate) fn versions() -> String {
    let npm = read("package.json").unwrap_or_default();
    let python = read("requirements.in").unwrap_or_default();
    let in_npm = npm
        .lines()
        .skip_while(|line| !line.contains("\"dependencies\""))
        .skip(1);
    let in_npm = in_npm
        .take_while(|line| line.contains(':'))
        .map(|line| line.trim().trim_end_matches(',').replace('"', "").replace(": ", " "));
    let in_python = python.lines().map(|line| line.replace("==", " "));
    in_npm.chain(in_python).collect::<Vec<_>>().join(", ")
}

fn install_javascript() -> Result<(), String> {
    version("node", NODE)?;
    let folder = node_folder().ok_or("npm clients: no home folder to put them in")?;
    if javascript().is_some() {
        return Ok(());
    }
    fill(&folder, |place| {
        for file in ["package.json", "package-lock.json"] {
            let from = scripts().join(file);
            std::fs::copy(&from, place.join(file)).map_err(|error| format!("{}: {error}", from.display()))?;
        }
        let options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
        run(Command::new("npm").args(options).current_dir(place))
    })
}

fn install_python() -> Result<(), String> {
    let version = version("python3", PYTHON)?;
    let folder = python_folder(&version).ok_or("Python clients: no home folder to put them in")?;
    if python().is_some() {
        return Ok(());
    }
    fill(&folder, |place| {
        let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let strict = [
            "--no-deps",
            "--require-hashes",
            "--prefer-binary",
            "--root-user-action=ignore",
        ];
        let mut pip = Command::new("python3");
        pip.args(options).args(strict).arg("--target").arg(place);
        run(pip.arg("--requirement").arg(scripts().join("requirements.txt")))
    })
}

/// Makes a folder that is there whole or not at all.
fn fill(folder: &Path, act: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", folder.display());
    let place = folder.with_extension(format!("new-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(io)?;
    let filled = act(&place).and_then(|()| match std::fs::rename(&place, folder) {
        Err(_) if folder.is_dir() => Ok(()), // Another run was faster.
        renamed => renamed.map_err(io),
    });
    if place.exists() {
        std::fs::remove_dir_all(&place).map_err(io)?;
    }
    filled
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command
        .output()
        .map_err(|error| format!("{name} does not start: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{name} ended with {}: {}", ended.status, words.trim()))
}

/// What a program calls its version, if it is new enough.
fn version(program: &str, least: (u32, u32)) -> Result<String, String> {
    let wanted = format!("{program} {}.{} or later", least.0, least.1);
    let said = Command::new(program)
        .arg("--version")
        .output()
        .map_err(|error| format!("clients: {wanted} is missing ({error})"))?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    match numbers(&said) {
        Some(found) if found >= least => Ok(said),
        Some(_) | None => Err(format!("clients: {wanted} is needed, not {said:?}")),
    }
}

/// `v20.1.2` and `Python 3.11.7`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let digits = version.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let mut parts = digits.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn scripts() -> PathBuf {
    // The same from xtask and from the tests, which include this file.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = if package.ends_with("xtask") {
        package.join("..")
    } else {
        package.to_owned()
    };
    root.join("tests/clients")
}

fn read(file: &str) -> Option<String> {
    std::fs::read_to_string(scripts().join(file)).ok()
}

fn node_folder() -> Option<PathBuf> {
    cache("npm", &[&read("package-lock.json")?])
}

fn python_folder(version: &str) -> Option<PathBuf> {
    cache("python", &[&read("requirements.txt")?, version])
}

/// A folder of its own for what is locked: another lock file means another folder.
fn cache(kind: &str, locked: &[&str]) -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    let mut hash = DefaultHasher::new();
    locked.hash(&mut hash);
    Some(
        cache
            .join("segue")
            .join(format!("clients-{kind}-{:016x}", hash.finish())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_write_them() {
        assert_eq!(numbers("v20.20.2"), Some((20, 20)));
        assert_eq!(numbers("Python 3.11.7"), Some((3, 11)));
        assert_eq!(numbers("go1"), None);
    }

    #[test]
    fn a_folder_that_cannot_be_filled_is_not_left_behind() {
        let folder = env::temp_dir().join(format!("segue-fill-{}", std::process::id()));
        let failed = fill(&folder, |place| {
            std::fs::write(place.join("half"), "").map_err(|error| error.to_string())?;
            Err("no".to_owned())
        });
        assert_eq!(failed, Err("no".to_owned()));
        assert!(!folder.exists());
        assert_eq!(fill(&folder, |_| Ok(())), Ok(()));
        assert!(folder.is_dir());
        std::fs::remove_dir(&folder).expect("it is empty");
    }

    #[test]
    fn the_packages_are_named_with_their_versions() {
        let said = versions();
        assert!(said.contains("discord.js ") && said.contains("lavalink "), "{said}");
    }
}
