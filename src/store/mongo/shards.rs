//! The `shards` collection.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::guilds;
use super::link::{DUPLICATE, Kind, Link, Outcome, durable};
use super::value::{escaped, from_document, to_bson};
use crate::model::ids::{Epoch, MemberId, NodeName};
use crate::store::{Assignment, GatewaySession, OPERATION_DEADLINE, ShardRow, StoreError};

const SHARDS: &str = "shards";

fn shard(document: Document) -> Result<ShardRow, StoreError> {
    let mut map = from_document(document);
    if let Some(id) = map.remove("_id") {
        map.insert("id".to_owned(), id);
    }
    for (key, empty) in [
        ("lavalink", json!({})),
        ("epoch", json!(0)),
        ("owner", Value::Null),
        ("session", Value::Null),
    ] {
        map.entry(key).or_insert(empty);
    }
    serde_json::from_value(Value::Object(map)).map_err(|error| StoreError::Unreadable {
        what: "a shard".to_owned(),
        detail: error.to_string(),
    })
}

async fn one(link: &Link, deadline: Instant, id: u32) -> Result<Option<ShardRow>, StoreError> {
    let (shards, filter) = (link.collection(SHARDS), doc! { "_id": i64::from(id) });
    let read = async move { shards.find_one(filter).await };
    link.look(deadline, "reading a shard", read)
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

/// One command for all. Where a higher term was in the way, or nobody knows whether the command arrived, what became of
/// each statement is read off the shards themselves.
pub(super) async fn assign(link: &Link, term: u64, assignments: &[Assignment]) -> Result<Vec<u32>, StoreError> {
    if assignments.is_empty() {
        return Ok(Vec::new());
    }
    let what = "assigning shards";
    let deadline = Instant::now() + OPERATION_DEADLINE;
    let look = || async {
        let rows = these(link, deadline, assignments).await?;
        Ok::<_, StoreError>(Verdict::of(&rows, term, assignments))
    };
    let verdict = match link.certain(deadline, what, upsert(link, term, assignments)?).await? {
        Outcome::Known(written) if written == assignments.len() => {
            return Ok(assignments.iter().map(|one| one.shard).collect());
        }
        Outcome::Known(_) => look().await?,
        Outcome::Unknown(unknown) => {
            let settled = || async { look().await.map(|verdict| verdict.settled().then_some(verdict)) };
            unknown.look(deadline, settled).await?
        }
    };
    Ok(verdict.applied)
}

/// What became of assignments, as the shards show it.
#[derive(Debug, Default)]
struct Verdict {
    applied: Vec<u32>,
    /// A higher term said otherwise.
    refused: usize,
    asked: usize,
}

impl Verdict {
    fn of(rows: &[ShardRow], term: u64, assignments: &[Assignment]) -> Self {
        let mut verdict = Self {
            asked: assignments.len(),
            ..Self::default()
        };
        for one in assignments {
            match rows.iter().find(|row| row.id == one.shard) {
                Some(row) if row.want_term == term && row.want.as_ref() == Some(&one.want) => {
                    verdict.applied.push(one.shard);
                }
                Some(row) if row.want_term > term => verdict.refused += 1,
                Some(_) | None => {}
            }
        }
        verdict
    }

    /// Whether nothing can change it any more, also if nobody knows whether the command arrived.
    const fn settled(&self) -> bool {
        self.applied.len() + self.refused == self.asked
    }
}

async fn these(link: &Link, deadline: Instant, assignments: &[Assignment]) -> Result<Vec<ShardRow>, StoreError> {
    let ids: Vec<Bson> = assignments.iter().map(|one| i64::from(one.shard).into()).collect();
    let shards = link.collection(SHARDS);
    let read = async move {
        let rows = shards.find(doc! { "_id": { "$in": ids } }).await?;
        rows.try_collect::<Vec<_>>().await
    };
    let rows = link.look(deadline, "reading shards", read).await?;
    rows.into_iter().map(shard).collect()
}

/// Answers how many statements found their shard or made it. One that a higher term forbids finds nothing, tries to insert,
/// and fails with a duplicate key: that is no error.
fn upsert(
    link: &Link,
    term: u64,
    assignments: &[Assignment],
) -> Result<impl Future<Output = mongodb::error::Result<usize>> + Send + 'static + use<>, StoreError> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Refused {
        what: "assigning shards",
        source: error,
    };
    let term = i64::try_from(term).map_err(|error| refused(error.into()))?;
    let concern = mongodb::bson::serialize_to_bson(&durable()).map_err(|error| refused(error.into()))?;
    let statement = |one: &Assignment| {
        let older = [
            doc! { "want_term": { "$lte": term } },
            doc! { "want_term": { "$exists": false } },
        ];
        let set = doc! { "want": &one.want.0, "want_term": term, "trace": &one.trace };
        let fresh = doc! { "owner": Bson::Null, "epoch": 0_i64 };
        doc! {
            "q": { "_id": i64::from(one.shard), "$or": older.to_vec() },
            "u": { "$set": set, "$setOnInsert": fresh },
            "upsert": true,
        }
    };
    let updates: Vec<Document> = assignments.iter().map(statement).collect();
    let command = doc! { "update": SHARDS, "updates": updates, "ordered": false, "writeConcern": concern };
    let database = link.database();
    Ok(async move {
        let answer = database.run_command(command).await?;
        let errors = answer.get_array("writeErrors").map_or(&[][..], Vec::as_slice);
        let other = errors.iter().find_map(|error| {
            let error = error.as_document()?;
            let known = error.get_i32("code").ok() == Some(DUPLICATE);
            (!known).then(|| error.get_str("errmsg").unwrap_or("a write error").to_owned())
        });
        let unsure = answer.get_document("writeConcernError").ok();
        let unsure = unsure.map(|error| error.get_str("errmsg").unwrap_or("no majority").to_owned());
        match (other, unsure) {
            (Some(text), _) => Err(mongodb::error::Error::custom(text)),
            // As the driver tells the loss of a connection: nobody knows.
            (None, Some(text)) => Err(std::io::Error::other(text).into()),
            (None, None) => Ok(answer.get_i32("n").map_or(0, |written| written.unsigned_abs() as usize)),
        }
    })
}

