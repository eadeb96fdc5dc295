//! The `guilds` collection: reading, taking and giving up.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use tokio::time::Instant;

use super::link::{Kind, Link, is_duplicate, meaning};
use super::members::finals;
use super::value::{count, from_bson, int, to_bson};
use crate::model::ids::{Epoch, GuildId, MemberId};
use crate::model::position::Anchor;
use crate::model::record::{Head, Lists, SCHEMA};
use crate::store::row::{StoredGuild, sort_by_end, unreadable, unwritable};
use crate::store::{GuildRow, OPERATION_DEADLINE, Sealed, StoreError, schema};

pub(super) const GUILDS: &str = "guilds";
/// Guilds that change hands in one operation: far below the deadline at 3,000 documents a second.
const TAKE: i64 = 500;
/// Guilds that are read in one operation; a full queue may be half a megabyte.
const PAGE: i64 = 100;

/// BSON's integers have a sign, snowflakes do not.
pub(super) const fn key(id: GuildId) -> i64 {
    id.get().cast_signed()
}

fn stored(mut document: Document) -> Option<Result<StoredGuild, (GuildId, String)>> {
    let id = GuildId::new_checked(int(&document, "_id")?.cast_unsigned())?;
    let anchor = document.get_document("anchor").ok().and_then(|anchor| {
        Some(Anchor {
            position_ms: count(anchor, "position_ms")?,
            at_ms: int(anchor, "at_ms")?,
            speed: anchor.get_f64("speed").ok()?,
        })
    });
    let number = |key: &str| count(&document, key);
    let (Some(shard), Some(epoch), Some(rev)) = (number("shard"), number("epoch"), number("rev")) else {
        return Some(Err((id, "shard, epoch or rev is missing".to_owned())));
    };
    Some(Ok(StoredGuild {
        id,
        shard: shard.try_into().unwrap_or(u32::MAX),
        owner: document.get_str("owner").ok().map(str::to_owned),
        epoch,
        rev,
        active: document.get_bool("active").unwrap_or(false),
        ends_at_ms: int(&document, "ends_at_ms"),
        anchor,
        head: document.remove("head").map_or(serde_json::Value::Null, from_bson),
        lists: document.remove("lists").map(from_bson),
    }))
}

fn row(document: Document) -> Result<Option<GuildRow>, StoreError> {
    stored(document)
        .transpose()
        .map_err(|(id, why)| unreadable(id, why))?
        .map(|stored| {
            let id = stored.id;
            stored.into_row().map_err(|why| unreadable(id, why))
        })
        .transpose()
}

pub(super) async fn one(link: &Link, id: GuildId) -> Result<Option<GuildRow>, StoreError> {
    let (guilds, filter) = (link.collection(GUILDS), doc! { "_id": key(id) });
    let read = async move { guilds.find_one(filter).await };
    match link.run("reading a guild", Kind::Read, read).await? {
        Some(document) => row(document),
        None => Ok(None),
    }
}

/// Who may be taken from: `previous`, nobody, and whoever is fenced or gone; never oneself.
async fn takeable(link: &Link, previous: Option<&MemberId>, me: &MemberId) -> Result<Vec<Bson>, StoreError> {
    let finals = finals(link).await?;
    let previous = previous.map(|member| member.0.clone());
    let members = finals.into_iter().chain(previous).filter(|id| *id != me.0);
    Ok(members.map(Bson::String).chain([Bson::Null]).collect())
}

pub(super) async fn seal(
    link: &Link,
    shard: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
) -> Result<Sealed, StoreError> {
    let from = takeable(link, previous, me).await?;
    let from = doc! { "shard": i64::from(shard), "owner": { "$in": from } };
    let take = doc! { "$set": { "owner": &me.0 }, "$inc": { "epoch": 1_i64 } };
    in_batches(link, "sealing the guilds of a shard", &from, &take).await?;
    let mut sealed = Sealed::default();
    let mut after = Bson::MinKey;
    loop {
        let (guilds, filter) = (link.collection(GUILDS), sealed_page(shard, me, &after));
        let read = async move {
            let rows = guilds.find(filter).sort(doc! { "_id": 1 }).limit(PAGE).await?;
            rows.try_collect::<Vec<_>>().await
        };
        let page = link.run("reading the guilds of a shard", Kind::Read, read).await?;
        let full = i64::try_from(page.len()) == Ok(PAGE);
        if let Some(last) = page.last().and_then(|document| document.get("_id")) {
            after = last.clone();
        }
        for found in page.into_iter().filter_map(stored) {
            let id = found.as_ref().map_or_else(|(id, _)| *id, |stored| stored.id);
            match found.map_err(|(_, why)| why).and_then(StoredGuild::into_row) {
                Ok(row) => sealed.active.push(row),
                Err(why) => sealed.unreadable.push((id, why)),
            }
        }
        if !full {
            break;
        }
    }
    sort_by_end(&mut sealed.active);
    Ok(sealed)
}

