//! Twenty guilds play; the bot and every node die at once; the bot starts again. When is the last guild heard?

use serde_json::json;

use super::Line;
use crate::crowd::{self, Place};
use crate::figure::{Aim, Figure, Outcome, median, percentile};
use crate::harness::{Setup, World};

pub(crate) const LINE: Line = Line {
    name: "restore",
    about: "twenty guilds, after the bot and all nodes died: from the start of the process to the last one heard",
    run: || Box::pin(measure()),
};

const GUILDS: usize = 20;
const ROUNDS: u64 = 5;
/// What is allowed.
const LIMIT_MS: f64 = 1_500.0;

async fn measure() -> Outcome {
    let world = World::start(GUILDS).await;
    let setup = Setup::sqlite(&world);
    let places = crowd::places(&world).await;
    let mut bot = setup.ready().await;
    crowd::play(&world, &places, "Alpha").await;
    let mut took = Vec::new();
    for round in 1..=ROUNDS {
        // Past the three seconds in which a death is laid to a guild that was being loaded: that would be another measurement.
        world.heard_for(&places[0].guild, round * 4_500).await;
        bot.kill().await;
        for node in ["a", "b"] {
            world.fault(json!({ "kind": "restart_node", "node": node })).await;
        }
        for place in &places {
            world.silent(&place.guild).await;
        }
        let started = now_ms(&world).await;
        bot = setup.spawn();
        crowd::heard(&world, &places, "Alpha").await;
        took.push(last_heard_ms(&world, &places).await - started);
    }
    let figure = |what: &str, value: f64, aim: Aim| Figure {
        what: what.to_owned(),
        value,
        unit: "ms",
        against: LIMIT_MS,
        of: "the limit".to_owned(),
        aim,
    };
    Outcome::Measured(vec![
        figure(
            "until the last of 20 guilds is heard, slowest of 5",
            percentile(&took, 1.0),
            Aim::AtMost(1.0),
        ),
        figure("the same, median of 5", median(&took), Aim::Told),
    ])
}

async fn now_ms(world: &World) -> f64 {
    world.world().await["now_ms"].as_f64().unwrap()
}

/// When the guild that came back last was heard again, by the simulator's own record.
async fn last_heard_ms(world: &World, places: &[Place]) -> f64 {
    let mut last = 0.0_f64;
    for place in places {
        let audio = world.audio(&place.guild).await;
        let segment = audio["segments"].as_array().unwrap().last().unwrap().clone();
        last = last.max(segment["from_ms"].as_f64().unwrap());
    }
    last
}
