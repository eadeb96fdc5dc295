//! The store in MongoDB, for a cluster: a replica set, from server 5.0 on.
//!
//! Writes are confirmed by the majority, with journal. A guild is one document whose head, lists and anchor are set
//! apart. Indexes: guilds by shard and owner, the active ones, the quarantined ones; final members leave after a day.

mod election;
mod guilds;
mod link;
mod members;
mod quarantine;
mod shards;
mod value;
mod writes;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, IndexOptions};
use serde_json::Value;
use tokio::time::Instant;

use self::link::{Kind, Link, meaning};
use super::gate::Gate;
use super::{
    Assignment, Beat, Campaign, Checkpoint, FINAL_KEPT_MS, Fence, GatewaySession, GuildClaim, GuildRow, GuildWrite,
    MemberRow, MemberState, Quarantined, RecoveryRow, Scan, Sealed, ShardRow, Store, StoreError, Unread, Written,
    schema,
};
use crate::model::ids::{Epoch, GuildId, MemberId, NodeName};
use crate::model::record::SCHEMA;

/// Making indexes on an empty database may take longer than an operation.
const OPENING: Duration = Duration::from_secs(10);

/// A [`Store`] in a replica set.
#[derive(Debug)]
pub struct MongoStore {
    link: Link,
    write_schema: AtomicU32,
}

impl MongoStore {
    /// Connects to `mongodb://…` and makes the indexes. The database is the one in the address, else `segue`.
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        let options = ClientOptions::parse(address)
            .await
            .map_err(|error| StoreError::Refused {
                what: "reading the MongoDB address",
                source: without_password(address, &error.to_string()).into(),
            })?;
        Self::with_options(options).await
    }

    /// The same with the driver's own options; times, concerns and pool size are set by the store.
    pub async fn with_options(options: ClientOptions) -> Result<Self, StoreError> {
        let store = Self {
            link: Link::new(options)?,
            write_schema: AtomicU32::new(SCHEMA),
        };
        store.make_indexes().await?;
        Ok(store)
    }

    /// The same database behind a gate.
    pub(super) fn behind(mut self, gate: Gate) -> Self {
        self.link.gate = gate;
        self
    }

    async fn make_indexes(&self) -> Result<(), StoreError> {
        let what = "making the indexes";
        let kept = Duration::from_millis(FINAL_KEPT_MS.unsigned_abs());
        let leaving = IndexModel::builder()
            .keys(doc! { "ended_at": 1 })
            .options(IndexOptions::builder().expire_after(kept).build())
            .build();
        let of_guilds = [
            // Without the owner: taking a shard changes it in every guild, and would change the index as often.
            IndexModel::builder().keys(doc! { "shard": 1 }).build(),
            only(doc! { "active": 1 }, doc! { "active": true }),
            only(doc! { "quarantined": 1 }, doc! { "quarantined": { "$exists": true } }),
        ];
        let (guilds, members) = (
            self.link.collection(guilds::GUILDS),
            self.link.collection(members::MEMBERS),
        );
        let database = self.link.database();
        let make = async move {
            guilds.create_indexes(of_guilds).await?;
            members.create_index(leaving).await?;
            quarantine::make(&database).await
        };
        let deadline = Instant::now() + OPENING;
        self.link
            .run_until(deadline, what, Kind::Write, make)
            .await
            .map_err(|failure| meaning(what, Kind::Write, failure))
    }
}

