//! Instructions for each gateway event with nothing traced, against the same program with all of `tracing` compiled out.
//!
//! A processor's own counter would be the best measure, and virtual machines seldom have one. Valgrind counts what it
//! executes. Both programs are given few events and many, one thread, and end in order; the difference is what the events
//! took, without the start and the end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use super::super::Line;
use crate::feed::Feed;
use crate::figure::{Aim, Figure, Outcome, median};
use crate::harness::{Setup, World};

pub(crate) const LINE: Line = Line {
    name: "instructions",
    about: "instructions for each gateway event, against the program without any tracing (builds it once more)",
    run: || Box::pin(measure()),
};

const VALGRIND: &str = "/usr/bin/valgrind";
const FEW: u64 = 2_000;
const MANY: u64 = 22_000;
/// How often each program is given both, by turns.
const ROUNDS: usize = 3;
/// How many more a program may need that could trace.
const MORE: f64 = 1.01;

async fn measure() -> Outcome {
    if !Path::new(VALGRIND).is_file() {
        return Outcome::Skipped("there is no valgrind; install Debian's valgrind".to_owned());
    }
    let untraced = match untraced().await {
        Ok(program) => program,
        Err(why) => return Outcome::Failed(why),
    };
    let (few, many) = (Feed::prepare(FEW).await, Feed::prepare(MANY).await);
    let (mut off, mut out) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (program, counts) in [
            (Path::new(env!("CARGO_BIN_EXE_segue")), &mut off),
            (&untraced, &mut out),
        ] {
            let more = instructions(program, &many).await - instructions(program, &few).await;
            #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
            counts.push(more / (MANY - FEW) as f64);
        }
    }
    Outcome::Measured(vec![Figure::new(
        "instructions for an event, nothing traced",
        median(&off),
        "",
        median(&out),
        "without any tracing",
        Aim::AtMost(MORE),
    )])
}

/// The same program without `tracing`, in a folder beside the other's. Its features are those of the whole build, so it
/// cannot be had from the same one.
async fn untraced() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_BIN_EXE_segue"))
        .ancestors()
        .nth(2)
        .ok_or("the program has no folder")?
        .join("untraced");
    let (profile, kind) = if cfg!(debug_assertions) {
        ("dev", "debug")
    } else {
        ("release", "release")
    };
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--locked",
            "--quiet",
            "--bin",
            "segue",
            "--features",
            "untraced",
        ])
        .args(["--profile", profile, "--target-dir"])
        .arg(&folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .status()
        .await
        .map_err(|error| format!("cargo does not start: {error}"))?;
    let program = folder.join(kind).join("segue");
    if built.success() {
        Ok(program)
    } else {
        Err("the program without tracing does not build".to_owned())
    }
}

/// All that a program executes from its start to its end.
async fn instructions(program: &Path, feed: &Feed) -> f64 {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::start(0).await);
    let counted = folder.path().join("counted");
    let bot = Setup::sqlite(&world)
        .set("SEGUE_DISCORD_GATEWAY_URL", &feed.url())
        .set("TOKIO_WORKER_THREADS", "1")
        .with_program(&under_valgrind(&folder, program, &counted))
        .spawn();
    let mut client = feed.login().await;
    client.send_events().await;
    let (status, log) = bot.terminate().await;
    drop(client);
    assert!(status.success(), "{status}: {log:?}");
    let said = std::fs::read_to_string(&counted).unwrap();
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = line.unwrap_or_else(|| panic!("no count: {said}"));
    count.trim().parse().unwrap()
}

/// A program that runs another one under Valgrind, as the same process.
fn under_valgrind(folder: &TempDir, program: &Path, counted: &Path) -> PathBuf {
    let script = folder.path().join("segue");
    let text = format!(
        "#!/bin/sh\nexec {VALGRIND} --tool=callgrind --callgrind-out-file=/dev/null --log-file={} {} \"$@\"\n",
        counted.display(),
        program.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}
