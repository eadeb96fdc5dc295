//! Several replicas that share shards, and what is asserted of all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use segue::sim;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Bot, PACE, Setup, World, eventually, paced, within};

/// Shards in every world here.
pub(super) const SHARDS: u32 = 6;
/// After the last event everything is driven again within this, unless a test says more.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// Replicas by name, and their world.
pub(super) struct Team {
    pub(super) world: World,
    pub(super) setup: Setup,
    pub(super) bots: BTreeMap<String, Bot>,
    pub(super) guilds: Vec<String>,
    shards: u32,
    before: Value,
    /// How often the replicas are asked how they are.
    pub(super) pace: Duration,
}

impl Team {
    /// Replicas `a`, `b`, … on one SQLite file; `guilds` guilds on six shards, all of them playing `Base`.
    pub(super) async fn playing(replicas: usize, guilds: usize) -> Self {
        Self::on(replicas, guilds, Setup::sqlite).await
    }

    /// The same on any store.
    pub(super) async fn on(replicas: usize, guilds: usize, setup: impl FnOnce(&World) -> Setup) -> Self {
        let options = sim::Options {
            guilds,
            shards: SHARDS,
            max_concurrency: SHARDS,
            nodes: vec!["a".into(), "b".into()],
            ..sim::Options::default()
        };
        let mut team = Self::idle(replicas, options, setup).await;
        let begin = team.guilds.iter().map(|guild| team.world.play(guild, "Base"));
        futures_util::stream::iter(begin)
            .buffer_unordered(6)
            .collect::<Vec<()>>()
            .await;
        // Past a renewal of everybody, so that what rides on it is current.
        team.world.heard_for(&team.guilds[0], 2_500).await;
        team.before = team.world.counters().await;
        team
    }

    /// Replicas in any world, each with its share of the shards; nothing plays.
    pub(super) async fn idle(replicas: usize, options: sim::Options, setup: impl FnOnce(&World) -> Setup) -> Self {
        let shards = options.shards;
        let world = World::with(options).await;
        let setup = setup(&world);
        let mut team = Self {
            guilds: world.guilds().await,
            world,
            setup,
            bots: BTreeMap::new(),
            shards,
            before: Value::Null,
            pace: PACE,
        };
        // All at once, as a StatefulSet starts them: they share before anything plays.
        for name in ["a", "b", "c", "d"].into_iter().take(replicas) {
            team.bots.insert(name.to_owned(), team.named(name).spawn());
        }
        for bot in team.bots.values() {
            bot.logged("ready").await;
        }
        team.even().await;
        team
    }

    /// How a replica is started, its name on its traces as a pod's is.
    fn named(&self, name: &str) -> Setup {
        let pod = format!("k8s.pod.name={name}");
        self.setup.named(name).set("OTEL_RESOURCE_ATTRIBUTES", &pod)
    }

    /// Starts a replica and waits until it is ready.
    pub(super) async fn start(&mut self, name: &str) {
        let bot = self.named(name).spawn();
        bot.logged("ready").await;
        self.bots.insert(name.to_owned(), bot);
    }

    /// Takes a replica out, to do with it what the test is about.
    pub(super) fn take(&mut self, name: &str) -> Bot {
        self.bots.remove(name).unwrap()
    }

    /// What any replica that answers says of the cluster.
    pub(super) async fn view(&self) -> Value {
        for bot in self.bots.values() {
            if let Some(state) = bot.state().await {
                return state["cluster"].clone();
            }
        }
        Value::Null
    }

    /// Shards by the name of their owner.
    pub(super) async fn owners(&self) -> BTreeMap<String, Vec<u64>> {
        owners(&self.view().await)
    }

    /// The id of the replica with this name.
    pub(super) async fn member(&self, name: &str) -> String {
        let view = self.view().await;
        let mut members = view["members"].as_array().into_iter().flatten();
        let found = members.find(|member| member["name"] == name);
        found
            .and_then(|member| member["id"].as_str())
            .unwrap_or_else(|| panic!("no member {name} in {view:#}"))
            .to_owned()
    }

