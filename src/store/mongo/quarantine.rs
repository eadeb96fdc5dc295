//! Guilds that make their owners fail: counting, setting aside, letting go. And recoveries, for people.

use futures_util::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ReturnDocument;
use serde_json::Value;

use super::guilds::{GUILDS, key};
use super::link::{DUPLICATE, Kind, Link};
use super::value::{from_document, int, to_bson};
use crate::model::ids::{Epoch, GuildId, MemberId};
use crate::store::{
    FAILURES_COUNT_MS, FAILURES_UNTIL_QUARANTINE, Quarantined, RECOVERIES_KEPT, RecoveryRow, StoreError,
};

const RECOVERIES: &str = "recoveries";
/// A recovery is some hundred bytes; the number of documents is the limit that counts.
const RECOVERIES_BYTES: u64 = 1024 * 1024;
/// The server's code for a collection that is there already.
const EXISTS: i32 = 48;

/// A capped collection forgets its oldest documents by itself.
pub(super) async fn make(database: &Database) -> mongodb::error::Result<()> {
    let made = database
        .create_collection(RECOVERIES)
        .capped(true)
        .size(RECOVERIES_BYTES)
        .max(RECOVERIES_KEPT as u64)
        .await;
    match made {
        Err(error) if is_there(&error) => Ok(()),
        other => other,
    }
}

fn is_there(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(command) if command.code == EXISTS)
}

/// The times of the last failures stand in the document; those that count no more leave with the next one.
pub(super) async fn failed(
    link: &Link,
    id: GuildId,
    me: &MemberId,
    epoch: Epoch,
    why: &str,
) -> Result<u32, StoreError> {
    let since = doc! { "$subtract": ["$$NOW", FAILURES_COUNT_MS] };
    let counting = doc! { "$filter": {
        "input": { "$ifNull": ["$failures", []] }, "cond": { "$gte": ["$$this", since] },
    } };
    let add = doc! { "$set": { "failures": { "$concatArrays": [counting, ["$$NOW"]] } } };
    let enough = doc! { "$gte": [{ "$size": "$failures" }, i64::from(FAILURES_UNTIL_QUARANTINE)] };
    let aside = doc! { "$cond": [enough, { "$literal": why }, "$quarantined"] };
    let guilds = link.collection(GUILDS);
    let filter = doc! { "_id": key(id), "owner": &me.0, "epoch": epoch.0.cast_signed() };
    let count = async move {
        guilds
            .find_one_and_update(filter, vec![add, doc! { "$set": { "quarantined": aside } }])
            .projection(doc! { "failures": 1 })
            .return_document(ReturnDocument::After)
            .await
    };
    let found = link.run("counting a failure", Kind::Write, count).await?;
    let count = found.and_then(|row| row.get_array("failures").map(Vec::len).ok());
    Ok(count.unwrap_or(0).try_into().unwrap_or(u32::MAX))
}

pub(super) async fn release(link: &Link, id: GuildId) -> Result<bool, StoreError> {
    let guilds = link.collection(GUILDS);
    let filter = doc! { "_id": key(id), "quarantined": { "$exists": true } };
    let free = doc! { "$unset": { "quarantined": "", "failures": "" } };
    let write = async move { guilds.update_one(filter, free).await };
    let result = link.run("letting a guild go", Kind::Write, write).await?;
    Ok(result.matched_count == 1)
}

pub(super) async fn all(link: &Link) -> Result<Vec<Quarantined>, StoreError> {
    let guilds = link.collection(GUILDS);
    let read = async move {
        let rows = guilds
            .find(doc! { "quarantined": { "$exists": true } })
            .projection(doc! { "quarantined": 1 })
            .await?;
        rows.try_collect::<Vec<_>>().await
    };
    let rows = link.run("reading quarantined guilds", Kind::Read, read).await?;
    let mut found: Vec<_> = rows.iter().filter_map(quarantined).collect();
    found.sort_by_key(|one| one.guild);
    Ok(found)
}

fn quarantined(row: &Document) -> Option<Quarantined> {
    Some(Quarantined {
        guild: GuildId::new_checked(int(row, "_id")?.cast_unsigned())?,
        why: row.get_str("quarantined").unwrap_or_default().to_owned(),
    })
}

pub(super) async fn record(link: &Link, recoveries: &[RecoveryRow]) -> Result<(), StoreError> {
    let what = "recording recoveries";
    let last = recoveries.len().saturating_sub(RECOVERIES_KEPT);
    let mut rows = Vec::new();
    for recovery in &recoveries[last..] {
        let value = serde_json::to_value(recovery).map_err(|error| StoreError::Refused {
            what,
            source: Box::new(error),
        })?;
        rows.push(doc! { "_id": recovery.key(), "row": to_bson(value) });
    }
    if rows.is_empty() {
        return Ok(());
    }
    let collection = link.collection(RECOVERIES);
    let insert = async move {
        match collection.insert_many(rows).ordered(false).await {
            Err(error) if only_known(&error) => Ok(()),
            other => other.map(drop),
        }
    };
    link.run(what, Kind::Write, insert).await
}

/// Whether nothing is wrong except that some were told before.
fn only_known(error: &Error) -> bool {
    let ErrorKind::InsertMany(failure) = error.kind.as_ref() else {
        return false;
    };
    let errors = failure.write_errors.as_deref().unwrap_or_default();
    failure.write_concern_error.is_none() && !errors.is_empty() && errors.iter().all(|one| one.code == DUPLICATE)
}

pub(super) async fn recoveries(link: &Link, limit: usize) -> Result<Vec<RecoveryRow>, StoreError> {
    let limit = i64::try_from(limit.min(RECOVERIES_KEPT)).unwrap_or(i64::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let collection = link.collection(RECOVERIES);
    let read = async move {
        let rows = collection
            .find(doc! {})
            .sort(doc! { "$natural": -1 })
            .limit(limit)
            .await?;
        rows.try_collect::<Vec<_>>().await
    };
    let rows = link.run("reading recoveries", Kind::Read, read).await?;
    rows.into_iter().map(recovery).collect()
}

fn recovery(mut document: Document) -> Result<RecoveryRow, StoreError> {
    let row = match document.remove("row") {
        Some(Bson::Document(row)) => from_document(row),
        Some(_) | None => serde_json::Map::new(),
    };
    serde_json::from_value(Value::Object(row)).map_err(|error| StoreError::Unreadable {
        what: "a recovery".to_owned(),
        detail: error.to_string(),
    })
}
