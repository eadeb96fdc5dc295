//! The periodic auto-save: one batch a round, whatever the number of players.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::metering::{self, Round};
use super::{Process, RunError};

pub(super) fn start(process: &Arc<Process>, tasks: &mut JoinSet<Result<(), RunError>>, stop: &CancellationToken) {
    let (process, stop) = (Arc::clone(process), stop.clone());
    tasks.spawn(async move {
        let mut rounds = interval(process.settings.autosave_interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = rounds.tick() => round(&process).await,
            }
        }
    });
}

async fn round(process: &Process) {
    let shards = process.driven.all();
    let began = Instant::now();
    let (mut batch, mut players) = (Vec::new(), 0);
    for (_, shard) in &shards {
        players += shard.guilds.playing();
        batch.extend(shard.guilds.checkpoints().await);
    }
    if batch.is_empty() {
        metering::nothing_to_save(&process.metrics, players, began);
        debug!(players, "nothing to auto-save");
        return;
    }
    let result = process.store.checkpoint(&batch).await;
    let took = began.elapsed();
    for (_, shard) in &shards {
        shard.guilds.checkpointed(&batch, result.as_deref().map_err(|_| ()));
    }
    let written = result.as_ref().map(|lost| (batch.len() - lost.len(), lost.len()));
    let round = Round {
        began,
        took,
        written: written.ok(),
    };
    metering::autosaved(&process.metrics, &round);
    match written {
        Ok((written, _)) => {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            info!(players, written, took_ms, "auto-saved");
        }
        Err(error) => {
            warn!(%error, players, "auto-save failed; the next round tries again");
        }
    }
}
