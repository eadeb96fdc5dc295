//! The real outside of a member: the other members over TCP, and the Kubernetes API where there is one.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::error;

use super::coordinator::event::{Event, LeaseOrder};
use super::lease::{self, Candidate, Elector};
use super::member::{BeatSource, Member};
use super::peer::Peers;
use super::pods::{self, Watch};
use super::task::Outside;
use super::{Election, Opening};
use crate::model::ids::MemberId;
use crate::store::Beat;

/// Orders that may wait for the elector.
const ORDERS: usize = 64;

/// Dropping it ends everything.
pub(super) struct Outdoors {
    peers: Peers,
    orders: mpsc::Sender<LeaseOrder>,
    tasks: JoinSet<()>,
}

impl Outdoors {
    /// Begins to listen, to stand for election and to watch pods, as far as there are such. Returns the beat with what
    /// the pods tell added to it. `leaving` gets the names of Lavalink's pods that are leaving.
    pub(super) fn open(
        opening: &Opening,
        events: &mpsc::Sender<Event>,
        leaving: watch::Sender<BTreeSet<String>>,
    ) -> (Self, BeatSource) {
        let Member { id, permit, .. } = &opening.member;
        let clock = permit.clock().clone();
        let peers = Peers::new(id.clone(), clock.clone(), Arc::clone(&opening.peer), events.clone());
        let (orders, ordered) = mpsc::channel(ORDERS);
        let mut tasks = JoinSet::new();
        let mut beat = Arc::clone(&opening.beat);
        if let Election::Kubernetes { lease, namespace, pod } = &opening.election {
            let (container, known) = watch::channel(None);
            let inner = Arc::clone(&beat);
            beat = Arc::new(move || Beat {
                container_id: known.borrow().clone(),
                ..inner()
            });
            let kubernetes = Kubernetes {
                lease: lease.clone(),
                namespace: namespace.clone(),
                pod: pod.clone(),
                member: opening.member.clone(),
                container,
                leaving,
                ordered,
                events: events.clone(),
            };
            tasks.spawn(kubernetes.run());
        }
        let outdoors = Self { peers, orders, tasks };
        (outdoors, beat)
    }
}

impl Outside for Outdoors {
    fn watch(&mut self, members: Vec<(MemberId, String)>) {
        self.peers.watch(members);
    }

    fn poke(&mut self, members: &[MemberId]) {
        self.peers.poke(members);
    }

    fn ask(&mut self) {
        self.peers.ask();
    }

    fn renewed(&mut self, sent_ms: i64) {
        self.peers.renewed(sent_ms);
    }

    fn lease(&mut self, order: LeaseOrder) {
        // Without a Lease nobody listens; that an elector is gone is told by `broken`.
        if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(order) {
            error!(?order, "the elector does not answer");
        }
    }

    fn broken(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // It ends only when the orders do, which are ours.
            match self.tasks.join_next().await {
                Some(Err(error)) => error!(%error, "what talks to the Kubernetes API failed"),
                Some(Ok(())) => error!("what talks to the Kubernetes API ended"),
                None => std::future::pending().await,
            }
        })
    }
}

struct Kubernetes {
    lease: String,
    namespace: Option<String>,
    pod: Option<String>,
    member: Member,
    container: watch::Sender<Option<String>>,
    leaving: watch::Sender<BTreeSet<String>>,
    ordered: mpsc::Receiver<LeaseOrder>,
    events: mpsc::Sender<Event>,
}

impl Kubernetes {
    async fn run(self) {
        let (client, namespace) = lease::connect(self.namespace).await;
        let (owner, owned_by) = watch::channel(None);
        let candidate = Candidate {
            lease: self.lease,
            me: self.member.id.clone(),
            clock: self.member.permit.clock().clone(),
            owner: owned_by,
        };
        let elector = Elector::new(client.clone(), &namespace, candidate, self.ordered, self.events.clone());
        let watch = self.pod.map(|pod| Watch {
            namespace,
            pod,
            member: self.member,
            owner,
            container: self.container,
            leaving: self.leaving,
            events: self.events,
        });
        let pods = async {
            if let Some(watch) = watch {
                Box::pin(pods::watch_pods(client, watch)).await;
            }
        };
        tokio::join!(elector.run(), pods);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::cluster::task::{self, Parts};
    use crate::cluster::{Ended, NoTrail};
    use crate::store::Origin;

    #[tokio::test]
    async fn a_member_whose_way_to_the_kubernetes_api_fails_ends_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("segue.db").display());
        let store = crate::store::open(&address.into()).await.unwrap();
        let joined = Member::join(store, "a".to_owned(), Origin::default(), None, None).await;
        let member = joined.unwrap();
        let listener = Arc::new(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (events, inbox) = mpsc::channel(task::INBOX);
        let clock = member.permit.clock().clone();
        let mut outside = Outdoors {
            peers: Peers::new(member.id.clone(), clock, listener, events),
            orders: mpsc::channel(1).0,
            tasks: JoinSet::new(),
        };
        outside
            .tasks
            .spawn(async { assert_eq!(1, 2, "what a mistake looks like") });
        let (_handle, _duties, coordinator) = task::start(Parts {
            member,
            shards: 1,
            lease: true,
            seed: 1,
            beat: Arc::new(Beat::default),
            healthy: Arc::new(|| Ok(())),
            alive: Arc::new(|| ()),
            trail: Arc::new(NoTrail),
            outside: Box::new(outside),
            inbox,
            leaving: watch::channel(BTreeSet::new()).1,
            stop: CancellationToken::new(),
        });
        let ended = tokio::time::timeout(Duration::from_secs(10), coordinator).await;
        assert_eq!(ended.ok(), Some(Ended::Broken));
    }
}
