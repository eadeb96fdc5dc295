//! The `guilds` collection: writes and checkpoints, conditional on owner, epoch and rev.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use tokio::time::{Instant, sleep_until};

use super::guilds::{GUILDS, key, one};
use super::link::{Kind, LOOK_AGAIN, Link, durable, meaning};
use super::value::{count, int, to_bson};
use crate::model::ids::GuildId;
use crate::model::position::Anchor;
use crate::model::record::{Lists, SCHEMA};
use crate::store::row::{Claim, Judged, judge, unreadable, unwritable};
use crate::store::schema::{self, head_contains_lists};
use crate::store::{CHECKPOINT_BATCH, Checkpoint, GuildWrite, OPERATION_DEADLINE, StoreError, Written};

/// Largest batch in bytes: the driver sends one document of at most 16 MB.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How often a write is tried again after looking what became of it.
const ATTEMPTS: usize = 8;

fn anchor(anchor: &Anchor) -> Result<Document, StoreError> {
    let position = i64::try_from(anchor.position_ms).map_err(|error| unwritable(error.to_string()))?;
    Ok(doc! { "position_ms": position, "at_ms": anchor.at_ms, "speed": anchor.speed })
}

/// Writes, and if the outcome is unknown or nothing matched, looks and decides. The whole ends at one deadline.
pub(super) async fn write(link: &Link, write: &GuildWrite, schema: u32) -> Result<Written, StoreError> {
    let deadline = Instant::now() + OPERATION_DEADLINE;
    let what = "writing a guild";
    let mut carried = None;
    if write.lists.is_none() && head_contains_lists(schema) {
        carried = lists_of(link, write.id).await?;
    }
    let mut last = StoreError::Unknown { what, source: None };
    for _ in 0..ATTEMPTS {
        let (filter, update) = statement(write, carried.as_ref().or(write.lists.as_ref()), schema)?;
        let guilds = link.collection(GUILDS);
        let send = async move { guilds.update_one(filter, update).await };
        match link.run_until(deadline, what, Kind::Write, send).await {
            Ok(result) if result.matched_count == 1 => return Ok(Written::Done),
            Ok(_) => {}
            Err(failure) => match meaning(what, Kind::Write, failure) {
                unknown @ StoreError::Unknown { .. } => {
                    last = unknown;
                    // What is late to reach the majority shows up late.
                    sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)).await;
                }
                certain @ (StoreError::Unavailable { .. }
                | StoreError::Full { .. }
                | StoreError::Unreadable { .. }
                | StoreError::Refused { .. }) => return Err(certain),
            },
        }
        let Ok(claim) = look(link, deadline, write.id).await else {
            return Err(last);
        };
        match judge(write, claim.as_ref()) {
            Judged::Settled(written) => return Ok(written),
            Judged::Newer => {
                return Err(unreadable(
                    write.id,
                    "a newer version of the program wrote it".to_owned(),
                ));
            }
            Judged::Apply if write.lists.is_none() && claim.is_some_and(|claim| claim.schema != schema) => {
                carried = lists_of(link, write.id).await?;
            }
            Judged::Apply => {}
        }
    }
    Err(last)
}

async fn lists_of(link: &Link, id: GuildId) -> Result<Option<Lists>, StoreError> {
    Ok(Some(
        one(link, id).await?.map(|row| row.snapshot.lists).unwrap_or_default(),
    ))
}

/// Without lists it matches only a record of the same schema, whose lists lie apart.
fn statement(write: &GuildWrite, lists: Option<&Lists>, schema: u32) -> Result<(Document, Document), StoreError> {
    let record = schema::write(&write.head, lists, schema).map_err(unwritable)?;
    let anchor = schema::anchor_of(&write.head).as_ref().map(anchor).transpose()?;
    let readable = if lists.is_some() {
        doc! { "$lte": i64::from(SCHEMA) }
    } else {
        doc! { "$eq": i64::from(record.schema) }
    };
    let rev = i64::try_from(write.rev.0).map_err(|error| unwritable(error.to_string()))?;
    let filter = doc! {
        "_id": key(write.id), "owner": &write.owner.0, "epoch": write.epoch.0.cast_signed(),
        "rev": { "$lt": rev }, "schema": readable,
    };
    let mut set = doc! {
        "rev": rev, "active": write.active, "ends_at_ms": write.ends_at_ms,
        "schema": i64::from(record.schema), "head": to_bson(record.head), "anchor": anchor,
    };
    let mut update = Document::new();
    if let Some(lists) = record.lists {
        set.insert("lists", to_bson(lists));
    } else if head_contains_lists(record.schema) {
        update.insert("$unset", doc! { "lists": "" });
    }
    update.insert("$set", set);
    Ok((filter, update))
}

async fn look(link: &Link, deadline: Instant, id: GuildId) -> Result<Option<Claim>, StoreError> {
    let what = "reading a guild";
    let (guilds, filter) = (link.collection(GUILDS), doc! { "_id": key(id) });
    let read = async move {
        guilds
            .find_one(filter)
            .projection(doc! { "owner": 1, "epoch": 1, "rev": 1, "schema": 1 })
            .await
    };
    let found = link
        .run_until(deadline, what, Kind::Read, read)
        .await
        .map_err(|failure| meaning(what, Kind::Read, failure))?;
    Ok(found.as_ref().map(claim))
}

