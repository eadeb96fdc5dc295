//! A recorded evening for the demo's page: twenty guilds, two nodes, one bot, answered as the simulator's control API
//! and a replica's `/api/state` do. It follows a script, so that the page can be looked at without a bot.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use segue::demo::replica::Launch;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const TITLES: [&str; 9] = [
    "Night Drive",
    "Paper Boats",
    "Harbour Lights",
    "<img src=x onerror=alert(1)>",
    "Slow Weather",
    "\u{202e}Second Sunrise",
    "Copper Wires",
    "A Room with Echoes and a Title That Goes on Longer than Any Row Could Ever Hope to Show",
    "Velvet Static",
];
const NAMES: [&str; 8] = [
    "Lantern Club",
    "Rust Belt",
    "Night Owls",
    "Tea House",
    "Pixel Guild",
    "Study Hall",
    "Ramen Night",
    "<b>Bold</b> & Co",
];
/// The evening began this long before the first look.
const BEFORE_MS: u64 = 130_000;
/// How long a killed bot is away.
const AWAY_MS: u64 = 1_400;

#[derive(Default)]
struct Evening {
    guilds: usize,
    strips: BTreeMap<usize, Vec<Value>>,
    gaps: BTreeMap<usize, Vec<Value>>,
    dead: HashSet<String>,
    paused: HashSet<usize>,
    log: Vec<Value>,
    kills: Vec<u64>,
    recoveries: Vec<Value>,
    interactions: u64,
    asked: Vec<Value>,
    now_ms: u64,
}

/// The feed and where it is.
pub(crate) struct Feed {
    /// `http://…`
    pub(crate) url: String,
    evening: Arc<Mutex<Evening>>,
    _tasks: JoinSet<()>,
}

type Shared = State<(Arc<Mutex<Evening>>, Instant)>;

impl Feed {
    pub(crate) async fn start(guilds: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let evening = Arc::new(Mutex::new(Evening {
            guilds,
            ..Evening::default()
        }));
        evening.lock().unwrap().rehearse();
        let router = Router::new()
            .route("/world", get(world))
            .route("/guilds/{guild}/audio", get(audio))
            .route("/guilds/{guild}/voice", post(|| async { Json(json!({})) }))
            .route("/guilds/{guild}/commands", post(command))
            .route("/messages/{message}/components", post(component))
            .route("/interactions/{id}", get(interaction))
            .route("/log", get(log))
            .route("/violations", get(|| async { Json(json!([])) }))
            .route("/faults", post(fault))
            .route("/faults/{id}", delete(end_fault))
            .route("/api/state", get(state))
            .with_state((evening.clone(), Instant::now()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            evening,
            _tasks: tasks,
        }
    }

    /// A process that says that it listens where the feed does, and stays.
    pub(crate) fn launch(&self) -> Launch {
        let address = self.url.trim_start_matches("http://");
        let line = json!({"level": "INFO", "fields": {"message": "listening", "http": address, "peer": "127.0.0.1:1"}});
        let script = format!("sleep 0.3; echo '{line}'; exec sleep 600");
        Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script],
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cut: "/nonexistent/cut".into(),
        }
    }

    /// Commands that were issued.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.evening.lock().unwrap().asked.clone()
    }
}

impl Evening {
    /// What was heard before the first look: tracks one after another, one pause, one gap.
    fn rehearse(&mut self) {
        for guild in 0..self.guilds {
            let track = self.track(guild, 0, 1 + guild as u64 % 900, guild as u64 * 8_000 % 50_000);
            self.strips.insert(guild, vec![track]);
            self.gaps.insert(guild, vec![]);
        }
        for second in 1..=BEFORE_MS / 1_000 {
            self.advance(second * 1_000);
            for guild in (3..self.guilds).step_by(11) {
                match second {
                    60 => self.silence(guild, 60_000, false),
                    84 => self.sound(guild, 84_000),
                    _ => {}
                }
            }
            if second == 95 && self.guilds > 6 {
                self.silence(6, 95_000, true);
            }
            if second == 97 && self.guilds > 6 {
                self.sound(6, 97_000);
            }
        }
    }

    fn track(&self, guild: usize, turn: usize, from_ms: u64, position: u64) -> Value {
        let title = TITLES[(guild * 5 + turn * 2) % TITLES.len()];
        let length = 55 + (guild * 13 + turn * 7) % 60;
        json!({"from_ms": from_ms, "to_ms": null, "track": format!("sim:{title}?length={length}"), "title": title,
               "position_from_ms": position, "position_to_ms": position, "node": self.node(guild), "volume": 100})
    }

