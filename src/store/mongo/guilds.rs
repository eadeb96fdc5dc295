//! The `guilds` collection: reading, taking and giving up.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ReturnDocument, UpdateModifications};
use tokio::time::Instant;

use super::link::{Kind, Link, Outcome, is_duplicate, meaning};
use super::members::{finals, meta, put_meta};
use super::value::{count, from_bson, int, to_bson};
use crate::model::ids::{Epoch, GuildId, MemberId};
use crate::model::position::Anchor;
use crate::model::record::{Head, Lists, SCHEMA};
use crate::store::row::{StoredGuild, claimed, sort_by_end, sort_into, unreadable, unwritable};
use crate::store::{
    GuildClaim, GuildRow, OPERATION_DEADLINE, Quarantined, REGROUPED, SHARD_DEADLINE, Sealed, StoreError, Unread,
    schema,
};

pub(super) const GUILDS: &str = "guilds";
/// Guilds that the server sends at a time; a full queue may be half a megabyte, and 16 MB is the most it sends.
const PAGE: u32 = 1_000;
/// Records that are rewritten between two looks.
const LOWER_PAGE: i64 = 100;

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
        quarantined: document.get_str("quarantined").ok().map(str::to_owned),
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

/// Every guild stands under the shard that it has when there are `shards` in all.
pub(super) async fn regroup(link: &Link, shards: u32) -> Result<(), StoreError> {
    let stored = meta(link, REGROUPED).await?;
    if stored == Some(shards.into()) {
        return Ok(());
    }
    // The server cannot shift, but of what remains of 4,194,304 times the number, a double holds every bit. Of snowflakes
    // that a BSON integer cannot hold there will be none before 2084.
    let rest = doc! { "$mod": ["$_id", i64::from(shards.max(1)) << 22] };
    let shard = doc! { "$toLong": { "$floor": { "$divide": [rest, 1_i64 << 22] } } };
    let filter = doc! { "_id": { "$gte": 0_i64 }, "$expr": { "$ne": ["$shard", &shard] } };
    let update = vec![doc! { "$set": { "shard": shard } }];
    of_a_shard(link, "putting guilds under their shards", filter, update).await?;
    put_meta(link, REGROUPED, stored.as_ref(), &shards.into())
        .await
        .map(drop)
}

/// Every guild of the shard that may be taken is ours.
pub(super) async fn seal(
    link: &Link,
    shard: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
) -> Result<(), StoreError> {
    let from = takeable(link, previous, me).await?;
    let from = doc! { "shard": i64::from(shard), "owner": { "$in": from } };
    let take = doc! { "$set": { "owner": &me.0 }, "$inc": { "epoch": 1_i64 } };
    of_a_shard(link, "sealing the guilds of a shard", from, take).await
}

pub(super) async fn sealed(link: &Link, shard: u32, me: &MemberId) -> Result<Sealed, StoreError> {
    let newer = doc! { "schema": { "$gt": i64::from(SCHEMA) } };
    let filter = doc! {
        "shard": i64::from(shard), "owner": &me.0, "$or": [{ "active": true }, newer],
    };
    let guilds = link.collection(GUILDS);
    let read = async move {
        guilds
            .find(filter)
            .batch_size(PAGE)
            .await?
            .try_collect::<Vec<_>>()
            .await
    };
    let deadline = Instant::now() + SHARD_DEADLINE;
    let rows = link.look(deadline, "reading the guilds of a shard", read).await?;
    let mut sealed = Sealed::default();
    for found in rows.into_iter().filter_map(stored) {
        match found {
            Ok(stored) => sort_into(&mut sealed, stored),
            Err(unreadable) => sealed.unreadable.push(unreadable),
        }
    }
    sort_by_end(&mut sealed.active);
    Ok(sealed)
}

pub(super) async fn sealed_unread(link: &Link, shard: u32, me: &MemberId) -> Result<Unread, StoreError> {
    let filter = doc! { "shard": i64::from(shard), "owner": &me.0, "active": true };
    let guilds = link.collection(GUILDS);
    let read = async move {
        guilds
            .find(filter)
            .projection(doc! { "epoch": 1, "ends_at_ms": 1, "quarantined": 1 })
            .await?
            .try_collect::<Vec<_>>()
            .await
    };
    let deadline = Instant::now() + SHARD_DEADLINE;
    let mut rows = link.look(deadline, "listing the guilds of a shard", read).await?;
    rows.sort_by_key(|row| {
        let ends_at_ms = int(row, "ends_at_ms");
        (ends_at_ms.is_none(), ends_at_ms, int(row, "_id"))
    });
    let mut unread = Unread::default();
    for row in rows {
        let guild = int(&row, "_id").and_then(|id| GuildId::new_checked(id.cast_unsigned()));
        let (Some(guild), Some(epoch)) = (guild, count(&row, "epoch")) else {
            continue;
        };
        match row.get_str("quarantined") {
            Ok(why) => unread.quarantined.push(Quarantined {
                guild,
                why: why.to_owned(),
            }),
            Err(_) => unread.active.push((guild, Epoch(epoch))),
        }
    }
    Ok(unread)
}