pub(super) async fn claim(
    link: &Link,
    id: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
) -> Result<Option<ShardRow>, StoreError> {
    let what = "claiming a shard";
    let deadline = Instant::now() + OPERATION_DEADLINE;
    let owner = previous.map_or(Bson::Null, |member| Bson::String(member.0.clone()));
    let filter = doc! { "_id": i64::from(id), "want": &me.0, "owner": owner };
    let mut set = doc! { "owner": &me.0 };
    if previous.is_some() {
        set.insert("released", Bson::Null);
    }
    let update = doc! { "$set": set, "$inc": { "epoch": 1_i64 } };
    let shards = link.collection(SHARDS);
    let claim = async move {
        shards
            .find_one_and_update(filter, update)
            .return_document(ReturnDocument::After)
            .await
    };
    let mine = |row: &ShardRow| row.owner.as_ref() == Some(me);
    match link.certain(deadline, what, claim).await? {
        Outcome::Known(Some(row)) => shard(row).map(Some),
        Outcome::Known(None) => Ok(one(link, deadline, id).await?.filter(mine)),
        Outcome::Unknown(unknown) => {
            let look = || async { Ok(one(link, deadline, id).await?.filter(mine)) };
            unknown.look(deadline, look).await.map(Some)
        }
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
    trace: Option<&str>,
) -> Result<bool, StoreError> {
    let what = "saving a gateway session";
    let session = serde_json::to_value(session).map_err(|error| StoreError::Refused {
        what,
        source: Box::new(error),
    })?;
    let mut set = doc! { "session": to_bson(session) };
    if let Some(trace) = trace {
        set.insert("owner_trace", trace);
    }
    change(link, what, owned, doc! { "$set": set }).await
}

pub(super) async fn save_trace(link: &Link, owned: (u32, &MemberId, Epoch), trace: &str) -> Result<bool, StoreError> {
    change(link, "saving a trace", owned, doc! { "$set": { "owner_trace": trace } }).await
}

pub(super) async fn save_node_session(
    link: &Link,
    owned: (u32, &MemberId, Epoch),
    node: &NodeName,
    session: Option<&str>,
) -> Result<bool, StoreError> {
    let path = format!("lavalink.{}", escaped(node.0.clone()));
    let update = session.map_or_else(
        || doc! { "$unset": { &path: "" } },
        |session| doc! { "$set": { &path: session } },
    );
    change(link, "saving a Lavalink session", owned, update).await
}

/// Guilds first: who claims the shard afterwards finds none of them owned.
pub(super) async fn release(
    link: &Link,
    id: u32,
    me: &MemberId,
    epoch: Epoch,
    trace: Option<&str>,
) -> Result<bool, StoreError> {
    let what = "releasing a shard";
    let at_once = Instant::now() + OPERATION_DEADLINE;
    let Some(row) = one(link, at_once, id).await?.filter(|row| row.epoch == epoch) else {
        return Ok(false);
    };
    if row.owner.as_ref() != Some(me) {
        return Ok(row.owner.is_none());
    }
    guilds::release(link, id, me).await?;
    let deadline = Instant::now() + OPERATION_DEADLINE;
    let mut set = doc! {
        "owner": Bson::Null, "released": { "by": { "$literal": &me.0 }, "at_ms": { "$toLong": "$$NOW" } },
    };
    if let Some(trace) = trace {
        set.insert("trace", doc! { "$literal": trace });
    }
    let filter = doc! { "_id": i64::from(id), "owner": &me.0, "epoch": epoch.0.cast_signed() };
    let shards = link.collection(SHARDS);
    let give = async move { shards.update_one(filter, vec![doc! { "$set": set }]).await };
    match link.certain(deadline, what, give).await? {
        Outcome::Known(result) => Ok(result.matched_count == 1),
        Outcome::Unknown(unknown) => {
            let given = |row: &ShardRow| row.epoch == epoch && row.owner.is_none();
            let look = || async { Ok(one(link, deadline, id).await?.filter(given).map(|_| true)) };
            unknown.look(deadline, look).await
        }
    }
}
