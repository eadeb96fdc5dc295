//! The shards that this member drives now: what the renewal, auto-save and pages read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::guild::Guilds;
use crate::model::ids::Epoch;
use crate::store::Beat;

/// Shared by everyone in the process. A shard is in it from its claim until it is saved and closed.
#[derive(Clone, Default)]
pub(crate) struct Driven(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shards: Mutex<Shards>,
    without_discord: AtomicBool,
    changed: Notify,
}

#[derive(Default)]
struct Shards {
    driven: BTreeMap<u32, Driving>,
    /// Up to where those that ended had processed.
    ended: BTreeMap<u32, u64>,
}

/// One shard.
#[derive(Clone)]
pub(crate) struct Driving {
    /// Its guilds, its gateway and its nodes.
    pub(crate) guilds: Arc<Guilds>,
    /// Counts owners.
    pub(crate) epoch: Epoch,
    /// Had its first READY or RESUMED.
    pub(crate) ready: bool,
}

impl Driven {
    pub(super) fn began(&self, shard: u32, guilds: Arc<Guilds>, epoch: Epoch) {
        let driving = Driving {
            guilds,
            epoch,
            ready: false,
        };
        let mut shards = self.lock();
        shards.ended.remove(&shard);
        shards.driven.insert(shard, driving);
    }

    pub(super) fn ready(&self, shard: u32) {
        if let Some(driving) = self.lock().driven.get_mut(&shard) {
            driving.ready = true;
        }
        self.0.changed.notify_one();
    }

    pub(super) fn ended(&self, shard: u32) {
        let mut shards = self.lock();
        if let Some(driving) = shards.driven.remove(&shard) {
            shards.ended.insert(shard, driving.guilds.around().gateway.processed());
        }
    }

    /// Whether Discord can be reached from here, which the renewal carries.
    pub(super) fn reaches_discord(&self, reaches: bool) {
        self.0.without_discord.store(!reaches, Ordering::Relaxed);
    }

    /// Completes when another shard is ready.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// All of them, by number.
    pub(crate) fn all(&self) -> Vec<(u32, Driving)> {
        let shards = self.lock();
        shards
            .driven
            .iter()
            .map(|(id, driving)| (*id, driving.clone()))
            .collect()
    }

    /// Whether each of these is driven and had its READY or RESUMED.
    pub(super) fn are_ready(&self, mut shards: impl Iterator<Item = u32>) -> bool {
        let lock = self.lock();
        shards.all(|shard| lock.driven.get(&shard).is_some_and(|driving| driving.ready))
    }

    /// What rides on the renewal: up to where Discord's events are processed, and how much plays. A shard without a
    /// session has no sequence number.
    pub(crate) fn beat(&self) -> Beat {
        let mut beat = Beat {
            without_discord: self.0.without_discord.load(Ordering::Relaxed),
            ..Beat::default()
        };
        for (shard, driving) in self.all() {
            let seq = driving.guilds.around().gateway.processed();
            if seq > 0 {
                beat.shard_seq.insert(shard, seq);
            }
            let playing = driving.guilds.around().playing.load(Ordering::Relaxed);
            beat.playing.insert(shard, u32::try_from(playing).unwrap_or(0));
        }
        beat
    }

    /// The same when everything has ended: the numbers of what this member had last.
    pub(super) fn last_beat(&self) -> Beat {
        let ended = self.lock().ended.clone();
        Beat {
            shard_seq: ended.into_iter().filter(|(_, seq)| *seq > 0).collect(),
            ..Beat::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shards> {
        self.0.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
