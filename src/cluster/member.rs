//! One row per incarnation, renewed every two seconds: "alive until". Sequence numbers ride on it.

use std::sync::Arc;

use tracing::info;
use uuid::Uuid;

use super::claim;
use super::permit::{Clock, Permit};
use super::trail::Trail;
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;
use crate::store::{Beat, MemberRow, MemberState, Origin, SharedStore, StoreError};

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
    /// A part of it that must not end did, so that it can no longer be trusted to see what happens around it. The process is
    /// to end with a failure.
    Broken,
}

impl Member {
    /// An id that no other incarnation has.
    pub fn new_id() -> MemberId {
        MemberId(Uuid::now_v7().to_string())
    }

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
            ..MemberRow::new(Self::new_id(), name)
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
    pub async fn succeed(&self, before: &MemberId, trail: &dyn Trail) -> Result<bool, StoreError> {
        let from_ms = wall_ms();
        let members = self.store.members().await?;
        let Some(row) = members
            .into_iter()
            .find(|row| row.id == *before && !row.state.is_final())
        else {
            return Ok(false);
        };
        let why = "its process goes on as another member";
        claim::fence_dead(&self.store, trail, row, why, (from_ms, wall_ms())).await
    }

    /// Where everything is.
    pub const fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Leaves for good: whoever comes next takes over at once.
    pub async fn leave(&self, beat: &Beat) -> Result<(), StoreError> {
        self.store.renew(&self.id, beat).await?;
        self.store.set_state(&self.id, MemberState::Gone).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::NoTrail;

    #[tokio::test]
    async fn a_process_that_goes_on_as_another_member_declares_the_one_before_dead_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("segue.db").display());
        let store = crate::store::open(&address.into()).await.unwrap();
        let join = || Member::join(Arc::clone(&store), "a".to_owned(), Origin::default(), None, None);
        let (before, after) = (join().await.unwrap(), join().await.unwrap());
        assert!(after.succeed(&before.id, &NoTrail).await.unwrap());
        assert!(!after.succeed(&before.id, &NoTrail).await.unwrap(), "only once");
        let members = store.members().await.unwrap();
        let state = |id: &MemberId| members.iter().find(|row| row.id == *id).map(|row| row.state);
        assert_eq!(
            (state(&before.id), state(&after.id)),
            (Some(MemberState::Fenced), Some(MemberState::Live))
        );
    }
}
