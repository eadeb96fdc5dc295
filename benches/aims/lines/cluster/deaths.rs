//! `kill -9` of one replica, ten times: when commands are answered again, and what is heard.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Line;
use super::{none, unbothered};
use crate::figure::{Aim, Figure, Outcome, percentile};
use crate::harness::{World, eventually};
use crate::people::People;
use crate::stage::{self, Stage};

pub(crate) const LINE: Line = Line {
    name: "deaths",
    about: "kill -9 of one of three replicas, ten times, with 1,000 guilds that play: commands back, and gaps",
    run: || Box::pin(measure()),
};

const KILLS: usize = 10;
/// What a guild whose track ended meanwhile may be silent beyond its takeover.
const BEYOND_MS: f64 = 100.0;

async fn measure() -> Outcome {
    let Some(mut stage) = Stage::playing("deaths").await else {
        return stage::skipped();
    };
    let people = People::begin(&stage.team.world, stage.one_of_each_shard().into_values()).await;
    let began_ms = stage.now_ms().await;
    let (mut delays, mut taken) = (Vec::new(), Vec::new());
    for round in 1..=KILLS {
        let killed = kill(&mut stage).await;
        let slowest = percentile(&killed.delays, 1.0);
        let (replica, shards) = (&killed.replica, killed.delays.len());
        crate::report::say(&format!(
            "kill {round} of {KILLS}: replica {replica} with {shards} shards; commands back after {slowest} ms at most"
        ));
        delays.extend(killed.delays);
        taken.extend(killed.taken);
    }
    let served = people.end(&stage.team.world, &stage.team.setup).await;
    let gaps = stage.gaps(&stage.long, began_ms).await;
    for gap in &gaps {
        crate::report::say(&format!("gap: {gap:?}"));
    }
    let (within, outside) = of_short(&stage.gaps(&stage.short, began_ms).await, &taken);
    let limit = |what: &str, value: f64, most: f64| Figure::new(what, value, "ms", most, "the limit", Aim::AtMost(1.0));
    let mut figures = vec![
        limit(
            "from the kill to the first answer of a shard, p50",
            percentile(&delays, 0.5),
            500.0,
        ),
        limit("the same, p99", percentile(&delays, 0.99), 1_000.0),
        none("guilds with a gap, of those whose track went on", gaps.len()),
        none("gaps between short tracks outside of takeovers", outside),
    ];
    if let Some(worst) = within.iter().copied().reduce(f64::max) {
        let count = within.len();
        let what = format!("tracks that ended in a takeover ({count}): silence beyond it, worst");
        figures.push(limit(&what, worst, BEYOND_MS));
    }
    figures.extend(unbothered(&stage, Some(served)).await);
    Outcome::Measured(figures)
}

/// One death.
struct Killed {
    replica: String,
    /// From the kill to the first answer, in ms, of each of its shards.
    delays: Vec<f64>,
    taken: Vec<Takeover>,
}

/// A guild that another replica took.
struct Takeover {
    guild: String,
    /// By the simulator's clock.
    killed_ms: u64,
    took_ms: u64,
}

/// Kills the replica with the most shards, waits until everything is driven again, and starts it again.
async fn kill(stage: &mut Stage) -> Killed {
    let owners = stage.team.owners().await;
    let (replica, shards) = owners.into_iter().max_by_key(|(_, shards)| shards.len()).unwrap();
    let places = stage.one_of_each_shard();
    let lost: BTreeMap<String, u64> = shards
        .iter()
        .map(|shard| (places[shard].guild.clone(), *shard))
        .collect();
    let bot = stage.team.take(&replica);
    let logged: BTreeMap<String, usize> = stage
        .team
        .bots
        .iter()
        .map(|(name, bot)| (name.clone(), bot.log().len()))
        .collect();
    let seq = last_seq(stage).await;
    let killed_ms = stage.now_ms().await;
    drop(bot.kill().await);
    // What the dead one had sent before may still arrive until here.
    let gone_ms = stage.now_ms().await;
    let first = eventually("every shard answers again", || async {
        let first = first_answers(&events(&stage.team.world, seq).await, &lost, gone_ms);
        if first.len() == lost.len() {
            Ok(first)
        } else {
            Err(first)
        }
    })
    .await;
    stage.team.settled().await;
    let of_all = stage.team.bots.iter();
    let taken = of_all
        .flat_map(|(name, bot)| takeovers(&bot.log()[logged[name]..], killed_ms))
        .collect();
    stage.team.start(&replica).await;
    stage.team.settled().await;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    let delays = first.values().map(|at_ms| (at_ms - killed_ms) as f64).collect();
    Killed { replica, delays, taken }
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

/// The newest event's number: a note is written, and found again.
async fn last_seq(stage: &Stage) -> u64 {
    let world = &stage.team.world;
    world.fault(json!({ "kind": "note", "text": "kill -9" })).await;
    events(world, 0).await.last().unwrap()["seq"].as_u64().unwrap()
}

fn takeovers(log: &[Value], killed_ms: u64) -> Vec<Takeover> {
    let recovered = log.iter().filter(|line| line["message"] == "recovered");
    let takeover = |line: &Value| Takeover {
        guild: line["guild"].as_str().unwrap().to_owned(),
        killed_ms,
        took_ms: line["took_ms"].as_u64().unwrap_or(0),
    };
    recovered.map(takeover).collect()
}

/// How long each gap was beyond the takeover in which it began, and how many gaps began in none.
fn of_short(gaps: &[(String, u64, u64)], taken: &[Takeover]) -> (Vec<f64>, usize) {
    let (mut within, mut outside) = (Vec::new(), 0);
    for (guild, from_ms, length_ms) in gaps {
        let its = |one: &&Takeover| {
            let until = one.killed_ms + one.took_ms;
            one.guild == *guild && one.killed_ms <= from_ms + length_ms && *from_ms <= until
        };
        match taken.iter().find(its) {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            Some(one) => within.push(length_ms.saturating_sub(one.took_ms) as f64),
            None => outside += 1,
        }
    }
    (within, outside)
}
