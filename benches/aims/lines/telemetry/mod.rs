//! What telling costs: the page of metrics, and traces that are sent while a thousand guilds play.

pub(crate) mod instructions;
mod page;
mod sink;

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::sink::Sink;
use super::Line;
use crate::crowd::{self, Place};
use crate::figure::{Aim, Figure, Outcome, median};
use crate::harness::{Setup, World};
use crate::process;
use segue::sim;

pub(crate) const LINE: Line = Line {
    name: "telemetry",
    about: "the page of metrics with 100 and 1,000 players, and processor time with traces sent and without (takes six minutes)",
    run: || Box::pin(measure()),
};

/// So many that Discord lets a thousand guilds join within a minute.
const SHARDS: u32 = 16;
const JOINS: usize = 95;
const GUILDS: usize = 1_200;
const FEW: usize = 100;
const MANY: usize = 1_000;
/// How often each way, by turns.
const ROUNDS: usize = 3;
/// After a start, until what it did once is over; and how long the processor is watched.
const SETTLES: Duration = Duration::from_secs(15);
const WATCH: Duration = Duration::from_secs(20);
/// Somebody gives a command this often, so that there is something to trace.
const COMMAND_EVERY: Duration = Duration::from_millis(100);
/// Cores that traces may cost.
const CORES: f64 = 0.05;

async fn measure() -> Outcome {
    let world = World::with(sim::Options {
        guilds: GUILDS,
        shards: SHARDS,
        max_concurrency: SHARDS,
        nodes: vec!["a".into(), "b".into()],
        ..sim::Options::default()
    })
    .await;
    let setup = Setup::sqlite(&world);
    let places = crowd::spread(&crowd::places(&world).await, MANY, JOINS);
    let mut figures = page::figures(&world, &setup, &places, FEW).await;
    figures.extend(traces(&world, &setup, &places).await);
    Outcome::Measured(figures)
}

async fn traces(world: &World, setup: &Setup, places: &[Place]) -> Vec<Figure> {
    let sink = Sink::start().await;
    let traced = setup
        .clone()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url)
        .set("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(cores(world, setup, places).await);
        assert!(with.is_empty() || sink.bytes() > 0, "nothing was sent");
        with.push(cores(world, &traced, places).await);
    }
    let (without, with) = (median(&without), median(&with));
    vec![
        Figure::new(
            "1,000 players, ten commands a second: cores more with traces",
            (with - without).max(0.0),
            "cores",
            CORES,
            "a twentieth of a core",
            Aim::AtMost(1.0),
        ),
        Figure::new("the same without traces", without, "cores", 1.0, "a core", Aim::Told),
    ]
}

/// A replica takes the music over that plays already; what it uses then.
async fn cores(world: &World, setup: &Setup, places: &[Place]) -> f64 {
    let bot = setup.ready().await;
    crowd::heard(world, places, page::TITLE).await;
    sleep(SETTLES).await;
    let before = process::cpu(bot.pid());
    commands(world, places).await;
    let used = process::cpu(bot.pid()).saturating_sub(before);
    bot.kill().await;
    used.as_secs_f64() / WATCH.as_secs_f64()
}

async fn commands(world: &World, places: &[Place]) {
    let begun = Instant::now();
    let mut turns = interval(COMMAND_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (nth, place) in places.iter().enumerate() {
        turns.tick().await;
        if begun.elapsed() >= WATCH {
            return;
        }
        crowd::ask(world, place, "volume", json!({ "level": 40 + nth % 40 })).await;
    }
}
