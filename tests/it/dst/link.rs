//! One replica's way to the store: calls are late, lost before or after they were carried out, or carried out long after
//! the caller gave up.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rand::Rng as _;
use segue::cluster::timing;
use segue::model::ids::{Epoch, GuildId, MemberId, NodeName};
use segue::store::{
    Answer, Assignment, Beat, Campaign, Checkpoint, Fence, GatewaySession, GuildClaim, GuildRow, GuildWrite, MemberRow,
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

impl Store for Link {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn write_schema(&self) -> u32 {
        segue::model::record::SCHEMA
    }

    fn set_write_schema(&self, _schema: u32) {}

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(self.call("ping", false, |_, _| ()))
    }

    fn now_ms(&self) -> Answer<'_, i64> {
        Box::pin(self.call("now", false, |memory, now| memory.clock(now)))
    }

    fn skew_ms(&self) -> i64 {
        0
    }

    fn join(&self, member: MemberRow) -> Answer<'_, ()> {
        Box::pin(self.call("join", true, |memory, now| memory.join(now, member)))
    }

    fn renew<'a>(&'a self, id: &'a MemberId, beat: &'a Beat) -> Answer<'a, Option<MemberRow>> {
        let (id, beat) = (id.clone(), beat.clone());
        Box::pin(self.call("renew", true, move |memory, now| memory.renew(now, &id, &beat)))
    }

    fn members(&self) -> Answer<'_, Vec<MemberRow>> {
        Box::pin(self.call("members", false, |memory, now| memory.scan(now).members))
    }

    fn fence<'a>(&'a self, fence: &'a Fence) -> Answer<'a, bool> {
        let fence = fence.clone();
        let (world, replica, sent_ms) = (Arc::clone(&self.world), self.replica, self.world.now());
        Box::pin(self.call("fence", true, move |memory, now| {
            let done = memory.fence(now, &fence);
            if done && let Some(overdue_ms) = fence.overdue_ms {
                world.audit_time_out(memory, replica, sent_ms, overdue_ms);
            }
            done
        }))
    }

    fn set_state<'a>(&'a self, id: &'a MemberId, state: MemberState) -> Answer<'a, bool> {
        let id = id.clone();
        Box::pin(self.call("set state", true, move |memory, now| memory.set_state(now, &id, state)))
    }

    fn scan(&self) -> Answer<'_, Scan> {
        Box::pin(self.call("scan", false, |memory, now| memory.scan(now)))
    }

    fn new_term<'a>(&'a self, me: &'a MemberId) -> Answer<'a, u64> {
        let me = me.clone();
        Box::pin(self.call("new term", true, move |memory, now| memory.new_term(now, &me)))
    }

    fn campaign<'a>(&'a self, me: &'a MemberId, lease_ms: i64) -> Answer<'a, Campaign> {
        let me = me.clone();
        Box::pin(self.call("campaign", true, move |memory, now| memory.campaign(now, &me, lease_ms)))
    }

    fn resign<'a>(&'a self, me: &'a MemberId, term: u64) -> Answer<'a, bool> {
        let me = me.clone();
        Box::pin(self.call("resign", true, move |memory, now| memory.resign(now, &me, term)))
    }

    fn assign<'a>(&'a self, term: u64, assignments: &'a [Assignment]) -> Answer<'a, Vec<u32>> {
        let (assignments, total) = (assignments.to_vec(), self.world.shards);
        Box::pin(self.call("assign", true, move |memory, now| {
            memory.assign(now, term, &assignments, total)
        }))
    }

    fn tell<'a>(&'a self, members: &'a [MemberId]) -> Answer<'a, ()> {
        let members = members.to_vec();
        Box::pin(self.call("tell", true, move |memory, _now| memory.tell(&members)))
    }

    fn shards(&self) -> Answer<'_, Vec<ShardRow>> {
        Box::pin(self.call("shards", false, |memory, now| memory.scan(now).shards))
    }

    fn claim_shard<'a>(
        &'a self,
        id: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, Option<ShardRow>> {
        let (previous, me) = (previous.cloned(), me.clone());
        Box::pin(self.call("claim", true, move |memory, now| {
            memory.claim(now, id, previous.as_ref(), &me)
        }))
    }

    fn save_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        session: Option<&'a GatewaySession>,
        _trace: Option<&'a str>,
    ) -> Answer<'a, bool> {
        let (me, session) = (me.clone(), session.cloned());
        Box::pin(self.call("save session", true, move |memory, _| {
            let row = memory.shards.get_mut(&id);
            let ours = row.filter(|row| row.owner.as_ref() == Some(&me) && row.epoch == epoch);
            ours.map(|row| row.session = session).is_some()
        }))
    }

    fn save_trace<'a>(&'a self, _id: u32, _me: &'a MemberId, _epoch: Epoch, _trace: &'a str) -> Answer<'a, bool> {
        Box::pin(ready(Err(Self::absent("save a trace"))))
    }

    fn save_node_session<'a>(
        &'a self,
        _id: u32,
        _me: &'a MemberId,
        _epoch: Epoch,
        _node: &'a NodeName,
        _session: Option<&'a str>,
    ) -> Answer<'a, bool> {
        Box::pin(ready(Err(Self::absent("save a node's session"))))
    }

    fn release_shard<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        _trace: Option<&'a str>,
    ) -> Answer<'a, bool> {
        let me = me.clone();
        Box::pin(self.call("release", true, move |memory, now| memory.release(now, id, &me, epoch)))
    }

    fn regroup(&self, _shards: u32) -> Answer<'_, ()> {
        Box::pin(ready(Err(Self::absent("put guilds under their shards"))))
    }

    fn seal<'a>(&'a self, _shard: u32, _previous: Option<&'a MemberId>, _me: &'a MemberId) -> Answer<'a, ()> {
        Box::pin(ready(Err(Self::absent("seal guilds"))))
    }

    fn sealed<'a>(&'a self, _shard: u32, _me: &'a MemberId) -> Answer<'a, Sealed> {
        Box::pin(ready(Err(Self::absent("read the guilds of a shard"))))
    }

    fn sealed_unread<'a>(&'a self, _shard: u32, _me: &'a MemberId) -> Answer<'a, Unread> {
        Box::pin(ready(Err(Self::absent("list the guilds of a shard"))))
    }

    fn claim_guild<'a>(
        &'a self,
        id: GuildId,
        shard: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, GuildClaim> {
        let (previous, me) = (previous.cloned(), me.clone());
        Box::pin(self.call("claim a guild", true, move |memory, now| {
            memory.claim_guild(now, id, shard, previous.as_ref(), &me)
        }))
    }

    fn guild(&self, _id: GuildId) -> Answer<'_, Option<GuildRow>> {
        Box::pin(ready(Err(Self::absent("read a guild"))))
    }

    fn write_guild<'a>(&'a self, write: &'a GuildWrite) -> Answer<'a, Written> {
        let write = write.clone();
        Box::pin(self.call("write", true, move |memory, _| memory.write_guild(&write)))
    }

    fn checkpoint<'a>(&'a self, _batch: &'a [Checkpoint]) -> Answer<'a, Vec<GuildId>> {
        Box::pin(ready(Err(Self::absent("checkpoint"))))
    }

    fn delete_guild<'a>(&'a self, _id: GuildId, _me: &'a MemberId, _epoch: Epoch) -> Answer<'a, bool> {
        Box::pin(ready(Err(Self::absent("delete a guild"))))
    }

    fn active_guilds(&self) -> Answer<'_, u64> {
        Box::pin(ready(Err(Self::absent("count guilds"))))
    }

    fn lower_schema<'a>(&'a self, _shard: u32, _me: &'a MemberId) -> Answer<'a, u64> {
        Box::pin(ready(Err(Self::absent("lower the schema"))))
    }

    fn guild_failed<'a>(&'a self, _id: GuildId, _me: &'a MemberId, _epoch: Epoch, _why: &'a str) -> Answer<'a, u32> {
        Box::pin(ready(Err(Self::absent("count a failure"))))
    }

    fn release_guild(&self, _id: GuildId) -> Answer<'_, bool> {
        Box::pin(ready(Err(Self::absent("let a guild go"))))
    }

    fn quarantined(&self) -> Answer<'_, Vec<Quarantined>> {
        Box::pin(ready(Err(Self::absent("list what is quarantined"))))
    }

    fn record_recoveries<'a>(&'a self, _recoveries: &'a [RecoveryRow]) -> Answer<'a, ()> {
        Box::pin(ready(Err(Self::absent("record recoveries"))))
    }

    fn recoveries(&self, _limit: usize) -> Answer<'_, Vec<RecoveryRow>> {
        Box::pin(ready(Err(Self::absent("list recoveries"))))
    }

    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Value>> {
        let key = key.to_owned();
        Box::pin(self.call("read a fact", false, move |memory, _| memory.meta(&key)))
    }

    fn put_meta<'a>(&'a self, key: &'a str, expected: Option<&'a Value>, value: &'a Value) -> Answer<'a, bool> {
        let (key, expected, value) = (key.to_owned(), expected.cloned(), value.clone());
        Box::pin(self.call("write a fact", true, move |memory, _| {
            memory.put_meta(&key, expected.as_ref(), &value)
        }))
    }
}
