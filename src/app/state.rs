//! What pages show of this replica, gathered without waiting for anybody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::identity::Identity;
use crate::guild::Surroundings;
use crate::lifecycle::wall_ms;
use crate::model::ids::{Epoch, GuildId, MemberId};
use crate::player::Recovered;

/// Recoveries that are shown.
const RECOVERIES: usize = 200;

/// The state of this replica.
pub struct Overview {
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    member: Option<MemberId>,
    total_shards: u32,
    shards: BTreeMap<u32, (Epoch, Surroundings)>,
    recoveries: VecDeque<Value>,
}

impl Overview {
    pub(super) fn new(name: String) -> Self {
        Self { name, inner: Mutex::default() }
    }

    pub(super) fn joined(&self, member: &MemberId, identity: &Identity) {
        let mut inner = self.lock();
        inner.member = Some(member.clone());
        inner.total_shards = identity.shards;
    }

    pub(super) fn driving(&self, shard: u32, epoch: Epoch, around: Surroundings) {
        self.lock().shards.insert(shard, (epoch, around));
    }

    pub(super) fn left(&self) {
        self.lock().shards.clear();
    }

    pub(super) fn recovered(&self, guild: GuildId, recovered: Recovered) {
        let Recovered { trigger, outcome, began_ms, gap_ms, phases } = recovered;
        let took_ms: u64 = phases.iter().map(|(_, ms)| ms).sum();
        let at = jiff::Timestamp::from_millisecond(began_ms).unwrap_or_default().to_string();
        let phases: Vec<Value> = phases.iter().map(|(name, ms)| json!({ "name": name, "ms": ms })).collect();
        let row = json!({
            "guild": guild.to_string(), "trigger": trigger.name(), "outcome": outcome.name(), "at": at,
            "took_ms": took_ms, "gap_ms": gap_ms, "trace_id": null, "phases": phases,
        });
        let mut inner = self.lock();
        inner.recoveries.push_front(row);
        inner.recoveries.truncate(RECOVERIES);
    }

    /// For people.
    pub fn page(&self) -> String {
        let state = self.json();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let rows = |list: &Value, cells: &[&str]| -> String {
            let row = |item: &Value| cells.iter().map(|cell| format!("<td>{}</td>", escape(&text(&item[*cell])))).collect::<String>();
            list.as_array().into_iter().flatten().map(|item| format!("<tr>{}</tr>", row(item))).collect()
        };
        include_str!("status.html")
            .replace("{name}", &escape(&self.name))
            .replace("{playing}", &text(&state["guilds"]["playing"]))
            .replace("{guilds}", &text(&state["guilds"]["seen"]))
            .replace("{shards}", &rows(&state["shards"], &["id", "state", "epoch"]))
            .replace("{nodes}", &rows(&state["nodes"], &["name", "state", "players"]))
            .replace("{recoveries}", &rows(&state["recoveries"], &["at", "guild", "trigger", "outcome", "took_ms", "gap_ms"]))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let inner = self.lock();
        let shard = |(id, (epoch, around)): (&u32, &(Epoch, Surroundings))| {
            json!({ "id": id, "epoch": epoch.0, "state": format!("{:?}", around.gateway.state()).to_lowercase() })
        };
        let mut nodes: BTreeMap<String, (String, u64)> = BTreeMap::new();
        let (mut playing, mut guilds) = (0, 0);
        for (_, around) in inner.shards.values() {
            playing += around.playing.load(Ordering::Relaxed).max(0);
            guilds += around.gateway.guilds().seen;
            for node in around.nodes.iter() {
                let entry = nodes.entry(node.name().to_string()).or_default();
                entry.0 = format!("{:?}", node.state());
                entry.1 = node.load().players;
            }
        }
        let nodes: Vec<Value> = nodes
            .into_iter()
            .map(|(name, (state, players))| json!({ "name": name, "state": state, "players": players }))
            .collect();
        json!({
            "member": inner.member, "name": self.name, "now_ms": wall_ms(), "leader": inner.member.is_some(),
            "total_shards": inner.total_shards,
            "shards": inner.shards.iter().map(shard).collect::<Vec<_>>(),
            "nodes": nodes,
            "guilds": { "seen": guilds, "playing": playing },
            "recoveries": inner.recoveries,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
