//! Guilds that are loaded one at a time, because an owner before died while it loaded the shard. What comes for one that
//! is not loaded yet waits for it.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Guilds, Mail};
use crate::gateway::Seen;
use crate::lifecycle::wall_ms;
use crate::model::ids::GuildId;
use crate::model::record::PendingRecord;
use crate::model::signal::Signal;
use crate::player::Loaded;
use crate::store::StoreError;

/// An order waits this long for its guild; less than the age at which it is deferred.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// A guild has this long to do harm before the next one is loaded. One whose recovery has ended does none any more.
const PROOF: Duration = Duration::from_millis(500);
/// How often it is asked whether its recovery has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Signals that are kept for a guild that is not loaded yet.
const WAITING: usize = 64;

impl Guilds {
    /// From now on what comes for these waits until [`Guilds::let_in`].
    pub fn hold(&self, guilds: impl Iterator<Item = GuildId>) {
        self.lock().held.extend(guilds.map(|guild| (guild, Vec::new())));
    }

    /// Waits until the guild may be opened, for a moment.
    pub async fn is_let_in(&self, guild: GuildId) {
        let waiting = async {
            loop {
                let mut changed = std::pin::pin!(self.let_in.notified());
                // Before looking, so that what happens in between is heard.
                changed.as_mut().enable();
                if !self.lock().held.contains_key(&guild) {
                    return;
                }
                changed.await;
            }
        };
        // Whoever waited in vain is told that the guild moves.
        let _ = timeout(PATIENCE, waiting).await;
    }

    /// Keeps a signal for a guild that is not loaded yet; gives it back where there is none such.
    pub(super) fn keep(&self, guild: GuildId, signal: Signal, seen: Seen) -> Option<(Signal, Seen)> {
        let mut actors = self.lock();
        let Some(waiting) = actors.held.get_mut(&guild) else {
            return Some((signal, seen));
        };
        if waiting.len() < WAITING {
            waiting.push((signal, seen));
        } else {
            warn!(%guild, "too many events wait for a guild that is being loaded; one was dropped");
        }
        None
    }

    /// Takes, reads and starts a guild that is held. Returns the orders that the owner before deferred. One that is
    /// another's or quarantined is not started.
    pub async fn admit(&self, guild: GuildId, loaded: Loaded) -> Result<Vec<PendingRecord>, StoreError> {
        let around = &self.around;
        let claim = around
            .store
            .claim_guild(guild, around.shard, self.previous.as_ref(), &around.member)
            .await?;
        let Some(row) = claim.ours() else { return Ok(Vec::new()) };
        let pending = row.snapshot.head.pending.clone();
        self.lock().inherited.extend(pending.iter().map(|pending| pending.id));
        self.start_late(row, loaded, false).await;
        Ok(pending)
    }

    /// What waited for a guild goes to its actor. One that got none is not recovered.
    pub fn let_in(&self, guild: GuildId) {
        let mut actors = self.lock();
        let waiting = actors.held.remove(&guild).unwrap_or_default();
        if !actors.handles.contains_key(&guild) {
            self.around().takeover.over(guild, wall_ms());
        }
        if let Some(handle) = actors.handles.get(&guild) {
            // Under the lock: what comes now must not overtake what waited.
            for (signal, seen) in waiting {
                handle.put(Mail::Signal(signal, Some(seen)));
            }
        }
        drop(actors);
        self.let_in.notify_waiters();
    }

    /// Waits until a guild that was admitted has recovered, or had enough time to do harm.
    pub async fn prove(&self, guild: GuildId) {
        let recovered = async {
            while let Some(handle) = self.get(guild)
                && handle.is_recovering().await == Ok(true)
            {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(PROOF, recovered).await;
    }
}
