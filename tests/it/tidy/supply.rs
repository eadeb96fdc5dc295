//! The rules of `deny.toml`, checked without any tool installed: `cargo deny check` reads the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use toml::{Table, Value};

use super::all_well;
use super::source::{read, root};

fn rules() -> Table {
    read("deny.toml").parse().expect("deny.toml is TOML")
}

/// Every locked package: its name, version, and where it comes from.
fn locked() -> Vec<(String, String, Option<String>)> {
    let lock: Table = read("Cargo.lock").parse().expect("Cargo.lock is TOML");
    let text = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    let packages = lock["package"].as_array().expect("Cargo.lock lists packages").iter();
    packages
        .map(|package| {
            (
                text(package, "name").unwrap_or_default(),
                text(package, "version").unwrap_or_default(),
                text(package, "source"),
            )
        })
        .collect()
}

#[test]
fn no_banned_crate_and_no_second_version_of_a_core_one_is_locked() {
    let rules = rules();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version, _) in locked() {
        versions.entry(name).or_default().push(version);
    }
    let mut wrong = Vec::new();
    for entry in rules["bans"]["deny"].as_array().expect("bans.deny is a list") {
        let name = entry["crate"].as_str().expect("each has a crate");
        let only_twice = entry
            .get("deny-multiple-versions")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let found = versions.get(name).map_or(&[][..], Vec::as_slice);
        if found.len() > usize::from(only_twice) {
            wrong.push(format!(
                "{name} {}: {}",
                found.join(", "),
                entry["reason"].as_str().unwrap_or("banned")
            ));
        }
    }
    all_well(
        "`cargo tree -i NAME` says who brings these in. Switch off that feature, or change the version.",
        &wrong,
    );
}

#[test]
fn every_crate_comes_from_one_registry() {
    let mut sources: Vec<String> = locked().into_iter().filter_map(|(_, _, source)| source).collect();
    sources.sort();
    sources.dedup();
    assert_eq!(
        sources.len(),
        1,
        "Segue builds from one registry, never from a repository; found {sources:?}"
    );
    assert!(sources[0].starts_with("registry+"), "{sources:?} is not a registry");
}

#[test]
fn every_licence_is_on_the_list() {
    let rules = rules();
    let allowed: Vec<&str> = rules["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut wrong = Vec::new();
    for package in metadata()["packages"].as_array().expect("packages are listed") {
        let licence = package["license"].as_str().unwrap_or("none");
        if !Licence(licence).is_allowed(&allowed) {
            wrong.push(format!("{} {}: {licence}", package["name"], package["version"]));
        }
    }
    all_well(
        "Choose another crate, or argue for the licence and add it to deny.toml.",
        &wrong,
    );
}

/// What Cargo knows of the packages that this machine's kind needs: they lie here already, so nothing is fetched.
fn metadata() -> serde_json::Value {
    let version = cargo(&["-vV"]);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("cargo names its host");
    let json = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        host,
    ]);
    serde_json::from_str(&json).expect("cargo writes JSON")
}

/// What Cargo says.
fn cargo(arguments: &[&str]) -> String {
    let ended = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(
        ended.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    String::from_utf8(ended.stdout).expect("cargo writes UTF-8")
}

/// The crates of a build, each with its version and features.
fn built(arguments: &[&str]) -> BTreeSet<String> {
    let tree = [
        "tree",
        "--locked",
        "--offline",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p} {f}",
    ];
    let lines = cargo(&[&tree, arguments].concat());
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn the_program_and_the_tests_are_built_from_the_same_crates() {
    let program = built(&["--package", "segue", "--edges", "normal,build"]);
    let tests = built(&["--workspace", "--edges", "normal,build,dev"]);
    let other: Vec<String> = program.difference(&tests).cloned().collect();
    all_well(
        "With other features in the tests, `cargo run` after `cargo test` compiles these and all that is above them once \
         more. Give the program's own dependencies in Cargo.toml the features that the tests have.",
        &other,
    );
}

/// An SPDX expression: names joined by `OR`, `AND` and braces; `/` is an old way to write `OR`.
struct Licence<'a>(&'a str);

impl Licence<'_> {
    fn is_allowed(&self, allowed: &[&str]) -> bool {
        let spaced = self.0.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = words.as_slice();
        any(&mut rest, allowed) && rest.is_empty()
    }
}

fn any(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut good = all(rest, allowed);
    while take(rest, "OR") {
        good |= all(rest, allowed);
    }
    good
}

fn all(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut good = one(rest, allowed);
    while take(rest, "AND") {
        good &= one(rest, allowed);
    }
    good
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    if take(rest, "(") {
        let good = any(rest, allowed);
        return take(rest, ")") && good;
    }
    let Some((name, after)) = rest.split_first() else {
        return false;
    };
    *rest = after;
    if take(rest, "WITH") {
        let Some((exception, after)) = rest.split_first() else {
            return false;
        };
        *rest = after;
        return allowed.contains(&format!("{name} WITH {exception}").as_str());
    }
    allowed.contains(name)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        *rest = &rest[1..];
    }
    found
}

#[test]
fn licence_expressions_are_read_as_written() {
    let allowed = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"];
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "(GPL-3.0 OR MIT) AND Zlib",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(Licence(good).is_allowed(&allowed), "{good}");
    }
    for bad in [
        "",
        "none",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(GPL-3.0 OR MIT) AND GPL-3.0",
        "Apache-2.0",
        "MIT MIT",
        "(MIT",
    ] {
        assert!(!Licence(bad).is_allowed(&allowed), "{bad}");
    }
}
