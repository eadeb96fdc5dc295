//! What the rest of a replica holds of the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::permit::Standing;
use crate::model::ids::MemberId;
use crate::store::{MemberRow, ShardRow};

/// Requests that may wait for the coordinator: one per shard that is given back, and a few signals.
pub(super) const REQUESTS: usize = 4_096;

/// What is asked of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A shard is saved and closed.
    Given {
        /// Which.
        shard: u32,
        /// The span that tells of it, a W3C `traceparent`.
        trace: Option<String>,
    },
    /// Every shard is to be given away.
    Drain,
    /// Do not wait for anybody any more.
    Hurry,
    /// Renew at once.
    Renew,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is ours any more.
    Given,
    /// Nobody is there to take what is ours: leave, and the next leader or the next start finds it.
    Nobody,
    /// It was hurried.
    Hurried,
    /// This member does not exist any more.
    Ended,
}

/// The cluster as this member last saw it, for pages and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// Who leads.
    pub leader: Option<MemberId>,
    /// The term, as far as it is known here.
    pub term: u64,
    /// Whether that is this member.
    pub leading: bool,
    /// All members that are stored, the final ones too.
    pub members: Arc<Vec<MemberRow>>,
    /// All shards that are stored.
    pub shards: Arc<Vec<ShardRow>>,
    /// The store's clock when this was read, milliseconds since 1970; 0 before the first look.
    pub seen_ms: i64,
    /// What this member may do.
    pub standing: Option<Standing>,
    /// Since when the store does not answer this member, by its own clock.
    pub store_failing_since_ms: Option<i64>,
}

/// Talks to the coordinator of this member. Cheap to clone; of no effect once the member has ended.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) view: watch::Receiver<Arc<ClusterView>>,
    pub(super) drained: watch::Receiver<Option<Drained>>,
    pub(super) leaving: watch::Receiver<BTreeSet<String>>,
}

impl Handle {
    /// The shard is saved and closed: it is released in the store, and its successor is told to look. With a `trace`, the
    /// successor goes on with that.
    pub fn given(&self, shard: u32, trace: Option<String>) {
        self.ask(Request::Given { shard, trace });
    }

    /// Gives every shard away. With no other member that lives, they are kept.
    pub fn drain(&self) {
        self.ask(Request::Drain);
    }

    /// Waits until nothing is ours any more, or waiting is of no use.
    pub async fn drained(&self) -> Drained {
        let mut drained = self.drained.clone();
        drained
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|drained| *drained)
            .unwrap_or(Drained::Ended)
    }

    /// Ends a drain that is waiting.
    pub fn hurry(&self) {
        self.ask(Request::Hurry);
    }

    /// The cluster as last seen.
    pub fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.view.borrow())
    }

    /// Completes when the view has changed since the last call on the same clone.
    pub async fn changed(&mut self) -> bool {
        self.view.changed().await.is_ok()
    }

    /// The names of the Lavalink pods of our release that are leaving, whenever they change. Outside Kubernetes there are
    /// none, and the sender is gone.
    pub fn leaving_pods(&self) -> watch::Receiver<BTreeSet<String>> {
        self.leaving.clone()
    }

    /// Renews at once, so that what rides on the renewal is stored.
    pub fn renew_now(&self) {
        self.ask(Request::Renew);
    }

    fn ask(&self, request: Request) {
        if let Err(mpsc::error::TrySendError::Full(request)) = self.requests.try_send(request) {
            // Only a coordinator that hangs has so much to do; then its permit ends, and the shards move by time-out.
            tracing::error!(?request, "the coordinator does not answer");
        }
    }
}
