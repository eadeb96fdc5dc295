//! The `members` and `meta` collections.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::link::{Kind, Link, Outcome, is_duplicate, meaning};
use super::value::{from_bson, from_document, to_bson};
use crate::model::ids::MemberId;
use crate::store::{Beat, Fence, MemberRow, MemberState, OPERATION_DEADLINE, StoreError};

pub(super) const MEMBERS: &str = "members";
pub(super) const META: &str = "meta";

fn refused(what: &'static str, error: serde_json::Error) -> StoreError {
    StoreError::Refused {
        what,
        source: Box::new(error),
    }
}

fn member(document: Document) -> Result<MemberRow, StoreError> {
    let mut map = from_document(document);
    for (stored, here) in [("_id", "id"), ("renewed_at", "renewed_ms"), ("ended_at", "final_ms")] {
        if let Some(value) = map.remove(stored) {
            map.insert(here.to_owned(), value);
        }
    }
    serde_json::from_value(Value::Object(map)).map_err(|error| StoreError::Unreadable {
        what: "a member".to_owned(),
        detail: error.to_string(),
    })
}

/// An id that is there already stays as it is: the same call came twice.
pub(super) async fn join(link: &Link, row: &MemberRow) -> Result<(), StoreError> {
    let what = "joining";
    let mut value = serde_json::to_value(row).map_err(|error| refused(what, error))?;
    if let Some(map) = value.as_object_mut() {
        for key in ["id", "renewed_ms", "final_ms"] {
            map.remove(key);
        }
        map.insert("seq".to_owned(), json!(1));
        map.insert("state".to_owned(), json!("live"));
        map.insert("why".to_owned(), Value::Null);
    }
    let fresh = doc! { "$mergeObjects": ["$$ROOT", { "$literal": to_bson(value) }, { "renewed_at": "$$NOW" }] };
    let keep = doc! { "$cond": [{ "$eq": [{ "$type": "$state" }, "missing"] }, fresh, "$$ROOT"] };
    let filter = doc! { "_id": &row.id.0 };
    let members = link.collection(MEMBERS);
    let insert = async move {
        members
            .update_one(filter, vec![doc! { "$replaceWith": keep }])
            .upsert(true)
            .await
    };
    link.run(what, Kind::Write, insert).await.map(drop)
}

fn moving(id: &MemberId) -> Document {
    doc! { "_id": &id.0, "state": { "$in": ["live", "draining"] } }
}