/// A field that is missing makes the claim match nothing.
fn claim(document: &Document) -> Claim {
    Claim {
        owner: document.get_str("owner").ok().map(str::to_owned),
        epoch: count(document, "epoch").unwrap_or(u64::MAX),
        rev: count(document, "rev").unwrap_or(0),
        schema: count(document, "schema")
            .and_then(|schema| schema.try_into().ok())
            .unwrap_or(u32::MAX),
    }
}

pub(super) async fn checkpoint(link: &Link, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError> {
    let mut lost = Vec::new();
    let mut rest = batch;
    while !rest.is_empty() {
        let (updates, taken) = updates(rest)?;
        let (these, later) = rest.split_at(taken);
        rest = later;
        if send(link, updates).await? < taken {
            lost.extend(verdicts(link, these).await?);
        }
    }
    Ok(lost)
}

/// As many statements as fit into one command, and how many that are (at least one).
fn updates(batch: &[Checkpoint]) -> Result<(Vec<Document>, usize), StoreError> {
    let mut bytes = 0;
    let mut updates = Vec::with_capacity(batch.len().min(CHECKPOINT_BATCH));
    for one in batch.iter().take(CHECKPOINT_BATCH) {
        let filter = doc! {
            "_id": key(one.id), "owner": &one.owner.0, "epoch": one.epoch.0.cast_signed(),
            "rev": one.rev.0.cast_signed(), "anchor.at_ms": { "$lte": one.anchor.at_ms },
        };
        let set = doc! { "anchor": anchor(&one.anchor)?, "ends_at_ms": one.ends_at_ms };
        let update = doc! { "q": filter, "u": { "$set": set } };
        bytes += update.to_vec().map_or(0, |bytes| bytes.len());
        if bytes > BATCH_BYTES && !updates.is_empty() {
            break;
        }
        updates.push(update);
    }
    let taken = updates.len();
    Ok((updates, taken))
}

/// One command, whatever the batch holds. How many statements found their document.
async fn send(link: &Link, updates: Vec<Document>) -> Result<usize, StoreError> {
    let what = "auto-saving";
    let concern = mongodb::bson::serialize_to_bson(&durable()).map_err(|error| unwritable(error.to_string()))?;
    let command = doc! { "update": GUILDS, "updates": updates, "ordered": false, "writeConcern": concern };
    let database = link.database();
    let send = async move { database.run_command(command).await };
    let answer = link.run(what, Kind::Write, send).await?;
    if let Ok(concern) = answer.get_document("writeConcernError") {
        return Err(StoreError::Unknown {
            what,
            source: Some(concern.get_str("errmsg").unwrap_or("no majority").into()),
        });
    }
    if let Ok([first, ..]) = answer.get_array("writeErrors").map(Vec::as_slice) {
        let text = first.as_document().and_then(|error| error.get_str("errmsg").ok());
        return Err(StoreError::Refused {
            what,
            source: text.unwrap_or("a write error").into(),
        });
    }
    Ok(count(&answer, "n").and_then(|n| n.try_into().ok()).unwrap_or(0))
}

/// Which of a batch are owned by somebody else now; the others were only too late or too early.
async fn verdicts(link: &Link, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError> {
    let ids: Vec<Bson> = batch.iter().map(|one| key(one.id).into()).collect();
    let guilds = link.collection(GUILDS);
    let read = async move {
        let rows = guilds
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { "owner": 1, "epoch": 1 })
            .await?;
        rows.try_collect::<Vec<_>>().await
    };
    let rows = link.run("looking what an auto-save missed", Kind::Read, read).await?;
    let kept = |one: &Checkpoint| {
        rows.iter().any(|row| {
            int(row, "_id") == Some(key(one.id))
                && row.get_str("owner").ok() == Some(&one.owner.0)
                && count(row, "epoch") == Some(one.epoch.0)
        })
    };
    Ok(batch.iter().filter(|one| !kept(one)).map(|one| one.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Epoch, MemberId, Rev};

    fn checkpoints(count: u64, owner: &str) -> Vec<Checkpoint> {
        (1..=count)
            .map(|id| Checkpoint {
                id: GuildId::new(id),
                owner: MemberId(owner.to_owned()),
                epoch: Epoch(1),
                rev: Rev(1),
                anchor: Anchor::playing(1, 2),
                ends_at_ms: None,
            })
            .collect()
    }

    #[test]
    fn a_batch_ends_at_a_thousand_entries_or_eight_megabytes() {
        for (count, owner, expected) in [(999, 36, 999), (2_500, 36, CHECKPOINT_BATCH), (1, 9_000_000, 1)] {
            let (_, taken) = updates(&checkpoints(count, &"x".repeat(owner))).expect("statements");
            assert_eq!(taken, expected, "{count} with owners of {owner}");
        }
        let (statements, taken) = updates(&checkpoints(900, &"x".repeat(20_000))).expect("statements");
        let bytes: usize = statements.iter().map(|one| one.to_vec().expect("BSON").len()).sum();
        assert!(
            bytes <= BATCH_BYTES && bytes + bytes / taken > BATCH_BYTES,
            "{taken} are {bytes} bytes"
        );
    }
}
