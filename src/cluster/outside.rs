//! The real outside of a member: the other members over TCP, and the Kubernetes API where there is one.

use std::collections::BTreeSet;
use std::sync::Arc;

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
    _tasks: JoinSet<()>,
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
        let outdoors = Self {
            peers,
            orders,
            _tasks: tasks,
        };
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
        if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(order) {
            error!(?order, "the elector does not answer");
        }
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
