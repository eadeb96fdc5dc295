//! An auto-save round of a thousand players: how many batches, and how long it takes.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use segue::sim;
use serde_json::{Value, json};

use super::Line;
use crate::crowd;
use crate::figure::{Aim, Figure, Outcome};
use crate::harness::{Bot, Setup, World, within};
use crate::mongod::ReplicaSet;

pub(crate) const LINE: Line = Line {
    name: "autosave",
    about: "a round of 1,000 players: commands that MongoDB was sent, and milliseconds",
    run: || Box::pin(measure()),
};

const PLAYERS: usize = 1_000;
/// So many that Discord lets all guilds join within a minute.
const SHARDS: u32 = 16;
const JOINS: usize = 95;
/// Long enough for everything else to be written before the round.
const INTERVAL: &str = "20s";
const INTERVAL_MS: f64 = 20_000.0;
/// Longer than it takes until an owner says that it lived through loading a shard, which is a write for each shard.
const QUIET: Duration = Duration::from_secs(4);

async fn measure() -> Outcome {
    let Some(set) = ReplicaSet::private().await else {
        return Outcome::Skipped("no mongod; set SEGUE_MONGOD or run it by `cargo xtask bench`".to_owned());
    };
    let world = World::with(sim::Options {
        guilds: PLAYERS + 200,
        shards: SHARDS,
        max_concurrency: SHARDS,
        nodes: vec!["a".into(), "b".into()],
        ..sim::Options::default()
    })
    .await;
    let setup = Setup::store(&world, set.uri("autosave")).set("SEGUE_AUTOSAVE_INTERVAL", INTERVAL);
    let bot = setup.ready().await;
    let places = crowd::spread(&crowd::places(&world).await, PLAYERS, JOINS);
    crowd::play(&world, &places, "Alpha").await;
    // A new process, because its rounds begin with it: there is time for everything before the first.
    bot.kill().await;
    let bot = setup.ready().await;
    let server = Server::connect(&set).await;
    times(&bot, "recovered", PLAYERS).await;
    // Each shard's row is written once more when its session is back.
    times(&bot, "the gateway session is ready", SHARDS as usize).await;
    // Somebody else moves every track on its node: what the bot hears of is nowhere stored.
    moved(&world).await;
    let before = server.at_rest(&bot).await;
    let round = bot.logged("auto-saved").await;
    let after = server.updates().await;
    Outcome::Measured(figures(&round, before, after))
}

/// Waits until the bot has logged something so many times.
async fn times(bot: &Bot, message: &str, wanted: usize) {
    within(
        Duration::from_mins(1),
        &format!("{message:?} {wanted} times"),
        || async {
            let count = bot.count(message);
            if count >= wanted { Ok(()) } else { Err(count) }
        },
    )
    .await;
}

/// Every player on every node is set to another position, behind the bot's back.
async fn moved(world: &World) {
    let http = reqwest::Client::new();
    let seen = world.get("/world?guilds=none").await;
    for node in seen["nodes"].as_array().unwrap() {
        let ready = world
            .ready
            .lavalink
            .iter()
            .find(|ready| node["name"] == ready.name.as_str())
            .unwrap();
        for session in node["sessions"].as_array().unwrap() {
            let url = format!("{}/v4/sessions/{}/players", ready.url, session["id"].as_str().unwrap());
            let asked = http
                .get(&url)
                .header("Authorization", &ready.password)
                .send()
                .await
                .unwrap();
            let players: Value = asked.json().await.unwrap();
            for player in players.as_array().unwrap() {
                let one = format!("{url}/{}", player["guildId"].as_str().unwrap());
                let patch = http.patch(one).header("Authorization", &ready.password);
                let patched = patch.json(&json!({ "position": 600_000 })).send().await.unwrap();
                patched.error_for_status().unwrap();
            }
        }
    }
}

fn figures(round: &Value, before: Updates, after: Updates) -> Vec<Figure> {
    let number = |key: &str| round[key].as_f64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let since = |before: i64, after: i64| (after - before) as f64;
    let players = 1_000.0;
    vec![
        Figure::new(
            "players written in the round",
            number("written"),
            "",
            players,
            "all of them",
            Aim::AtLeast(0.99),
        ),
        Figure::new(
            "documents that MongoDB changed",
            since(before.statements, after.statements),
            "",
            players,
            "one for each player",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "update commands that MongoDB was sent",
            since(before.commands, after.commands),
            "",
            1.0,
            "one batch",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "time for the round",
            number("took_ms"),
            "ms",
            INTERVAL_MS,
            "the time between rounds",
            Aim::Told,
        ),
    ]
}

/// What the server counted since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Updates {
    commands: i64,
    statements: i64,
}

/// The primary, looked at from outside of the bot.
struct Server(Client);

impl Server {
    async fn connect(set: &ReplicaSet) -> Self {
        Self(Client::with_uri_str(set.uri("admin")).await.unwrap())
    }

    async fn updates(&self) -> Updates {
        let admin = self.0.database("admin");
        let status = admin.run_command(doc! { "serverStatus": 1 }).await.unwrap();
        Updates {
            commands: number(&status, &["metrics", "commands", "update", "total"]),
            statements: number(&status, &["opcounters", "update"]),
        }
    }

    /// Waits until nothing was updated for [`QUIET`]. The round must not have been by then.
    async fn at_rest(&self, bot: &Bot) -> Updates {
        let mut before = self.updates().await;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.updates().await;
            assert_eq!(
                bot.count("auto-saved"),
                0,
                "the round came before the store was at rest"
            );
            if now == before {
                return now;
            }
            before = now;
        }
    }
}

fn number(document: &Document, path: &[&str]) -> i64 {
    let (last, folders) = path.split_last().unwrap();
    let inner = folders
        .iter()
        .fold(document, |inside, name| inside.get_document(name).unwrap());
    match inner.get(last) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        other => panic!("{path:?}: {other:?}"),
    }
}
