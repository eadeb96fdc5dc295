//! `kill -9` of one replica, ten times: when commands are answered again, and what is heard.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::Line;
use super::takeovers::Takeovers;
use super::{none, unbothered};
use crate::figure::{Aim, Figure, Outcome, percentile};
use crate::harness::{World, paced};
use crate::people::People;
use crate::stage::{self, Stage};

pub(crate) const LINE: Line = Line {
    name: "deaths",
    about: "kill -9 of one of three replicas, ten times, with 1,000 guilds that play: commands back, and gaps",
    run: || Box::pin(measure()),
};

const KILLS: usize = 10;
const LONG: Duration = Duration::from_secs(20);
/// Between two of them, so that each is a death of its own: one that comes within three seconds of a takeover is taken for that
/// of a guild that kills whoever loads it, and then guilds are loaded one after the other.
const APART: Duration = Duration::from_secs(5);

async fn measure() -> Outcome {
    let Some(mut stage) = Stage::playing("deaths").await else {
        return stage::skipped();
    };
    let people = People::begin(&stage.team.world, stage.one_of_each_shard().into_values()).await;
    let began_ms = stage.now_ms().await;
    let (mut delays, mut taken, mut seq) = (Vec::new(), Takeovers::begin(&stage).await, 0);
    for round in 1..=KILLS {
        seq = last_seq(&stage, seq).await;
        let killed = kill(&mut stage, &mut taken, (round, seq)).await;
        let slowest = percentile(&killed.delays, 1.0);
        let (replica, shards) = (&killed.replica, killed.delays.len());
        crate::report::say(&format!(
            "kill {round} of {KILLS}: replica {replica} with {shards} shards; commands back after {slowest} ms at most"
        ));
        delays.extend(killed.delays);
    }
    let served = people.end(&stage.team.world, &stage.team.setup).await;
    let gaps = stage.gaps(&stage.long, began_ms).await;
    for gap in &gaps {
        crate::report::say(&format!("gap: {gap:?}"));
    }
    let limit = |what: &str, value: f64, most: f64| Figure::new(what, value, "ms", most, "the limit", Aim::AtMost(1.0));
    let mut figures = vec![
        limit(
            "from the kill to the first answer of a shard, p50",
            percentile(&delays, 0.5),
            500.0,
        ),
        limit("the same, p99", percentile(&delays, 0.99), 1_000.0),
        none("guilds with a gap, of those whose track went on", gaps.len()),
    ];
    figures.extend(taken.silences(&stage, began_ms).await);
    figures.extend(unbothered(&stage, Some(served)).await);
    Outcome::Measured(figures)
}

/// One death.
struct Killed {
    replica: String,
    /// From the kill to the first answer, in ms, of each of its shards.
    delays: Vec<f64>,
}

/// Kills the replica with the most shards, waits until everything is driven again, and starts it again. `seq`: of an event
/// just before.
async fn kill(stage: &mut Stage, taken: &mut Takeovers, (round, seq): (usize, u64)) -> Killed {
    let owners = stage.team.owners().await;
    let (replica, shards) = owners.into_iter().max_by_key(|(_, shards)| shards.len()).unwrap();
    let places = stage.one_of_each_shard();
    let lost: BTreeMap<String, u64> = shards
        .iter()
        .map(|shard| (places[shard].guild.clone(), *shard))
        .collect();
    let bot = stage.team.take(&replica);
    let killed_ms = stage.now_ms().await;
    let log = bot.kill().await;
    stage.keep_log(&format!("{replica}-until-{round}"), &log);
    taken.read(&log);
    // What the dead one had sent before may still arrive until here.
    let gone_ms = stage.now_ms().await;
    // What is asked is judged by the log's own times: asking often would only take time from whom it asks about.
    let what = "every shard answers again";
    let first = paced(LONG, Duration::from_millis(700), what, || async {
        let first = first_answers(&events(&stage.team.world, seq).await, &lost, gone_ms);
        if first.len() == lost.len() {
            Ok(first)
        } else {
            Err(first)
        }
    })
    .await;
    stage.team.settled().await;
    stage.team.start(&replica).await;
    stage.team.settled().await;
    tokio::time::sleep(APART).await;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    let delays = first.values().map(|at_ms| (at_ms - killed_ms) as f64).collect();
    Killed { replica, delays }
}

/// When Discord took the first answer of each of these guilds' shards, from `gone_ms` on.
fn first_answers(events: &[Value], lost: &BTreeMap<String, u64>, gone_ms: u64) -> BTreeMap<u64, u64> {
    let mut first = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event["kind"] == "interaction_acknowledged")
    {
        let at_ms = event["at_ms"].as_u64().unwrap();
        let shard = event["guild"].as_str().and_then(|guild| lost.get(guild));
        if let Some(shard) = shard.filter(|_| at_ms >= gone_ms) {
            first.entry(*shard).or_insert(at_ms);
        }
    }
    first
}

async fn events(world: &World, since: u64) -> Vec<Value> {
    let url = format!("{}/log?since={since}", world.ready.control);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The newest event's number, which is beyond `since`: a note is written, and found again. Then whatever had to wait for that
/// long answer is let go on.
async fn last_seq(stage: &Stage, since: u64) -> u64 {
    let world = &stage.team.world;
    world.fault(json!({ "kind": "note", "text": "kill -9" })).await;
    let last = events(world, since).await.last().unwrap()["seq"].as_u64().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    last
}
