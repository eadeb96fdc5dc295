//! A store whose calls are timed: which one it was, how it ended, how long it took, and how large snapshots are.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Assignment, Beat, Campaign, Checkpoint, Fence, GatewaySession, GuildClaim, GuildRow, GuildWrite, MemberRow,
    MemberState, Quarantined, RecoveryRow, Scan, Sealed, ShardRow, SharedStore, Store, StoreError, Unread, Written,
};
use crate::model::ids::{Epoch, GuildId, MemberId, NodeName};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As wished.
    Done,
    /// Answered with no: somebody else owns the thing, or was faster.
    Lost,
    /// It may or may not have happened.
    Unknown,
    /// It failed.
    Failed,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// The table or collection.
    pub collection: &'static str,
    /// The method of [`Store`].
    pub operation: &'static str,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub took: Duration,
}

/// Told of every call. Never blocks.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// A call ended.
    fn called(&self, called: Called);
    /// A snapshot's parts that are to be written are so large, in bytes as JSON.
    fn snapshot(&self, bytes: usize);
}

/// The same store, observed.
pub fn observed(store: SharedStore, observer: Arc<dyn Observer>) -> SharedStore {
    Arc::new(Observed { store, observer })
}

#[derive(Debug)]
struct Observed {
    store: SharedStore,
    observer: Arc<dyn Observer>,
}

const META: &str = "meta";
const MEMBERS: &str = "members";
const SHARDS: &str = "shards";
const GUILDS: &str = "guilds";
const RECOVERIES: &str = "recoveries";

/// What is not a yes or no.
const fn any<T>(_: &T) -> bool {
    true
}

/// Counts what is written to it.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of the parts that are written, as JSON.
fn size(write: &GuildWrite) -> Option<usize> {
    let mut size = Size(0);
    serde_json::to_writer(&mut size, &write.head).ok()?;
    if let Some(lists) = &write.lists {
        serde_json::to_writer(&mut size, lists).ok()?;
    }
    Some(size.0)
}

impl Observed {
    async fn call<T>(
        &self,
        collection: &'static str,
        operation: &'static str,
        won: impl FnOnce(&T) -> bool,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let answer = call.await;
        let end = match &answer {
            Ok(value) if won(value) => End::Done,
            Ok(_) => End::Lost,
            Err(StoreError::Unknown { .. }) => End::Unknown,
            Err(_) => End::Failed,
        };
        self.observer.called(Called {
            collection,
            operation,
            end,
            took: began.elapsed(),
        });
        answer
    }
}

#[async_trait]
impl Store for Observed {
    fn describe(&self) -> String {
        self.store.describe()
    }

    fn write_schema(&self) -> u32 {
        self.store.write_schema()
    }

    fn set_write_schema(&self, schema: u32) {
        self.store.set_write_schema(schema);
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call(META, "ping", any, self.store.ping()).await
    }

    async fn now_ms(&self) -> Result<i64, StoreError> {
        self.call(META, "now_ms", any, self.store.now_ms()).await
    }

    async fn join(&self, member: MemberRow) -> Result<(), StoreError> {
        self.call(MEMBERS, "join", any, self.store.join(member)).await
    }

    async fn renew(&self, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError> {
        let call = self.store.renew(id, beat);
        self.call(MEMBERS, "renew", Option::is_some, call).await
    }

    async fn members(&self) -> Result<Vec<MemberRow>, StoreError> {
        self.call(MEMBERS, "members", any, self.store.members()).await
    }

    async fn fence(&self, fence: &Fence) -> Result<bool, StoreError> {
        self.call(MEMBERS, "fence", |done| *done, self.store.fence(fence)).await
    }

    async fn set_state(&self, id: &MemberId, state: MemberState) -> Result<bool, StoreError> {
        let call = self.store.set_state(id, state);
        self.call(MEMBERS, "set_state", |done| *done, call).await
    }

    async fn scan(&self) -> Result<Scan, StoreError> {
        self.call(MEMBERS, "scan", any, self.store.scan()).await
    }

    async fn new_term(&self, me: &MemberId) -> Result<u64, StoreError> {
        self.call(META, "new_term", any, self.store.new_term(me)).await
    }

    async fn campaign(&self, me: &MemberId, lease_ms: i64) -> Result<Campaign, StoreError> {
        let call = self.store.campaign(me, lease_ms);
        self.call(META, "campaign", any, call).await
    }

    async fn resign(&self, me: &MemberId, term: u64) -> Result<bool, StoreError> {
        let call = self.store.resign(me, term);
        self.call(META, "resign", |done| *done, call).await
    }

    async fn assign(&self, term: u64, assignments: &[Assignment]) -> Result<Vec<u32>, StoreError> {
        let asked = assignments.len();
        let call = self.store.assign(term, assignments);
        self.call(SHARDS, "assign", |done: &Vec<u32>| done.len() == asked, call)
            .await
    }

    async fn tell(&self, members: &[MemberId]) -> Result<(), StoreError> {
        self.call(MEMBERS, "tell", any, self.store.tell(members)).await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        self.call(SHARDS, "shards", any, self.store.shards()).await
    }

    async fn claim_shard(
        &self,
        id: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<Option<ShardRow>, StoreError> {
        let call = self.store.claim_shard(id, previous, me);
        self.call(SHARDS, "claim_shard", Option::is_some, call).await
    }

    async fn save_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        session: Option<&GatewaySession>,
        trace: Option<&str>,
    ) -> Result<bool, StoreError> {
        let call = self.store.save_session(id, me, epoch, session, trace);
        self.call(SHARDS, "save_session", |done| *done, call).await
    }

    async fn save_trace(&self, id: u32, me: &MemberId, epoch: Epoch, trace: &str) -> Result<bool, StoreError> {
        let call = self.store.save_trace(id, me, epoch, trace);
        self.call(SHARDS, "save_trace", |done| *done, call).await
    }

    async fn save_node_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        node: &NodeName,
        session: Option<&str>,
    ) -> Result<bool, StoreError> {
        let call = self.store.save_node_session(id, me, epoch, node, session);
        self.call(SHARDS, "save_node_session", |done| *done, call).await
    }