/// Changes all that match in one operation. What changes must not match any more: so it may be tried again, and when
/// nobody knows whether it happened, it did if nothing matches.
async fn of_a_shard(
    link: &Link,
    what: &'static str,
    filter: Document,
    update: impl Into<UpdateModifications>,
) -> Result<(), StoreError> {
    let (guilds, wanted, update) = (link.collection(GUILDS), filter.clone(), update.into());
    let write = async move { guilds.update_many(wanted, update).await };
    let deadline = Instant::now() + SHARD_DEADLINE;
    match link.certain(deadline, what, write).await? {
        Outcome::Known(_) => Ok(()),
        Outcome::Unknown(unknown) => {
            let look = || {
                let (guilds, left) = (link.collection(GUILDS), filter.clone());
                let read = async move {
                    let left = guilds.find_one(left).projection(doc! { "_id": 1 }).await?;
                    Ok(left.is_none().then_some(()))
                };
                link.look(deadline, what, read)
            };
            unknown.look(deadline, look).await
        }
    }
}

pub(super) async fn release(link: &Link, shard: u32, me: &MemberId) -> Result<(), StoreError> {
    let filter = doc! { "shard": i64::from(shard), "owner": &me.0 };
    let update = doc! { "$set": { "owner": Bson::Null } };
    of_a_shard(link, "releasing the guilds of a shard", filter, update).await
}

pub(super) async fn claim(
    link: &Link,
    id: GuildId,
    shard: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
    write_schema: u32,
) -> Result<GuildClaim, StoreError> {
    let what = "claiming a guild";
    let mut from = vec![Bson::Null, Bson::String(me.0.clone())];
    from.extend(previous.map(|member| Bson::String(member.0.clone())));
    let mut taken = take(link, what, id, shard, from, me, write_schema).await?;
    if taken.is_none() {
        // Somebody else owns it: perhaps one that is dead already.
        let from = takeable(link, previous, me).await?;
        taken = take(link, what, id, shard, from, me, write_schema).await?;
    }
    match taken.and_then(stored) {
        None => Ok(GuildClaim::Theirs),
        Some(stored) => claimed(stored.map_err(|(id, why)| unreadable(id, why))?),
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
    let mine = doc! { "$and": [{ "$eq": ["$owner", &me.0] }, { "$eq": ["$shard", i64::from(shard)] }] };
    let mut set = doc! {
        "epoch": { "$cond": [mine, "$epoch", next] },
        "owner": { "$literal": &me.0 },
        "shard": i64::from(shard),
        "rev": or("$rev", 0_i64.into()),
        "active": or("$active", false.into()),
        "schema": or("$schema", i64::from(empty.schema).into()),
        "head": { "$cond": [{ "$eq": [{ "$type": "$head" }, "missing"] }, { "$literal": to_bson(empty.head) }, "$head"] },
    };
    if let Some(lists) = empty.lists {
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

/// Rewrites the shard's records that are newer than `schema` and readable, each only while nobody wrote it meanwhile.
pub(super) async fn lower(link: &Link, shard: u32, me: &MemberId, schema: u32) -> Result<u64, StoreError> {
    let what = "rewriting records for an older version";
    let (mut after, mut rewritten) = (Bson::MinKey, 0);
    loop {
        let newer = doc! { "$gt": i64::from(schema), "$lte": i64::from(SCHEMA) };
        let mut filter = doc! { "shard": i64::from(shard), "owner": &me.0, "schema": newer };
        if after != Bson::MinKey {
            filter.insert("_id", doc! { "$gt": after.clone() });
        }
        let guilds = link.collection(GUILDS);
        let read = async move {
            let rows = guilds.find(filter).sort(doc! { "_id": 1 }).limit(LOWER_PAGE).await?;
            rows.try_collect::<Vec<_>>().await
        };
        let page = link.run(what, Kind::Read, read).await?;
        match page.last().and_then(|document| document.get("_id")) {
            Some(last) => after = last.clone(),
            None => return Ok(rewritten),
        }
        for document in page {
            rewritten += u64::from(lower_one(link, what, document, schema).await?);
        }
    }
}

/// What cannot be read stays as it is.
async fn lower_one(link: &Link, what: &'static str, document: Document, schema: u32) -> Result<bool, StoreError> {
    let readable = stored(document).and_then(Result::ok);
    let Some(row) = readable.and_then(|stored| stored.into_row().ok()) else {
        return Ok(false);
    };
    let record = schema::write(&row.snapshot.head, Some(&row.snapshot.lists), schema).map_err(unwritable)?;
    let filter = doc! {
        "_id": key(row.id), "owner": row.owner.map(|owner| owner.0), "epoch": row.epoch.0.cast_signed(),
        "rev": row.rev.0.cast_signed(),
    };
    let mut set = doc! { "schema": i64::from(record.schema), "head": to_bson(record.head) };
    let mut update = Document::new();
    match record.lists {
        Some(lists) => drop(set.insert("lists", to_bson(lists))),
        None => drop(update.insert("$unset", doc! { "lists": "" })),
    }
    update.insert("$set", set);
    let guilds = link.collection(GUILDS);
    let write = async move { guilds.update_one(filter, update).await };
    Ok(link.run(what, Kind::Write, write).await?.matched_count == 1)
}

pub(super) async fn active(link: &Link) -> Result<u64, StoreError> {
    let guilds = link.collection(GUILDS);
    let count = async move { guilds.count_documents(doc! { "active": true }).await };
    link.run("counting guilds", Kind::Read, count).await
}

pub(super) async fn delete(link: &Link, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
    let guilds = link.collection(GUILDS);
    let filter = doc! { "_id": key(id), "owner": &me.0, "epoch": epoch.0.cast_signed() };
    let delete = async move { guilds.delete_one(filter).await };
    let result = link.run("deleting a guild", Kind::Write, delete).await?;
    Ok(result.deleted_count == 1)
}
