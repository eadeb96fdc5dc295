//! What pages show of this replica and of the cluster, gathered without waiting for anybody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::driven::Driven;
use crate::cluster::{ClusterView, Handle};
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;
use crate::store::{LeaderRow, RecoveryRow, Scan};

/// Recoveries that are shown.
pub(super) const RECOVERIES: usize = 200;
/// A page that was asked for within this is being looked at.
const LOOKED_AT: Duration = Duration::from_secs(15);

/// The state of this replica.
pub struct Overview {
    name: String,
    trace_url: Option<String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    member: Option<MemberId>,
    total_shards: u32,
    cluster: Option<Handle>,
    driven: Driven,
    /// Newest first, by when they ended.
    recoveries: VecDeque<RecoveryRow>,
    /// What was read for those who look.
    scan: Option<Scan>,
    asked: Option<Instant>,
}

impl Overview {
    pub(super) fn new(name: String, trace_url: Option<String>) -> Self {
        Self {
            name,
            trace_url,
            inner: Mutex::default(),
        }
    }

    pub(super) fn joined(&self, member: &MemberId, shards: u32, cluster: Handle, driven: Driven) {
        let mut inner = self.lock();
        inner.member = Some(member.clone());
        inner.total_shards = shards;
        inner.cluster = Some(cluster);
        inner.driven = driven;
    }

    pub(super) fn left(&self) {
        let mut inner = self.lock();
        inner.cluster = None;
        inner.scan = None;
        inner.driven = Driven::default();
    }

    /// Whether somebody looked at a page lately.
    pub(super) fn is_looked_at(&self) -> bool {
        self.lock().asked.is_some_and(|at| at.elapsed() < LOOKED_AT)
    }

    /// One of this replica's own.
    pub(super) fn recovered(&self, row: RecoveryRow) {
        let mut inner = self.lock();
        inner.recoveries.push_front(row);
        inner.recoveries.truncate(RECOVERIES);
    }

    /// The cluster, as stored.
    pub(super) fn scanned(&self, scan: Scan) {
        self.lock().scan = Some(scan);
    }

    /// Those of all replicas, as stored; its own may not be among them yet.
    pub(super) fn stored(&self, rows: Vec<RecoveryRow>) {
        let mut inner = self.lock();
        let mut all = rows;
        let known: std::collections::HashSet<_> = all
            .iter()
            .map(|row| (row.guild, row.at_ms, row.member.clone()))
            .collect();
        let own = inner.recoveries.iter();
        let unknown = own.filter(|row| !known.contains(&(row.guild, row.at_ms, row.member.clone())));
        all.extend(unknown.cloned());
        all.sort_by_key(|row| std::cmp::Reverse(row.at_ms));
        all.truncate(RECOVERIES);
        inner.recoveries = all.into();
    }

    /// For people.
    pub fn page(&self) -> String {
        super::status::page(&self.name, self.trace_url.as_deref(), &self.json())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut inner = self.lock();
        inner.asked = Some(Instant::now());
        let view = inner.cluster.as_ref().map(Handle::view).unwrap_or_default();
        let cluster = match &inner.scan {
            Some(scan) if scan.now_ms > view.seen_ms => cluster(scan),
            Some(_) | None => cluster(&seen(&view)),
        };
        let mut nodes: BTreeMap<String, NodeSeen> = BTreeMap::new();
        let (mut playing, mut seen, mut active) = (0, 0, 0);
        let mut own = Vec::new();
        for (id, driving) in inner.driven.all() {
            let around = driving.guilds.around();
            playing += around.playing.load(Ordering::Relaxed).max(0);
            seen += around.gateway.guilds().seen;
            active += driving.guilds.len();
            let state = format!("{:?}", around.gateway.state()).to_lowercase();
            own.push(json!({ "id": id, "epoch": driving.epoch.0, "state": state }));
            for node in around.nodes.iter() {
                let seen = nodes.entry(node.name().to_string()).or_default();
                seen.state = node.state().name();
                seen.draining = node.is_draining();
                seen.counted = seen.counted.max(node.load().players);
                seen.since += node.since_counted();
            }
        }
        json!({
            "member": inner.member, "name": self.name, "now_ms": wall_ms(), "leader": view.leading,
            "total_shards": inner.total_shards, "shards": own,
            "nodes": nodes.iter().map(|(name, seen)| seen.json(name)).collect::<Vec<_>>(),
            "guilds": { "seen": seen, "active": active, "playing": playing },
            "cluster": cluster,
            "recoveries": inner.recoveries.iter().map(recovery).collect::<Vec<_>>(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node, as the sessions of this replica's shards see it.
#[derive(Debug, Default)]
struct NodeSeen {
    state: &'static str,
    draining: bool,
    /// Its players when it counted last, which it does once a minute.
    counted: u64,
    /// How many more this replica has there since.
    since: i64,
}

impl NodeSeen {
    fn json(&self, name: &str) -> Value {
        let players = self.counted.saturating_add_signed(self.since);
        json!({ "name": name, "state": self.state, "draining": self.draining, "players": players })
    }
}

/// What this member's coordinator saw last.
fn seen(view: &ClusterView) -> Scan {
    Scan {
        now_ms: view.seen_ms,
        members: view.members.to_vec(),
        shards: view.shards.to_vec(),
        leader: LeaderRow {
            term: view.term,
            holder: view.leader.clone(),
        },
    }
}

/// Members, who owns what, who leads.
fn cluster(view: &Scan) -> Value {
    let alive = view.members.iter().filter(|member| !member.state.is_final());
    let members = alive.map(|member| {
        let shards = view
            .shards
            .iter()
            .filter(|shard| shard.owner.as_ref() == Some(&member.id));
        json!({
            "id": member.id, "name": member.name, "state": member.state.name(), "http": member.http,
            "version": member.version, "shards": shards.map(|shard| shard.id).collect::<Vec<_>>(),
            "playing": member.playing.values().sum::<u32>(), "age_ms": view.now_ms - member.renewed_ms,
        })
    });
    let shards = view
        .shards
        .iter()
        .map(|shard| json!({ "id": shard.id, "owner": shard.owner, "want": shard.want, "epoch": shard.epoch.0 }));
    json!({
        "leader": view.leader.holder, "term": view.leader.term,
        "members": members.collect::<Vec<_>>(), "shards": shards.collect::<Vec<_>>(),
    })
}

/// As `segue status --json` gives it, and its phases.
fn recovery(row: &RecoveryRow) -> Value {
    let at = jiff::Timestamp::from_millisecond(row.at_ms)
        .unwrap_or_default()
        .to_string();
    let phases: Vec<Value> = row
        .phases
        .iter()
        .map(|(name, ms)| json!({ "name": name, "ms": ms }))
        .collect();
    json!({
        "guild": row.guild.to_string(), "shard": row.shard, "member": row.member, "trigger": row.trigger,
        "outcome": row.outcome, "at": at, "took_ms": row.took_ms, "gap_ms": row.gap_ms, "trace_id": row.trace_id,
        "phases": phases,
    })
}