    fn node(&self, guild: usize) -> &'static str {
        let (own, other) = if guild.is_multiple_of(2) {
            ("a", "b")
        } else {
            ("b", "a")
        };
        if self.dead.contains(own) { other } else { own }
    }

    fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        for guild in 0..self.guilds {
            let strip = self.strips.get_mut(&guild).unwrap();
            let turn = strip.len();
            let last = strip.last_mut().unwrap();
            if !last["to_ms"].is_null() {
                continue;
            }
            let length = last["track"]
                .as_str()
                .unwrap()
                .rsplit('=')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
                * 1_000;
            let (from, position) = (
                last["from_ms"].as_u64().unwrap(),
                last["position_from_ms"].as_u64().unwrap(),
            );
            let end = from + length.saturating_sub(position);
            last["position_to_ms"] = (position + self.now_ms.min(end).saturating_sub(from)).into();
            if end <= self.now_ms {
                last["to_ms"] = end.into();
                let next = self.track(guild, turn, end, 0);
                self.strips.get_mut(&guild).unwrap().push(next);
            }
        }
    }

    fn silence(&mut self, guild: usize, at_ms: u64, gap: bool) {
        self.advance(at_ms);
        let last = self.strips.get_mut(&guild).unwrap().last_mut().unwrap();
        last["to_ms"] = at_ms.into();
        if gap {
            self.gaps
                .get_mut(&guild)
                .unwrap()
                .push(json!({"from_ms": at_ms, "to_ms": null}));
        }
    }

    fn sound(&mut self, guild: usize, at_ms: u64) {
        let mut next = self.strips[&guild].last().unwrap().clone();
        if next["to_ms"].is_null() {
            return;
        }
        (next["from_ms"], next["to_ms"]) = (at_ms.into(), Value::Null);
        next["position_from_ms"] = next["position_to_ms"].clone();
        next["node"] = self.node(guild).into();
        self.strips.get_mut(&guild).unwrap().push(next);
        for gap in self.gaps.get_mut(&guild).unwrap() {
            if gap["to_ms"].is_null() {
                gap["to_ms"] = at_ms.into();
            }
        }
    }

    fn write(&mut self, kind: &str, fields: &Value) {
        let seq = self.log.len() + 1;
        let mut event = json!({"seq": seq, "at_ms": self.now_ms, "kind": kind});
        event
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        self.log.push(event);
    }

    /// The killed bot comes back: its session is resumed and every guild carries on.
    fn come_back(&mut self) {
        let Some(killed) = self.kills.iter().copied().find(|at| at + AWAY_MS <= self.now_ms) else {
            return;
        };
        self.kills.retain(|at| *at != killed);
        self.write("resume", &json!({"shard": 0, "outcome": "ok"}));
        self.recover(
            "crash",
            "carried_on",
            "trace-kill",
            (0..self.guilds).collect(),
            0,
            killed,
        );
    }

    fn recover(&mut self, trigger: &str, outcome: &str, trace: &str, guilds: Vec<usize>, gap_ms: u64, at_ms: u64) {
        for guild in guilds {
            let more = guild as u64 * 9;
            self.recoveries.push(json!({"guild": id(guild), "trigger": trigger, "outcome": outcome,
                "at": format!("2026-01-01T20:{:02}:{:02}Z", at_ms / 60_000, at_ms / 1_000 % 60), "took_ms": 1_390 + more, "gap_ms": gap_ms,
                "trace_id": format!("{trace}-{at_ms}"),
                "phases": [{"name": "detect", "ms": 1_010}, {"name": "fence", "ms": 12}, {"name": "claim", "ms": 31},
                           {"name": "resume", "ms": 190}, {"name": "load", "ms": 22}, {"name": "reconcile", "ms": 125 + more}]}));
        }
    }
}

fn id(guild: usize) -> String {
    (100_000_000_000_000_000 + guild as u64).to_string()
}

fn guild_of(id: &str) -> usize {
    usize::try_from(id.parse::<u64>().unwrap() - 100_000_000_000_000_000).unwrap()
}

fn now((evening, started): &(Arc<Mutex<Evening>>, Instant)) -> std::sync::MutexGuard<'_, Evening> {
    let mut locked = evening.lock().unwrap();
    let since = u64::try_from(started.elapsed().as_millis()).unwrap();
    locked.advance(BEFORE_MS + since);
    locked.come_back();
    locked
}

async fn world(State(shared): Shared) -> Json<Value> {
    let evening = now(&shared);
    let guilds: Vec<Value> = (0..evening.guilds)
        .map(|guild| {
            let own = id(guild);
            let voice = format!("3{}", &own[1..]);
            let name = format!("{} {}", NAMES[guild % NAMES.len()], guild + 1);
            let member = |name: &str, digit: &str, there: bool| json!({"id": format!("{digit}{}", &own[1..]), "name": name, "voice": there.then_some(&voice)});
            json!({"id": own, "name": name, "shard": 0, "bot": {"voice": voice},
                   "channels": [{"id": format!("2{}", &own[1..]), "name": "music", "kind": "text"}, {"id": voice, "name": "Lounge", "kind": "voice"}],
                   "members": [member("Ada", "4", true), member("Ben", "5", guild % 3 > 0), member("Chloé", "6", false)]})
        })
        .collect();
    let players = |node: &str| {
        (0..evening.guilds)
            .filter(|guild| evening.node(*guild) == node && !evening.dead.contains(node))
            .count()
    };
    let node = |name: &str| json!({"name": name, "up": !evening.dead.contains(name), "sessions": [{"id": "s", "connected": true, "resuming": true, "players": players(name)}]});
    let there = evening.kills.is_empty();
    Json(
        json!({"now_ms": evening.now_ms, "shards": [{"id": 0, "connected": there, "ready": there}], "guilds": guilds, "nodes": [node("a"), node("b")]}),
    )
}

