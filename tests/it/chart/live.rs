//! A real Prometheus scrapes a real bot through a bad minute, and every panel's question is asked of it. It scrapes the bot
//! twice: as with two replicas, everybody says what a node says of itself.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::dashboards::{Query, queries};
use super::rules::prometheus;
use crate::harness::{Setup, World, within};
use crate::skip::skip;
use segue::sim;

/// Counters whose labels are known when they count for the first time.
const BORN_WITH_A_VALUE: [&str; 4] = [
    "segue_lavalink_track_errors_total",
    "segue_gateway_reconnects_total",
    "segue_discord_ratelimited_total",
    "segue_lavalink_frames_total",
];

struct Prometheus {
    _child: Child,
    _folder: TempDir,
    address: String,
}

impl Prometheus {
    /// `None`, said aloud, when there is none.
    fn scraping(target: &str) -> Option<Self> {
        let Some([program, _]) = prometheus() else {
            skip(
                "dashboards against a real Prometheus: there is none; install Debian's prometheus or run `cargo xtask test`",
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let targets = ["segue-0", "segue-1"]
            .map(|instance| json!({ "targets": [target], "labels": { "namespace": "ns", "instance": instance } }));
        let config = json!({
            "global": { "scrape_interval": "500ms", "scrape_timeout": "400ms" },
            "scrape_configs": [{
                "job_name": "segue",
                "static_configs": targets,
            }],
        });
        // JSON is YAML.
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=error", "--storage.tsdb.retention.time=1h"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Some(Self {
            _child: child,
            _folder: folder,
            address,
        })
    }

    /// Whether a question has an answer that is a number.
    async fn answers(&self, expr: &str) -> bool {
        !self.numbers(expr).await.is_empty()
    }

    /// The numbers that answer a question.
    async fn numbers(&self, expr: &str) -> Vec<String> {
        let url = format!("http://{}/api/v1/query", self.address);
        let url = reqwest::Url::parse_with_params(&url, [("query", expr)]).unwrap();
        let Ok(answer) = reqwest::get(url).await else {
            return Vec::new();
        };
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        let results = answer["data"]["result"].as_array().unwrap();
        let numbers = results.iter().map(|result| result["value"][1].as_str().unwrap());
        numbers.filter(|number| *number != "NaN").map(str::to_owned).collect()
    }
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap().port()
}

/// A question as Grafana would send it.
fn filled(expr: &str) -> String {
    expr.replace("$__rate_interval", "45s")
        .replace("$job", "segue")
        .replace("$namespace", ".*")
        .replace("$instance", ".*")
}

/// Music, a death, and troubles before and after it.
async fn a_bad_minute(world: &World, setup: &Setup, prometheus: &Prometheus) -> crate::harness::Bot {
    let bot = setup.ready().await;
    let guilds = world.guilds().await;
    for guild in &guilds {
        world.play(guild, "Alpha").await;
    }
    troubles(world, &guilds).await;
    bot.kill().await;
    let bot = setup.ready().await;
    // A counter that is born with its value never grows: what happens has to happen again once it was seen.
    for _ in 0..2 {
        troubles(world, &guilds).await;
        within(Duration::from_secs(20), "the troubles are scraped", || async {
            for counter in BORN_WITH_A_VALUE {
                if !prometheus.answers(counter).await {
                    return Err(counter);
                }
            }
            Ok(())
        })
        .await;
    }
    bot
}

/// Commands that work and that fail, a limit, lost nodes, people who come and go, a lost connection.
async fn troubles(world: &World, guilds: &[String]) {
    let limit = json!({ "kind": "rate_limit", "route": "messages", "scope": "user", "retry_after_ms": 100 });
    let limit = world.fault(limit).await;
    world.command(&guilds[0], "volume", json!({ "level": 70 })).await;
    let bad = json!({ "query": "sim:Bad?length=10&fail=1", "when": "now" });
    world.command(&guilds[0], "play", bad).await;
    let good = json!({ "query": "sim:Beta?length=1000", "when": "now" });
    world.command(&guilds[0], "play", good).await;
    world.heard(&guilds[0], "Beta").await;
    world.call(Method::DELETE, &format!("/faults/{limit}"), None).await;
    for (node, down_ms) in [("a", 1_500), ("b", 500)] {
        world
            .fault(json!({ "kind": "restart_node", "node": node, "down_ms": down_ms }))
            .await;
    }
    for (guild, title) in [(&guilds[0], "Beta"), (&guilds[1], "Alpha")] {
        world.heard(guild, title).await;
    }
    let (person, voice) = (
        world.person(&guilds[2], 1).await,
        world.channel(&guilds[2], "voice", 0).await,
    );
    world.moves(&guilds[2], &person, Some(&voice)).await;
    world.moves(&guilds[2], &person, None).await;
    world.fault(json!({ "kind": "drop_gateway", "shard": 0 })).await;
    world.command(&guilds[1], "pause", json!({})).await;
    world.command(&guilds[1], "resume", json!({})).await;
    world.heard(&guilds[1], "Alpha").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_something_after_a_bad_minute() {
    let world = World::with(sim::Options {
        guilds: 3,
        nodes: vec!["a".into(), "b".into()],
        // The first heartbeat comes at a random moment of the first interval, and its latency is a panel's only figure.
        heartbeat_ms: 2_000,
        stats_ms: 500,
        ..sim::Options::default()
    })
    .await;
    let address = format!("127.0.0.1:{}", free_port());
    let setup = Setup::sqlite(&world).set("SEGUE_HTTP_LISTEN", &address);
    let Some(prometheus) = Prometheus::scraping(&address) else {
        return;
    };
    let bot = a_bad_minute(&world, &setup, &prometheus).await;
    let expected: Vec<_> = queries()
        .into_iter()
        .filter(|query| !query.expr.contains("{job=~\"lavalink|"))
        .collect();
    assert!(expected.len() > 50, "{} questions", expected.len());
    within(Duration::from_secs(40), "every panel has data", || async {
        let mut silent = Vec::new();
        for query in &expected {
            if !prometheus.answers(&filled(&query.expr)).await {
                silent.push(format!("{}: {}", query.place, query.expr));
            }
        }
        if silent.is_empty() { Ok(()) } else { Err(silent) }
    })
    .await;
    players_are_as_many_as_are_heard(&world, &prometheus, &expected).await;
    c48_the_page_of_metrics_is_well_formed(&bot).await;
}

async fn players_are_as_many_as_are_heard(world: &World, prometheus: &Prometheus, queries: &[Query]) {
    let playing = queries.iter().find(|query| query.place.contains("Players that play"));
    let playing = filled(&playing.unwrap().expr);
    let guilds = world.guilds().await;
    within(Duration::from_secs(20), "each player is counted once", || async {
        let mut heard = 0;
        for guild in &guilds {
            heard += usize::from(world.audio(guild).await["playing"] == true);
        }
        let seen = prometheus.numbers(&playing).await;
        if heard > 0 && seen == [heard.to_string()] {
            Ok(())
        } else {
            Err((heard, seen))
        }
    })
    .await;
}

async fn c48_the_page_of_metrics_is_well_formed(bot: &crate::harness::Bot) {
    let (status, text) = bot.page("/metrics").await;
    assert_eq!(status, 200);
    let Some([_, promtool]) = prometheus() else {
        return;
    };
    let mut checked = std::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checked.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ended = checked.wait_with_output().unwrap();
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.success() && said.trim().is_empty(), "{said}");
}
