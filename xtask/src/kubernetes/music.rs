//! The world outside the cluster: Discord and Lavalink at the node's address, and people in it who listen.

use serde_json::{Value, json};

use super::Args;
use super::node::{Node, until};

/// Discord's port; control is the next one, then the nodes.
const DISCORD: u16 = 9_000;

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
    /// Starts the simulator.
    pub(super) fn start(node: &Node, args: &Args) -> Result<Self, String> {
        let (guilds, shards) = (args.guilds.to_string(), args.shards.to_string());
        let listen = format!("{}:{DISCORD}", node.address);
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
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            ready = lines.find(|line| line["control"].is_string()).ok_or(text.clone())?;
            Ok(())
        })?;
        Ok(Self { ready })
    }

    /// The Lavalink nodes: name, address, password.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Value> {
        self.ready["lavalink"].as_array().into_iter().flatten()
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
        // The leader registers commands a moment after it is ready.
        until("the command play", || {
            self.command(guild, "play", &json!({ "query": query }))
        })?;
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
        self.post(&format!("/guilds/{}/commands", guild.id), &body)
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

    fn post(&self, path: &str, body: &Value) -> Result<(), String> {
        let url = self.control(path);
        let answer = ureq::post(&url).send_json(body);
        answer.map(drop).map_err(|error| format!("{url}: {error}"))
    }

    fn control(&self, path: &str) -> String {
        format!("{}{path}", self.ready["control"].as_str().unwrap_or_default())
    }
}
