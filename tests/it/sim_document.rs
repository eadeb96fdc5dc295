//! `docs/simulator.md` and the simulator say the same, and every row of the protocol has a test of its own.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Client;
use segue::sim::injections::{INJECTIONS, Place};
use segue::sim::{Options, Sim, fault_kinds, start};
use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The rows of the table under a heading, each cell trimmed.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let below = document.split_once(heading).expect("the heading is there").1;
    let lines = below
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    lines.skip(2).map(cells).collect()
}

/// The bodies in a cell that are faults.
fn bodies(cell: &str) -> Vec<Value> {
    let code = cell.split('`').skip(1).step_by(2);
    let faults = code.filter(|code| code.starts_with("{\"kind\"") && !code.contains("stage"));
    faults
        .map(|code| serde_json::from_str(code).unwrap_or_else(|why| panic!("{code}: {why}")))
        .collect()
}

#[test]
fn the_document_lists_every_injection_as_the_code_does() {
    let document = read("docs/simulator.md");
    let rows = table(&document, "### All that is known to go wrong");
    let ids: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let wanted: Vec<&str> = INJECTIONS.iter().map(|one| one.id).collect();
    assert_eq!(ids, wanted);
    for (row, one) in rows.iter().zip(INJECTIONS) {
        assert_eq!(row.len(), 4, "{row:?}");
        assert_eq!(row[2], one.place.word(), "{}", one.id);
        let shown: BTreeSet<String> = bodies(&row[3])
            .iter()
            .map(|body| body["kind"].as_str().unwrap().to_owned())
            .collect();
        let named = |kind: &&&str| shown.contains(**kind) || row[3].contains(&format!("`{kind}`"));
        assert_eq!(
            one.kinds.iter().filter(named).count(),
            one.kinds.len(),
            "{}: {shown:?}",
            one.id
        );
        assert!(
            shown.iter().all(|kind| one.kinds.contains(&kind.as_str())),
            "{}: {shown:?}",
            one.id
        );
        let by_fault = matches!(one.place, Place::Discord | Place::Lavalink);
        assert!(!by_fault || !shown.is_empty(), "{} has no example", one.id);
    }
}

#[test]
fn the_document_lists_every_kind_of_fault() {
    let rows = table(&read("docs/simulator.md"), "### Every kind and its fields");
    let listed: Vec<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(listed, fault_kinds());
    for row in rows {
        let shown = bodies(&row[2]);
        assert_eq!(shown.len(), 1, "{row:?}");
        assert_eq!(shown[0]["kind"], row[0].trim_matches('`'));
    }
}

#[test]
fn the_document_lists_every_rule_of_the_oracle() {
    let rows = table(&read("docs/simulator.md"), "## The oracle");
    let listed: BTreeSet<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let named: BTreeSet<String> = segue::sim::oracle::RULES
        .iter()
        .map(|rule| (*rule).to_owned())
        .collect();
    assert_eq!(listed, named);
}

async fn sim() -> Sim {
    let options = Options {
        guilds: 1,
        ..Options::default()
    };
    start(options).await.unwrap()
}

#[tokio::test]
async fn every_example_of_a_fault_is_taken_and_can_be_ended() {
    let document = read("docs/simulator.md");
    let mut examples = Vec::new();
    for (heading, column) in [
        ("### All that is known to go wrong", 3),
        ("### Every kind and its fields", 2),
    ] {
        examples.extend(table(&document, heading).iter().flat_map(|row| bodies(&row[column])));
    }
    assert!(examples.len() > 80, "{}", examples.len());
    let http = Client::new();
    for mut body in examples {
        // One for each: some of them end the world.
        let sim = sim().await;
        let control = &sim.ready.control;
        let world: Value = http
            .get(format!("{control}/world"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if body["guild"] == "GUILD" {
            body["guild"] = world["guilds"][0]["id"].clone();
        }
        let answer = http.post(format!("{control}/faults")).json(&body).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{body}: {answer}");
        let id = answer["id"].as_str().unwrap();
        let ended = http.delete(format!("{control}/faults/{id}")).send().await.unwrap();
        assert_eq!(ended.status(), 204, "{body}");
        // Whatever the answer: the log says that it began and that it is over.
        let log = http.get(format!("{control}/log?since=0")).send().await.unwrap();
        let log = log.text().await.unwrap();
        let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_fault = events.filter(|event| event["fault"] == id && event["what"] == body["kind"]);
        let course: Vec<Value> = of_fault.map(|event| event["kind"].clone()).collect();
        assert_eq!(course, ["fault_begin", "fault_end"], "{body}");
        sim.shutdown().await;
    }
}

/// The names of all test functions below a folder.
fn functions(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut marked = false;
            for line in text.lines() {
                marked |= line.starts_with("#[tokio::test") || line.trim() == "#[test]";
                let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
                if let Some((name, _)) = name.filter(|_| std::mem::take(&mut marked)) {
                    found.push(name.to_owned());
                }
            }
        }
    }
}

/// The id at the beginning of a name: `g12` of `g12_two_sessions…`.
fn row_of(name: &str) -> Option<&str> {
    let first = name.split('_').next()?;
    let (letter, number) = first.split_at_checked(1)?;
    (["g", "r", "l", "n"].contains(&letter) && number.parse::<u32>().is_ok()).then_some(first)
}

#[test]
fn every_row_of_the_protocol_has_a_test_function_of_its_own() {
    let mut names = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    functions(&root.join("src/sim"), &mut names);
    functions(&root.join("tests/it"), &mut names);
    let tested: BTreeSet<&str> = names.iter().filter_map(|name| row_of(name)).collect();
    let rows = [("g", 28), ("r", 7), ("l", 22), ("n", 16)];
    let wanted = rows
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")));
    let missing: Vec<String> = wanted.filter(|row| !tested.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}");
    let several = names
        .iter()
        .filter(|name| row_of(name).is_some() && name.split('_').nth(1).is_some_and(|next| row_of(next).is_some()));
    let several: Vec<&String> = several.collect();
    assert!(several.is_empty(), "one function for several rows: {several:?}");
}
