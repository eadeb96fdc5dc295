//! A Lavalink node that is killed: when its guilds are heard again elsewhere, and where in the track.

use serde_json::{Value, json};

use super::super::Line;
use super::none;
use crate::crowd::Place;
use crate::figure::{Aim, Figure, Outcome, percentile};
use crate::harness::{World, eventually};
use crate::stage::{self, Stage};

pub(crate) const LINE: Line = Line {
    name: "nodes",
    about: "one of three Lavalink nodes is killed with 1,000 guilds that play: until its guilds are heard elsewhere",
    run: || Box::pin(measure()),
};

const NODE: &str = "a";

async fn measure() -> Outcome {
    let Some(stage) = Stage::playing("nodes").await else {
        return stage::skipped();
    };
    let world = &stage.team.world;
    let began_ms = stage.now_ms().await;
    let mut lost = Vec::new();
    for place in &stage.long {
        let segments = segments(world, place).await;
        if segments
            .last()
            .is_some_and(|now| now["node"] == NODE && now["to_ms"].is_null())
        {
            lost.push(place.clone());
        }
    }
    world.fault(json!({ "kind": "kill_node", "node": NODE })).await;
    let (mut silent, mut errors) = (Vec::new(), Vec::new());
    for place in &lost {
        let (silence, error) = moved(world, place).await;
        silent.push(silence);
        errors.push(error);
    }
    let untouched: Vec<Place> = stage
        .long
        .iter()
        .filter(|place| lost.iter().all(|one| one.guild != place.guild))
        .cloned()
        .collect();
    let gaps = stage.gaps(&untouched, began_ms).await.len();
    let what = format!("until the {} guilds of the node are heard elsewhere, p50", lost.len());
    Outcome::Measured(vec![
        Figure::new(
            &what,
            percentile(&silent, 0.5),
            "ms",
            500.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "the same, p99",
            percentile(&silent, 0.99),
            "ms",
            2_000.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "how far they are off in the track, worst",
            percentile(&errors, 1.0),
            "ms",
            250.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        none("guilds of other nodes with a gap", gaps),
        none("violations", stage.violations().await),
    ])
}

async fn segments(world: &World, place: &Place) -> Vec<Value> {
    world.audio(&place.guild).await["segments"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// Waits until it is heard from another node: milliseconds of silence, and milliseconds of the track lost or heard twice.
async fn moved(world: &World, place: &Place) -> (f64, f64) {
    let segments = eventually("it is heard from another node", || async {
        let segments = segments(world, place).await;
        let now = segments.last().cloned().unwrap_or_default();
        if segments.len() > 1 && now["node"] != NODE && now["to_ms"].is_null() {
            Ok(segments)
        } else {
            Err(segments)
        }
    })
    .await;
    let (before, after) = (&segments[segments.len() - 2], &segments[segments.len() - 1]);
    let number = |segment: &Value, key: &str| segment[key].as_f64().unwrap();
    let silence = number(after, "from_ms") - number(before, "to_ms");
    let error = number(after, "position_from_ms") - number(before, "position_to_ms");
    (silence, error.abs())
}
