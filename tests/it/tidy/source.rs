//! The repository's files, as the other checks read them.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file.
#[derive(Debug)]
pub(super) struct Source {
    /// From the repository's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The lines with their numbers, without comments, and without the tests at the end of the file.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..tests]
            .lines()
            .enumerate()
            .map(|(number, line)| (number + 1, line.split_once("//").map_or(line, |(code, _)| code)))
    }

    /// Whether the file holds tests only.
    pub(super) fn is_test(&self) -> bool {
        let stem = self.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || ["tests", "testing", "conformance"].contains(&stem)
            || stem.ends_with("_tests")
    }
}

/// The repository's root.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the repository, in order.
pub(super) fn rust_files(folder: &str) -> Vec<Source> {
    files(folder, "rs")
        .into_iter()
        .map(|path| Source {
            text: read(&path),
            path,
        })
        .collect()
}

/// The paths of all files with an ending, below a folder of the repository.
pub(super) fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(shown(&path));
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    let inside = path.strip_prefix(root()).expect("the file lies in the repository");
    inside.to_string_lossy().replace('\\', "/")
}

/// A file's text.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(full(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Where a file lies.
pub(super) fn full(path: &str) -> PathBuf {
    root().join(path)
}

/// Whether `name` stands in `line` as a word of its own.
pub(super) fn names(line: &str, name: &str) -> bool {
    let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(part_of_word) && !line[at + name.len()..].starts_with(part_of_word))
}
