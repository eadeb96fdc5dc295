//! One replica's way to the store: calls are late, lost before or after they were carried out, or carried out long after
//! the caller gave up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng as _;
use segue::cluster::timing;
use segue::model::ids::{Epoch, GuildId, MemberId, NodeName};
use segue::store::{
    Assignment, Beat, Campaign, Checkpoint, Fence, GatewaySession, GuildClaim, GuildRow, GuildWrite, MemberRow,
    MemberState, Quarantined, RecoveryRow, Scan, Sealed, ShardRow, Store, StoreError, Unread, Written,
};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::memory::Memory;
use super::world::World;

/// How long a call may wander about before it is carried out.
const LATEST: i64 = 30_000;

/// How good the way is. Parts in a thousand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quality {
    pub(super) latency_ms: i64,
    pub(super) lost: u32,
    pub(super) late: u32,
}

/// The way of one replica, over all its lives.
pub(super) struct Link {
    pub(super) world: Arc<World>,
    /// Until when it leads nowhere, on the world's clock.
    pub(super) cut_until_ms: AtomicI64,
    /// Whose it is.
    pub(super) replica: usize,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.replica).finish()
    }
}

impl Link {
    /// Sends a call on its way.
    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        writes: bool,
        carry_out: impl FnOnce(&mut Memory, i64) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let sent_ms = self.world.now();
        let (there, back, lost_there, lost_back) = self.fate();
        let dead = self.is_cut(sent_ms);
        if dead || lost_there {
            // The connection hangs until the caller gives up.
            self.world.send(async move {
                sleep(Duration::from_millis(2 * timing::OPERATION.unsigned_abs())).await;
                drop(answer);
            });
        } else {
            let world = Arc::clone(&self.world);
            self.world.send(async move {
                sleep(Duration::from_millis(there.unsigned_abs())).await;
                if world.store_is_down() {
                    return;
                }
                let result = carry_out(&mut world.memory(), world.now());
                sleep(Duration::from_millis(back.unsigned_abs())).await;
                if !lost_back {
                    let _gave_up = answer.send(result);
                }
            });
        }
        let limit = Duration::from_millis(timing::OPERATION.unsigned_abs());
        match timeout(limit, answered).await {
            Ok(Ok(result)) if !self.is_cut(self.world.now()) => Ok(result),
            _ if writes => {
                sleep(Duration::from_millis(
                    (sent_ms + timing::OPERATION - self.world.now()).max(0).unsigned_abs(),
                ))
                .await;
                Err(StoreError::Unknown { what, source: None })
            }
            _ => Err(StoreError::Unavailable { what, source: None }),
        }
    }

    /// How long there and back, and whether it gets lost on the way there, or back.
    fn fate(&self) -> (i64, i64, bool, bool) {
        let Quality { latency_ms, lost, late } = self.world.quality;
        let mut rng = self.world.rng();
        let there = if rng.random_ratio(late, 1_000) {
            rng.random_range(0..LATEST)
        } else {
            rng.random_range(0..=latency_ms)
        };
        let back = rng.random_range(0..=latency_ms);
        (
            there,
            back,
            rng.random_ratio(lost, 1_000),
            rng.random_ratio(lost, 1_000),
        )
    }

    fn is_cut(&self, now: i64) -> bool {
        now < self.cut_until_ms.load(Ordering::SeqCst) || self.world.store_is_down()
    }

    fn absent(what: &'static str) -> StoreError {
        StoreError::Refused {
            what,
            source: "the coordinator never asks for it".into(),
        }
    }
}

#[async_trait]
impl Store for Link {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn write_schema(&self) -> u32 {
        segue::model::record::SCHEMA
    }

