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

use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};

use self::thread::{Kind, Thread};
use super::gate::Gate;
use super::skew::Skew;
use super::{
    Answer, Assignment, Beat, Campaign, Checkpoint, Fence, GatewaySession, GuildClaim, GuildRow, GuildWrite, MemberRow,
    MemberState, Quarantined, RecoveryRow, Scan, Sealed, ShardRow, Store, StoreError, Unread, Written, schema,
};
use crate::lifecycle::wall_ms;
use crate::model::ids::{Epoch, GuildId, MemberId, NodeName};
use crate::model::record::SCHEMA;

/// A [`Store`] in a file.
#[derive(Debug)]
pub struct SqliteStore {
    thread: Thread,
    path: String,
    write_schema: AtomicU32,
    skew: Skew,
}

impl SqliteStore {
    /// Opens the file, or makes it (mode 0600, its folder too). Blocks; call it off the runtime.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = tables::connect(path)?;
        Ok(Self {
            thread: Thread::start(connection)?,
            path: path.display().to_string(),
            write_schema: AtomicU32::new(SCHEMA),
            skew: Skew::default(),
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

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(self.thread.call("ping", Kind::Write, tables::ping))
    }

    fn now_ms(&self) -> Answer<'_, i64> {
        Box::pin(self.thread.call("reading the clock", Kind::Read, tables::now_ms))
    }

    fn skew_ms(&self) -> i64 {
        self.skew.ms()
    }

