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

use futures_util::future::BoxFuture;
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, IndexOptions};
use serde_json::Value;
use tokio::time::Instant;

use self::link::{Kind, Link, meaning};
use super::gate::Gate;
use super::skew::Skew;
use super::{
    Answer, Assignment, Beat, Campaign, Checkpoint, FINAL_KEPT_MS, Fence, GatewaySession, GuildClaim, GuildRow,
    GuildWrite, MemberRow, MemberState, Quarantined, RecoveryRow, Scan, Sealed, ShardRow, Store, StoreError, Unread,
    Written, schema,
};
use crate::lifecycle::wall_ms;
use crate::model::ids::{Epoch, GuildId, MemberId, NodeName};
use crate::model::record::SCHEMA;

/// Making indexes on an empty database may take longer than an operation.
const OPENING: Duration = Duration::from_secs(10);

/// A [`Store`] in a replica set.
#[derive(Debug)]
pub struct MongoStore {
    link: Link,
    write_schema: AtomicU32,
    skew: Skew,
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
            skew: Skew::default(),
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

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(members::ping(&self.link))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.link.close())
    }

    fn now_ms(&self) -> Answer<'_, i64> {
        Box::pin(async move {
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
        })
    }

    fn skew_ms(&self) -> i64 {
        self.skew.ms()
    }

    fn join(&self, member: MemberRow) -> Answer<'_, ()> {
        Box::pin(async move { members::join(&self.link, &member).await })
    }

    fn renew<'a>(&'a self, id: &'a MemberId, beat: &'a Beat) -> Answer<'a, Option<MemberRow>> {
        Box::pin(members::renew(&self.link, id, beat))
    }

    fn members(&self) -> Answer<'_, Vec<MemberRow>> {
        Box::pin(async move {
            let members = members::all(&self.link).await?;
            self.set_write_schema(schema::writable(&members));
            Ok(members)
        })
    }

    fn fence<'a>(&'a self, fence: &'a Fence) -> Answer<'a, bool> {
        Box::pin(members::fence(&self.link, fence))
    }

    fn set_state<'a>(&'a self, id: &'a MemberId, state: MemberState) -> Answer<'a, bool> {
        Box::pin(members::set_state(&self.link, id, state))
    }

    fn scan(&self) -> Answer<'_, Scan> {
        Box::pin(async move {
            let shards = shards::all(&self.link).await?;
            let asked_ms = wall_ms();
            let (found, leader) = tokio::join!(members::all_now(&self.link), election::leader(&self.link));
            let (now_ms, members) = match found? {
                Some(found) => found,
                None => (self.now_ms().await?, Vec::new()),
            };
            self.skew.looked(asked_ms, wall_ms(), now_ms);
            self.set_write_schema(schema::writable(&members));
            Ok(Scan {
                now_ms,
                members,
                shards,
                leader: leader?,
            })
        })
    }

    fn new_term<'a>(&'a self, me: &'a MemberId) -> Answer<'a, u64> {
        Box::pin(election::new_term(&self.link, me))
    }

    fn campaign<'a>(&'a self, me: &'a MemberId, lease_ms: i64) -> Answer<'a, Campaign> {
        Box::pin(election::campaign(&self.link, me, lease_ms))
    }

    fn resign<'a>(&'a self, me: &'a MemberId, term: u64) -> Answer<'a, bool> {
        Box::pin(election::resign(&self.link, me, term))
    }

    fn assign<'a>(&'a self, term: u64, assignments: &'a [Assignment]) -> Answer<'a, Vec<u32>> {
        Box::pin(shards::assign(&self.link, term, assignments))
    }

    fn tell<'a>(&'a self, members: &'a [MemberId]) -> Answer<'a, ()> {
        Box::pin(members::tell(&self.link, members))
    }

    fn shards(&self) -> Answer<'_, Vec<ShardRow>> {
        Box::pin(shards::all(&self.link))
    }

    fn claim_shard<'a>(
        &'a self,
        id: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, Option<ShardRow>> {
        Box::pin(shards::claim(&self.link, id, previous, me))
    }

    fn save_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        session: Option<&'a GatewaySession>,
        trace: Option<&'a str>,
    ) -> Answer<'a, bool> {
        Box::pin(shards::save_session(&self.link, (id, me, epoch), session, trace))
    }

    fn save_trace<'a>(&'a self, id: u32, me: &'a MemberId, epoch: Epoch, trace: &'a str) -> Answer<'a, bool> {
        Box::pin(shards::save_trace(&self.link, (id, me, epoch), trace))
    }

    fn save_node_session<'a>(
        &'a self,
        id: u32,
        me: &'a MemberId,
        epoch: Epoch,
        node: &'a NodeName,
        session: Option<&'a str>,
    ) -> Answer<'a, bool> {
        Box::pin(shards::save_node_session(&self.link, (id, me, epoch), node, session))
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
            shards::release(&self.link, id, me, epoch, trace).await
        })
    }

    fn regroup(&self, shards: u32) -> Answer<'_, ()> {
        Box::pin(guilds::regroup(&self.link, shards))
    }

    fn seal<'a>(&'a self, shard: u32, previous: Option<&'a MemberId>, me: &'a MemberId) -> Answer<'a, ()> {
        Box::pin(guilds::seal(&self.link, shard, previous, me))
    }

    fn sealed<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Sealed> {
        Box::pin(guilds::sealed(&self.link, shard, me))
    }

    fn sealed_unread<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, Unread> {
        Box::pin(guilds::sealed_unread(&self.link, shard, me))
    }

    fn claim_guild<'a>(
        &'a self,
        id: GuildId,
        shard: u32,
        previous: Option<&'a MemberId>,
        me: &'a MemberId,
    ) -> Answer<'a, GuildClaim> {
        Box::pin(guilds::claim(&self.link, id, shard, previous, me, self.write_schema()))
    }

    fn guild(&self, id: GuildId) -> Answer<'_, Option<GuildRow>> {
        Box::pin(guilds::one(&self.link, id))
    }

    fn write_guild<'a>(&'a self, write: &'a GuildWrite) -> Answer<'a, Written> {
        Box::pin(writes::write(&self.link, write, self.write_schema()))
    }

    fn checkpoint<'a>(&'a self, batch: &'a [Checkpoint]) -> Answer<'a, Vec<GuildId>> {
        Box::pin(writes::checkpoint(&self.link, batch))
    }

    fn delete_guild<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch) -> Answer<'a, bool> {
        Box::pin(guilds::delete(&self.link, id, me, epoch))
    }

    fn active_guilds(&self) -> Answer<'_, u64> {
        Box::pin(guilds::active(&self.link))
    }

    fn lower_schema<'a>(&'a self, shard: u32, me: &'a MemberId) -> Answer<'a, u64> {
        Box::pin(guilds::lower(&self.link, shard, me, self.write_schema()))
    }

    fn guild_failed<'a>(&'a self, id: GuildId, me: &'a MemberId, epoch: Epoch, why: &'a str) -> Answer<'a, u32> {
        Box::pin(quarantine::failed(&self.link, id, me, epoch, why))
    }

    fn release_guild(&self, id: GuildId) -> Answer<'_, bool> {
        Box::pin(quarantine::release(&self.link, id))
    }

    fn quarantined(&self) -> Answer<'_, Vec<Quarantined>> {
        Box::pin(quarantine::all(&self.link))
    }

    fn record_recoveries<'a>(&'a self, recoveries: &'a [RecoveryRow]) -> Answer<'a, ()> {
        Box::pin(quarantine::record(&self.link, recoveries))
    }

    fn recoveries(&self, limit: usize) -> Answer<'_, Vec<RecoveryRow>> {
        Box::pin(quarantine::recoveries(&self.link, limit))
    }

    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Value>> {
        Box::pin(members::meta(&self.link, key))
    }

    fn put_meta<'a>(&'a self, key: &'a str, expected: Option<&'a Value>, value: &'a Value) -> Answer<'a, bool> {
        Box::pin(members::put_meta(&self.link, key, expected, value))
    }
}
