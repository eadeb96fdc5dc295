//! A rolling restart of all replicas.

use super::super::Line;
use super::takeovers::Takeovers;
use super::{none, unbothered};
use crate::figure::Outcome;
use crate::people::People;
use crate::stage::{self, Stage};

pub(crate) const LINE: Line = Line {
    name: "roll",
    about: "a rolling restart of three replicas with 1,000 guilds that play: gaps, logins, commands",
    run: || Box::pin(measure()),
};

async fn measure() -> Outcome {
    let Some(mut stage) = Stage::playing("roll").await else {
        return stage::skipped();
    };
    let people = People::begin(&stage.team.world, stage.one_of_each_shard().into_values()).await;
    let began_ms = stage.now_ms().await;
    let (mut refused, mut taken) = (0, Takeovers::begin(&stage).await);
    for name in ["c", "b", "a"] {
        let (status, log) = stage.team.take(name).terminate().await;
        taken.read(&log);
        refused += usize::from(!status.success());
        stage.team.start(name).await;
        stage.team.settled().await;
    }
    let served = people.end(&stage.team.world, &stage.team.setup).await;
    let gaps = stage.gaps(&stage.long, began_ms).await.len();
    let mut figures = vec![
        none("replicas that did not leave in order", refused),
        none("guilds with a gap, of those whose track went on", gaps),
    ];
    figures.extend(taken.silences(&stage, began_ms).await);
    figures.extend(unbothered(&stage, Some(served)).await);
    Outcome::Measured(figures)
}
