//! `kill -9` of one replica, ten times: when commands are answered again, and what is heard.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Line;
use super::{none, unbothered};
use crate::figure::{Aim, Figure, Outcome, percentile};
use crate::harness::{Bot, eventually};
use crate::people::People;
use crate::stage::{self, Stage};

pub(crate) const LINE: Line = Line {
    name: "deaths",
    about: "kill -9 of one of three replicas, ten times, with 1,000 guilds that play: commands back, and gaps",
    run: || Box::pin(measure()),
};

const KILLS: usize = 10;
/// What a guild whose track ended meanwhile may be silent beyond its takeover.
const BEYOND_MS: u64 = 100;

async fn measure() -> Outcome {
    let Some(mut stage) = Stage::playing("deaths").await else {
        return stage::skipped();
    };
    let people = People::begin(&stage.team.world, stage.one_of_each_shard().into_values()).await;
    let began_ms = stage.now_ms().await;
    let (mut delays, mut taken) = (Vec::new(), Vec::new());
    for round in 0..KILLS {
        let killed = kill(&mut stage, &mut taken).await;
        let slowest = percentile(&killed.delays, 1.0);
        crate::report::say(&format!(
            "kill {} of {KILLS}: replica {} with {} shards; commands back after {slowest} ms at most",
            round + 1,
            killed.replica,
            killed.delays.len()
        ));
        delays.extend(killed.delays);
    }
    let served = people.end(&stage.team.world, &stage.team.setup).await;
    for bot in stage.team.bots.values() {
        taken.extend(takeovers(bot));
    }
    let gaps = stage.gaps(&stage.long, began_ms).await;
    for gap in &gaps {
        crate::report::say(&format!("gap: {gap:?}"));
    }
    let (within, outside) = of_short(&stage.gaps(&stage.short, began_ms).await, &taken);
    let mut figures = vec![
        Figure::new(
            "from the kill to the first answer of a shard, p50",
            percentile(&delays, 0.5),
            "ms",
            500.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "the same, p99",
            percentile(&delays, 0.99),
            "ms",
            1_000.0,
            "the limit",
            Aim::AtMost(1.0),
        ),
        none("guilds with a gap, of those whose track went on", gaps.len()),
    ];
    if let Some(worst) = within.iter().copied().reduce(f64::max) {
        let what = format!(
            "tracks that ended in a takeover ({}): silence beyond it, worst",
            within.len()
        );
        #[expect(clippy::cast_precision_loss, reason = "a hundred")]
        let limit = BEYOND_MS as f64;
        figures.push(Figure::new(&what, worst, "ms", limit, "the limit", Aim::AtMost(1.0)));
    }
    figures.push(none("gaps between short tracks outside of takeovers", outside));
    figures.extend(unbothered(&stage, Some(served)).await);
    Outcome::Measured(figures)
}

struct Killed {
    replica: String,
    /// From the kill to the first answer, in ms, of each of its shards.
    delays: Vec<f64>,
}

/// Kills the replica with the most shards, waits until everything is driven again, and starts it again.
async fn kill(stage: &mut Stage, taken: &mut Vec<Takeover>) -> Killed {
    let owners = stage.team.owners().await;
    let (replica, shards) = owners.into_iter().max_by_key(|(_, shards)| shards.len()).unwrap();
    let mut seq = last_seq(stage).await;
    let killed_ms = stage.now_ms().await;
    let bot = stage.team.take(&replica);
    taken.extend(takeovers(&bot));
    drop(bot.kill().await);
    // What the dead one had sent before may still arrive until here.
    let gone_ms = stage.now_ms().await;
    let mut shard_of: BTreeMap<String, u64> = BTreeMap::new();
    let mut first: BTreeMap<u64, u64> = BTreeMap::new();
    let places = stage.one_of_each_shard();
    let lost: Vec<_> = shards
        .iter()
        .map(|shard| (places[shard].guild.clone(), *shard))
        .collect();
    shard_of.extend(lost);
    let first = {
        let world = &stage.team.world;
        let (first, seq, shard_of) = (
            std::cell::RefCell::new(&mut first),
            std::cell::RefCell::new(&mut seq),
            &shard_of,
        );
        eventually("every shard answers again", || async {
            let since = **seq.borrow();
            for event in events(world, since).await {
                **seq.borrow_mut() = event["seq"].as_u64().unwrap();
                let at_ms = event["at_ms"].as_u64().unwrap();
                let shard = event["guild"].as_str().and_then(|guild| shard_of.get(guild));
                if let (Some(shard), true) = (shard, event["kind"] == "interaction_acknowledged" && at_ms >= gone_ms) {
                    first.borrow_mut().entry(*shard).or_insert(at_ms);
                }
            }
            let answered = first.borrow().len();
            if answered == shard_of.len() {
                Ok(())
            } else {
                Err(answered)
            }
        })
        .await;
        first.into_inner().clone()
    };
    stage.team.settled().await;
    stage.team.start(&replica).await;
    stage.team.settled().await;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    let delays = first.values().map(|at_ms| (at_ms - killed_ms) as f64).collect();
    Killed { replica, delays }
}

async fn events(world: &crate::harness::World, since: u64) -> Vec<Value> {
    let url = format!("{}/log?since={since}", world.ready.control);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The newest event's number: a note is written, and found again.
async fn last_seq(stage: &Stage) -> u64 {
    stage
        .team
        .world
        .fault(json!({ "kind": "note", "text": "kill -9" }))
        .await;
    events(&stage.team.world, 0).await.last().unwrap()["seq"]
        .as_u64()
        .unwrap()
}

/// A guild, and when it was taken over until when, by the wall clock.
struct Takeover {
    guild: String,
    took_ms: u64,
}

fn takeovers(bot: &Bot) -> Vec<Takeover> {
    let log = bot.log();
    let recovered = log.iter().filter(|line| line["message"] == "recovered");
    let takeover = |line: &Value| Takeover {
        guild: line["guild"].as_str().unwrap().to_owned(),
        took_ms: line["took_ms"].as_u64().unwrap_or(0),
    };
    recovered.map(takeover).collect()
}

/// Silence beyond the slowest takeover of that guild, for the gaps that are longer than the room between two tracks; how
/// many others there are.
fn of_short(gaps: &[(String, u64, u64)], taken: &[Takeover]) -> (Vec<f64>, usize) {
    let (mut within, mut outside) = (Vec::new(), 0);
    for (guild, _, length_ms) in gaps {
        let slowest = taken
            .iter()
            .filter(|one| one.guild == *guild)
            .map(|one| one.took_ms)
            .max();
        match slowest {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            Some(took_ms) => within.push(length_ms.saturating_sub(took_ms) as f64),
            None => outside += 1,
        }
    }
    (within, outside)
}
