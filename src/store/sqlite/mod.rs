//! The store in one SQLite file, for a laptop, one machine, the demo. Several processes may share it.
//!
//! One thread owns the connection (`thread`). WAL with `synchronous=FULL`: what is confirmed is on the disk. A guild lies
//! in three tables by how often each part changes, so that a checkpoint touches a few bytes only.

mod election;
mod fault;
mod guilds;
mod layout;
mod members;
mod quarantine;
mod shards;
mod tables;
mod thread;

use std::path::Path;

use async_trait::async_trait;
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};

use self::thread::{Kind, Thread};
use super::gate::Gate;
use super::{
    Assignment, Beat, Campaign, Checkpoint, Fence, GatewaySession, GuildClaim, GuildRow, GuildWrite, MemberRow,
    MemberState, Quarantined, RecoveryRow, Scan, Sealed, ShardRow, Store, StoreError, Unread, Written, schema,
};
use crate::model::ids::{Epoch, GuildId, MemberId, NodeName};
use crate::model::record::SCHEMA;

/// A [`Store`] in a file.
#[derive(Debug)]
pub struct SqliteStore {
    thread: Thread,
    path: String,
    write_schema: AtomicU32,
}

impl SqliteStore {
    /// Opens the file, or makes it (mode 0600, its folder too). Blocks; call it off the runtime.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = tables::connect(path)?;
        Ok(Self {
            thread: Thread::start(connection)?,
            path: path.display().to_string(),
            write_schema: AtomicU32::new(SCHEMA),
        })
    }

    /// The same file behind a gate.
    pub(super) fn behind(mut self, gate: Gate) -> Self {
        self.thread.gate = gate;
        self
    }

    /// Limits the file to this many pages, as a quota would (`PRAGMA max_page_count`).
    pub async fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        let job = move |db: &_| tables::limit_pages(db, pages);
        self.thread.call("limiting the file", Kind::Read, job).await
    }

    /// How many transactions were committed so far: fewer than writes, when several waited.
    pub fn commits(&self) -> u64 {
        self.thread.commits()
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn describe(&self) -> String {
        format!("sqlite:{}", self.path)
    }

    fn write_schema(&self) -> u32 {
        self.write_schema.load(Ordering::Relaxed)
    }

    fn set_write_schema(&self, schema: u32) {
        self.write_schema
            .store(schema.clamp(schema::OLDEST, SCHEMA), Ordering::Relaxed);
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.thread.call("ping", Kind::Write, tables::ping).await
    }

    async fn now_ms(&self) -> Result<i64, StoreError> {
        self.thread.call("reading the clock", Kind::Read, tables::now_ms).await
    }

    async fn join(&self, member: MemberRow) -> Result<(), StoreError> {
        let job = move |db: &_| members::join(db, &member);
        self.thread.call("joining", Kind::Write, job).await
    }

    async fn renew(&self, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError> {
        let (id, beat) = (id.clone(), beat.clone());
        let job = move |db: &_| members::renew(db, &id, &beat);
        self.thread.call("renewing", Kind::Write, job).await
    }

    async fn members(&self) -> Result<Vec<MemberRow>, StoreError> {
        let members = self.thread.call("reading members", Kind::Read, members::all).await?;
        self.set_write_schema(schema::writable(&members));
        Ok(members)
    }

    async fn fence(&self, fence: &Fence) -> Result<bool, StoreError> {
        let fence = fence.clone();
        let job = move |db: &_| members::fence(db, &fence);
        self.thread.call("fencing", Kind::Write, job).await
    }

    async fn set_state(&self, id: &MemberId, state: MemberState) -> Result<bool, StoreError> {
        let id = id.clone();
        let job = move |db: &_| members::set_state(db, &id, state);
        self.thread.call("changing a member's state", Kind::Write, job).await
    }

    async fn scan(&self) -> Result<Scan, StoreError> {
        let job = |db: &_| {
            Ok(Scan {
                now_ms: tables::now_ms(db)?,
                members: members::all(db)?,
                shards: shards::all(db)?,
                leader: election::leader(db)?,
            })
        };
        let scan = self.thread.call("looking at the cluster", Kind::Read, job).await?;
        self.set_write_schema(schema::writable(&scan.members));
        Ok(scan)
    }

    async fn new_term(&self, me: &MemberId) -> Result<u64, StoreError> {
        let me = me.clone();
        let job = move |db: &_| election::new_term(db, &me);
        self.thread.call("beginning a term", Kind::Write, job).await
    }

    async fn campaign(&self, me: &MemberId, lease_ms: i64) -> Result<Campaign, StoreError> {
        let me = me.clone();
        let job = move |db: &_| election::campaign(db, &me, lease_ms);
        self.thread.call("electing a leader", Kind::Write, job).await
    }

    async fn resign(&self, me: &MemberId, term: u64) -> Result<bool, StoreError> {
        let me = me.clone();
        let job = move |db: &_| election::resign(db, &me, term);
        self.thread.call("resigning", Kind::Write, job).await
    }

    async fn assign(&self, term: u64, assignments: &[Assignment]) -> Result<Vec<u32>, StoreError> {
        let assignments = assignments.to_vec();
        let job = move |db: &_| shards::assign(db, term, &assignments);
        self.thread.call("assigning shards", Kind::Write, job).await
    }

    async fn tell(&self, members: &[MemberId]) -> Result<(), StoreError> {
        let told = members.to_vec();
        let job = move |db: &_| told.iter().try_for_each(|member| members::tell(db, member));
        self.thread.call("telling members of shards", Kind::Write, job).await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        self.thread.call("reading shards", Kind::Read, shards::all).await
    }

    async fn claim_shard(
        &self,
        id: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<Option<ShardRow>, StoreError> {
        let (previous, me) = (previous.cloned(), me.clone());
        let job = move |db: &_| shards::claim(db, id, previous.as_ref(), &me);
        self.thread.call("claiming a shard", Kind::Write, job).await
    }

    async fn save_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        session: Option<&GatewaySession>,
        trace: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (me, session, trace) = (me.clone(), session.cloned(), trace.map(str::to_owned));
        let job = move |db: &_| shards::save_session(db, id, &me, epoch, session.as_ref(), trace.as_deref());
        self.thread.call("saving a gateway session", Kind::Write, job).await
    }

    async fn save_trace(&self, id: u32, me: &MemberId, epoch: Epoch, trace: &str) -> Result<bool, StoreError> {
        let (me, trace) = (me.clone(), trace.to_owned());
        let job = move |db: &_| shards::save_trace(db, id, &me, epoch, &trace);
        self.thread.call("saving a trace", Kind::Write, job).await
    }

    async fn save_node_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        node: &NodeName,
        session: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (me, node, session) = (me.clone(), node.clone(), session.map(str::to_owned));
        let job = move |db: &_| shards::save_node_session(db, id, &me, epoch, &node, session.as_deref());
        self.thread.call("saving a Lavalink session", Kind::Write, job).await
    }

    async fn release_shard(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        trace: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.members().await?;
        self.lower_schema(id, me).await?;
        let (me, trace) = (me.clone(), trace.map(str::to_owned));
        let job = move |db: &_| shards::release(db, id, &me, epoch, trace.as_deref());
        self.thread.call("releasing a shard", Kind::Write, job).await
    }

    async fn seal(&self, shard: u32, previous: Option<&MemberId>, me: &MemberId) -> Result<(), StoreError> {
        let (previous, me) = (previous.cloned(), me.clone());
        let job = move |db: &_| guilds::seal(db, shard, previous.as_ref(), &me);
        self.thread
            .call("sealing the guilds of a shard", Kind::Write, job)
            .await
    }

    async fn sealed(&self, shard: u32, me: &MemberId) -> Result<Sealed, StoreError> {
        let me = me.clone();
        let job = move |db: &_| guilds::sealed(db, shard, &me);
        self.thread.call("reading the guilds of a shard", Kind::Read, job).await
    }

    async fn sealed_unread(&self, shard: u32, me: &MemberId) -> Result<Unread, StoreError> {
        let me = me.clone();
        let job = move |db: &_| guilds::sealed_unread(db, shard, &me);
        self.thread.call("listing the guilds of a shard", Kind::Read, job).await
    }

    async fn claim_guild(
        &self,
        id: GuildId,
        shard: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<GuildClaim, StoreError> {
        let (previous, me) = (previous.cloned(), me.clone());
        let write_schema = self.write_schema();
        let job = move |db: &_| guilds::claim(db, id, shard, previous.as_ref(), &me, write_schema);
        self.thread.call("claiming a guild", Kind::Write, job).await
    }

    async fn guild(&self, id: GuildId) -> Result<Option<GuildRow>, StoreError> {
        let job = move |db: &_| guilds::one(db, id);
        self.thread.call("reading a guild", Kind::Read, job).await
    }

    async fn write_guild(&self, write: &GuildWrite) -> Result<Written, StoreError> {
        let write = write.clone();
        let write_schema = self.write_schema();
        let job = move |db: &_| guilds::write(db, &write, write_schema);
        self.thread.call("writing a guild", Kind::Write, job).await
    }

    async fn checkpoint(&self, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError> {
        let mut lost = Vec::new();
        for part in batch.chunks(super::CHECKPOINT_BATCH) {
            let part = part.to_vec();
            let job = move |db: &_| guilds::checkpoint(db, &part);
            lost.extend(self.thread.call("auto-saving", Kind::Write, job).await?);
        }
        Ok(lost)
    }

    async fn delete_guild(&self, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
        let me = me.clone();
        let job = move |db: &_| guilds::delete(db, id, &me, epoch);
        self.thread.call("deleting a guild", Kind::Write, job).await
    }

    async fn active_guilds(&self) -> Result<u64, StoreError> {
        self.thread.call("counting guilds", Kind::Read, guilds::active).await
    }

    async fn lower_schema(&self, shard: u32, me: &MemberId) -> Result<u64, StoreError> {
        let (mut after, mut rewritten) = (None, 0);
        loop {
            let (me, schema) = (me.clone(), self.write_schema());
            let job = move |db: &_| guilds::lower(db, shard, &me, schema, after);
            let what = "rewriting records for an older version";
            let Some((count, last)) = self.thread.call(what, Kind::Write, job).await? else {
                return Ok(rewritten);
            };
            rewritten += count;
            after = Some(last);
        }
    }

    async fn guild_failed(&self, id: GuildId, me: &MemberId, epoch: Epoch, why: &str) -> Result<u32, StoreError> {
        let (me, why) = (me.clone(), why.to_owned());
        let job = move |db: &_| quarantine::failed(db, id, &me, epoch, &why);
        self.thread.call("counting a failure", Kind::Write, job).await
    }

    async fn release_guild(&self, id: GuildId) -> Result<bool, StoreError> {
        let job = move |db: &_| quarantine::release(db, id);
        self.thread.call("letting a guild go", Kind::Write, job).await
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.thread
            .call("reading quarantined guilds", Kind::Read, quarantine::all)
            .await
    }

    async fn record_recoveries(&self, recoveries: &[RecoveryRow]) -> Result<(), StoreError> {
        let recoveries = recoveries.to_vec();
        let job = move |db: &_| quarantine::record(db, &recoveries);
        self.thread.call("recording recoveries", Kind::Write, job).await
    }

    async fn recoveries(&self, limit: usize) -> Result<Vec<RecoveryRow>, StoreError> {
        let job = move |db: &_| quarantine::recoveries(db, limit);
        self.thread.call("reading recoveries", Kind::Read, job).await
    }

    async fn meta(&self, key: &str) -> Result<Option<Value>, StoreError> {
        let key = key.to_owned();
        let job = move |db: &_| tables::meta(db, &key);
        self.thread.call("reading a fact", Kind::Read, job).await
    }

    async fn put_meta(&self, key: &str, expected: Option<&Value>, value: &Value) -> Result<bool, StoreError> {
        let (key, expected, value) = (key.to_owned(), expected.cloned(), value.clone());
        let job = move |db: &_| tables::put_meta(db, &key, expected.as_ref(), &value);
        self.thread.call("writing a fact", Kind::Write, job).await
    }
}
