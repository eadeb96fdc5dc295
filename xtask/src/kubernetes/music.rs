//! The world outside the cluster: Discord, Lavalink and MongoDB at the node's address, and people in it who listen.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::Args;
use super::files::NODE_IP;
use super::node::{Node, until};

/// Discord's port; control is the next one, then the nodes.
const DISCORD: u16 = 9_000;
const MONGOD: u16 = 27_017;

/// The simulator and its control API.
pub(super) struct World {
    /// Its first line: addresses, token, nodes.
    pub(super) ready: Value,
}

/// A moment, to which what happened since is compared.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    now_ms: u64,
    identifies: u64,
    unheard: u64,
    violations: usize,
}

/// A guild as the world describes it: its id, a text channel, and a person in its voice channel.
#[derive(Clone, Debug)]
pub(super) struct Guild {
    pub(super) id: String,
    text: String,
    voice: String,
    person: String,
}

impl World {
    /// Starts MongoDB and the simulator.
    pub(super) fn start(node: &Node, args: &Args) -> Result<Self, String> {
        mongodb(node)?;
        let (guilds, shards) = (args.guilds.to_string(), args.shards.to_string());
        let listen = format!("{NODE_IP}:{DISCORD}");
        let told = [
            "sim",
            "--guilds",
            &guilds,
            "--shards",
            &shards,
            "--max-concurrency",
            &shards,
            "--listen",
            &listen,
        ];
        node.start("segue", &told)?;
        let log = node.folder.join("log/segue");
        let mut ready = Value::Null;
        until("the simulator", || {
            let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
            ready = serde_json::from_str(text.lines().next().unwrap_or_default()).map_err(|_| text.clone())?;
            Ok(())
        })?;
        Ok(Self { ready })
    }

    /// The address of MongoDB.
    pub(super) fn store() -> String {
        format!("mongodb://{NODE_IP}:{MONGOD}/segue?replicaSet=rs0")
    }

    /// Every guild.
    pub(super) fn guilds(&self) -> Result<Vec<Guild>, String> {
        let world = self.get("/world")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of_kind = |guild: &Value, kind: &str| {
            let channels = guild["channels"].as_array().into_iter().flatten();
            channels
                .clone()
                .find(|channel| channel["kind"] == kind)
                .map(|channel| text(&channel["id"]))
        };
        let one = |guild: &Value| {
            Some(Guild {
                id: text(&guild["id"]),
                text: of_kind(guild, "text")?,
                voice: of_kind(guild, "voice")?,
                person: text(&guild["members"][0]["id"]),
            })
        };
        let all = world["guilds"].as_array().into_iter().flatten();
        Ok(all.filter_map(one).collect())
    }

    /// A person comes in and asks for an hour of music; returns when it is heard.
    pub(super) fn play(&self, guild: &Guild) -> Result<(), String> {
        let joined = json!({ "user": guild.person, "channel": guild.voice });
        self.post(&format!("/guilds/{}/voice", guild.id), &joined)?;
        let query = format!("sim:Song-{}?length=7200", guild.id);
        self.command(guild, "play", &json!({ "query": query }))?;
        until(&format!("music in {}", guild.id), || self.hears(guild))
    }

    /// Whether something is audible there now.
    pub(super) fn hears(&self, guild: &Guild) -> Result<(), String> {
        let audio = self.get(&format!("/guilds/{}/audio?since_ms=0", guild.id))?;
        if audio["playing"] == true {
            Ok(())
        } else {
            Err(format!("silence: {audio}"))
        }
    }

    /// A slash command; does not wait for its answer.
    pub(super) fn command(&self, guild: &Guild, name: &str, options: &Value) -> Result<(), String> {
        let body = json!({ "user": guild.person, "channel": guild.text, "name": name, "options": options });
        self.post(&format!("/guilds/{}/commands", guild.id), &body).map(drop)
    }

    /// How many shards are connected and ready.
    pub(super) fn shards_ready(&self) -> Result<usize, String> {
        let world = self.get("/world")?;
        let shards = world["shards"].as_array().into_iter().flatten();
        Ok(shards.filter(|shard| shard["ready"] == true).count())
    }

    /// Now.
    pub(super) fn moment(&self) -> Result<Moment, String> {
        let counters = self.get("/counters")?;
        let interactions = &counters["interactions"];
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        Ok(Moment {
            now_ms: number(&self.get("/world")?["now_ms"]),
            identifies: number(&counters["identify"]),
            unheard: number(&interactions["late"]) + number(&interactions["never"]),
            violations: self.get("/violations")?.as_array().map_or(0, Vec::len),
        })
    }

    /// Waits until every command that was issued is answered or too late.
    pub(super) fn settled(&self) -> Result<(), String> {
        until("an answer to every command", || {
            let counters = self.get("/counters")?;
            let of = |name: &str| counters["interactions"][name].as_u64().unwrap_or_default();
            let over = of("acknowledged_in_time") + of("late") + of("never");
            if of("issued") == over {
                Ok(())
            } else {
                Err(counters.to_string())
            }
        })
    }

