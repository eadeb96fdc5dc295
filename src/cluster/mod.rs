//! This process as a member of the cluster: joining, renewing, the permit that every outward act asks, and whose shard is
//! whose.
//!
//! ```text
//!  peers, pods, Lease ──signs──►┐                        ┌──► Duty ──► whoever drives shards
//!  store ◄──calls── task ──answers──► coordinator (pure) ┤                     │ given, drain
//!    ▲                └───────────── Effect ◄────────────┘◄────────────────────┘
//! ```
//!
//! [`coordinator`] decides; [`task`] carries out. One leader, elected through a Kubernetes Lease or through the store,
//! fences the dead and says whose shard is whose; every member takes what it was given and gives up what it was not.
//!
//! Invariants: a member acts only while its permit is valid; the permit's end is counted from *sending* the renewal, on
//! a clock that goes on while the machine sleeps; a fenced member never acts again under that id. Leadership is for
//! liveness alone: what keeps a stale leader from doing harm is the `term` in the store.

pub mod assign;
pub mod budget;
mod calls;
pub mod claim;
pub mod coordinator;
pub mod duty;
pub mod election;
pub mod evidence;
pub mod handle;
pub mod lease;
pub mod member;
mod outside;
pub mod peer;
pub mod permit;
mod pods;
pub mod task;
pub mod timing;
pub mod trail;
pub mod witness;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::outside::Outdoors;
use self::task::Parts;

pub use duty::{Cause, Claimed, Duty, Moments};
pub use handle::{ClusterView, Drained, Handle, Request};
pub use member::{BeatSource, Ended, Member};
pub use trail::{Death, NoTrail, Trail};

/// Whether this process makes progress; `Err` says what does not. A member that does no work does not renew.
pub type HealthGate = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// How the leader is found.
#[derive(Clone, Debug)]
pub enum Election {
    /// By a row in the store. While the store is down nobody leads, and after 8 s every member pauses.
    Store,
    /// By a Kubernetes Lease, which also is the witness of a store that is down.
    Kubernetes {
        /// The Lease's name, the same for all replicas of one deployment and no other.
        lease: String,
        /// The namespace of the Lease and of the pods; `None`: that of the pod, or of the kubeconfig's context.
        namespace: Option<String>,
        /// The name of this process's pod, if it runs in one: its labels say which pods are watched.
        pod: Option<String>,
    },
}

/// What a member brings along.
pub struct Opening {
    /// Who joined ([`Member::join`]); its `peer` names the address of the listener below.
    pub member: Member,
    /// How many shards there are in all.
    pub shards: u32,
    /// How the leader is found.
    pub election: Election,
    /// What a renewal carries, read at the moment of sending.
    pub beat: BeatSource,
    /// Where other members connect to.
    pub peer: Arc<TcpListener>,
    /// Asked before each renewal.
    pub healthy: HealthGate,
    /// Called whenever the coordinator's loop goes round (at least every two seconds).
    pub alive: Arc<dyn Fn() + Send + Sync>,
    /// Keeps the traces.
    pub trail: Arc<dyn Trail>,
    /// Ends it: leadership is given up, nothing is released.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening")
            .field("member", &self.member)
            .field("shards", &self.shards)
            .field("election", &self.election)
            .finish_non_exhaustive()
    }
}

/// The coordinator of one member: a handle, what it asks for, and the future that drives it; somebody has to own and poll
/// that. At most two duties per shard wait in the channel. Ends [`Ended::Fenced`] when this member is dead to the others;
/// then drop everything it drove without a further word, and join again as a new one.
pub fn open(opening: Opening) -> (Handle, mpsc::Receiver<Duty>, impl Future<Output = Ended> + Send) {
    let (events, inbox) = mpsc::channel(task::INBOX);
    let (left, leaving) = watch::channel(BTreeSet::new());
    let (outside, beat) = Outdoors::open(&opening, &events, left);
    task::start(Parts {
        seed: rand::random(),
        lease: matches!(opening.election, Election::Kubernetes { .. }),
        member: opening.member,
        shards: opening.shards,
        beat,
        healthy: opening.healthy,
        alive: opening.alive,
        trail: opening.trail,
        outside: Box::new(outside),
        inbox,
        leaving,
        stop: opening.stop,
    })
}
