//! Three replicas, twelve shards, a real replica set of MongoDB, a Lease, and a thousand guilds that play: the world in
//! which everything about many replicas is measured.

use std::collections::BTreeMap;
use std::time::Duration;

use segue::sim;
use serde_json::Value;

use crate::crowd::{self, Place};
use crate::figure::Outcome;
use crate::harness::{KubeApi, Setup};
use crate::mongod::ReplicaSet;
use crate::team::Team;

/// Shards of the world.
pub(crate) const SHARDS: u32 = 12;
/// Guilds that play in it.
pub(crate) const PLAYERS: usize = 1_000;
/// Of these, the ones whose tracks are so short that some of them end while nobody owns the guild.
pub(crate) const SHORT: usize = 40;
/// Tracks of four seconds that these have queued: for longer than any line takes. Each that ends is a write of all that follow.
const SHORT_TRACKS: usize = 150;
/// Guilds of one shard that may join voice within a minute of the start.
const JOINS: usize = 95;
/// The title that most guilds hear, and the one of those with short tracks.
const LONG_TITLE: &str = "Base";
const SHORT_TITLE: &str = "Short";

/// Everything there is.
pub(crate) struct Stage {
    pub(crate) team: Team,
    /// Guilds that play one long track.
    pub(crate) long: Vec<Place>,
    /// Guilds that play one track of four seconds after the other.
    pub(crate) short: Vec<Place>,
    pub(crate) set: ReplicaSet,
    _api: KubeApi,
    before: Value,
    /// What is measured on it.
    name: String,
}

/// A replica that is asked how it is asks all its players: not so often that it would be what is measured.
const PACE: Duration = Duration::from_millis(250);

/// Why nothing can be measured here.
pub(crate) fn skipped() -> Outcome {
    Outcome::Skipped("no mongod; set SEGUE_MONGOD or run it by `cargo xtask bench`".to_owned())
}

/// Replicas on so many shards, with as many guilds as `players` need; nothing plays.
pub(crate) async fn idle(database: &str, shards: u32, players: usize) -> Option<(Team, ReplicaSet, KubeApi)> {
    let set = ReplicaSet::private().await?;
    let api = KubeApi::start().await;
    let options = sim::Options {
        guilds: players + players / 5 + shards as usize,
        shards,
        max_concurrency: shards,
        nodes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        ..sim::Options::default()
    };
    let kubeconfig = api.kubeconfig();
    let team = Team::idle(3, options, |world| {
        Setup::store(world, set.uri(database))
            .set("SEGUE_CLUSTER", "kubernetes")
            .set("KUBECONFIG", kubeconfig.to_str().unwrap())
    })
    .await;
    Some((team, set, api))
}

impl Stage {
    /// A thousand guilds play. `None` where there is no `mongod`.
    pub(crate) async fn playing(database: &str) -> Option<Self> {
        let (mut team, set, api) = idle(database, SHARDS, PLAYERS).await?;
        team.pace = PACE;
        let mut long = crowd::spread(&crowd::places(&team.world).await, PLAYERS, JOINS);
        // Some of every shard: the guilds are in the order of their ids, which the shards take in turn.
        let short = long.split_off(PLAYERS - SHORT);
        crowd::play(&team.world, &long, LONG_TITLE).await;
        crowd::begin(
            &team.world,
            &short,
            &format!("sim:playlist:{SHORT_TITLE}?count={SHORT_TRACKS}&length=4"),
        )
        .await;
        // Past a renewal of everybody, so that what rides on it is current.
        team.world.heard_for(&long[0].guild, 2_500).await;
        let before = team.world.counters().await;
        Some(Self {
            team,
            long,
            short,
            set,
            _api: api,
            before,
            name: database.to_owned(),
        })
    }

    /// Writes what each replica logged to a file, to look into when something was missed.
    pub(crate) fn keep_logs(&self) {
        for (name, bot) in &self.team.bots {
            self.keep_log(name, &bot.log());
        }
    }

    /// Writes what one of them logged in a life to such a file.
    pub(crate) fn keep_log(&self, life: &str, log: &[Value]) {
        let folder = std::path::Path::new("target/bench-logs");
        std::fs::create_dir_all(folder).unwrap();
        let lines: Vec<String> = log.iter().map(Value::to_string).collect();
        std::fs::write(folder.join(format!("{}-{life}.log", self.name)), lines.join("\n")).unwrap();
    }

    /// One guild of each shard.
    pub(crate) fn one_of_each_shard(&self) -> BTreeMap<u64, Place> {
        self.long.iter().map(|place| (place.shard, place.clone())).collect()
    }

    /// Milliseconds since the simulator started, by its clock.
    pub(crate) async fn now_ms(&self) -> u64 {
        self.team.world.get("/world?guilds=none").await["now_ms"]
            .as_u64()
            .unwrap()
    }

    /// How often something was counted since the guilds played.
    pub(crate) async fn since(&self, counter: &str) -> u64 {
        let after = self.team.world.counters().await;
        after[counter].as_u64().unwrap() - self.before[counter].as_u64().unwrap()
    }

    /// What the oracle found; each finding is said aloud.
    pub(crate) async fn violations(&self) -> usize {
        let found = self.team.world.get("/violations").await;
        let found = found.as_array().unwrap();
        for one in found {
            crate::report::say(&format!("violation: {one}"));
        }
        found.len()
    }

    /// Gaps of these guilds since `since_ms`: the guild, when it began, and how long it was (until now while it lasts).
    pub(crate) async fn gaps(&self, places: &[Place], since_ms: u64) -> Vec<(String, u64, u64)> {
        let mut found = Vec::new();
        for place in places {
            let audio = self.team.world.audio(&place.guild).await;
            for gap in audio["gaps"].as_array().unwrap() {
                let from = gap["from_ms"].as_u64().unwrap();
                let to = gap["to_ms"].as_u64().or(audio["now_ms"].as_u64()).unwrap();
                if to > since_ms {
                    found.push((place.guild.clone(), from, to - from));
                }
            }
        }
        found
    }
}
