//! Everything the page shows, and what changed since it was last told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use super::headline::Headline;
use super::strips::{Change, Strip};
use super::wire::{Channel, Person, Recovery};

/// Log events that a page which connects later is given.
const LOG_KEPT: usize = 200;
/// Changes that a slow page may lag behind before it is given everything anew.
const BACKLOG: usize = 64;

/// A replica on the page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplicaRow {
    /// `a`, `b`, …
    pub name: String,
    /// `starting`, `up`, `cut` (off from its store), `frozen`, `stopping` or `down`.
    pub state: &'static str,
    /// Of the process, while there is one.
    pub pid: Option<u32>,
    /// The incarnation's id, once it said so.
    pub member: Option<String>,
    /// Whether it leads.
    pub leader: bool,
    /// Guilds it drives that are audible.
    pub playing: u64,
}

/// A gateway shard on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardRow {
    /// Its number.
    pub id: u64,
    /// Whether Discord has a socket for it.
    pub connected: bool,
    /// Whether its session gets events.
    pub ready: bool,
    /// The replica that drives it.
    pub owner: Option<String>,
    /// Grows with every owner.
    pub epoch: u64,
}

/// A node on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub up: bool,
    /// Players of all its sessions.
    pub players: u64,
}

/// Who drove a shard, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenure {
    /// The shard.
    pub shard: u64,
    /// The replica.
    pub replica: String,
    /// The replica's incarnation.
    pub member: String,
    /// Since when.
    pub from_ms: u64,
    /// Until when; still while `None`.
    pub to_ms: Option<u64>,
}

/// A vertical line through the strips.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When.
    pub at_ms: u64,
    /// What happened, in a few words.
    pub text: String,
}

/// What is known of a guild besides its strip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuildRow {
    /// Untrusted text.
    pub name: String,
    /// The shard that drives it.
    pub shard: u64,
    /// All channels.
    pub channels: Vec<Channel>,
    /// People.
    pub members: Vec<Person>,
    /// The bot's voice channel.
    pub bot: Option<String>,
}

/// The parts of the page that are small enough to be sent whole when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sections {
    /// The sentence on top.
    pub headline: Headline,
    /// Replica processes.
    pub replicas: Vec<ReplicaRow>,
    /// Gateway shards.
    pub shards: Vec<ShardRow>,
    /// Lavalink nodes.
    pub nodes: Vec<NodeRow>,
    /// Who drove what.
    pub owners: Vec<Tenure>,
    /// What was killed.
    pub marks: Vec<Mark>,
    /// Newest first.
    pub recoveries: Vec<Recovery>,
    /// What the oracle found.
    pub violations: Vec<Value>,
}

/// The state of everything, as one observer builds it.
#[derive(Debug, Default)]
pub struct Picture {
    /// The simulator's clock.
    pub now_ms: u64,
    /// All but guilds and log.
    pub sections: Sections,
    /// What guilds are.
    pub guilds: BTreeMap<String, GuildRow>,
    /// What guilds heard.
    pub strips: BTreeMap<String, Strip>,
    /// Newest last.
    pub log: VecDeque<Value>,
    news: News,
}

#[derive(Debug, Default)]
struct News {
    sections: Sections,
    rows: BTreeSet<String>,
    strips: BTreeMap<String, Change>,
    gone: Vec<String>,
    log: Vec<Value>,
}

impl Picture {
    /// Takes the guilds that exist now.
    pub fn set_guilds(&mut self, rows: BTreeMap<String, GuildRow>) {
        self.news
            .gone
            .extend(self.guilds.keys().filter(|id| !rows.contains_key(*id)).cloned());
        self.strips.retain(|id, _| rows.contains_key(id));
        let changed = rows.iter().filter(|(id, row)| self.guilds.get(*id) != Some(*row));
        self.news.rows.extend(changed.map(|(id, _)| id.clone()));
        self.guilds = rows;
    }

    /// Notes what changed in a guild's strip.
    pub fn strip_changed(&mut self, guild: &str, change: Change) {
        if change.is_empty() {
            return;
        }
        let told = self.news.strips.entry(guild.to_owned()).or_default();
        told.segments.extend(change.segments);
        told.gaps.extend(change.gaps);
        told.withdrawn.segments.extend(change.withdrawn.segments);
        told.withdrawn.gaps.extend(change.withdrawn.gaps);
        told.playing = change.playing.or(told.playing);
    }

    /// Appends to the log.
    pub fn logged(&mut self, events: Vec<Value>) {
        self.log.extend(events.iter().cloned());
        let surplus = self.log.len().saturating_sub(LOG_KEPT);
        self.log.drain(..surplus);
        let skip = events.len().saturating_sub(LOG_KEPT);
        self.news.log.extend(events.into_iter().skip(skip));
    }

