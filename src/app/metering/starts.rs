//! What is left of the day's IDENTIFYs. All replicas spend from one budget in the store, so that is where it is read, beside
//! what this one takes out of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::app::identity::Identity;
use crate::app::{Process, RunError};
use crate::cluster::budget;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::NoLabels;

/// How often it is read.
const READ_EVERY: Duration = Duration::from_secs(30);

/// So many are left.
pub(in crate::app) fn show(metrics: &Metrics, left: u32) {
    let remaining = &metrics.gateway.session_starts_remaining;
    remaining.get_or_create(&NoLabels {}).set(left.into());
}

/// Keeps the figure current until `stop`, as one of `tasks`.
pub(in crate::app) fn start(
    process: &Arc<Process>,
    identity: &Identity,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) {
    let (process, stop) = (Arc::clone(process), stop.clone());
    let (bot, total) = (identity.user, identity.starts);
    tasks.spawn(async move {
        loop {
            match budget::left(&process.store, bot, total).await {
                Ok(left) => show(&process.metrics, left),
                Err(error) => debug!(%error, "cannot read how many IDENTIFYs are left"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(READ_EVERY) => {}
            }
        }
    });
}