/// An index that holds only what matches.
fn only(keys: Document, which: Document) -> IndexModel {
    let options = IndexOptions::builder().partial_filter_expression(which).build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// What the driver says about an address, unless it quotes from the user or password in it.
fn without_password(address: &str, error: &str) -> String {
    let user = address.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    let quoted = user.is_some_and(|(user, _)| user.split(':').any(|part| !part.is_empty() && error.contains(part)));
    if quoted {
        "the part before the @ is malformed; percent-encode user and password".to_owned()
    } else {
        error.to_owned()
    }
}

#[async_trait]
impl Store for MongoStore {
    fn describe(&self) -> String {
        self.link.place().to_owned()
    }

    fn write_schema(&self) -> u32 {
        self.write_schema.load(Ordering::Relaxed)
    }

    fn set_write_schema(&self, schema: u32) {
        self.write_schema
            .store(schema.clamp(schema::OLDEST, SCHEMA), Ordering::Relaxed);
    }

    async fn ping(&self) -> Result<(), StoreError> {
        members::ping(&self.link).await
    }

    async fn now_ms(&self) -> Result<i64, StoreError> {
        let admin = self.link.admin();
        let hello = async move { admin.run_command(doc! { "hello": 1 }).await };
        let answer = self.link.run("reading the clock", Kind::Read, hello).await?;
        answer
            .get_datetime("localTime")
            .map(|time| time.timestamp_millis())
            .map_err(|error| StoreError::Refused {
                what: "reading the clock",
                source: error.to_string().into(),
            })
    }

    async fn join(&self, member: MemberRow) -> Result<(), StoreError> {
        members::join(&self.link, &member).await
    }

    async fn renew(&self, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError> {
        members::renew(&self.link, id, beat).await
    }

    async fn members(&self) -> Result<Vec<MemberRow>, StoreError> {
        let members = members::all(&self.link).await?;
        self.set_write_schema(schema::writable(&members));
        Ok(members)
    }

    async fn fence(&self, fence: &Fence) -> Result<bool, StoreError> {
        members::fence(&self.link, fence).await
    }

    async fn set_state(&self, id: &MemberId, state: MemberState) -> Result<bool, StoreError> {
        members::set_state(&self.link, id, state).await
    }

    async fn scan(&self) -> Result<Scan, StoreError> {
        let shards = shards::all(&self.link).await?;
        let (found, leader) = tokio::join!(members::all_now(&self.link), election::leader(&self.link));
        let (now_ms, members) = match found? {
            Some(found) => found,
            None => (self.now_ms().await?, Vec::new()),
        };
        self.set_write_schema(schema::writable(&members));
        Ok(Scan {
            now_ms,
            members,
            shards,
            leader: leader?,
        })
    }

    async fn new_term(&self, me: &MemberId) -> Result<u64, StoreError> {
        election::new_term(&self.link, me).await
    }

    async fn campaign(&self, me: &MemberId, lease_ms: i64) -> Result<Campaign, StoreError> {
        election::campaign(&self.link, me, lease_ms).await
    }

    async fn resign(&self, me: &MemberId, term: u64) -> Result<bool, StoreError> {
        election::resign(&self.link, me, term).await
    }

    async fn assign(&self, term: u64, assignments: &[Assignment]) -> Result<Vec<u32>, StoreError> {
        shards::assign(&self.link, term, assignments).await
    }

    async fn tell(&self, members: &[MemberId]) -> Result<(), StoreError> {
        members::tell(&self.link, members).await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        shards::all(&self.link).await
    }

    async fn claim_shard(
        &self,
        id: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<Option<ShardRow>, StoreError> {
        shards::claim(&self.link, id, previous, me).await
    }

    async fn save_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        session: Option<&GatewaySession>,
        trace: Option<&str>,
    ) -> Result<bool, StoreError> {
        shards::save_session(&self.link, (id, me, epoch), session, trace).await
    }

    async fn save_trace(&self, id: u32, me: &MemberId, epoch: Epoch, trace: &str) -> Result<bool, StoreError> {
        shards::save_trace(&self.link, (id, me, epoch), trace).await
    }

    async fn save_node_session(
        &self,
        id: u32,
        me: &MemberId,
        epoch: Epoch,
        node: &NodeName,
        session: Option<&str>,
    ) -> Result<bool, StoreError> {
        shards::save_node_session(&self.link, (id, me, epoch), node, session).await
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
        shards::release(&self.link, id, me, epoch, trace).await
    }

    async fn seal(&self, shard: u32, previous: Option<&MemberId>, me: &MemberId) -> Result<(), StoreError> {
        guilds::seal(&self.link, shard, previous, me).await
    }

    async fn sealed(&self, shard: u32, me: &MemberId) -> Result<Sealed, StoreError> {
        guilds::sealed(&self.link, shard, me).await
    }

    async fn sealed_unread(&self, shard: u32, me: &MemberId) -> Result<Unread, StoreError> {
        guilds::sealed_unread(&self.link, shard, me).await
    }

    async fn claim_guild(
        &self,
        id: GuildId,
        shard: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> Result<GuildClaim, StoreError> {
        guilds::claim(&self.link, id, shard, previous, me, self.write_schema()).await
    }

    async fn guild(&self, id: GuildId) -> Result<Option<GuildRow>, StoreError> {
        guilds::one(&self.link, id).await
    }

    async fn write_guild(&self, write: &GuildWrite) -> Result<Written, StoreError> {
        writes::write(&self.link, write, self.write_schema()).await
    }

    async fn checkpoint(&self, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError> {
        writes::checkpoint(&self.link, batch).await
    }

    async fn delete_guild(&self, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
        guilds::delete(&self.link, id, me, epoch).await
    }

    async fn active_guilds(&self) -> Result<u64, StoreError> {
        guilds::active(&self.link).await
    }

    async fn lower_schema(&self, shard: u32, me: &MemberId) -> Result<u64, StoreError> {
        guilds::lower(&self.link, shard, me, self.write_schema()).await
    }

    async fn guild_failed(&self, id: GuildId, me: &MemberId, epoch: Epoch, why: &str) -> Result<u32, StoreError> {
        quarantine::failed(&self.link, id, me, epoch, why).await
    }

    async fn release_guild(&self, id: GuildId) -> Result<bool, StoreError> {
        quarantine::release(&self.link, id).await
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        quarantine::all(&self.link).await
    }

    async fn record_recoveries(&self, recoveries: &[RecoveryRow]) -> Result<(), StoreError> {
        quarantine::record(&self.link, recoveries).await
    }

    async fn recoveries(&self, limit: usize) -> Result<Vec<RecoveryRow>, StoreError> {
        quarantine::recoveries(&self.link, limit).await
    }

    async fn meta(&self, key: &str) -> Result<Option<Value>, StoreError> {
        members::meta(&self.link, key).await
    }

    async fn put_meta(&self, key: &str, expected: Option<&Value>, value: &Value) -> Result<bool, StoreError> {
        members::put_meta(&self.link, key, expected, value).await
    }
}
