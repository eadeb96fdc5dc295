//! What a newcomer does first: whom it can prove dead, it declares dead, so that nobody waits for a time-out.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::duty::{Cause, Claimed, Moments};
use super::member::Member;
use super::timing;
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;
use crate::store::{Assignment, Fence, MemberRow, MemberState, ShardRow, SharedStore, StoreError};

/// How often the members are looked at while waiting for one to be gone.
const LOOK: Duration = Duration::from_millis(500);

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

/// Claims one shard without a leader, waiting until nobody alive owns it. A member that stops renewing is fenced by
/// time-out: its `seq` did not change for the whole time-out by this process's clock, and the store's clock agrees.
pub async fn claim(store: &SharedStore, me: &Member, shard: u32) -> Result<Claimed, StoreError> {
    let mut watched: HashMap<MemberId, (u64, Instant)> = HashMap::new();
    let mut told = false;
    loop {
        let row = store.shards().await?.into_iter().find(|row| row.id == shard);
        let previous = row.as_ref().and_then(|row| row.owner.clone());
        let members = store.members().await?;
        let owner = previous
            .as_ref()
            .and_then(|id| members.iter().find(|member| member.id == *id));
        match owner {
            Some(owner) if !owner.state.is_final() && owner.id != me.id => {
                if !std::mem::replace(&mut told, true) {
                    warn!(shard, owner = %owner.id, name = owner.name, "the shard's owner is alive; waiting for it to leave or to time out");
                }
                let now = Instant::now();
                let seen = watched.entry(owner.id.clone()).or_insert((owner.seq, now));
                if seen.0 != owner.seq {
                    *seen = (owner.seq, now);
                }
                let unchanged = i64::try_from(now.duration_since(seen.1).as_millis()).unwrap_or(i64::MAX);
                if unchanged >= timing::MEMBER_TIMEOUT {
                    let fence = Fence {
                        overdue_ms: Some(timing::MEMBER_TIMEOUT + timing::STORE_CLOCK_MARGIN),
                        ..Fence::proven(owner.id.clone(), "did not renew in time")
                    };
                    store.fence(&fence).await?;
                }
                sleep(LOOK).await;
            }
            _ => {
                // Nobody leads yet: whoever finds the shard free wants it for itself.
                let assignment = Assignment {
                    shard,
                    want: me.id.clone(),
                    trace: None,
                };
                store.assign(0, &[assignment]).await?;
                if let Some(row) = store.claim_shard(shard, previous.as_ref(), &me.id).await? {
                    let offset = wall_ms() - store.now_ms().await?;
                    return Ok(claimed(row, previous, owner, offset));
                }
            }
        }
    }
}

fn claimed(row: ShardRow, previous: Option<MemberId>, owner: Option<&MemberRow>, offset_ms: i64) -> Claimed {
    let stored = row.session.as_ref().map(|session| session.seq);
    let beat = owner.and_then(|owner| owner.shard_seq.get(&row.id).copied());
    let left = owner.is_some_and(|owner| owner.state == MemberState::Gone);
    Claimed {
        cause: match (&previous, left) {
            (None, _) => Cause::First,
            (Some(_), true) => Cause::Handover,
            (Some(_), false) => Cause::Proven,
        },
        left,
        alive_until_ms: owner.map_or(0, |owner| owner.renewed_ms + offset_ms),
        seq: stored.max(beat),
        trace: None,
        owner_trace: None,
        moments: Moments {
            claimed_ms: wall_ms(),
            ..Moments::default()
        },
        previous,
        row,
    }
}
