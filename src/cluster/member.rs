//! One row per incarnation, renewed every two seconds: "alive until". Sequence numbers ride on it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::permit::{Clock, Permit};
use super::timing;
use crate::model::ids::MemberId;
use crate::store::{Beat, Fence, MemberRow, MemberState, Origin, SharedStore, StoreError};

const RENEWAL: Duration = Duration::from_millis(timing::RENEWAL.unsigned_abs());
const RETRY: Duration = Duration::from_millis(timing::RETRY.unsigned_abs());

/// What a renewal carries, read at the moment of sending.
pub type BeatSource = Arc<dyn Fn() -> Beat + Send + Sync>;

/// This incarnation.
#[derive(Clone, Debug)]
pub struct Member {
    /// A new one at every join.
    pub id: MemberId,
    /// What people call it.
    pub name: String,
    /// Where it runs.
    pub origin: Origin,
    /// Whether it may act.
    pub permit: Arc<Permit>,
    store: SharedStore,
}

/// Why a member ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As asked.
    Stopped,
    /// It is dead to the others, or may be: its shards are, or will be, somebody else's. The process may join again as a
    /// new member, and may then declare this one dead itself ([`Member::succeed`]).
    Fenced,
}

impl Member {
    /// Joins as a new member, with a valid permit. `http` and `peer`: where others reach its pages and itself.
    pub async fn join(
        store: SharedStore,
        name: String,
        origin: Origin,
        http: Option<String>,
        peer: Option<String>,
    ) -> Result<Self, StoreError> {
        let row = MemberRow {
            origin,
            http,
            peer,
            ..MemberRow::new(MemberId(Uuid::now_v7().to_string()), name)
        };
        Self::join_as(store, row, Clock::boot()).await
    }

    /// The same with everything given.
    pub async fn join_as(store: SharedStore, row: MemberRow, clock: Clock) -> Result<Self, StoreError> {
        let permit = Arc::new(Permit::new(clock));
        let sent = permit.clock().now_ms();
        let (id, name, origin) = (row.id.clone(), row.name.clone(), row.origin.clone());
        store.join(row).await?;
        permit.renewed(sent);
        info!(member = %id, name, "joined");
        Ok(Self {
            id,
            name,
            origin,
            permit,
            store,
        })
    }

    /// The member that this process was before is dead: its permit has ended for good, and this process knows that best.
    pub async fn succeed(&self, before: &MemberId) -> Result<bool, StoreError> {
        let fence = Fence::proven(before.clone(), "its process goes on as another member");
        self.store.fence(&fence).await
    }

    /// Where everything is.
    pub const fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Renews once. `Ok(false)`: fenced.
    pub async fn renew(&self, beat: &Beat) -> Result<bool, StoreError> {
        let sent = self.permit.clock().now_ms();
        if self.store.renew(&self.id, beat).await?.is_some() {
            self.permit.renewed(sent);
            return Ok(true);
        }
        self.permit.fence();
        Ok(false)
    }

    /// Renews until stopped or fenced, without a coordinator; `alive` is called each time, whatever the store says.
    pub async fn keep_renewing(&self, beat: BeatSource, alive: impl Fn() + Send, stop: CancellationToken) -> Ended {
        let mut wait = RENEWAL;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ended::Stopped,
                () = sleep(wait) => {}
            }
            alive();
            match self.renew(&beat()).await {
                Ok(true) => wait = RENEWAL,
                Ok(false) => {
                    warn!(member = %self.id, "fenced: another member took over; joining again as a new one");
                    return Ended::Fenced;
                }
                Err(error) => {
                    warn!(member = %self.id, %error, "cannot renew; music goes on, commands pause when the permit ends");
                    wait = RETRY;
                }
            }
        }
    }

    /// Leaves for good: whoever comes next takes over at once.
    pub async fn leave(&self, beat: &Beat) -> Result<(), StoreError> {
        self.store.renew(&self.id, beat).await?;
        self.store.set_state(&self.id, MemberState::Gone).await?;
        Ok(())
    }
}
