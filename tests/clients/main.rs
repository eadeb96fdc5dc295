//! Clients that are not ours, unmodified, against the real `segue sim`: what each saw must be what the simulator logged.
//!
//! `cargo xtask test clients` installs them and runs only these tests. README.md says how to add one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod compare;
#[path = "../../xtask/src/clients.rs"]
#[expect(dead_code, reason = "tests look for the clients, xtask installs them")]
mod installed;
mod rows;
mod scene;
#[path = "../it/skip.rs"]
mod skip;

use scene::{Client, Language, play};

const DISCORD_JS: Client = Client {
    name: "discord.js",
    language: Language::JavaScript,
    script: "discord_js.mjs",
    sim: &["--guilds", "2"],
    rows: &[
        "G2", "G22", "G23", "G24", "G26", "G28", "R1", "R2", "R3", "R4", "R5", "R6", "R7",
    ],
};

const DISCORDJS_WS: Client = Client {
    name: "@discordjs/ws",
    language: Language::JavaScript,
    script: "discordjs_ws.mjs",
    sim: &["--guilds", "16", "--shards", "16", "--max-concurrency", "16"],
    rows: &[
        "G1", "G3", "G5", "G6", "G7", "G8", "G9", "G10", "G11", "G12", "G13", "G14", "G15", "G16", "G17", "G18", "G19",
        "G20", "G22", "G25",
    ],
};

const LAVALINK_CLIENT: Client = Client {
    name: "lavalink-client",
    language: Language::JavaScript,
    script: "lavalink_client.mjs",
    sim: &["--guilds", "2"],
    rows: &[
        "L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L11", "L12", "L13", "L14", "L15", "L16", "L17", "L18",
        "L19", "L20", "L21", "L22", "N1", "N7",
    ],
};

const SHOUKAKU: Client = Client {
    name: "shoukaku",
    language: Language::JavaScript,
    script: "shoukaku.mjs",
    sim: &["--guilds", "1"],
    rows: &["G22", "G26", "L1", "L2", "L4", "L7", "L13", "L15", "L16", "L20"],
};

const LAVALINK_PY: Client = Client {
    name: "lavalink.py",
    language: Language::Python,
    script: "lavalink_py.py",
    sim: &["--guilds", "2"],
    rows: &[
        "G2", "G22", "G27", "L1", "L2", "L3", "L4", "L7", "L15", "L16", "L17", "L18", "L19", "L20", "L21", "N3",
    ],
};

const CLIENTS: [&Client; 5] = [&DISCORD_JS, &DISCORDJS_WS, &LAVALINK_CLIENT, &SHOUKAKU, &LAVALINK_PY];

#[tokio::test]
async fn discord_js_logs_in_answers_people_and_joins_voice() {
    play(&DISCORD_JS).await;
}

#[tokio::test]
async fn discordjs_ws_resumes_what_another_process_stored() {
    play(&DISCORDJS_WS).await;
}

#[tokio::test]
async fn lavalink_client_plays_and_takes_its_session_over() {
    play(&LAVALINK_CLIENT).await;
}

#[tokio::test]
async fn shoukaku_plays_resumes_and_loses_a_node() {
    play(&SHOUKAKU).await;
}

#[tokio::test]
async fn lavalink_py_plays_resumes_and_loses_a_node() {
    play(&LAVALINK_PY).await;
}

/// [`play`] fails where a client does not exercise what its table promises, so the tables may be counted.
#[test]
fn clients_that_are_not_ours_exercise_at_least_forty_of_the_57_rows() {
    let promised: std::collections::BTreeSet<&str> = CLIENTS.iter().flat_map(|client| client.rows).copied().collect();
    let listed = promised.iter().filter(|row| rows::is_listed(row)).count();
    assert!(listed >= 40, "only {listed}: {promised:?}");
    let odd: Vec<_> = promised.iter().filter(|row| !rows::is_known(row)).collect();
    assert!(odd.is_empty(), "there are no such rows: {odd:?}");
}
