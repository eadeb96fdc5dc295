//! What a newcomer does first: whom it can prove dead, it declares dead, so that nobody waits for a time-out.

use super::duty::Cause;
use super::trail::{self, Death, Trail};
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;
use crate::store::{MemberRow, SharedStore, StoreError};

/// Fences every member that `proof` shows to be dead. Returns the members as they are then.
pub async fn fence_proven(
    store: &SharedStore,
    me: &MemberId,
    trail: &dyn Trail,
    proof: impl Fn(&MemberRow) -> Option<&'static str>,
) -> Result<Vec<MemberRow>, StoreError> {
    let from_ms = wall_ms();
    let members = store.members().await?;
    let looked = (from_ms, wall_ms());
    let mut found = false;
    for other in members
        .iter()
        .filter(|other| other.id != *me && !other.state.is_final())
    {
        if let Some(why) = proof(other) {
            found |= fence_dead(store, trail, other.clone(), why, looked).await?;
        }
    }
    if found { store.members().await } else { Ok(members) }
}

/// Fences a member that is known to be dead. `looked`: when that was seen.
pub(super) async fn fence_dead(
    store: &SharedStore,
    trail: &dyn Trail,
    member: MemberRow,
    why: &'static str,
    looked: (i64, i64),
) -> Result<bool, StoreError> {
    let shards = store.shards().await?;
    let death = Death {
        contexts: trail::contexts(&shards, &member.id),
        member,
        cause: Cause::Proven,
        why,
        lost_ms: looked.1,
        scan_ms: looked,
    };
    trail::fence(store, trail, &death, None).await.0
}
