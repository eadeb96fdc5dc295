//! What documents point at exists.

use std::path::Path;

use super::all_well;
use super::source::{files, full, read, root};

fn documents() -> Vec<String> {
    let top = std::fs::read_dir(root()).expect("the repository can be read");
    let mut found: Vec<String> = top
        .filter_map(|entry| entry.expect("the entry can be read").file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md"))
        .collect();
    found.extend(files("docs", "md"));
    found
}

/// The targets of `[text](target)` and `![text](target)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let (mut found, mut in_code) = (Vec::new(), false);
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            found.extend(targets.map(|(target, _)| target.to_owned()));
        }
    }
    found
}

/// The anchors that a page's headings make.
fn anchors(text: &str) -> Vec<String> {
    let headings = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim());
    let kept = |letter: &char| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter);
    headings
        .map(|heading| {
            heading
                .to_lowercase()
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_in_a_document_leads_somewhere() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = read(&document);
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link
                .split_once('#')
                .map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() {
                document.clone()
            } else {
                format!("{folder}/{path}").trim_start_matches('/').to_owned()
            };
            if !full(&target).exists() {
                wrong.push(format!("{document}: {link}: no such file"));
            } else if anchor.is_some_and(|anchor| !anchors(&read(&target)).iter().any(|known| known == anchor)) {
                wrong.push(format!("{document}: {link}: no such heading"));
            }
        }
    }
    all_well("Correct these links, or remove them.", &wrong);
}

#[test]
fn the_page_for_newcomers_says_what_the_package_says() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let rust = manifest["package"]["rust-version"]
        .as_str()
        .expect("rust-version is text");
    for document in ["README.md", "CONTRIBUTING.md", ".ci/run"] {
        assert!(
            read(document).contains(&format!("Rust {rust}")),
            "{document} does not name Rust {rust}, which Cargo.toml asks for"
        );
    }
}

#[test]
fn every_test_that_the_table_of_failures_names_is_a_test() {
    let code: Vec<String> = ["tests", "src"]
        .into_iter()
        .flat_map(super::source::rust_files)
        .map(|file| file.text)
        .collect();
    let table = read("docs/failures.md");
    let names = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|row| row.split('`').skip(1).step_by(2));
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 30, "the table is there: {names:?}");
    let wrong: Vec<String> = names
        .into_iter()
        .filter(|name| !code.iter().any(|text| text.contains(&format!("fn {name}("))))
        .map(str::to_owned)
        .collect();
    all_well(
        "No test has these names. Name the one that covers the failure now.",
        &wrong,
    );
}
