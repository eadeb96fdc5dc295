//! What a newcomer does first: whom it can prove dead, it declares dead, so that nobody waits for a time-out.

use tracing::info;

use crate::model::ids::MemberId;
use crate::store::{Fence, MemberRow, SharedStore, StoreError};

/// Fences every member that `proof` shows to be dead. Returns the members as they are then.
pub async fn fence_proven(
    store: &SharedStore,
    me: &MemberId,
    proof: impl Fn(&MemberRow) -> Option<&'static str>,
) -> Result<Vec<MemberRow>, StoreError> {
    let members = store.members().await?;
    let mut found = false;
    for other in members
        .iter()
        .filter(|other| other.id != *me && !other.state.is_final())
    {
        if let Some(why) = proof(other)
            && store.fence(&Fence::proven(other.id.clone(), why)).await?
        {
            found = true;
            info!(member = %other.id, name = other.name, why, "fenced a dead member");
        }
    }
    if found { store.members().await } else { Ok(members) }
}
