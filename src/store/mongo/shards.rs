//! The `shards` collection.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::guilds;
use super::link::{Kind, Link, is_duplicate, meaning};
use super::value::{escaped, from_document, to_bson};
use crate::model::ids::{Epoch, MemberId, NodeName};
use crate::store::{GatewaySession, OPERATION_DEADLINE, ShardRow, StoreError};

const SHARDS: &str = "shards";

fn shard(document: Document) -> Result<ShardRow, StoreError> {
    let mut map = from_document(document);
    if let Some(id) = map.remove("_id") {
        map.insert("id".to_owned(), id);
    }
    map.entry("lavalink").or_insert_with(|| json!({}));
    serde_json::from_value(Value::Object(map)).map_err(|error| StoreError::Unreadable {
        what: "a shard".to_owned(),
        detail: error.to_string(),
    })
}

async fn one(link: &Link, id: u32) -> Result<Option<ShardRow>, StoreError> {
    let (shards, filter) = (link.collection(SHARDS), doc! { "_id": i64::from(id) });
    let read = async move { shards.find_one(filter).await };
    link.run("reading a shard", Kind::Read, read)
        .await?
        .map(shard)
        .transpose()
}

pub(super) async fn all(link: &Link) -> Result<Vec<ShardRow>, StoreError> {
    let shards = link.collection(SHARDS);
    let read = async move {
        let rows = shards.find(doc! {}).sort(doc! { "_id": 1 }).await?;
        rows.try_collect::<Vec<_>>().await
    };
    let rows = link.run("reading shards", Kind::Read, read).await?;
    rows.into_iter().map(shard).collect()
}

pub(super) async fn claim(
    link: &Link,
    id: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
) -> Result<Option<ShardRow>, StoreError> {
    let what = "claiming a shard";
    let owner = previous.map_or(Bson::Null, |member| Bson::String(member.0.clone()));
    let filter = doc! { "_id": i64::from(id), "owner": owner };
    let update = doc! { "$set": { "owner": &me.0 }, "$inc": { "epoch": 1_i64 } };
    let (shards, create) = (link.collection(SHARDS), previous.is_none());
    let claim = async move {
        shards
            .find_one_and_update(filter, update)
            .upsert(create)
            .return_document(ReturnDocument::After)
            .await
    };
    let deadline = Instant::now() + OPERATION_DEADLINE;
    let taken = match link.run_until(deadline, what, Kind::Write, claim).await {
        Ok(taken) => taken,
        Err(failure) if is_duplicate(&failure) => None,
        Err(failure) => return Err(meaning(what, Kind::Write, failure)),
    };
    match taken {
        Some(row) => shard(row).map(Some),
        None => Ok(one(link, id).await?.filter(|row| row.owner.as_ref() == Some(me))),
    }
}

async fn change(
    link: &Link,
    what: &'static str,
    (id, me, epoch): (u32, &MemberId, Epoch),
    update: Document,
) -> Result<bool, StoreError> {
    let shards = link.collection(SHARDS);
    let filter = doc! { "_id": i64::from(id), "owner": &me.0, "epoch": epoch.0.cast_signed() };
    let change = async move { shards.update_one(filter, update).await };
    Ok(link.run(what, Kind::Write, change).await?.matched_count == 1)
}

pub(super) async fn save_session(
    link: &Link,
    owned: (u32, &MemberId, Epoch),
    session: Option<&GatewaySession>,
) -> Result<bool, StoreError> {
    let what = "saving a gateway session";
    let session = serde_json::to_value(session).map_err(|error| StoreError::Refused {
        what,
        source: Box::new(error),
    })?;
    change(link, what, owned, doc! { "$set": { "session": to_bson(&session) } }).await
}

pub(super) async fn save_node_session(
    link: &Link,
    owned: (u32, &MemberId, Epoch),
    node: &NodeName,
    session: Option<&str>,
) -> Result<bool, StoreError> {
    let path = format!("lavalink.{}", escaped(&node.0));
    let update = session.map_or_else(
        || doc! { "$unset": { &path: "" } },
        |session| doc! { "$set": { &path: session } },
    );
    change(link, "saving a Lavalink session", owned, update).await
}

/// Guilds first: who claims the shard afterwards finds none of them owned.
pub(super) async fn release(link: &Link, id: u32, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
    let Some(row) = one(link, id).await?.filter(|row| row.epoch == epoch) else {
        return Ok(false);
    };
    if row.owner.as_ref() != Some(me) {
        return Ok(row.owner.is_none());
    }
    guilds::release(link, id, me).await?;
    let what = "releasing a shard";
    change(link, what, (id, me, epoch), doc! { "$set": { "owner": Bson::Null } }).await
}