pub(super) async fn renew(link: &Link, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError> {
    let what = "renewing";
    let value = |map: Result<Value, serde_json::Error>| {
        let map = map.map_err(|error| refused(what, error))?;
        Ok::<_, StoreError>(doc! { "$literal": to_bson(map) })
    };
    let mut set = doc! {
        "seq": { "$add": ["$seq", 1_i64] }, "renewed_at": "$$NOW",
        "shard_seq": value(serde_json::to_value(&beat.shard_seq))?,
        "playing": value(serde_json::to_value(&beat.playing))?,
        "without_discord": beat.without_discord,
    };
    if let Some(container) = &beat.container_id {
        set.insert("container_id", doc! { "$literal": container });
    }
    let update = doc! { "$set": set };
    let (members, filter) = (link.collection(MEMBERS), moving(id));
    let renew = async move {
        members
            .find_one_and_update(filter, vec![update])
            .return_document(ReturnDocument::After)
            .await
    };
    link.run(what, Kind::Write, renew).await?.map(member).transpose()
}

/// With the server's clock at that moment.
pub(super) async fn all_now(link: &Link) -> Result<Option<(i64, Vec<MemberRow>)>, StoreError> {
    let members = link.collection(MEMBERS);
    let read = async move {
        let pipeline = [doc! { "$sort": { "_id": 1 } }, doc! { "$set": { "now": "$$NOW" } }];
        members.aggregate(pipeline).await?.try_collect::<Vec<_>>().await
    };
    let rows = link.run("reading members", Kind::Read, read).await?;
    let now = rows.first().and_then(|row| row.get_datetime("now").ok().copied());
    let rows = rows.into_iter().map(member).collect::<Result<_, _>>()?;
    Ok(now.map(|now| (now.timestamp_millis(), rows)))
}

pub(super) async fn all(link: &Link) -> Result<Vec<MemberRow>, StoreError> {
    let members = link.collection(MEMBERS);
    let read = async move {
        let rows = members.find(doc! {}).sort(doc! { "_id": 1 }).await?;
        rows.try_collect::<Vec<_>>().await
    };
    let rows = link.run("reading members", Kind::Read, read).await?;
    rows.into_iter().map(member).collect()
}

/// Ids of the members that are fenced or gone: states that never change again, so that reading them late is safe.
pub(super) async fn finals(link: &Link) -> Result<Vec<String>, StoreError> {
    let members = link.collection(MEMBERS);
    let read = async move {
        let filter = doc! { "state": { "$in": ["fenced", "gone"] } };
        let rows = members.find(filter).projection(doc! { "_id": 1 }).await?;
        rows.try_collect::<Vec<_>>().await
    };
    let rows = link.run("reading members", Kind::Read, read).await?;
    let ids = rows.iter().filter_map(|row| row.get_str("_id").ok());
    Ok(ids.map(str::to_owned).collect())
}

/// Whether it is stored, and fenced or gone.
pub(super) async fn is_final(link: &Link, id: &MemberId) -> Result<bool, StoreError> {
    let members = link.collection(MEMBERS);
    let filter = doc! { "_id": &id.0, "state": { "$in": ["fenced", "gone"] } };
    let read = async move { members.find_one(filter).projection(doc! { "_id": 1 }).await };
    Ok(link.run("reading members", Kind::Read, read).await?.is_some())
}

pub(super) async fn fence(link: &Link, fence: &Fence) -> Result<bool, StoreError> {
    let what = "fencing";
    let deadline = Instant::now() + OPERATION_DEADLINE;
    let mut filter = moving(&fence.id);
    if let Some(overdue) = fence.overdue_ms {
        let due = doc! { "$add": ["$renewed_at", overdue] };
        filter.insert("$expr", doc! { "$gte": ["$$NOW", due] });
    }
    let set = doc! { "state": "fenced", "why": &fence.why, "trace": &fence.trace };
    let update = doc! { "$set": set, "$currentDate": { "ended_at": true } };
    let members = link.collection(MEMBERS);
    let change = async move { members.update_one(filter, update).await };
    match link.certain(deadline, what, change).await? {
        Outcome::Known(result) => Ok(result.matched_count == 1),
        // Nobody else fences with these words under this trace.
        Outcome::Unknown(unknown) => {
            let mine = doc! { "_id": &fence.id.0, "state": "fenced", "why": &fence.why, "trace": &fence.trace };
            let look = || {
                let (members, mine) = (link.collection(MEMBERS), mine.clone());
                let read = async move { Ok(members.find_one(mine).await?.map(|_| true)) };
                link.look(deadline, what, read)
            };
            unknown.look(deadline, look).await
        }
    }
}

pub(super) async fn tell(link: &Link, told: &[MemberId]) -> Result<(), StoreError> {
    let members = link.collection(MEMBERS);
    let ids: Vec<&str> = told.iter().map(|member| member.0.as_str()).collect();
    let (filter, update) = (doc! { "_id": { "$in": ids } }, doc! { "$inc": { "assign_gen": 1_i64 } });
    let tell = async move { members.update_many(filter, update).await };
    link.run("telling members of shards", Kind::Write, tell).await.map(drop)
}

pub(super) async fn set_state(link: &Link, id: &MemberId, state: MemberState) -> Result<bool, StoreError> {
    let set = doc! { "state": state.name() };
    let (filter, update) = match state {
        MemberState::Live => return Ok(false),
        MemberState::Draining => (doc! { "_id": &id.0, "state": "live" }, doc! { "$set": set }),
        MemberState::Fenced | MemberState::Gone => {
            (moving(id), doc! { "$set": set, "$currentDate": { "ended_at": true } })
        }
    };
    change(link, "changing a member's state", filter, update).await
}

async fn change(link: &Link, what: &'static str, filter: Document, update: Document) -> Result<bool, StoreError> {
    let members = link.collection(MEMBERS);
    let change = async move { members.update_one(filter, update).await };
    let result = link.run(what, Kind::Write, change).await?;
    Ok(result.matched_count == 1)
}

pub(super) async fn meta(link: &Link, key: &str) -> Result<Option<Value>, StoreError> {
    let (meta, filter) = (link.collection(META), doc! { "_id": key });
    let read = async move { meta.find_one(filter).await };
    let found = link.run("reading a fact", Kind::Read, read).await?;
    Ok(found.map(|mut row| from_bson(row.remove("value").unwrap_or(Bson::Null))))
}

pub(super) async fn put_meta(
    link: &Link,
    key: &str,
    expected: Option<&Value>,
    value: &Value,
) -> Result<bool, StoreError> {
    let what = "writing a fact";
    let meta = link.collection(META);
    let Some(expected) = expected else {
        let row = doc! { "_id": key, "value": to_bson(value.clone()) };
        let insert = async move { meta.insert_one(row).await };
        let deadline = Instant::now() + OPERATION_DEADLINE;
        return match link.run_until(deadline, what, Kind::Write, insert).await {
            Ok(_) => Ok(true),
            Err(failure) if is_duplicate(&failure) => Ok(false),
            Err(failure) => Err(meaning(what, Kind::Write, failure)),
        };
    };
    let filter = doc! { "_id": key, "value": { "$eq": to_bson(expected.clone()) } };
    let update = doc! { "$set": { "value": to_bson(value.clone()) } };
    let write = async move { meta.update_one(filter, update).await };
    Ok(link.run(what, Kind::Write, write).await?.matched_count == 1)
}

/// A write that means nothing, under a key that no fact has.
pub(super) async fn ping(link: &Link) -> Result<(), StoreError> {
    let meta = link.collection(META);
    let touch = async move {
        meta.update_one(doc! { "_id": Bson::Null }, doc! { "$currentDate": { "at": true } })
            .upsert(true)
            .await
    };
    link.run("ping", Kind::Write, touch).await.map(drop)
}
