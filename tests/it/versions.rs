//! Two versions of the program, the second one snapshot schema newer, on one store: forward and back.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Bot, Setup, World};

/// What this program writes, and the one after it.
const TODAY: i64 = 2;
const NEXT: i64 = 3;

/// Builds the program with the next schema; the dependencies are those of this build.
fn next_program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "build",
            "--locked",
            "--features",
            "next-schema",
            "--example",
            "next",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    if profile == "release" {
        cargo.arg("--release");
    }
    // What Cargo told this test about itself must not look like a changed environment to build scripts.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_BIN_") {
            cargo.env_remove(&key);
        }
    }
    let output = cargo.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "the next version does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    target.join(profile).join("examples/next")
}

struct Store(PathBuf);

impl Store {
    fn of(setup: &Setup) -> Self {
        let path = setup.address().strip_prefix("sqlite:").expect("a file");
        Self(path.into())
    }

    fn db(&self) -> Connection {
        let db = Connection::open(&self.0).expect("opens");
        db.busy_timeout(std::time::Duration::from_secs(5)).expect("set");
        db
    }

    /// The schema of the only guild, and its head.
    fn head(&self) -> (i64, Value) {
        let select = "SELECT g.schema, h.head FROM guilds g JOIN guild_heads h ON h.id = g.id";
        let row = self
            .db()
            .query_row(select, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
        let (schema, head) = row.expect("one guild");
        (schema, serde_json::from_str(&head).expect("JSON"))
    }

    /// Whoever ended is forgotten, as it is after a day.
    fn a_day_passes(&self) {
        let forgotten = self
            .db()
            .execute("DELETE FROM members WHERE state IN ('gone', 'fenced')", []);
        assert!(forgotten.expect("deleted") > 0);
    }
}

async fn set_volume(world: &World, guild: &str, level: u64) {
    let answer = world.command(guild, "volume", json!({ "level": level })).await;
    assert!(answer.is_acknowledged(), "{answer:#?}");
}

/// What a person reads when asking for the volume.
async fn volume(world: &World, guild: &str) -> String {
    world.command(guild, "volume", json!({})).await.text()
}

/// It takes over from the one before; the guild plays on, and nobody hears a gap.
async fn carried_on(world: &World, guild: &str, bot: Bot) -> Bot {
    bot.logged("ready").await;
    let recovered = bot.logged("recovered").await;
    assert_eq!(recovered["outcome"], "carried_on", "{recovered}");
    world.heard(guild, "Alpha").await;
    assert_eq!(world.gaps(guild).await, Vec::<Value>::new());
    bot
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_and_the_way_back_lose_nothing() {
    let building = tokio::task::spawn_blocking(next_program);
    let world = World::start(1).await;
    let guild = world.guilds().await.remove(0);
    let today = Setup::sqlite(&world);
    let store = Store::of(&today);
    let bot = today.ready().await;
    world.play(&guild, "Alpha").await;
    set_volume(&world, &guild, 71).await;
    let next = today.with_program(&building.await.expect("builds"));

    // Forward, and at once back: what the older version wrote and may come back for is still written in its words.
    assert!(bot.terminate().await.0.success());
    let bot = carried_on(&world, &guild, next.spawn()).await;
    assert!(volume(&world, &guild).await.contains("71"));
    set_volume(&world, &guild, 72).await;
    assert_eq!(store.head().0, TODAY, "the older version ended less than a day ago");
    bot.kill().await;
    let bot = carried_on(&world, &guild, today.spawn()).await;
    assert!(
        volume(&world, &guild).await.contains("72"),
        "though the newer version just died"
    );

    // Forward for good: a day after the last of the older version, the newer schema is written.
    assert!(bot.terminate().await.0.success());
    store.a_day_passes();
    let bot = carried_on(&world, &guild, next.spawn()).await;
    set_volume(&world, &guild, 73).await;
    let (schema, head) = store.head();
    assert_eq!(
        (schema, &head["schema"], &head["loudness"]["percent"]),
        (NEXT, &json!(3), &json!(73))
    );
    assert_eq!(head["volume"], Value::Null, "the older version would misread it");

    // Back all the same, one after the other: whoever leaves says it in words that the older version reads.
    let older = today.start().await;
    older.logged("joined").await;
    assert!(bot.terminate().await.0.success());
    let bot = carried_on(&world, &guild, older).await;
    assert_eq!(store.head().0, TODAY);
    assert!(volume(&world, &guild).await.contains("73"));
    world.assert_no_violations().await;
    drop(bot);
}