    fn set_write_schema(&self, _schema: u32) {}

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("ping", false, |_, _| ()).await
    }

    async fn now_ms(&self) -> Result<i64, StoreError> {
        self.call("now", false, |memory, now| memory.clock(now)).await
    }

    async fn join(&self, member: MemberRow) -> Result<(), StoreError> {
        self.call("join", true, |memory, now| memory.join(now, member)).await
    }

    async fn renew(&self, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError> {
        let (id, beat) = (id.clone(), beat.clone());
        self.call("renew", true, move |memory, now| memory.renew(now, &id, &beat))
            .await
    }

    async fn members(&self) -> Result<Vec<MemberRow>, StoreError> {
        self.call("members", false, |memory, now| memory.scan(now).members)
            .await
    }

    async fn fence(&self, fence: &Fence) -> Result<bool, StoreError> {
        let fence = fence.clone();
        let (world, replica, sent_ms) = (Arc::clone(&self.world), self.replica, self.world.now());
        self.call("fence", true, move |memory, now| {
            let done = memory.fence(now, &fence);
            if done && let Some(overdue_ms) = fence.overdue_ms {
                world.audit_time_out(memory, replica, sent_ms, overdue_ms);
            }
            done
        })
        .await
    }

    async fn set_state(&self, id: &MemberId, state: MemberState) -> Result<bool, StoreError> {
        let id = id.clone();
        self.call("set state", true, move |memory, now| memory.set_state(now, &id, state))
            .await
    }

    async fn scan(&self) -> Result<Scan, StoreError> {
        self.call("scan", false, |memory, now| memory.scan(now)).await
    }

    async fn new_term(&self, me: &MemberId) -> Result<u64, StoreError> {
        let me = me.clone();
        self.call("new term", true, move |memory, now| memory.new_term(now, &me))
            .await
    }

    async fn campaign(&self, me: &MemberId, lease_ms: i64) -> Result<Campaign, StoreError> {
        let me = me.clone();
        self.call("campaign", true, move |memory, now| memory.campaign(now, &me, lease_ms))
            .await
    }

    async fn resign(&self, me: &MemberId, term: u64) -> Result<bool, StoreError> {
        let me = me.clone();
        self.call("resign", true, move |memory, now| memory.resign(now, &me, term))
            .await
    }

    async fn assign(&self, term: u64, assignments: &[Assignment]) -> Result<Vec<u32>, StoreError> {
        let (assignments, total) = (assignments.to_vec(), self.world.shards);
        self.call("assign", true, move |memory, now| {
            memory.assign(now, term, &assignments, total)
        })
        .await
    }

    async fn tell(&self, members: &[MemberId]) -> Result<(), StoreError> {
        let members = members.to_vec();
        self.call("tell", true, move |memory, _now| memory.tell(&members)).await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        self.call("shards", false, |memory, now| memory.scan(now).shards).await
    }

    async fn claim_shard(
        &self,
        id: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<Option<ShardRow>, StoreError> {
        let (previous, me) = (previous.cloned(), me.clone());
        self.call("claim", true, move |memory, now| {
            memory.claim(now, id, previous.as_ref(), &me)
        })
        .await
    }

    async fn save_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        session: Option<&GatewaySession>,
        _trace: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (me, session) = (me.clone(), session.cloned());
        self.call("save session", true, move |memory, _| {
            let row = memory.shards.get_mut(&id);
            let ours = row.filter(|row| row.owner.as_ref() == Some(&me) && row.epoch == epoch);
            ours.map(|row| row.session = session).is_some()
        })
        .await
    }

    async fn save_trace(&self, _id: u32, _me: &MemberId, _epoch: Epoch, _trace: &str) -> Result<bool, StoreError> {
        Err(Self::absent("save a trace"))
    }

    async fn save_node_session(
        &self,
        _id: u32,
        _me: &MemberId,
        _epoch: Epoch,
        _node: &NodeName,
        _session: Option<&str>,
    ) -> Result<bool, StoreError> {
        Err(Self::absent("save a node's session"))
    }

    async fn release_shard(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        _trace: Option<&str>,
    ) -> Result<bool, StoreError> {
        let me = me.clone();
        self.call("release", true, move |memory, now| memory.release(now, id, &me, epoch))
            .await
    }

    async fn seal(&self, _shard: u32, _previous: Option<&MemberId>, _me: &MemberId) -> Result<(), StoreError> {
        Err(Self::absent("seal guilds"))
    }

    async fn sealed(&self, _shard: u32, _me: &MemberId) -> Result<Sealed, StoreError> {
        Err(Self::absent("read the guilds of a shard"))
    }

    async fn sealed_unread(&self, _shard: u32, _me: &MemberId) -> Result<Unread, StoreError> {
        Err(Self::absent("list the guilds of a shard"))
    }

    async fn claim_guild(
        &self,
        id: GuildId,
        shard: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<GuildClaim, StoreError> {
        let (previous, me) = (previous.cloned(), me.clone());
        self.call("claim a guild", true, move |memory, now| {
            memory.claim_guild(now, id, shard, previous.as_ref(), &me)
        })
        .await
    }

    async fn guild(&self, _id: GuildId) -> Result<Option<GuildRow>, StoreError> {
        Err(Self::absent("read a guild"))
    }

    async fn write_guild(&self, write: &GuildWrite) -> Result<Written, StoreError> {
        let write = write.clone();
        self.call("write", true, move |memory, _| memory.write_guild(&write))
            .await
    }

    async fn checkpoint(&self, _batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError> {
        Err(Self::absent("checkpoint"))
    }

    async fn delete_guild(&self, _id: GuildId, _me: &MemberId, _epoch: Epoch) -> Result<bool, StoreError> {
        Err(Self::absent("delete a guild"))
    }

    async fn active_guilds(&self) -> Result<u64, StoreError> {
        Err(Self::absent("count guilds"))
    }

    async fn lower_schema(&self, _shard: u32, _me: &MemberId) -> Result<u64, StoreError> {
        Err(Self::absent("lower the schema"))
    }

    async fn guild_failed(&self, _id: GuildId, _me: &MemberId, _epoch: Epoch, _why: &str) -> Result<u32, StoreError> {
        Err(Self::absent("count a failure"))
    }

    async fn release_guild(&self, _id: GuildId) -> Result<bool, StoreError> {
        Err(Self::absent("let a guild go"))
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        Err(Self::absent("list what is quarantined"))
    }

    async fn record_recoveries(&self, _recoveries: &[RecoveryRow]) -> Result<(), StoreError> {
        Err(Self::absent("record recoveries"))
    }

    async fn recoveries(&self, _limit: usize) -> Result<Vec<RecoveryRow>, StoreError> {
        Err(Self::absent("list recoveries"))
    }

    async fn meta(&self, key: &str) -> Result<Option<Value>, StoreError> {
        let key = key.to_owned();
        self.call("read a fact", false, move |memory, _| memory.meta(&key))
            .await
    }

    async fn put_meta(&self, key: &str, expected: Option<&Value>, value: &Value) -> Result<bool, StoreError> {
        let (key, expected, value) = (key.to_owned(), expected.cloned(), value.clone());
        self.call("write a fact", true, move |memory, _| {
            memory.put_meta(&key, expected.as_ref(), &value)
        })
        .await
    }
}
