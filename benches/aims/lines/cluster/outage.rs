//! MongoDB without a primary.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::super::Line;
use super::{none, unbothered};
use crate::figure::Outcome;
use crate::people::People;
use crate::stage::{self, Stage};

pub(crate) const LINE: Line = Line {
    name: "outage",
    about: "MongoDB without a primary for 15 s, with 1,000 guilds that play: gaps, owners, commands",
    run: || Box::pin(measure()),
};

const WITHOUT: Duration = Duration::from_secs(15);

async fn measure() -> Outcome {
    let Some(stage) = Stage::playing("outage").await else {
        return stage::skipped();
    };
    let before = owners(&stage).await;
    let people = People::begin(&stage.team.world, stage.one_of_each_shard().into_values()).await;
    let began_ms = stage.now_ms().await;
    stage.set.no_primary_for(15).await;
    // How long the set is without a primary is what is measured, not a condition to wait for.
    sleep(WITHOUT).await;
    stage.set.primary().await;
    stage.team.settled().await;
    let served = people.end(&stage.team.world, &stage.team.setup).await;
    let moved = before
        .iter()
        .zip(owners(&stage).await)
        .filter(|(before, after)| **before != *after)
        .count();
    let gaps = stage.gaps(&stage.long, began_ms).await.len();
    let mut figures = vec![
        none("shards with another owner", moved),
        none("guilds with a gap", gaps),
    ];
    figures.extend(unbothered(&stage, Some(served)).await);
    Outcome::Measured(figures)
}

/// Each shard's owner and epoch.
async fn owners(stage: &Stage) -> Vec<(Value, Value)> {
    let view = stage.team.view().await;
    let shards = view["shards"].as_array().unwrap().iter();
    shards
        .map(|shard| (shard["owner"].clone(), shard["epoch"].clone()))
        .collect()
}