    /// Everything, for a page that just came.
    pub fn whole(&self) -> Value {
        let guild = |(id, row): (&String, &GuildRow)| {
            let strip = self.strips.get(id).map(Strip::whole).unwrap_or_default();
            (id.clone(), joined(&json!(row), &json!(strip)))
        };
        let guilds: Map<String, Value> = self.guilds.iter().map(guild).collect();
        let rest = json!({"now_ms": self.now_ms, "guilds": guilds, "log": self.log});
        joined(&json!(self.sections), &rest)
    }

    /// What changed since the last call.
    pub fn change(&mut self) -> Value {
        let News {
            sections,
            rows,
            strips,
            gone,
            log,
        } = std::mem::take(&mut self.news);
        let mut change = changed_sections(&json!(sections), &json!(self.sections));
        self.news.sections = self.sections.clone();
        let mut guilds: Map<String, Value> = strips.into_iter().map(|(id, told)| (id, json!(told))).collect();
        for id in rows {
            let told = guilds.remove(&id).unwrap_or(Value::Null);
            guilds.insert(id.clone(), joined(&json!(self.guilds.get(&id)), &told));
        }
        guilds.retain(|id, _| self.guilds.contains_key(id));
        change.insert("now_ms".into(), self.now_ms.into());
        for (name, part) in [
            ("guilds", Value::Object(guilds)),
            ("gone", json!(gone)),
            ("log", Value::Array(log)),
        ] {
            let empty = part.as_array().is_some_and(Vec::is_empty) || part.as_object().is_some_and(Map::is_empty);
            if !empty {
                change.insert(name.into(), part);
            }
        }
        Value::Object(change)
    }
}

fn changed_sections(old: &Value, new: &Value) -> Map<String, Value> {
    let Some(new) = new.as_object() else {
        return Map::new();
    };
    let differs = |(name, value): &(&String, &Value)| old.get(name.as_str()) != Some(*value);
    new.iter()
        .filter(differs)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn joined(one: &Value, other: &Value) -> Value {
    let fields = [one, other].into_iter().filter_map(Value::as_object);
    Value::Object(
        fields
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

/// The picture and the pages that look at it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gallery {
    picture: Arc<Mutex<Picture>>,
    changes: broadcast::Sender<Arc<str>>,
}

impl Default for Gallery {
    fn default() -> Self {
        Self {
            picture: Arc::default(),
            changes: broadcast::Sender::new(BACKLOG),
        }
    }
}

impl Gallery {
    /// Works on the picture without telling anybody yet.
    pub fn paint<T>(&self, work: impl FnOnce(&mut Picture) -> T) -> T {
        work(&mut self.picture.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells every page what changed.
    pub fn publish(&self) {
        let mut picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        let change = picture.change().to_string();
        // No page is open: nobody to tell, and whoever comes is given everything.
        drop(self.changes.send(change.into()));
    }

    /// Everything as of now, and exactly the changes that follow.
    pub fn visit(&self) -> (String, broadcast::Receiver<Arc<str>>) {
        let picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        (picture.whole().to_string(), self.changes.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::wire::{Audio, Segment};

    fn row(name: &str) -> GuildRow {
        GuildRow {
            name: name.into(),
            ..GuildRow::default()
        }
    }

    fn hear(picture: &mut Picture, now_ms: u64) {
        let segment = Segment {
            from_ms: 1,
            position_to_ms: now_ms,
            ..Segment::default()
        };
        let audio = Audio {
            now_ms,
            playing: true,
            segments: vec![segment],
            gaps: vec![],
        };
        let change = picture.strips.entry("1".into()).or_default().merge(audio);
        picture.strip_changed("1", change);
    }

    #[test]
    fn a_change_holds_what_changed_and_nothing_else() {
        let mut picture = Picture::default();
        picture.set_guilds(BTreeMap::from([("1".into(), row("one")), ("2".into(), row("two"))]));
        hear(&mut picture, 500);
        let first = picture.change();
        assert_eq!(first["guilds"]["1"]["name"], "one");
        assert_eq!(first["guilds"]["1"]["playing"], true);
        assert_eq!(picture.change(), json!({"now_ms": 0}));
        picture.sections.marks.push(Mark {
            at_ms: 7,
            text: "kill".into(),
        });
        picture.set_guilds(BTreeMap::from([("1".into(), row("one"))]));
        let next = picture.change();
        assert_eq!(
            next,
            json!({"now_ms": 0, "marks": [{"at_ms": 7, "text": "kill"}], "gone": ["2"]})
        );
    }

    #[test]
    fn whoever_comes_gets_everything_and_then_the_changes_after_it() {
        let gallery = Gallery::default();
        gallery.paint(|picture| picture.set_guilds(BTreeMap::from([("1".into(), row("one"))])));
        gallery.publish();
        let (whole, mut changes) = gallery.visit();
        assert!(whole.contains("one"));
        gallery.paint(|picture| picture.now_ms = 9);
        gallery.publish();
        assert_eq!(changes.try_recv().unwrap().as_ref(), r#"{"now_ms":9}"#);
    }
}