    /// The name of the leader.
    pub(super) async fn leader(&self) -> String {
        eventually("somebody leads", || async {
            let view = self.view().await;
            let leads = |member: &&Value| member["id"] == view["leader"];
            let leader = view["members"].as_array().into_iter().flatten().find(leads);
            leader
                .map(|member| member["name"].as_str().unwrap().to_owned())
                .ok_or(view)
        })
        .await
    }

    /// Waits until every shard is owned by the replica it is meant for, and Discord sends its events there.
    pub(super) async fn settled(&self) {
        self.settled_within(SOON).await;
    }

    /// Waits until every replica has its share, too. One that was slow to come, on a busy machine, gets it only once the load
    /// was uneven for a minute: that is not what any test is about.
    async fn even(&self) {
        let share = self.shards as usize / self.bots.len();
        within(Duration::from_mins(3), "the shards are shared evenly", || async {
            let owners = self.owners().await;
            if self
                .bots
                .keys()
                .all(|name| owners.get(name).is_some_and(|shards| shards.len() >= share))
            {
                Ok(())
            } else {
                Err(owners)
            }
        })
        .await;
        self.settled().await;
    }

    pub(super) async fn settled_within(&self, limit: Duration) {
        let what = "every shard is driven by whom it is meant for";
        paced(limit, self.pace, what, || async {
            let (view, world) = (self.view().await, self.world.get("/world?guilds=none").await);
            let names: Vec<&String> = self.bots.keys().collect();
            let owned = owners(&view);
            let all: usize = owned
                .iter()
                .filter(|(name, _)| names.contains(name))
                .map(|(_, shards)| shards.len())
                .sum();
            let still = view["shards"]
                .as_array()
                .into_iter()
                .flatten()
                .all(|shard| shard["owner"] == shard["want"]);
            let ready = world["shards"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|shard| shard["ready"] == true)
                .count();
            if all == self.shards as usize && still && ready == self.shards as usize {
                Ok(())
            } else {
                Err((owned, view, world["shards"].clone()))
            }
        })
        .await;
    }

    /// One guild of each shard.
    pub(super) async fn one_of_each_shard(&self) -> BTreeMap<u64, String> {
        let world = self.world.world().await;
        let guilds = world["guilds"].as_array().unwrap().iter();
        guilds
            .map(|guild| {
                (
                    guild["shard"].as_u64().unwrap(),
                    guild["id"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    }

    /// Nobody heard anything, Discord was not bothered, and no rule was broken.
    pub(super) async fn assert_unheard(&self) {
        for guild in &self.guilds {
            assert_eq!(self.world.gaps(guild).await, Vec::<Value>::new(), "gaps in {guild}");
            self.world.heard(guild, "Base").await;
        }
        let after = self.world.counters().await;
        for what in ["identify", "voice_state_update"] {
            assert_eq!(after[what], self.before[what], "{what}: {after:#}");
        }
        self.world.assert_no_violations().await;
    }

    /// `/volume` in a guild, from being issued until Discord took the answer: milliseconds.
    pub(super) async fn answered_in(&self, guild: &str) -> u64 {
        let id = self.world.issue(guild, "volume", json!({})).await;
        let answer = self.world.answer(&id).await.0;
        answer["acknowledged_ms"].as_u64().expect("acknowledged in time") - answer["issued_ms"].as_u64().unwrap()
    }

    /// The recoveries that any replica tells of, at least `count`.
    pub(super) async fn recoveries(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} recoveries are told"), || async {
            for bot in self.bots.values() {
                let told = bot.state().await.unwrap_or_default()["recoveries"].clone();
                if told.as_array().is_some_and(|told| told.len() >= count) {
                    return Ok(told.as_array().unwrap().clone());
                }
            }
            Err("fewer")
        })
        .await
    }
}

fn owners(view: &Value) -> BTreeMap<String, Vec<u64>> {
    let members = view["members"].as_array().into_iter().flatten();
    members
        .map(|member| {
            let shards = member["shards"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64);
            (member["name"].as_str().unwrap().to_owned(), shards.collect())
        })
        .collect()
}

/// How long `work` took.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let result = work.await;
    (began.elapsed(), result)
}
