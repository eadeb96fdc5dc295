//! The recoveries that ended lately, for pages and logs.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Process, RunError};
use crate::cluster::member::Member;
use crate::model::ids::GuildId;
use crate::player::Recovered;

/// Recoveries that may wait to be shown; beyond it they are counted only.
const WAITING: usize = 4_096;

pub(super) fn start(
    process: &Arc<Process>,
    _member: &Member,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) -> mpsc::Sender<(GuildId, Recovered)> {
    let (sender, mut ended) = mpsc::channel(WAITING);
    let (process, stop) = (Arc::clone(process), stop.clone());
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some((guild, recovered)) = ended.recv() => process.overview.recovered(guild, recovered),
            }
        }
    });
    sender
}
