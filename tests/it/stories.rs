//! Stories, told by the real program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::harness::within;

/// Nothing here takes longer, and the demo's start is what takes longest.
const LIMIT: Duration = Duration::from_secs(90);

/// A folder with a story in it.
fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evening.story");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

fn segue(arguments: &[&str], story: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(arguments)
        .arg("--story")
        .arg(story)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn first_line(child: &mut Child) -> Value {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(LIMIT, lines.next_line())
        .await
        .expect("a line in time")
        .unwrap();
    serde_json::from_str(&line.expect("the program is still there")).unwrap()
}

/// Waits until the log has events of these kinds in this order; `kind` or `kind:text`, where the text is somewhere in it.
async fn logged(control: &str, wanted: &[&str]) -> String {
    within(LIMIT, &format!("{wanted:?} in this order"), || async {
        let log = reqwest::get(format!("{control}/log"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let mut left = wanted.iter().peekable();
        for line in log.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            left.next_if(|wish| {
                let (kind, text) = wish.split_once(':').unwrap_or((wish, ""));
                event["kind"] == kind && line.contains(text)
            });
        }
        match left.peek() {
            None => Ok(log),
            Some(missing) => Err(format!("{missing} is missing")),
        }
    })
    .await
}

/// Ends a program as Ctrl-C does; what it said on the standard error.
async fn ended(mut child: Child) -> (bool, String) {
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let mut said = String::new();
    let mut pipe = child.stderr.take().unwrap();
    let status = timeout(LIMIT, async {
        pipe.read_to_string(&mut said).await.unwrap();
        child.wait().await.unwrap()
    });
    (status.await.expect("it ends in time").success(), said)
}

#[tokio::test]
async fn a_story_happens_in_the_simulated_world() {
    let (_folder, file) = written(
        "at 300ms kill node a\n# in between\nat 100ms user 7 joins\nat 500ms start node a\nat 600ms add guild\n\
         at 700ms user 1 runs /nothing\nat 800ms note \"the end\"\n",
    );
    let mut sim = segue(&["sim", "--guilds", "3"], &file);
    let control = first_line(&mut sim).await["control"].as_str().unwrap().to_owned();
    let order = [
        "node_up",
        "voice_state",
        "node_down",
        "node_up",
        "guild_created",
        "fault_begin:the end",
    ];
    logged(&control, &order).await;
    let world: Value = reqwest::get(format!("{control}/world"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        world["guilds"][2]["members"][0]["voice"].is_string(),
        "user 7 is the first person of guild 3"
    );
    assert_eq!(world["guilds"].as_array().unwrap().len(), 4);
    let (well, said) = ended(sim).await;
    assert!(well, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], [" 0:00 user 7 joins", " 0:00 kill node a"]);
    assert!(
        lines[4].contains("user 1 runs /nothing – but") && lines[4].contains("registered"),
        "{said}"
    );
}

#[tokio::test]
async fn a_story_that_cannot_be_told_is_refused_before_anything_starts() {
    for (text, expected) in [
        ("at 1s kill replica a\n", "only `segue demo` has those"),
        ("at 1s add guild\nat 2s kil node a\n", "evening.story:2: \"kil\""),
    ] {
        let (_folder, file) = written(text);
        let output = timeout(LIMIT, segue(&["sim"], &file).wait_with_output())
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_a_story_with_its_replicas() {
    let (folder, file) = written(
        "at 0s kill replica a\nat 100ms kill node a\nat 2s start node a\nat 3s roll replicas\n\
         at 8s user 1 runs /nowplaying\nat 9s note \"over\"\n",
    );
    let mut demo = segue(&["demo", "--json", "--replicas", "1", "--guilds", "2"], &file);
    let control = first_line(&mut demo).await["sim"]["control"]
        .as_str()
        .unwrap()
        .to_owned();
    let order = [
        "fault_begin:kill -9 replica a",
        "node_down",
        "resume",
        "node_up",
        "fault_begin:SIGTERM for replica a",
        "resume",
        "interaction_issued",
        "interaction_acknowledged",
    ];
    logged(&control, &order).await;
    let (well, said) = ended(demo).await;
    assert!(well, "{said}");
    assert!(
        said.contains("0:00 kill replica a") && said.contains("The story begins"),
        "{said}"
    );
    drop(folder);
}
