//! Settings as a person meets them: exit codes, and output that never holds a secret.

use std::io::Write as _;
use std::process::{Command, Output};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A secret that no output may contain.
const SECRET: &str = "hunter2sesame";

fn segue(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nowhere")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn bad_settings_end_with_two_and_all_problems() {
    let environment = [
        ("SEGUE_SHARDS", "many"),
        ("SEGUE_LAVALINK_NODES", "a=http://hunter2sesame@h"),
    ];
    let output = segue(&["run"], &environment);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for expected in [
        "error: DISCORD_TOKEN: it is required and not set",
        "error: SEGUE_SHARDS (environment): \"many\"",
        "error: SEGUE_LAVALINK_NODES (environment): entry 1: a user but no password",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(output.stdout, b"", "problems are no output");
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_two() {
    for arguments in [
        &["run", "--shard", "2"][..],
        &["sing"],
        &["run", "--discord-token", SECRET],
    ] {
        let output = segue(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn the_effective_settings_are_shown_with_their_sources_and_without_secrets() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "shards = 4\n[lavalink_nodes]\na = \"http://:hunter2sesame@lava:2333\""
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let environment = [
        ("DISCORD_TOKEN", SECRET),
        ("SEGUE_STORE", "mongodb://user:hunter2sesame@db/segue"),
        ("SEGUE_CONFIG", path),
    ];
    for arguments in [&["config"][..], &["config", "--json"]] {
        let output = segue(arguments, &environment);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains(SECRET), "{said}");
        for expected in [
            "***",
            "a=http://:***@lava:2333/",
            "mongodb://***@db/segue",
            &format!("{path}:1"),
        ] {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
    }
    let output = segue(&["config", "--json", "--shards", "8"], &environment);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = shown["settings"].as_array().unwrap();
    let shards = rows.iter().find(|row| row["key"] == "SEGUE_SHARDS").unwrap();
    assert_eq!(
        *shards,
        serde_json::json!({"key": "SEGUE_SHARDS", "value": "8", "source": "--shards"})
    );
}

#[test]
fn settings_that_are_wrong_are_still_shown_and_end_with_two() {
    let output = segue(&["config"], &[("SEGUE_STORE", "mongodb://u:hunter2sesame/x@h/db")]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("SEGUE_HTTP_LISTEN") && !said.contains(SECRET), "{said}");
}

#[test]
fn the_catalogue_of_metrics_is_a_table_and_json() {
    let output = segue(&["metrics-catalog"], &[]);
    assert!(
        text(&output).contains("segue_guild_recovery_duration_seconds"),
        "{}",
        text(&output)
    );
    let output = segue(&["metrics-catalog", "--json"], &[]);
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let recovery = entries
        .iter()
        .find(|entry| entry["name"] == "segue_guild_recovery_duration_seconds")
        .unwrap();
    assert_eq!(recovery["type"], "histogram");
    assert_eq!(recovery["labels"], serde_json::json!(["trigger", "outcome"]));
}

/// Answers 401 to any token, and as a Lavalink 403 to any password.
async fn refusing(tasks: &mut JoinSet<()>) -> String {
    let app = Router::new()
        .route("/api/v10/users/@me", get(|| async { StatusCode::UNAUTHORIZED }))
        .route("/api/v10/gateway/bot", get(|| async { StatusCode::UNAUTHORIZED }))
        .route(
            "/v4/info",
            get(|headers: HeaderMap| async move {
                assert!(headers.contains_key("authorization"));
                StatusCode::FORBIDDEN
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_wrong_and_what_to_do_and_ends_with_one() {
    let mut tasks = JoinSet::new();
    let address = refusing(&mut tasks).await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}/segue.db", folder.path().display());
    let nodes = format!("a=http://:{SECRET}@{address},b=http://:{SECRET}@127.0.0.1:1");
    let api = format!("http://{address}");
    let output = tokio::task::spawn_blocking(move || {
        let environment = [
            ("DISCORD_TOKEN", SECRET),
            ("SEGUE_STORE", &store),
            ("SEGUE_LAVALINK_NODES", &nodes),
            ("SEGUE_DISCORD_API_URL", &api),
        ];
        segue(&["doctor"], &environment)
    });
    let output = output.await.unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in [
        "✗ token       Discord refuses the token (401)",
        "✗ Lavalink a  is there, but refuses the password (403)",
        "✗ Lavalink b  cannot be reached at http://127.0.0.1:1",
        "→ compare it with lavalink.server.password",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert!(!said.contains(SECRET), "{said}");
}
