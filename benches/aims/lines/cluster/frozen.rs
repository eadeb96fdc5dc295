//! A process that is frozen: nobody is told, so only time tells that it is gone.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::super::Line;
use super::{none, unbothered};
use crate::figure::{Aim, Figure, Outcome, ms, percentile};
use crate::stage::{self, Stage};

pub(crate) const LINE: Line = Line {
    name: "frozen",
    about: "a frozen replica, and a frozen leader, with 1,000 guilds that play: until they are taken over (takes two minutes)",
    run: || Box::pin(measure()),
};

/// Members that are not the leader, and leaders.
const MEMBERS: usize = 3;
const LEADERS: usize = 2;
/// Longer than anything may take.
const LIMIT: Duration = Duration::from_secs(40);

async fn measure() -> Outcome {
    let Some(mut stage) = Stage::playing("frozen").await else {
        return stage::skipped();
    };
    let began_ms = stage.now_ms().await;
    let (mut members, mut leaders) = (Vec::new(), Vec::new());
    for _ in 0..MEMBERS {
        let leader = stage.team.leader().await;
        let owners = stage.team.owners().await;
        let others = owners.into_iter().filter(|(name, _)| *name != leader);
        let (victim, _) = others.max_by_key(|(_, shards)| shards.len()).unwrap();
        members.push(freeze(&mut stage, &victim).await);
    }
    for _ in 0..LEADERS {
        let leader = stage.team.leader().await;
        leaders.push(freeze(&mut stage, &leader).await);
    }
    let gaps = stage.gaps(&stage.long, began_ms).await.len();
    let worst = |samples: &[f64]| percentile(samples, 1.0);
    let mut figures = vec![
        Figure::new(
            "a frozen member is taken over, p50 of 3",
            percentile(&members, 0.5),
            "ms",
            12_000.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "the same, worst",
            worst(&members),
            "ms",
            15_000.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "a frozen leader is taken over, worst of 2",
            worst(&leaders),
            "ms",
            16_000.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        none("guilds with a gap, of those whose track went on", gaps),
    ];
    figures.extend(unbothered(&stage, None).await);
    Outcome::Measured(figures)
}

/// Freezes a replica until others have its shards, then lets it go on; how long that took.
async fn freeze(stage: &mut Stage, name: &str) -> f64 {
    let lost = stage.team.owners().await[name].clone();
    let note = json!({ "kind": "note", "text": format!("freeze {name}"), "excuse": lost });
    stage.team.world.fault(note).await;
    let frozen = stage.team.take(name);
    let began = Instant::now();
    frozen.freeze();
    stage.team.settled_within(LIMIT).await;
    let took = ms(began.elapsed());
    crate::report::say(&format!(
        "{name} with {} shards was replaced after {took:.0} ms",
        lost.len()
    ));
    frozen.thaw();
    frozen.logged("joining again").await;
    stage.team.bots.insert(name.to_owned(), frozen);
    stage.team.settled().await;
    for place in stage.one_of_each_shard().values() {
        stage.team.answered_in(&place.guild).await;
    }
    took
}