fn sealed_page(shard: u32, me: &MemberId, after: &Bson) -> Document {
    let newer = doc! { "schema": { "$gt": i64::from(SCHEMA) } };
    let mut filter = doc! {
        "shard": i64::from(shard), "owner": &me.0, "$or": [{ "active": true }, newer],
    };
    if *after != Bson::MinKey {
        filter.insert("_id", doc! { "$gt": after });
    }
    filter
}

/// Changes all that match, some hundred at a time; what changes must not match any more.
async fn in_batches(link: &Link, what: &'static str, filter: &Document, update: &Document) -> Result<(), StoreError> {
    loop {
        let (guilds, wanted) = (link.collection(GUILDS), filter.clone());
        let read = async move {
            let rows = guilds.find(wanted).projection(doc! { "_id": 1 }).limit(TAKE).await?;
            rows.try_collect::<Vec<_>>().await
        };
        let page = link.run(what, Kind::Read, read).await?;
        if page.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = page.iter().filter_map(|row| row.get("_id").cloned()).collect();
        let mut these = filter.clone();
        these.insert("_id", doc! { "$in": ids });
        let (guilds, update) = (link.collection(GUILDS), update.clone());
        let write = async move { guilds.update_many(these, update).await };
        link.run(what, Kind::Write, write).await?;
    }
}

pub(super) async fn release(link: &Link, shard: u32, me: &MemberId) -> Result<(), StoreError> {
    let filter = doc! { "shard": i64::from(shard), "owner": &me.0 };
    let update = doc! { "$set": { "owner": Bson::Null } };
    in_batches(link, "releasing the guilds of a shard", &filter, &update).await
}

pub(super) async fn claim(
    link: &Link,
    id: GuildId,
    shard: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
    write_schema: u32,
) -> Result<Option<GuildRow>, StoreError> {
    let what = "claiming a guild";
    let mut from = vec![Bson::Null, Bson::String(me.0.clone())];
    from.extend(previous.map(|member| Bson::String(member.0.clone())));
    if let Some(taken) = take(link, what, id, shard, from, me, write_schema).await? {
        return row(taken);
    }
    // Somebody else owns it: perhaps one that is dead already.
    let from = takeable(link, previous, me).await?;
    match take(link, what, id, shard, from, me, write_schema).await? {
        Some(taken) => row(taken),
        None => Ok(None),
    }
}

async fn take(
    link: &Link,
    what: &'static str,
    id: GuildId,
    shard: u32,
    from: Vec<Bson>,
    me: &MemberId,
    write_schema: u32,
) -> Result<Option<Document>, StoreError> {
    let empty = schema::write(&Head::default(), Some(&Lists::default()), write_schema).map_err(unwritable)?;
    let or = |field: &str, value: Bson| doc! { "$ifNull": [field, { "$literal": value }] };
    let next = doc! { "$add": [or("$epoch", 0_i64.into()), 1_i64] };
    let mut set = doc! {
        "epoch": { "$cond": [{ "$eq": ["$owner", &me.0] }, "$epoch", next] },
        "owner": { "$literal": &me.0 },
        "shard": { "$cond": [{ "$eq": ["$owner", &me.0] }, "$shard", i64::from(shard)] },
        "rev": or("$rev", 0_i64.into()),
        "active": or("$active", false.into()),
        "schema": or("$schema", i64::from(empty.schema).into()),
        "head": { "$cond": [{ "$eq": [{ "$type": "$head" }, "missing"] }, { "$literal": to_bson(&empty.head) }, "$head"] },
    };
    if let Some(lists) = &empty.lists {
        let fresh = doc! { "$eq": [{ "$type": "$head" }, "missing"] };
        set.insert(
            "lists",
            doc! { "$cond": [fresh, { "$literal": to_bson(lists) }, "$lists"] },
        );
    }
    let (guilds, filter) = (
        link.collection(GUILDS),
        doc! { "_id": key(id), "owner": { "$in": from } },
    );
    let claim = async move {
        guilds
            .find_one_and_update(filter, vec![doc! { "$set": set }])
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await
    };
    let deadline = Instant::now() + OPERATION_DEADLINE;
    match link.run_until(deadline, what, Kind::Write, claim).await {
        Ok(taken) => Ok(taken),
        Err(failure) if is_duplicate(&failure) => Ok(None),
        Err(failure) => Err(meaning(what, Kind::Write, failure)),
    }
}

pub(super) async fn delete(link: &Link, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
    let guilds = link.collection(GUILDS);
    let filter = doc! { "_id": key(id), "owner": &me.0, "epoch": epoch.0.cast_signed() };
    let delete = async move { guilds.delete_one(filter).await };
    let result = link.run("deleting a guild", Kind::Write, delete).await?;
    Ok(result.deleted_count == 1)
}
