//! The guilds' three tables.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use super::fault::OrFailed as _;
use super::tables::{meta, put_meta, text};
use crate::model::ids::{Epoch, GuildId, MemberId};
use crate::model::position::Anchor;
use crate::model::record::{Head, Lists};
use crate::store::row::{Claim, Judged, StoredGuild, claimed, judge, sort_by_end, sort_into, unreadable, unwritable};
use crate::store::schema::{self, Record, head_contains_lists};
use crate::store::{
    Checkpoint, GuildClaim, GuildRow, GuildWrite, Quarantined, REGROUPED, Sealed, StoreError, Unread, Written,
};

const SELECT: &str = "SELECT g.id, g.shard, g.owner, g.epoch, g.rev, g.active, g.ends_at_ms,
    g.anchor_position_ms, g.anchor_at_ms, g.anchor_speed, h.head, l.lists, g.quarantined
    FROM guilds g LEFT JOIN guild_heads h ON h.id = g.id LEFT JOIN guild_lists l ON l.id = g.id";
/// Owners from whom a guild may be taken: `?2` and whoever is final. Nobody is asked for apart (NULL).
const TAKEABLE: &str = "(owner IS NULL OR owner = ?2
    OR owner IN (SELECT id FROM members WHERE state IN ('fenced', 'gone')))";

/// Records that are rewritten in one transaction.
const LOWER_PAGE: usize = 200;

/// SQLite's integers have a sign, snowflakes do not.
pub(super) fn key(id: GuildId) -> i64 {
    id.get().cast_signed()
}

/// A row, or which guild cannot be read and why.
type Found = Result<StoredGuild, (GuildId, String)>;

fn found(row: &Row<'_>) -> rusqlite::Result<Option<Found>> {
    let Some(id) = GuildId::new_checked(row.get::<_, i64>(0)?.cast_unsigned()) else {
        return Ok(None);
    };
    let anchor = match (row.get(7)?, row.get(8)?, row.get(9)?) {
        (Some(position_ms), Some(at_ms), Some(speed)) => Some(Anchor {
            position_ms,
            at_ms,
            speed,
        }),
        _ => None,
    };
    let head: Option<String> = row.get(10)?;
    let lists: Option<String> = row.get(11)?;
    let stored = StoredGuild {
        id,
        shard: row.get(1)?,
        owner: row.get(2)?,
        epoch: row.get(3)?,
        rev: row.get(4)?,
        active: row.get(5)?,
        ends_at_ms: row.get(6)?,
        head: Value::Null,
        lists: None,
        anchor,
        quarantined: row.get(12)?,
    };
    Ok(Some(parsed(stored, head.as_deref().unwrap_or(""), lists.as_deref())))
}

fn parsed(stored: StoredGuild, head: &str, lists: Option<&str>) -> Found {
    let id = stored.id;
    let damaged = |part: &str, error: serde_json::Error| (id, format!("{part}: {error}"));
    Ok(StoredGuild {
        head: serde_json::from_str(head).map_err(|error| damaged("head", error))?,
        lists: lists
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| damaged("lists", error))?,
        ..stored
    })
}

fn stored(db: &Connection, id: GuildId) -> Result<Option<StoredGuild>, StoreError> {
    db.prepare_cached(&format!("{SELECT} WHERE g.id = ?1"))
        .and_then(|mut select| select.query_row([key(id)], found).optional())
        .or_failed("reading a guild")?
        .flatten()
        .transpose()
        .map_err(|(id, why)| unreadable(id, why))
}

pub(super) fn one(db: &Connection, id: GuildId) -> Result<Option<GuildRow>, StoreError> {
    stored(db, id)?
        .map(|stored| stored.into_row().map_err(|why| unreadable(id, why)))
        .transpose()
}

/// Every guild stands under the shard that it has when there are `shards` in all.
pub(super) fn regroup(db: &Connection, shards: u32) -> Result<(), StoreError> {
    // SQLite shifts signs along, snowflakes have none.
    let shard = "((id >> 22) & 0x3FFFFFFFFFF) % ?1";
    db.execute(
        &format!("UPDATE guilds SET shard = {shard} WHERE shard <> {shard}"),
        [shards.max(1)],
    )
    .or_failed("putting guilds under their shards")?;
    let stored = meta(db, REGROUPED)?;
    put_meta(db, REGROUPED, stored.as_ref(), &shards.into()).map(drop)
}

/// Every guild of the shard that may be taken is ours.
pub(super) fn seal(db: &Connection, shard: u32, previous: Option<&MemberId>, me: &MemberId) -> Result<(), StoreError> {
    db.execute(
        &format!("UPDATE guilds SET owner = ?3, epoch = epoch + 1 WHERE shard = ?1 AND {TAKEABLE} AND owner IS NOT ?3"),
        params![shard, previous.map(|member| &member.0), me.0],
    )
    .map(drop)
    .or_failed("sealing the guilds of a shard")
}