async fn audio(State(shared): Shared, Path(guild): Path<String>, RawQuery(query): RawQuery) -> Json<Value> {
    let since: u64 = query
        .and_then(|query| query.strip_prefix("since_ms=")?.parse().ok())
        .unwrap_or_default();
    let evening = now(&shared);
    let guild = guild_of(&guild);
    let after = |part: &&Value| part["to_ms"].as_u64().is_none_or(|to| to > since);
    let segments: Vec<&Value> = evening.strips[&guild].iter().filter(after).collect();
    let gaps: Vec<&Value> = evening.gaps[&guild].iter().filter(after).collect();
    let playing = segments.iter().any(|segment| segment["to_ms"].is_null());
    Json(json!({"now_ms": evening.now_ms, "playing": playing, "segments": segments, "gaps": gaps}))
}

async fn command(State(shared): Shared, Path(guild): Path<String>, Json(body): Json<Value>) -> Json<Value> {
    let mut evening = now(&shared);
    let (guild, at) = (guild_of(&guild), evening.now_ms);
    match body["name"].as_str() {
        Some("pause") if evening.paused.insert(guild) => evening.silence(guild, at, false),
        Some("resume") if evening.paused.remove(&guild) => evening.sound(guild, at),
        Some(_) | None => {}
    }
    evening.write("interaction", &json!({"guild": id(guild), "name": body["name"]}));
    evening.asked.push(body);
    evening.interactions += 1;
    Json(json!({"interaction": evening.interactions.to_string()}))
}

async fn component(State(shared): Shared) -> Json<Value> {
    let mut evening = now(&shared);
    evening.interactions += 1;
    Json(json!({"interaction": evening.interactions.to_string()}))
}

async fn interaction(State(shared): Shared, Path(interaction): Path<String>) -> Json<Value> {
    let at = now(&shared).now_ms;
    let button = |label: &str, style: u8| json!({"type": 2, "label": label, "style": style, "custom_id": label});
    Json(
        json!({"id": interaction, "issued_ms": at, "acknowledged_ms": at + 12, "replied_ms": at + 41, "kind": "reply", "ephemeral": false,
        "message": {"id": "900", "content": "", "embeds": [{"color": 2_060_152, "title": "Now playing", "description": "**<img src=x onerror=alert(1)>**\n`1:02` of `1:31` · asked for by <@4>",
            "fields": [{"name": "Volume", "value": "100 %"}, {"name": "Loop", "value": "queue"}, {"name": "Up next", "value": "Paper Boats"}]}],
            "components": [{"type": 1, "components": [button("Pause", 1), button("Skip", 2), button("Shuffle", 2), button("Stop", 4)]}]}}),
    )
}

async fn log(State(shared): Shared, RawQuery(query): RawQuery) -> String {
    let since: usize = query
        .and_then(|query| query.strip_prefix("since=")?.parse().ok())
        .unwrap_or_default();
    let evening = now(&shared);
    evening
        .log
        .iter()
        .skip(since)
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

async fn fault(State(shared): Shared, Json(body): Json<Value>) -> Json<Value> {
    let mut evening = now(&shared);
    evening.write("fault", &body);
    let at = evening.now_ms;
    match body["kind"].as_str() {
        Some("note") if body["text"].as_str().is_some_and(|text| text.starts_with("kill -9")) => evening.kills.push(at),
        Some("kill_node") => {
            let node = body["node"].as_str().unwrap().to_owned();
            let struck: Vec<usize> = (0..evening.guilds)
                .filter(|guild| evening.node(*guild) == node)
                .collect();
            evening.dead.insert(node);
            for guild in &struck {
                evening.silence(*guild, at, true);
                evening.sound(*guild, at + 480);
            }
            evening.recover("node_lost", "restored", "trace-node", struck, 480, at);
        }
        Some(_) | None => {}
    }
    Json(json!({"id": body["node"]}))
}

async fn end_fault(State(shared): Shared, Path(node): Path<String>) -> Json<Value> {
    now(&shared).dead.remove(&node);
    Json(json!({}))
}

async fn state(State(shared): Shared) -> Json<Value> {
    let evening = now(&shared);
    let member = format!("0192f0c4-7b1e-7000-8000-{:012}", evening.recoveries.len());
    Json(
        json!({"member": member, "name": "a", "shards": [{"id": 0, "state": "owned", "epoch": 1 + evening.recoveries.len() / evening.guilds.max(1)}],
        "leader": true, "guilds": {"active": evening.guilds, "playing": evening.guilds}, "recoveries": evening.recoveries}),
    )
}

/// Long enough for the page to have seen an effect of the script.
pub(crate) const SOON: Duration = Duration::from_secs(15);
