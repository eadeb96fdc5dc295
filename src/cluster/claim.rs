//! Taking shards: the dead are fenced first, by proof where there is one, by time-out otherwise.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::member::{Member, TIMEOUT_MS};
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;
use crate::store::{Assignment, Fence, MemberRow, MemberState, ShardRow, SharedStore, StoreError};

/// Beyond the member time-out, for the store's clock, milliseconds.
const MARGIN_MS: i64 = 500;
/// How often the members are looked at while waiting for one to be gone.
const LOOK: Duration = Duration::from_millis(500);

/// A shard that is ours now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// As stored, with our epoch.
    pub row: ShardRow,
    /// Who had it before.
    pub previous: Option<MemberId>,
    /// Whether it left as asked.
    pub left: bool,
    /// Until when the owner before was surely alive, by this machine's wall clock, milliseconds since 1970.
    pub alive_until_ms: i64,
    /// The highest sequence number that it processed.
    pub seq: Option<u64>,
}

/// Fences every member that `proof` shows to be dead. Returns the members as they are then.
pub async fn fence_proven(
    store: &SharedStore,
    me: &MemberId,
    proof: impl Fn(&MemberRow) -> Option<&'static str>,
) -> Result<Vec<MemberRow>, StoreError> {
    for other in store
        .members()
        .await?
        .iter()
        .filter(|other| other.id != *me && is_alive(other))
    {
        if let Some(why) = proof(other)
            && store.fence(&Fence::proven(other.id.clone(), why)).await?
        {
            info!(member = %other.id, name = other.name, why, "fenced a dead member");
        }
    }
    store.members().await
}

const fn is_alive(member: &MemberRow) -> bool {
    matches!(member.state, MemberState::Live | MemberState::Draining)
}

/// Claims one shard, waiting until nobody alive owns it. A member that stops renewing is fenced by time-out: its `seq`
/// did not change for the whole time-out by this process's clock, and the store's clock agrees.
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
            Some(owner) if is_alive(owner) && owner.id != me.id => {
                if !std::mem::replace(&mut told, true) {
                    warn!(shard, owner = %owner.id, name = owner.name, "the shard's owner is alive; waiting for it to leave or to time out");
                }
                let now = Instant::now();
                let seen = watched.entry(owner.id.clone()).or_insert((owner.seq, now));
                if seen.0 != owner.seq {
                    *seen = (owner.seq, now);
                }
                let unchanged = i64::try_from(now.duration_since(seen.1).as_millis()).unwrap_or(i64::MAX);
                if unchanged >= TIMEOUT_MS && store.now_ms().await? >= owner.renewed_ms + TIMEOUT_MS + MARGIN_MS {
                    let fence = Fence {
                        overdue_ms: Some(TIMEOUT_MS + MARGIN_MS),
                        ..Fence::proven(owner.id.clone(), "did not renew in time")
                    };
                    store.fence(&fence).await?;
                    continue;
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
    Claimed {
        left: owner.is_some_and(|owner| owner.state == MemberState::Gone),
        alive_until_ms: owner.map_or(0, |owner| owner.renewed_ms + offset_ms),
        seq: stored.max(beat),
        previous,
        row,
    }
}
