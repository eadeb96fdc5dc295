//! Who leads: one document of `meta`, whose term only grows.

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use tokio::time::Instant;

use super::link::{Link, Outcome, is_duplicate_key};
use super::members::{META, is_final};
use super::value::count;
use crate::model::ids::MemberId;
use crate::store::{Campaign, LeaderRow, OPERATION_DEADLINE, StoreError};

const LEADER: &str = "leader";

fn row(document: &Document) -> LeaderRow {
    LeaderRow {
        term: count(document, "term").unwrap_or(0),
        holder: document.get_str("holder").ok().map(|id| MemberId(id.to_owned())),
    }
}

pub(super) async fn leader(link: &Link) -> Result<LeaderRow, StoreError> {
    look(link, Instant::now() + OPERATION_DEADLINE).await
}

async fn look(link: &Link, deadline: Instant) -> Result<LeaderRow, StoreError> {
    let meta = link.collection(META);
    let read = async move { meta.find_one(doc! { "_id": LEADER }).await };
    let found = link.look(deadline, "reading who leads", read).await?;
    Ok(found.as_ref().map(row).unwrap_or_default())
}

/// Runs one update of the document, which is created where there is none. A loser of the race to create it looks again.
async fn update(link: &Link, what: &'static str, me: &MemberId, set: &Document) -> Result<LeaderRow, StoreError> {
    let deadline = Instant::now() + OPERATION_DEADLINE;
    loop {
        let (meta, pipeline) = (link.collection(META), vec![doc! { "$set": set.clone() }]);
        let update = async move {
            let updated = meta
                .find_one_and_update(doc! { "_id": LEADER }, pipeline)
                .upsert(true)
                .return_document(ReturnDocument::After)
                .await;
            match updated {
                Ok(found) => Ok(found),
                Err(error) if is_duplicate_key(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        match link.certain(deadline, what, update).await? {
            Outcome::Known(Some(found)) => return Ok(row(&found)),
            Outcome::Known(None) => {}
            // A term that is mine is mine, whichever attempt won it: a later one is nobody else's.
            Outcome::Unknown(unknown) => {
                let mine = |found: LeaderRow| (found.holder.as_ref() == Some(me)).then_some(found);
                return unknown
                    .look(deadline, || async { look(link, deadline).await.map(mine) })
                    .await;
            }
        }
    }
}

fn next() -> Document {
    doc! { "$add": [{ "$ifNull": ["$term", 0_i64] }, 1_i64] }
}

pub(super) async fn new_term(link: &Link, me: &MemberId) -> Result<u64, StoreError> {
    let set = doc! { "term": next(), "holder": { "$literal": &me.0 }, "until": "$$NOW" };
    Ok(update(link, "beginning a term", me, &set).await?.term)
}

/// Keeps or takes it if it is mine, nobody's, run out, or held by `dead`; else leaves everything as it is.
async fn attempt(link: &Link, me: &MemberId, lease_ms: i64, dead: Option<&MemberId>) -> Result<LeaderRow, StoreError> {
    let mine = doc! { "$eq": ["$holder", { "$literal": &me.0 }] };
    let mut free = vec![
        doc! { "$lte": [{ "$ifNull": ["$holder", Bson::Null] }, Bson::Null] },
        doc! { "$lte": [{ "$ifNull": ["$until", Bson::Null] }, "$$NOW"] },
    ];
    if let Some(dead) = dead {
        free.push(doc! { "$eq": ["$holder", { "$literal": &dead.0 }] });
    }
    let taken = doc! { "$or": [mine.clone(), { "$or": free.clone() }] };
    let set = doc! {
        "term": { "$cond": [{ "$and": [{ "$not": mine }, { "$or": free }] }, next(), "$term"] },
        "holder": { "$cond": [taken.clone(), { "$literal": &me.0 }, "$holder"] },
        "until": { "$cond": [taken, { "$add": ["$$NOW", lease_ms] }, "$until"] },
    };
    update(link, "electing a leader", me, &set).await
}

pub(super) async fn campaign(link: &Link, me: &MemberId, lease_ms: i64) -> Result<Campaign, StoreError> {
    let mut found = attempt(link, me, lease_ms, None).await?;
    if let Some(holder) = found.holder.clone()
        && holder != *me
        && is_final(link, &holder).await?
    {
        found = attempt(link, me, lease_ms, Some(&holder)).await?;
    }
    Ok(match found.holder {
        Some(holder) if holder != *me => Campaign::Follower {
            holder,
            term: found.term,
        },
        Some(_) | None => Campaign::Leader { term: found.term },
    })
}

pub(super) async fn resign(link: &Link, me: &MemberId, term: u64) -> Result<bool, StoreError> {
    let what = "resigning";
    let deadline = Instant::now() + OPERATION_DEADLINE;
    let meta = link.collection(META);
    let filter = doc! { "_id": LEADER, "holder": &me.0, "term": term.cast_signed() };
    let leave = doc! { "$set": { "holder": Bson::Null, "until": Bson::Null } };
    let resign = async move { meta.update_one(filter, leave).await };
    match link.certain(deadline, what, resign).await? {
        Outcome::Known(result) => Ok(result.matched_count == 1),
        Outcome::Unknown(unknown) => {
            let left = |found: LeaderRow| (found.holder.as_ref() != Some(me)).then_some(true);
            unknown
                .look(deadline, || async { look(link, deadline).await.map(left) })
                .await
        }
    }
}
