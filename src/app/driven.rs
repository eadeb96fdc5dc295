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
    /// The span of taking it, a W3C `traceparent`: what its guilds' recoveries are a part of.
    pub(crate) trace: Option<String>,
    /// Had its first READY or RESUMED.
    pub(crate) ready: bool,
    reconciling: Reconciling,
}

/// The guilds that were active when the shard was taken.
#[derive(Clone, Copy, Debug, Default)]
struct Reconciling {
    guilds: usize,
    /// Whose recovery has not ended.
    left: usize,
    /// When the shard was connected.
    from_ms: Option<i64>,
}

/// What the recovery of a guild is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// The span of taking its shard, a W3C `traceparent`.
    pub(super) trace: String,
    /// Whether it is a part of it; else it came later, when nothing was left to recover.
    pub(super) belongs: bool,
    /// It was the last one of so many, which were waited for since then.
    pub(super) last: Option<(usize, i64)>,
}

impl Driven {
    /// `active`: how many guilds are to be recovered.
    pub(super) fn began(&self, shard: u32, guilds: Arc<Guilds>, epoch: Epoch, trace: Option<String>, active: usize) {
        let driving = Driving {
            guilds,
            epoch,
            trace,
            ready: false,
            reconciling: Reconciling {
                guilds: active,
                left: active,
                from_ms: None,
            },
        };
        let mut shards = self.lock();
        shards.ended.remove(&shard);
        shards.driven.insert(shard, driving);
    }

    /// Its guilds are told next that the gateway is there.
    pub(super) fn connected(&self, shard: u32, now_ms: i64) {
        if let Some(driving) = self.lock().driven.get_mut(&shard) {
            driving.reconciling.from_ms.get_or_insert(now_ms);
        }
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

    /// The recovery of one of its guilds ended.
    pub(super) fn recovered(&self, shard: u32) -> Option<Whole> {
        let mut shards = self.lock();
        let driving = shards.driven.get_mut(&shard)?;
        let (trace, reconciling) = (driving.trace.clone()?, &mut driving.reconciling);
        let belongs = reconciling.left > 0;
        reconciling.left = reconciling.left.saturating_sub(1);
        let last = reconciling.from_ms.filter(|_| belongs && reconciling.left == 0);
        Some(Whole {
            trace,
            belongs,
            last: last.map(|from_ms| (reconciling.guilds, from_ms)),
        })
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
