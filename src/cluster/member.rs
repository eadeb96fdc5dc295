//! One row per incarnation, renewed every two seconds: "alive until". Sequence numbers ride on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::permit::{Permit, boot_ms};
use crate::model::ids::MemberId;
use crate::store::{Beat, MemberRow, MemberState, Origin, SharedStore, StoreError};

/// How often a member renews.
pub const RENEWAL: Duration = Duration::from_secs(2);
/// A member that did not renew for this long may be fenced by others, milliseconds.
pub const TIMEOUT_MS: i64 = 10_000;
/// A failed renewal is repeated after this.
const RETRY: Duration = Duration::from_millis(250);

/// What a renewal carries, read at the moment of sending.
pub type BeatSource = Arc<dyn Fn() -> BTreeMap<u32, u64> + Send + Sync>;

/// This incarnation.
#[derive(Clone, Debug)]
pub struct Member {
    /// A new one at every join.
    pub id: MemberId,
    /// What people call it.
    pub name: String,
    /// Whether it may act.
    pub permit: Arc<Permit>,
    store: SharedStore,
}

/// Why the renewing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As asked.
    Stopped,
    /// Somebody declared this member dead; it may join again as a new one.
    Fenced,
}

impl Member {
    /// Joins as a new member, with a valid permit.
    pub async fn join(
        store: SharedStore,
        name: String,
        origin: Origin,
        http: Option<String>,
        peer: Option<String>,
    ) -> Result<Self, StoreError> {
        let id = MemberId(Uuid::now_v7().to_string());
        let sent = boot_ms();
        store
            .join(MemberRow {
                origin,
                http,
                peer,
                ..MemberRow::new(id.clone(), name.clone())
            })
            .await?;
        let permit = Arc::new(Permit::default());
        permit.renewed(sent);
        info!(member = %id, name, "joined");
        Ok(Self {
            id,
            name,
            permit,
            store,
        })
    }

    /// Renews once. `Ok(false)`: fenced.
    pub async fn renew(&self, shard_seq: BTreeMap<u32, u64>) -> Result<bool, StoreError> {
        let sent = boot_ms();
        let beat = Beat {
            shard_seq,
            ..Beat::default()
        };
        if self.store.renew(&self.id, &beat).await?.is_some() {
            self.permit.renewed(sent);
            return Ok(true);
        }
        self.permit.fence();
        Ok(false)
    }

    /// Renews until stopped or fenced; `alive` is called each time, whatever the store says.
    pub async fn keep_renewing(&self, beat: BeatSource, alive: impl Fn() + Send, stop: CancellationToken) -> Ended {
        let mut next = Instant::now() + RENEWAL;
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ended::Stopped,
                () = sleep_until(next) => {}
            }
            alive();
            let began = Instant::now();
            match self.renew(beat()).await {
                Ok(true) => {
                    if std::mem::take(&mut failing) {
                        info!(member = %self.id, "renewing again");
                    }
                    next = began + RENEWAL;
                }
                Ok(false) => {
                    warn!(member = %self.id, "fenced: another member took over; joining again as a new one");
                    return Ended::Fenced;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(member = %self.id, %error, "cannot renew; music goes on, commands pause when the permit ends");
                    }
                    next = Instant::now() + RETRY;
                }
            }
        }
    }

    /// Leaves for good: whoever comes next takes over at once.
    pub async fn leave(&self, shard_seq: BTreeMap<u32, u64>) -> Result<(), StoreError> {
        self.renew(shard_seq).await?;
        self.store.set_state(&self.id, MemberState::Gone).await?;
        Ok(())
    }
}
