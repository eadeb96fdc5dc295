//! One client's script against a simulator of its own: started, limited in time, judged.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::compare::Line;
use crate::skip::skip;
use crate::{installed, rows};

/// How long a script may take; the longest waits a minute for a track that nobody pulls.
const LIMIT: Duration = Duration::from_secs(110);
/// How long the simulator may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// What a script is written in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    JavaScript,
    Python,
}

/// A client that is not ours.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) language: Language,
    /// In this folder.
    pub(crate) script: &'static str,
    /// Options of `segue sim`.
    pub(crate) sim: &'static [&'static str],
    /// What the script exercises at least.
    pub(crate) rows: &'static [&'static str],
}

/// Runs a client's script and judges every line that it prints. Skips aloud where the client is not installed.
pub(crate) async fn play(client: &Client) {
    let packages = match client.language {
        Language::JavaScript => installed::javascript(),
        Language::Python => installed::python(),
    };
    let Some(packages) = packages else {
        skip(&format!(
            "{}: not installed; run `cargo xtask test clients`",
            client.name
        ));
        return;
    };
    let (_sim, ready) = simulator(client.sim).await;
    let control = serde_json::from_str::<Value>(&ready).unwrap()["control"]
        .as_str()
        .unwrap()
        .to_owned();
    let (lines, complaint) = run(client, &packages, &ready).await;
    let failed = judge(&lines, &control).await;
    let mut done: Vec<&str> = lines.iter().map(|line| line.row.as_str()).collect();
    done.sort_unstable_by_key(|row| (row.get(..1), row.get(1..).and_then(|number| number.parse::<u32>().ok())));
    done.dedup();
    let missing: Vec<_> = client.rows.iter().filter(|row| !done.contains(*row)).collect();
    assert!(
        complaint.is_none() && failed.is_empty() && missing.is_empty(),
        "{} against the simulator:\n{}\nrows that it did not exercise: {missing:?}\n{}",
        client.name,
        failed.join("\n"),
        complaint.unwrap_or_default(),
    );
    report(client, &done);
}

/// A simulator of one's own and its ready line. It ends when the child is dropped.
async fn simulator(options: &[&str]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_segue"))
        .arg("sim")
        .args(options)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = timeout(READY, lines.next_line()).await;
    let ready = ready
        .expect("the simulator is ready in time")
        .unwrap()
        .expect("a ready line");
    (child, ready)
}

/// The script's lines, and why it did not end well.
async fn run(client: &Client, packages: &Path, ready: &str) -> (Vec<Line>, Option<String>) {
    let folder = workplace(client.language, packages);
    let script = folder.path().join(client.script);
    let mut command = match client.language {
        Language::JavaScript => Command::new("node"),
        Language::Python => {
            let mut command = Command::new("python3");
            command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
    };
    let child = command
        .arg(script)
        .current_dir(folder.path())
        .env("SEGUE_SIM", ready)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = match timeout(LIMIT, child).await {
        Ok(ended) => ended.unwrap(),
        Err(_) => return (vec![], Some(format!("it did not end within {LIMIT:?}"))),
    };
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let mut complaint = (!ended.status.success()).then(|| {
        format!(
            "it ended with {}:\n{}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        )
    });
    let mut lines = Vec::new();
    // A library may speak too; what begins like a line of ours must be one.
    for text in said.lines().filter(|text| text.starts_with("{\"row\"")) {
        match serde_json::from_str(text) {
            Ok(line) => lines.push(line),
            Err(error) => complaint = Some(format!("a line that cannot be read: {error}: {text}")),
        }
    }
    (lines, complaint)
}

/// A folder with the scripts, where Node.js finds the packages.
fn workplace(language: Language, packages: &Path) -> TempDir {
    let folder = tempfile::Builder::new().prefix("segue-clients-").tempdir().unwrap();
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for entry in std::fs::read_dir(scripts).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|kind| kind == "mjs" || kind == "py") {
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    if matches!(language, Language::JavaScript) {
        std::os::unix::fs::symlink(packages, folder.path().join("node_modules")).unwrap();
    }
    folder
}

/// What is wrong with the lines, by the simulator's records.
async fn judge(lines: &[Line], control: &str) -> Vec<String> {
    let log: Vec<Value> = get(&format!("{control}/log"))
        .await
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let counters: Value = serde_json::from_str(&get(&format!("{control}/counters")).await).unwrap();
    let mut failed = Vec::new();
    for line in lines {
        let audio = match &line.heard {
            None => Value::Null,
            Some(heard) => {
                let report = get(&format!("{control}/guilds/{}/audio?since_ms=0", heard.guild)).await;
                serde_json::from_str(&report).unwrap()
            }
        };
        if !rows::is_known(&line.row) {
            failed.push(format!("{}: there is no such row", line.row));
        } else if let Err(why) = line.judge(&log, &counters, &audio) {
            failed.push(format!("{}: the client saw {}, but {why}", line.row, line.saw));
        }
    }
    failed
}

async fn get(url: &str) -> String {
    let answer = reqwest::get(url).await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.text().await.unwrap()
}

/// Adds a line to the file that `SEGUE_CLIENT_ROWS` names, for the list at the end of `cargo xtask test`.
fn report(client: &Client, rows: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "the list's file is given by the environment")]
    let Ok(path) = std::env::var("SEGUE_CLIENT_ROWS") else {
        return;
    };
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    writeln!(file, "{}\t{}", client.name, rows.join(" ")).unwrap();
}