    async fn release_shard(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        trace: Option<&str>,
    ) -> Result<bool, StoreError> {
        let call = self.store.release_shard(id, me, epoch, trace);
        self.call(SHARDS, "release_shard", |done| *done, call).await
    }

    async fn seal(&self, shard: u32, previous: Option<&MemberId>, me: &MemberId) -> Result<(), StoreError> {
        let call = self.store.seal(shard, previous, me);
        self.call(GUILDS, "seal", any, call).await
    }

    async fn sealed(&self, shard: u32, me: &MemberId) -> Result<Sealed, StoreError> {
        self.call(GUILDS, "sealed", any, self.store.sealed(shard, me)).await
    }

    async fn sealed_unread(&self, shard: u32, me: &MemberId) -> Result<Unread, StoreError> {
        let call = self.store.sealed_unread(shard, me);
        self.call(GUILDS, "sealed_unread", any, call).await
    }

    async fn claim_guild(
        &self,
        id: GuildId,
        shard: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<GuildClaim, StoreError> {
        let call = self.store.claim_guild(id, shard, previous, me);
        let won = |claim: &GuildClaim| !matches!(claim, GuildClaim::Theirs);
        self.call(GUILDS, "claim_guild", won, call).await
    }

    async fn guild(&self, id: GuildId) -> Result<Option<GuildRow>, StoreError> {
        self.call(GUILDS, "guild", any, self.store.guild(id)).await
    }

    async fn write_guild(&self, write: &GuildWrite) -> Result<Written, StoreError> {
        if let Some(bytes) = size(write) {
            self.observer.snapshot(bytes);
        }
        let won = |written: &Written| *written != Written::Lost;
        self.call(GUILDS, "write_guild", won, self.store.write_guild(write))
            .await
    }

    async fn checkpoint(&self, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError> {
        self.call(GUILDS, "checkpoint", any, self.store.checkpoint(batch)).await
    }

    async fn delete_guild(&self, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
        let call = self.store.delete_guild(id, me, epoch);
        self.call(GUILDS, "delete_guild", |done| *done, call).await
    }

    async fn active_guilds(&self) -> Result<u64, StoreError> {
        self.call(GUILDS, "active_guilds", any, self.store.active_guilds())
            .await
    }

    async fn lower_schema(&self, shard: u32, me: &MemberId) -> Result<u64, StoreError> {
        let call = self.store.lower_schema(shard, me);
        self.call(GUILDS, "lower_schema", any, call).await
    }

    async fn guild_failed(&self, id: GuildId, me: &MemberId, epoch: Epoch, why: &str) -> Result<u32, StoreError> {
        let call = self.store.guild_failed(id, me, epoch, why);
        self.call(GUILDS, "guild_failed", any, call).await
    }

    async fn release_guild(&self, id: GuildId) -> Result<bool, StoreError> {
        let call = self.store.release_guild(id);
        self.call(GUILDS, "release_guild", |done| *done, call).await
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.call(GUILDS, "quarantined", any, self.store.quarantined()).await
    }

    async fn record_recoveries(&self, recoveries: &[RecoveryRow]) -> Result<(), StoreError> {
        let call = self.store.record_recoveries(recoveries);
        self.call(RECOVERIES, "record_recoveries", any, call).await
    }

    async fn recoveries(&self, limit: usize) -> Result<Vec<RecoveryRow>, StoreError> {
        self.call(RECOVERIES, "recoveries", any, self.store.recoveries(limit))
            .await
    }

    async fn meta(&self, key: &str) -> Result<Option<Value>, StoreError> {
        self.call(META, "meta", any, self.store.meta(key)).await
    }

    async fn put_meta(&self, key: &str, expected: Option<&Value>, value: &Value) -> Result<bool, StoreError> {
        let call = self.store.put_meta(key, expected, value);
        self.call(META, "put_meta", |done| *done, call).await
    }
}

#[cfg(test)]
mod tests;