    /// What went wrong since then, in words; empty when nobody noticed anything.
    pub(super) fn noticed_since(&self, then: &Moment, guilds: &[Guild]) -> Result<Vec<String>, String> {
        let now = self.moment()?;
        let mut wrong = Vec::new();
        if now.identifies > then.identifies {
            wrong.push(format!("{} IDENTIFYs were spent", now.identifies - then.identifies));
        }
        if now.unheard > then.unheard {
            wrong.push(format!(
                "{} commands were not acknowledged in time",
                now.unheard - then.unheard
            ));
        }
        let violations = self.get("/violations")?;
        let new = violations.as_array().into_iter().flatten().skip(then.violations);
        wrong.extend(new.map(|violation| format!("the oracle: {violation}")));
        for guild in guilds {
            let audio = self.get(&format!("/guilds/{}/audio?since_ms={}", guild.id, then.now_ms))?;
            let gaps = audio["gaps"].as_array().into_iter().flatten();
            let new = gaps.filter(|gap| gap["from_ms"].as_u64().is_some_and(|from| from >= then.now_ms));
            wrong.extend(new.map(|gap| format!("guild {}: a gap {gap}", guild.id)));
        }
        Ok(wrong)
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        let url = self.control(path);
        let answer = ureq::get(&url).call().map_err(|error| format!("{url}: {error}"))?;
        answer
            .into_body()
            .read_json()
            .map_err(|error| format!("{url}: {error}"))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let url = self.control(path);
        let answer = ureq::post(&url)
            .send_json(body)
            .map_err(|error| format!("{url}: {error}"))?;
        answer
            .into_body()
            .read_json()
            .map_err(|error| format!("{url}: {error}"))
    }

    fn control(&self, path: &str) -> String {
        format!("{}{path}", self.ready["control"].as_str().unwrap_or_default())
    }
}

/// MongoDB as a replica set of one, which the bot's writes need.
fn mongodb(node: &Node) -> Result<(), String> {
    let data = node.folder.join("mongodb");
    std::fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    let (data, port) = (data.display().to_string(), MONGOD.to_string());
    let told = [
        "--replSet",
        "rs0",
        "--bind_ip",
        NODE_IP,
        "--port",
        &port,
        "--dbpath",
        &data,
    ];
    node.start("mongod", &[&told[..], &["--wiredTigerCacheSizeGB", "0.25"]].concat())?;
    let member = bson::doc! { "_id": 0, "host": format!("{NODE_IP}:{MONGOD}") };
    let initiate = bson::doc! { "replSetInitiate": { "_id": "rs0", "members": [member] }, "$db": "admin" };
    until("the replica set", || tell(&initiate))
}

/// One command to MongoDB: a message of its protocol with one document in it.
fn tell(command: &bson::Document) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("MongoDB: {error}");
    let document = command.to_vec().map_err(|error| format!("MongoDB: {error}"))?;
    let length = i32::try_from(21 + document.len()).map_err(|error| format!("MongoDB: {error}"))?;
    // Length, request, answer to, operation (a message), flags, and the kind of what follows.
    let head: Vec<u8> = [length, 1, 0, 2_013, 0]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .chain([0])
        .collect();
    let mut stream = TcpStream::connect((NODE_IP, MONGOD)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(failed)?;
    stream.write_all(&[head, document].concat()).map_err(failed)?;
    let mut head = [0; 21];
    stream.read_exact(&mut head).map_err(failed)?;
    let answer = bson::Document::from_reader(&mut stream).map_err(|error| format!("MongoDB: {error}"))?;
    let already = answer
        .get_str("codeName")
        .is_ok_and(|code| code == "AlreadyInitialized");
    let done = already || answer.get_f64("ok").is_ok_and(|ok| ok > 0.0);
    if done {
        Ok(())
    } else {
        Err(format!("MongoDB: {answer}"))
    }
}

/// Numbers of a set of durations, for people: how many, the middle one, the longest.
pub(super) fn told(mut milliseconds: Vec<u64>) -> String {
    milliseconds.sort_unstable();
    let middle = milliseconds.get(milliseconds.len() / 2).copied().unwrap_or_default();
    let longest = milliseconds.last().copied().unwrap_or_default();
    format!(
        "{} recoveries, half within {middle} ms, all within {longest} ms",
        milliseconds.len()
    )
}

/// What the pods' logs say of recoveries: outcomes with what set them off, and how long each took.
pub(super) fn recoveries(log: &str) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if line["message"] == "recovered" {
            let text = |key: &str| line[key].as_str().unwrap_or("?").to_owned();
            let proof = line["proof"]
                .as_str()
                .map(|proof| format!(", known by {proof}"))
                .unwrap_or_default();
            let took = line["took_ms"].as_u64().unwrap_or_default();
            found
                .entry(format!("{} after {}{proof}", text("outcome"), text("trigger")))
                .or_default()
                .push(took);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recoveries_are_read_from_the_log() {
        let log = "{\"message\":\"recovered\",\"outcome\":\"carried_on\",\"trigger\":\"crash\",\"took_ms\":90}\nnoise\n{\"message\":\"recovered\",\"outcome\":\"carried_on\",\"trigger\":\"crash\",\"took_ms\":30}\n{\"message\":\"other\"}\n";
        let found = recoveries(log);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["carried_on after crash"]);
        assert_eq!(
            told(found["carried_on after crash"].clone()),
            "2 recoveries, half within 90 ms, all within 90 ms"
        );
    }
}