    fn join(&self, member: MemberRow) -> Answer<'_, ()> {
        let job = move |db: &_| members::join(db, &member);
        Box::pin(self.thread.call("joining", Kind::Write, job))
    }

    fn renew<'a>(&'a self, id: &'a MemberId, beat: &'a Beat) -> Answer<'a, Option<MemberRow>> {
        let (id, beat) = (id.clone(), beat.clone());
        let job = move |db: &_| members::renew(db, &id, &beat);
        Box::pin(self.thread.call("renewing", Kind::Write, job))
    }

    fn members(&self) -> Answer<'_, Vec<MemberRow>> {
        Box::pin(async move {
            let members = self.thread.call("reading members", Kind::Read, members::all).await?;
            self.set_write_schema(schema::writable(&members));
            Ok(members)
        })
    }

    fn fence<'a>(&'a self, fence: &'a Fence) -> Answer<'a, bool> {
        let fence = fence.clone();
        let job = move |db: &_| members::fence(db, &fence);
        Box::pin(self.thread.call("fencing", Kind::Write, job))
    }

    fn set_state<'a>(&'a self, id: &'a MemberId, state: MemberState) -> Answer<'a, bool> {
        let id = id.clone();
        let job = move |db: &_| members::set_state(db, &id, state);
        Box::pin(self.thread.call("changing a member's state", Kind::Write, job))
    }

    fn scan(&self) -> Answer<'_, Scan> {
        Box::pin(async move {
            let job = |db: &_| {
                Ok(Scan {
                    now_ms: tables::now_ms(db)?,
                    members: members::all(db)?,
                    shards: shards::all(db)?,
                    leader: election::leader(db)?,
                })
            };
            let asked_ms = wall_ms();
            let scan = self.thread.call("looking at the cluster", Kind::Read, job).await?;
            self.skew.looked(asked_ms, wall_ms(), scan.now_ms);
            self.set_write_schema(schema::writable(&scan.members));
            Ok(scan)
        })
    }

    fn new_term<'a>(&'a self, me: &'a MemberId) -> Answer<'a, u64> {
        let me = me.clone();
        let job = move |db: &_| election::new_term(db, &me);
        Box::pin(self.thread.call("beginning a term", Kind::Write, job))
    }

    fn campaign<'a>(&'a self, me: &'a MemberId, lease_ms: i64) -> Answer<'a, Campaign> {
        let me = me.clone();
        let job = move |db: &_| election::campaign(db, &me, lease_ms);
        Box::pin(self.thread.call("electing a leader", Kind::Write, job))
    }

    fn resign<'a>(&'a self, me: &'a MemberId, term: u64) -> Answer<'a, bool> {
        let me = me.clone();
        let job = move |db: &_| election::resign(db, &me, term);
        Box::pin(self.thread.call("resigning", Kind::Write, job))
    }

    fn assign<'a>(&'a self, term: u64, assignments: &'a [Assignment]) -> Answer<'a, Vec<u32>> {
        let assignments = assignments.to_vec();
        let job = move |db: &_| shards::assign(db, term, &assignments);
        Box::pin(self.thread.call("assigning shards", Kind::Write, job))
    }

    fn tell<'a>(&'a self, members: &'a [MemberId]) -> Answer<'a, ()> {
        let told = members.to_vec();
        let job = move |db: &_| told.iter().try_for_each(|member| members::tell(db, member));
        Box::pin(self.thread.call("telling members of shards", Kind::Write, job))
    }

    fn shards(&self) -> Answer<'_, Vec<ShardRow>> {
        Box::pin(self.thread.call("reading shards", Kind::Read, shards::all))
    }

    fn claim_shard<'a>(
        &'a self,
        id: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, Option<ShardRow>> {
        let (previous, me) = (previous.cloned(), me.clone());
        let job = move |db: &_| shards::claim(db, id, previous.as_ref(), &me);
        Box::pin(self.thread.call("claiming a shard", Kind::Write, job))
    }

    fn save_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        session: Option<&'a GatewaySession>,
        trace: Option<&'a str>,
    ) -> Answer<'a, bool> {
        let (me, session, trace) = (me.clone(), session.cloned(), trace.map(str::to_owned));
        let job = move |db: &_| shards::save_session(db, id, &me, epoch, session.as_ref(), trace.as_deref());
        Box::pin(self.thread.call("saving a gateway session", Kind::Write, job))
    }

    fn save_trace<'a>(&'a self, id: u32, me: &'a MemberId, epoch: Epoch, trace: &'a str) -> Answer<'a, bool> {
        let (me, trace) = (me.clone(), trace.to_owned());
        let job = move |db: &_| shards::save_trace(db, id, &me, epoch, &trace);
        Box::pin(self.thread.call("saving a trace", Kind::Write, job))
    }

    fn save_node_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        node: &'a NodeName,
        session: Option<&'a str>,
    ) -> Answer<'a, bool> {
        let (me, node, session) = (me.clone(), node.clone(), session.map(str::to_owned));
        let job = move |db: &_| shards::save_node_session(db, id, &me, epoch, &node, session.as_deref());
        Box::pin(self.thread.call("saving a Lavalink session", Kind::Write, job))
    }

    fn release_shard<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        trace: Option<&'a str>,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            self.members().await?;
            self.lower_schema(id, me).await?;
            let (me, trace) = (me.clone(), trace.map(str::to_owned));
            let job = move |db: &_| shards::release(db, id, &me, epoch, trace.as_deref());
            self.thread.call("releasing a shard", Kind::Write, job).await
        })
    }

    fn regroup(&self, shards: u32) -> Answer<'_, ()> {
        let job = move |db: &_| guilds::regroup(db, shards);
        let what = "putting guilds under their shards";
        Box::pin(async move {
            // Asked apart: as a rule there is nothing to write.
            let same = self.meta(super::REGROUPED).await? == Some(shards.into());
            if same {
                Ok(())
            } else {
                self.thread.call(what, Kind::Write, job).await
            }
        })
    }

    fn seal<'a>(&'a self, shard: u32, previous: Option<&'a MemberId>, me: &'a MemberId) -> Answer<'a, ()> {
        let (previous, me) = (previous.cloned(), me.clone());
        let job = move |db: &_| guilds::seal(db, shard, previous.as_ref(), &me);
        Box::pin(self.thread.call("sealing the guilds of a shard", Kind::Write, job))
    }

    fn sealed<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Sealed> {
        let me = me.clone();
        let job = move |db: &_| guilds::sealed(db, shard, &me);
        Box::pin(self.thread.call("reading the guilds of a shard", Kind::Read, job))
    }

    fn sealed_unread<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Unread> {
        let me = me.clone();
        let job = move |db: &_| guilds::sealed_unread(db, shard, &me);
        Box::pin(self.thread.call("listing the guilds of a shard", Kind::Read, job))
    }

    fn claim_guild<'a>(
        &'a self,
        id: GuildId,
        shard: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, GuildClaim> {
        let (previous, me) = (previous.cloned(), me.clone());
        let write_schema = self.write_schema();
        let job = move |db: &_| guilds::claim(db, id, shard, previous.as_ref(), &me, write_schema);
        Box::pin(self.thread.call("claiming a guild", Kind::Write, job))
    }

    fn guild(&self, id: GuildId) -> Answer<'_, Option<GuildRow>> {
        let job = move |db: &_| guilds::one(db, id);
        Box::pin(self.thread.call("reading a guild", Kind::Read, job))
    }

    fn write_guild<'a>(&'a self, write: &'a GuildWrite) -> Answer<'a, Written> {
        let write = write.clone();
        let write_schema = self.write_schema();
        let job = move |db: &_| guilds::write(db, &write, write_schema);
        Box::pin(self.thread.call("writing a guild", Kind::Write, job))
    }

    fn checkpoint<'a>(&'a self, batch: &'a [Checkpoint]) -> Answer<'a, Vec<GuildId>> {
        Box::pin(async move {
            let mut lost = Vec::new();
            for part in batch.chunks(super::CHECKPOINT_BATCH) {
                let part = part.to_vec();
                let job = move |db: &_| guilds::checkpoint(db, &part);
                lost.extend(self.thread.call("auto-saving", Kind::Write, job).await?);
            }
            Ok(lost)
        })
    }

    fn delete_guild<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch) -> Answer<'a, bool> {
        let me = me.clone();
        let job = move |db: &_| guilds::delete(db, id, &me, epoch);
        Box::pin(self.thread.call("deleting a guild", Kind::Write, job))
    }

    fn active_guilds(&self) -> Answer<'_, u64> {
        Box::pin(self.thread.call("counting guilds", Kind::Read, guilds::active))
    }

    fn lower_schema<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, u64> {
        Box::pin(async move {
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
        })
    }

    fn guild_failed<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch, why: &'a str) -> Answer<'a, u32> {
        let (me, why) = (me.clone(), why.to_owned());
        let job = move |db: &_| quarantine::failed(db, id, &me, epoch, &why);
        Box::pin(self.thread.call("counting a failure", Kind::Write, job))
    }

    fn release_guild(&self, id: GuildId) -> Answer<'_, bool> {
        let job = move |db: &_| quarantine::release(db, id);
        Box::pin(self.thread.call("letting a guild go", Kind::Write, job))
    }

    fn quarantined(&self) -> Answer<'_, Vec<Quarantined>> {
        Box::pin(
            self.thread
                .call("reading quarantined guilds", Kind::Read, quarantine::all),
        )
    }

    fn record_recoveries<'a>(&'a self, recoveries: &'a [RecoveryRow]) -> Answer<'a, ()> {
        let recoveries = recoveries.to_vec();
        let job = move |db: &_| quarantine::record(db, &recoveries);
        Box::pin(self.thread.call("recording recoveries", Kind::Write, job))
    }

    fn recoveries(&self, limit: usize) -> Answer<'_, Vec<RecoveryRow>> {
        let job = move |db: &_| quarantine::recoveries(db, limit);
        Box::pin(self.thread.call("reading recoveries", Kind::Read, job))
    }

    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Value>> {
        let key = key.to_owned();
        let job = move |db: &_| tables::meta(db, &key);
        Box::pin(self.thread.call("reading a fact", Kind::Read, job))
    }

    fn put_meta<'a>(&'a self, key: &'a str, expected: Option<&'a Value>, value: &'a Value) -> Answer<'a, bool> {
        let (key, expected, value) = (key.to_owned(), expected.cloned(), value.clone());
        let job = move |db: &_| tables::put_meta(db, &key, expected.as_ref(), &value);
        Box::pin(self.thread.call("writing a fact", Kind::Write, job))
    }
}