pub(super) fn sealed(db: &Connection, shard: u32, me: &MemberId) -> Result<Sealed, StoreError> {
    let what = "reading the guilds of a shard";
    let rows: Vec<Option<Found>> = db
        .prepare_cached(&format!(
            "{SELECT} WHERE g.shard = ?1 AND g.owner = ?2 AND (g.active OR g.schema > ?3)"
        ))
        .and_then(|mut select| {
            select
                .query_map(params![shard, me.0, crate::model::record::SCHEMA], found)?
                .collect()
        })
        .or_failed(what)?;
    let mut sealed = Sealed::default();
    for row in rows.into_iter().flatten() {
        match row {
            Ok(stored) => sort_into(&mut sealed, stored),
            Err(unreadable) => sealed.unreadable.push(unreadable),
        }
    }
    sort_by_end(&mut sealed.active);
    Ok(sealed)
}

pub(super) fn sealed_unread(db: &Connection, shard: u32, me: &MemberId) -> Result<Unread, StoreError> {
    let rows: Vec<(i64, u64, Option<String>)> = db
        .prepare_cached(
            "SELECT id, epoch, quarantined FROM guilds WHERE shard = ?1 AND owner = ?2 AND active
             ORDER BY ends_at_ms IS NULL, ends_at_ms, id",
        )
        .and_then(|mut select| {
            select
                .query_map(params![shard, me.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
        .or_failed("listing the guilds of a shard")?;
    let mut unread = Unread::default();
    for (id, epoch, quarantined) in rows {
        let Some(guild) = GuildId::new_checked(id.cast_unsigned()) else {
            continue;
        };
        match quarantined {
            Some(why) => unread.quarantined.push(Quarantined { guild, why }),
            None => unread.active.push((guild, Epoch(epoch))),
        }
    }
    Ok(unread)
}

pub(super) fn claim(
    db: &Connection,
    id: GuildId,
    shard: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
    write_schema: u32,
) -> Result<GuildClaim, StoreError> {
    let what = "claiming a guild";
    let there = look(db, id)?;
    let mine = there.as_ref().is_some_and(|claim| claim.owner.as_ref() == Some(&me.0));
    if there.is_none() {
        let record = schema::write(&Head::default(), Some(&Lists::default()), write_schema).map_err(unwritable)?;
        db.execute(
            "INSERT INTO guilds (id, shard, owner, epoch, rev, active, schema) VALUES (?1, ?2, ?3, 1, 0, 0, ?4)",
            params![key(id), shard, me.0, record.schema],
        )
        .or_failed(what)?;
        put_parts(db, id, &record)?;
    } else {
        let from = format!("({TAKEABLE} OR owner = ?3) AND NOT (owner IS ?3 AND shard = ?4)");
        let taken = db
            .execute(
                &format!("UPDATE guilds SET owner = ?3, epoch = epoch + 1, shard = ?4 WHERE id = ?1 AND {from}"),
                params![key(id), previous.map(|member| &member.0), me.0, shard],
            )
            .or_failed(what)?;
        if taken == 0 && !mine {
            return Ok(GuildClaim::Theirs);
        }
    }
    stored(db, id)?.map_or(Ok(GuildClaim::Theirs), claimed)
}

pub(super) fn look(db: &Connection, id: GuildId) -> Result<Option<Claim>, StoreError> {
    db.prepare_cached("SELECT owner, epoch, rev, schema FROM guilds WHERE id = ?1")
        .and_then(|mut select| {
            select
                .query_row([key(id)], |row| {
                    Ok(Claim {
                        owner: row.get(0)?,
                        epoch: row.get(1)?,
                        rev: row.get(2)?,
                        schema: row.get(3)?,
                    })
                })
                .optional()
        })
        .or_failed("reading a guild")
}

pub(super) fn write(db: &Connection, write: &GuildWrite, schema: u32) -> Result<Written, StoreError> {
    let there = look(db, write.id)?;
    match judge(write, there.as_ref()) {
        Judged::Settled(written) => return Ok(written),
        Judged::Newer => {
            return Err(unreadable(
                write.id,
                "a newer version of the program wrote it".to_owned(),
            ));
        }
        Judged::Apply => {}
    }
    let carried;
    let lists = if write.lists.is_none()
        && (head_contains_lists(schema) || there.is_some_and(|claim| head_contains_lists(claim.schema)))
    {
        carried = one(db, write.id)?.map(|row| row.snapshot.lists);
        carried.as_ref()
    } else {
        write.lists.as_ref()
    };
    let record = schema::write(&write.head, lists, schema).map_err(unwritable)?;
    let anchor = schema::anchor_of(&write.head);
    db.prepare_cached(
        "UPDATE guilds SET rev = ?2, active = ?3, ends_at_ms = ?4, schema = ?5,
         anchor_position_ms = ?6, anchor_at_ms = ?7, anchor_speed = ?8 WHERE id = ?1",
    )
    .and_then(|mut update| {
        update.execute(params![
            key(write.id),
            write.rev.0,
            write.active,
            write.ends_at_ms,
            record.schema,
            anchor.map(|anchor| anchor.position_ms),
            anchor.map(|anchor| anchor.at_ms),
            anchor.map(|anchor| anchor.speed),
        ])
    })
    .or_failed("writing a guild")?;
    put_parts(db, write.id, &record)?;
    Ok(Written::Done)
}

fn put_parts(db: &Connection, id: GuildId, record: &Record) -> Result<(), StoreError> {
    let what = "writing a guild";
    db.prepare_cached("INSERT OR REPLACE INTO guild_heads (id, head) VALUES (?1, ?2)")
        .or_failed(what)?
        .execute(params![key(id), text(what, &record.head)?])
        .or_failed(what)?;
    if let Some(lists) = &record.lists {
        db.prepare_cached("INSERT OR REPLACE INTO guild_lists (id, lists) VALUES (?1, ?2)")
            .or_failed(what)?
            .execute(params![key(id), text(what, lists)?])
            .or_failed(what)?;
    } else if head_contains_lists(record.schema) {
        db.execute("DELETE FROM guild_lists WHERE id = ?1", [key(id)])
            .or_failed(what)?;
    }
    Ok(())
}

/// Rewrites a page of a shard's records that are newer than `schema` and readable, in the order of their keys from
/// `after` on. Returns how many were rewritten and the last key looked at; `None` when nothing is left.
pub(super) fn lower(
    db: &Connection,
    shard: u32,
    me: &MemberId,
    schema: u32,
    after: Option<i64>,
) -> Result<Option<(u64, i64)>, StoreError> {
    let what = "rewriting records for an older version";
    let rows: Vec<(i64, Option<Found>)> = db
        .prepare_cached(&format!(
            "{SELECT} WHERE g.shard = ?1 AND g.owner = ?2 AND g.schema > ?3 AND g.schema <= ?4
             AND (?5 IS NULL OR g.id > ?5) ORDER BY g.id LIMIT {LOWER_PAGE}"
        ))
        .and_then(|mut select| {
            let known = crate::model::record::SCHEMA;
            select
                .query_map(params![shard, me.0, schema, known, after], |row| {
                    Ok((row.get(0)?, found(row)?))
                })?
                .collect()
        })
        .or_failed(what)?;
    let Some((last, _)) = rows.last() else { return Ok(None) };
    let (last, mut rewritten) = (*last, 0);
    for (_, row) in rows {
        // What cannot be read stays as it is.
        let Some(row) = row.and_then(Result::ok).and_then(|stored| stored.into_row().ok()) else {
            continue;
        };
        let record = schema::write(&row.snapshot.head, Some(&row.snapshot.lists), schema).map_err(unwritable)?;
        db.execute(
            "UPDATE guilds SET schema = ?2 WHERE id = ?1",
            params![key(row.id), record.schema],
        )
        .or_failed(what)?;
        put_parts(db, row.id, &record)?;
        rewritten += 1;
    }
    Ok(Some((rewritten, last)))
}

pub(super) fn active(db: &Connection) -> Result<u64, StoreError> {
    db.query_row("SELECT count(*) FROM guilds WHERE active", [], |row| row.get(0))
        .or_failed("counting guilds")
}

pub(super) fn checkpoint(db: &Connection, batch: &[Checkpoint]) -> Result<Vec<GuildId>, StoreError> {
    let what = "auto-saving";
    let mut update = db
        .prepare_cached(
            "UPDATE guilds SET anchor_position_ms = ?5, anchor_at_ms = ?6, anchor_speed = ?7, ends_at_ms = ?8
             WHERE id = ?1 AND owner = ?2 AND epoch = ?3 AND rev = ?4 AND anchor_at_ms <= ?6",
        )
        .or_failed(what)?;
    let mut lost = Vec::new();
    for one in batch {
        let changed = update
            .execute(params![
                key(one.id),
                one.owner.0,
                one.epoch.0,
                one.rev.0,
                one.anchor.position_ms,
                one.anchor.at_ms,
                one.anchor.speed,
                one.ends_at_ms,
            ])
            .or_failed(what)?;
        let kept = changed == 1
            || look(db, one.id)?
                .is_some_and(|claim| claim.owner.as_ref() == Some(&one.owner.0) && claim.epoch == one.epoch.0);
        if !kept {
            lost.push(one.id);
        }
    }
    Ok(lost)
}

pub(super) fn delete(db: &Connection, id: GuildId, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
    let what = "deleting a guild";
    let deleted = db
        .execute(
            "DELETE FROM guilds WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
            params![key(id), me.0, epoch.0],
        )
        .or_failed(what)?;
    if deleted == 0 {
        return Ok(false);
    }
    for table in ["guild_heads", "guild_lists", "guild_failures"] {
        db.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [key(id)])
            .or_failed(what)?;
    }
    Ok(true)
}
