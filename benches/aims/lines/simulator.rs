//! What the simulator itself costs: a wrong figure for the bot may be a slow world.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::Line;
use crate::figure::{Aim, Figure, Outcome};

pub(crate) const LINE: Line = Line {
    name: "simulator",
    about: "the simulator alone: 10,000 guilds and 1,000 players, 100,000 idle guilds, 20,000 events a second",
    run: || Box::pin(measure()),
};

/// What 10,000 guilds and 1,000 players may take of a core.
const CORES: f64 = 0.5;
/// Events a second that have to come through.
const EVENTS: f64 = 20_000.0;
/// Generators of load are allowed to be this much slower than asked for: they wake up once in a while, not all the time.
const NEARLY: f64 = 0.99;
/// How long 100,000 guilds may take; the bots that wait for the simulator wait this long.
const START_MS: f64 = 10_000.0;

async fn measure() -> Outcome {
    let ended = Command::new(env!("CARGO_BIN_EXE_segue"))
        .args(["sim", "measure"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(ended.status.success(), "segue sim measure ended with {}", ended.status);
    let told: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let number = |pointer: &str| told.pointer(pointer).and_then(Value::as_f64).expect(pointer);
    assert_eq!(told.pointer("/steady/players"), Some(&Value::from(1_000)), "all play");
    let figure = |what: &str, pointer: &str, unit: &'static str, against: f64, of: &str, aim: Aim| {
        Figure::new(what, number(pointer), unit, against, of, aim)
    };
    let most = Aim::AtMost(1.0);
    Outcome::Measured(vec![
        figure(
            "10,000 guilds, 1,000 players",
            "/steady/cores",
            "cores",
            CORES,
            "the limit",
            most,
        ),
        figure(
            "100,000 idle guilds: until everything listens",
            "/start/ms",
            "ms",
            START_MS,
            "the limit",
            most,
        ),
        figure("the same: memory", "/start/mib", "MiB", 1_024.0, "a GiB", Aim::Told),
        figure(
            "events a second that clients got",
            "/dispatch/received_per_s",
            "events/s",
            EVENTS,
            "asked for",
            Aim::AtLeast(NEARLY),
        ),
        figure("cores for that", "/dispatch/cores", "cores", 1.0, "a core", Aim::Told),
    ])
}
