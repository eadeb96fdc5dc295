//! The shape of files: a first line that says what for, a `mod` that names them, a size, a good name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::all_well;
use super::source::{Source, full, root, rust_files};

/// Lines that a file of the program may have, and one of the tests, which is read one test at a time.
const LONGEST: usize = 600;
const LONGEST_TEST: usize = 1_200;
/// Words that say nothing about what a thing does.
const EMPTY_WORDS: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "stuff",
];
/// Where Rust begins.
const ROOTS: &[&str] = &["src/lib.rs", "src/main.rs", "xtask/src/main.rs", "benches/aims/main.rs"];

fn everything() -> Vec<Source> {
    ["src", "tests", "benches", "xtask/src"]
        .into_iter()
        .flat_map(rust_files)
        .collect()
}

#[test]
fn every_file_begins_by_saying_what_it_is_for() {
    let wrong: Vec<String> = everything()
        .iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.clone())
        .collect();
    all_well(
        "Begin these files with a line `//! …` that says what they are for.",
        &wrong,
    );
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut wrong = Vec::new();
    for file in everything() {
        let (lines, allowed) = (
            file.text.lines().count(),
            if file.is_test() { LONGEST_TEST } else { LONGEST },
        );
        if lines > allowed {
            wrong.push(format!("{}: {lines} lines, {allowed} are allowed", file.path));
        }
    }
    all_well("Split these files where the subject changes.", &wrong);
}

#[test]
fn no_name_is_empty_of_meaning() {
    let mut wrong = Vec::new();
    for file in everything() {
        let stems = file.path.trim_end_matches(".rs").split(['/', '_']);
        if stems.into_iter().any(|part| EMPTY_WORDS.contains(&part)) {
            wrong.push(file.path.clone());
        }
        for (number, line) in file.code() {
            let declared = line.trim_start().trim_start_matches("pub ").split_once(' ');
            let Some(("struct" | "enum" | "trait" | "mod" | "type", rest)) = declared else {
                continue;
            };
            let name = rest
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .next()
                .unwrap_or_default();
            let lower = name.to_lowercase();
            if EMPTY_WORDS.iter().any(|word| lower == *word || lower.ends_with(word)) {
                wrong.push(format!("{}:{number}: {name}", file.path));
            }
        }
    }
    all_well("Name these after what they do, not after being useful.", &wrong);
}

#[test]
fn every_file_is_named_by_a_mod() {
    let files = everything();
    let roots = files
        .iter()
        .filter(|file| is_root(&file.path))
        .map(|file| full(&file.path));
    let (mut open, mut reached): (Vec<PathBuf>, BTreeSet<PathBuf>) = (roots.collect(), BTreeSet::new());
    while let Some(path) = open.pop() {
        let path = path.canonicalize().unwrap_or(path);
        let Some(file) = files
            .iter()
            .find(|file| full(&file.path).canonicalize().is_ok_and(|full| full == path))
        else {
            continue;
        };
        if reached.insert(path) {
            open.extend(children(file));
        }
    }
    let wrong: Vec<String> = files
        .iter()
        .filter(|file| {
            !full(&file.path)
                .canonicalize()
                .is_ok_and(|path| reached.contains(&path))
        })
        .map(|file| file.path.clone())
        .collect();
    all_well(
        "No `mod` names these files, so nothing compiles them. Name them, or delete them.",
        &wrong,
    );
}

/// Every file directly in `tests`, or a `main.rs` one folder below, is a program of its own to Cargo.
fn is_root(path: &str) -> bool {
    let in_tests = path.strip_prefix("tests/");
    ROOTS.contains(&path)
        || in_tests
            .is_some_and(|rest| !rest.contains('/') || rest.split_once('/').is_some_and(|(_, file)| file == "main.rs"))
}

/// Where the files may lie that a file's `mod` lines name.
fn children(file: &Source) -> Vec<PathBuf> {
    let path = Path::new(&file.path);
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().unwrap_or_default();
    let own = if stem == "mod" || is_root(&file.path) || ROOTS.contains(&file.path.as_str()) {
        folder.to_owned()
    } else {
        folder.join(stem)
    };
    let (mut found, mut elsewhere) = (Vec::new(), None);
    for line in file.text.lines().map(str::trim) {
        if let Some(told) = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"))
        {
            elsewhere = Some(root().join(folder).join(told));
        } else if let Some(name) = line
            .strip_suffix(';')
            .and_then(|line| line.split_once("mod "))
            .filter(|(before, _)| is_visibility(before))
        {
            let plain = [own.join(format!("{}.rs", name.1)), own.join(name.1).join("mod.rs")];
            found.extend(
                elsewhere
                    .take()
                    .map_or_else(|| plain.map(|path| root().join(path)).to_vec(), |path| vec![path]),
            );
        }
    }
    found
}

fn is_visibility(before: &str) -> bool {
    before.is_empty() || (before.starts_with("pub") && before.ends_with(' '))
}
