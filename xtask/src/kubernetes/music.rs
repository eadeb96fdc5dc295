//! The world outside the cluster: Discord and Lavalink at the node's address, and people in it who listen.

use std::collections::BTreeMap;

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

/// Everything that went wrong until a moment, to which what goes wrong afterwards is compared. The first has nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    identifies: u64,
    unheard: u64,
    violations: Vec<String>,
    /// By guild and beginning, which stay the same while a gap grows.
    gaps: BTreeMap<(String, u64), String>,
}

/// What went wrong between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Noticed {
    /// IDENTIFYs, each of which is a lost gateway session.
    pub(super) identifies: u64,
    /// Commands that were not acknowledged in time.
    unheard: u64,
    /// What the oracle found.
    violations: Vec<String>,
    /// Silences that nobody had asked for.
    pub(super) gaps: Vec<String>,
}

impl Moment {
    /// What is here and was not there then.
    fn since(&self, then: &Self) -> Noticed {
        let gaps = self.gaps.iter().filter(|(gap, _)| !then.gaps.contains_key(gap));
        Noticed {
            identifies: self.identifies.saturating_sub(then.identifies),
            unheard: self.unheard.saturating_sub(then.unheard),
            violations: self.violations.iter().skip(then.violations.len()).cloned().collect(),
            gaps: gaps.map(|(_, gap)| gap.clone()).collect(),
        }
    }
}

impl Noticed {
    /// In words; empty when nobody noticed anything.
    pub(super) fn words(self) -> Vec<String> {
        let some = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let identifies = some(self.identifies, "IDENTIFYs were spent");
        let unheard = some(self.unheard, "commands were not acknowledged in time");
        let oracle = self.violations.into_iter().map(|found| format!("the oracle: {found}"));
        identifies
            .into_iter()
            .chain(unheard)
            .chain(oracle)
            .chain(self.gaps)
            .collect()
    }
}

/// A track, and where it is heard or was heard last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) track: String,
    pub(super) position_ms: u64,
}

/// A guild as the world describes it: its id, a text channel, and a person in its voice channel.
#[derive(Clone, Debug)]
pub(super) struct Guild {
    pub(super) id: String,
    text: String,
    voice: String,
    person: String,
}

#[cfg(test)]
impl Guild {
    /// One with this id.
    pub(super) fn named(id: &str) -> Self {
        let none = String::new;
        Self {
            id: id.to_owned(),
            text: none(),
            voice: none(),
            person: none(),
        }
    }
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

    /// Everything that went wrong until now.
    fn moment(&self, guilds: &[Guild]) -> Result<Moment, String> {
        let counters = self.get("/counters")?;
        let interactions = &counters["interactions"];
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let mut gaps = BTreeMap::new();
        for guild in guilds {
            let audio = self.get(&format!("/guilds/{}/audio?since_ms=0", guild.id))?;
            for gap in audio["gaps"].as_array().into_iter().flatten() {
                let key = (guild.id.clone(), number(&gap["from_ms"]));
                gaps.insert(key, format!("guild {}: a gap {gap}", guild.id));
            }
        }
        let violations = self.get("/violations")?;
        Ok(Moment {
            identifies: number(&counters["identify"]),
            unheard: number(&interactions["late"]) + number(&interactions["never"]),
            violations: violations
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::to_string)
                .collect(),
            gaps,
        })
    }

    /// How many commands were acknowledged in time until now.
    pub(super) fn acknowledged(&self) -> Result<u64, String> {
        let counters = self.get("/counters")?;
        Ok(counters["interactions"]["acknowledged_in_time"]
            .as_u64()
            .unwrap_or_default())
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

    /// What went wrong since then, and the moment from which the next look goes on: nothing is between two looks.
    pub(super) fn noticed_since(&self, then: &Moment, guilds: &[Guild]) -> Result<(Noticed, Moment), String> {
        let now = self.moment(guilds)?;
        Ok((now.since(then), now))
    }

    /// The simulator's clock.
    pub(super) fn now_ms(&self) -> Result<u64, String> {
        let world = self.get("/world?guilds=none")?;
        world["now_ms"].as_u64().ok_or_else(|| format!("no clock in {world}"))
    }

    /// What is heard in this guild, or was heard last.
    pub(super) fn heard(&self, guild: &Guild) -> Result<Heard, String> {
        let audio = self.get(&format!("/guilds/{}/audio?since_ms=0", guild.id))?;
        let last = audio["segments"].as_array().and_then(|all| all.last());
        last.and_then(|segment| heard(segment, "position_to_ms"))
            .ok_or_else(|| format!("nothing was ever heard in {}: {audio}", guild.id))
    }

    /// Where in what track the music began that is heard after this moment.
    pub(super) fn heard_first(&self, guild: &Guild, since_ms: u64) -> Result<Heard, String> {
        let audio = self.get(&format!("/guilds/{}/audio?since_ms={since_ms}", guild.id))?;
        let first = audio["segments"].as_array().and_then(|all| all.first());
        first
            .and_then(|segment| heard(segment, "position_from_ms"))
            .ok_or_else(|| format!("silence in {} since {since_ms} ms: {audio}", guild.id))
    }

    /// Every Lavalink node restarts with nothing in its memory.
    pub(super) fn restart_nodes(&self) -> Result<(), String> {
        for node in self.nodes() {
            let fault = json!({ "kind": "restart_node", "node": node["name"], "down_ms": 1_000 });
            self.post("/faults", &fault)?;
        }
        Ok(())
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

fn heard(segment: &Value, position: &str) -> Option<Heard> {
    Some(Heard {
        track: segment["track"].as_str()?.to_owned(),
        position_ms: segment[position].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(identifies: u64, violations: &[&str], gaps: &[(&str, u64)]) -> Moment {
        let gap = |(guild, from): &(&str, u64)| (((*guild).to_owned(), *from), format!("{guild} from {from}"));
        Moment {
            identifies,
            unheard: 0,
            violations: violations.iter().map(|violation| (*violation).to_owned()).collect(),
            gaps: gaps.iter().map(gap).collect(),
        }
    }

    #[test]
    fn of_three_looks_one_after_the_other_each_tells_only_what_is_new_and_all_together_everything() {
        let looks = [
            moment(12, &[], &[]),
            moment(12, &["a"], &[("7", 40)]),
            moment(13, &["a", "b"], &[("7", 30), ("7", 40), ("8", 40)]),
        ];
        let mut then = Moment::default();
        let mut told = Vec::new();
        for now in looks {
            told.push(now.since(&then).words());
            then = now;
        }
        let expected: [&[&str]; 3] = [
            &["12 IDENTIFYs were spent"],
            &["the oracle: a", "7 from 40"],
            // The older gap is only known now, and is told all the same.
            &["1 IDENTIFYs were spent", "the oracle: b", "7 from 30", "8 from 40"],
        ];
        assert_eq!(told, expected);
    }
}
