//! A store whose calls are timed: which one it was, how it ended, how long it took, and how large snapshots are.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Answer, Assignment, Beat, Campaign, Checkpoint, Fence, GatewaySession, GuildClaim, GuildRow, GuildWrite, MemberRow,
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

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(self.call(META, "ping", any, self.store.ping()))
    }

    fn now_ms(&self) -> Answer<'_, i64> {
        Box::pin(self.call(META, "now_ms", any, self.store.now_ms()))
    }

    fn skew_ms(&self) -> i64 {
        self.store.skew_ms()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.store.close()
    }

    fn join(&self, member: MemberRow) -> Answer<'_, ()> {
        Box::pin(self.call(MEMBERS, "join", any, self.store.join(member)))
    }

    fn renew<'a>(&'a self, id: &'a MemberId, beat: &'a Beat) -> Answer<'a, Option<MemberRow>> {
        let call = self.store.renew(id, beat);
        Box::pin(self.call(MEMBERS, "renew", Option::is_some, call))
    }

    fn members(&self) -> Answer<'_, Vec<MemberRow>> {
        Box::pin(self.call(MEMBERS, "members", any, self.store.members()))
    }

    fn fence<'a>(&'a self, fence: &'a Fence) -> Answer<'a, bool> {
        Box::pin(self.call(MEMBERS, "fence", |done| *done, self.store.fence(fence)))
    }

    fn set_state<'a>(&'a self, id: &'a MemberId, state: MemberState) -> Answer<'a, bool> {
        let call = self.store.set_state(id, state);
        Box::pin(self.call(MEMBERS, "set_state", |done| *done, call))
    }

    fn scan(&self) -> Answer<'_, Scan> {
        Box::pin(self.call(MEMBERS, "scan", any, self.store.scan()))
    }

    fn new_term<'a>(&'a self, me: &'a MemberId) -> Answer<'a, u64> {
        Box::pin(self.call(META, "new_term", any, self.store.new_term(me)))
    }

    fn campaign<'a>(&'a self, me: &'a MemberId, lease_ms: i64) -> Answer<'a, Campaign> {
        let call = self.store.campaign(me, lease_ms);
        Box::pin(self.call(META, "campaign", any, call))
    }

    fn resign<'a>(&'a self, me: &'a MemberId, term: u64) -> Answer<'a, bool> {
        let call = self.store.resign(me, term);
        Box::pin(self.call(META, "resign", |done| *done, call))
    }

    fn assign<'a>(&'a self, term: u64, assignments: &'a [Assignment]) -> Answer<'a, Vec<u32>> {
        let asked = assignments.len();
        let call = self.store.assign(term, assignments);
        Box::pin(self.call(SHARDS, "assign", move |done: &Vec<u32>| done.len() == asked, call))
    }

    fn tell<'a>(&'a self, members: &'a [MemberId]) -> Answer<'a, ()> {
        Box::pin(self.call(MEMBERS, "tell", any, self.store.tell(members)))
    }

    fn shards(&self) -> Answer<'_, Vec<ShardRow>> {
        Box::pin(self.call(SHARDS, "shards", any, self.store.shards()))
    }

    fn claim_shard<'a>(
        &'a self,
        id: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, Option<ShardRow>> {
        let call = self.store.claim_shard(id, previous, me);
        Box::pin(self.call(SHARDS, "claim_shard", Option::is_some, call))
    }

    fn save_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        session: Option<&'a GatewaySession>,
        trace: Option<&'a str>,
    ) -> Answer<'a, bool> {
        let call = self.store.save_session(id, me, epoch, session, trace);
        Box::pin(self.call(SHARDS, "save_session", |done| *done, call))
    }

    fn save_trace<'a>(&'a self, id: u32, me: &'a MemberId, epoch: Epoch, trace: &'a str) -> Answer<'a, bool> {
        let call = self.store.save_trace(id, me, epoch, trace);
        Box::pin(self.call(SHARDS, "save_trace", |done| *done, call))
    }

    fn save_node_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        node: &'a NodeName,
        session: Option<&'a str>,
    ) -> Answer<'a, bool> {
        let call = self.store.save_node_session(id, me, epoch, node, session);
        Box::pin(self.call(SHARDS, "save_node_session", |done| *done, call))
    }

    fn release_shard<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        trace: Option<&'a str>,
    ) -> Answer<'a, bool> {
        let call = self.store.release_shard(id, me, epoch, trace);
        Box::pin(self.call(SHARDS, "release_shard", |done| *done, call))
    }

    fn regroup(&self, shards: u32) -> Answer<'_, ()> {
        Box::pin(self.call(GUILDS, "regroup", any, self.store.regroup(shards)))
    }

    fn seal<'a>(&'a self, shard: u32, previous: Option<&'a MemberId>, me: &'a MemberId) -> Answer<'a, ()> {
        let call = self.store.seal(shard, previous, me);
        Box::pin(self.call(GUILDS, "seal", any, call))
    }

    fn sealed<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Sealed> {
        Box::pin(self.call(GUILDS, "sealed", any, self.store.sealed(shard, me)))
    }

    fn sealed_unread<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Unread> {
        let call = self.store.sealed_unread(shard, me);
        Box::pin(self.call(GUILDS, "sealed_unread", any, call))
    }

    fn claim_guild<'a>(
        &'a self,
        id: GuildId,
        shard: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, GuildClaim> {
        let call = self.store.claim_guild(id, shard, previous, me);
        let won = |claim: &GuildClaim| !matches!(claim, GuildClaim::Theirs);
        Box::pin(self.call(GUILDS, "claim_guild", won, call))
    }

    fn guild(&self, id: GuildId) -> Answer<'_, Option<GuildRow>> {
        Box::pin(self.call(GUILDS, "guild", any, self.store.guild(id)))
    }

    fn write_guild<'a>(&'a self, write: &'a GuildWrite) -> Answer<'a, Written> {
        if let Some(bytes) = size(write) {
            self.observer.snapshot(bytes);
        }
        let won = |written: &Written| *written != Written::Lost;
        Box::pin(self.call(GUILDS, "write_guild", won, self.store.write_guild(write)))
    }

    fn checkpoint<'a>(&'a self, batch: &'a [Checkpoint]) -> Answer<'a, Vec<GuildId>> {
        Box::pin(self.call(GUILDS, "checkpoint", any, self.store.checkpoint(batch)))
    }

    fn delete_guild<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch) -> Answer<'a, bool> {
        let call = self.store.delete_guild(id, me, epoch);
        Box::pin(self.call(GUILDS, "delete_guild", |done| *done, call))
    }

    fn active_guilds(&self) -> Answer<'_, u64> {
        Box::pin(self.call(GUILDS, "active_guilds", any, self.store.active_guilds()))
    }

    fn lower_schema<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, u64> {
        let call = self.store.lower_schema(shard, me);
        Box::pin(self.call(GUILDS, "lower_schema", any, call))
    }

    fn guild_failed<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch, why: &'a str) -> Answer<'a, u32> {
        let call = self.store.guild_failed(id, me, epoch, why);
        Box::pin(self.call(GUILDS, "guild_failed", any, call))
    }

    fn release_guild(&self, id: GuildId) -> Answer<'_, bool> {
        let call = self.store.release_guild(id);
        Box::pin(self.call(GUILDS, "release_guild", |done| *done, call))
    }

    fn quarantined(&self) -> Answer<'_, Vec<Quarantined>> {
        Box::pin(self.call(GUILDS, "quarantined", any, self.store.quarantined()))
    }

    fn record_recoveries<'a>(&'a self, recoveries: &'a [RecoveryRow]) -> Answer<'a, ()> {
        let call = self.store.record_recoveries(recoveries);
        Box::pin(self.call(RECOVERIES, "record_recoveries", any, call))
    }

    fn recoveries(&self, limit: usize) -> Answer<'_, Vec<RecoveryRow>> {
        Box::pin(self.call(RECOVERIES, "recoveries", any, self.store.recoveries(limit)))
    }

    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Value>> {
        Box::pin(self.call(META, "meta", any, self.store.meta(key)))
    }

    fn put_meta<'a>(&'a self, key: &'a str, expected: Option<&'a Value>, value: &'a Value) -> Answer<'a, bool> {
        let call = self.store.put_meta(key, expected, value);
        Box::pin(self.call(META, "put_meta", |done| *done, call))
    }
}

#[cfg(test)]
mod tests;
