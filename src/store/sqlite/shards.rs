//! The `shards` table.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::OrFailed as _;
use super::tables::{NOW, json, text};
use crate::model::ids::{Epoch, MemberId, NodeName};
use crate::store::{Assignment, GatewaySession, Released, ShardRow, StoreError};

const COLUMNS: &str =
    "id, owner, epoch, session, lavalink, want, want_term, trace, owner_trace, released_by, released_ms";

struct Columns {
    row: ShardRow,
    session: Option<String>,
    lavalink: String,
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let member = |at: usize| row.get(at).map(|id: Option<String>| id.map(MemberId));
    let released = match (member(9)?, row.get(10)?) {
        (Some(by), Some(at_ms)) => Some(Released { by, at_ms }),
        _ => None,
    };
    Ok(Columns {
        row: ShardRow {
            id: row.get(0)?,
            owner: member(1)?,
            epoch: Epoch(row.get(2)?),
            want: member(5)?,
            want_term: row.get(6)?,
            session: None,
            lavalink: BTreeMap::new(),
            trace: row.get(7)?,
            owner_trace: row.get(8)?,
            released,
        },
        session: row.get(3)?,
        lavalink: row.get(4)?,
    })
}

fn shard(columns: Columns) -> Result<ShardRow, StoreError> {
    Ok(ShardRow {
        session: columns
            .session
            .map(|text| json("a gateway session", &text))
            .transpose()?,
        lavalink: json("Lavalink sessions", &columns.lavalink)?,
        ..columns.row
    })
}

fn one(db: &Connection, id: u32) -> Result<Option<ShardRow>, StoreError> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM shards WHERE id = ?1"))
        .and_then(|mut select| select.query_row([id], columns).optional())
        .or_failed("reading a shard")?
        .map(shard)
        .transpose()
}

pub(super) fn all(db: &Connection) -> Result<Vec<ShardRow>, StoreError> {
    let rows: Vec<Columns> = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM shards ORDER BY id"))
        .and_then(|mut all| all.query_map([], columns)?.collect())
        .or_failed("reading shards")?;
    rows.into_iter().map(shard).collect()
}

pub(super) fn assign(db: &Connection, term: u64, assignments: &[Assignment]) -> Result<Vec<u32>, StoreError> {
    let what = "assigning shards";
    let mut applied = Vec::new();
    for one in assignments {
        let written = db
            .prepare_cached(
                "INSERT INTO shards (id, epoch, lavalink, want, want_term, trace) VALUES (?1, 0, '{}', ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET want = ?2, want_term = ?3, trace = ?4 WHERE want_term <= ?3",
            )
            .and_then(|mut upsert| upsert.execute(params![one.shard, one.want.0, term, one.trace]))
            .or_failed(what)?;
        if written == 1 {
            applied.push(one.shard);
        }
    }
    Ok(applied)
}

pub(super) fn claim(
    db: &Connection,
    id: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
) -> Result<Option<ShardRow>, StoreError> {
    let Some(stored) = one(db, id)? else { return Ok(None) };
    if stored.owner.as_ref() == Some(me) {
        return Ok(Some(stored));
    }
    if stored.owner.as_ref() != previous || stored.want.as_ref() != Some(me) {
        return Ok(None);
    }
    // What was released by the owner before stays readable for its successor.
    db.execute(
        "UPDATE shards SET owner = ?2, epoch = epoch + 1,
         released_by = iif(owner IS NULL, released_by, NULL), released_ms = iif(owner IS NULL, released_ms, NULL)
         WHERE id = ?1",
        params![id, me.0],
    )
    .or_failed("claiming a shard")?;
    one(db, id)
}

pub(super) fn save_session(
    db: &Connection,
    id: u32,
    me: &MemberId,
    epoch: Epoch,
    session: Option<&GatewaySession>,
    trace: Option<&str>,
) -> Result<bool, StoreError> {
    let what = "saving a gateway session";
    let session = session.map(|session| text(what, session)).transpose()?;
    db.execute(
        "UPDATE shards SET session = ?4, owner_trace = coalesce(?5, owner_trace)
         WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
        params![id, me.0, epoch.0, session, trace],
    )
    .map(|changed| changed == 1)
    .or_failed(what)
}

pub(super) fn save_trace(
    db: &Connection,
    id: u32,
    me: &MemberId,
    epoch: Epoch,
    trace: &str,
) -> Result<bool, StoreError> {
    db.execute(
        "UPDATE shards SET owner_trace = ?4 WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
        params![id, me.0, epoch.0, trace],
    )
    .map(|changed| changed == 1)
    .or_failed("saving a trace")
}

pub(super) fn save_node_session(
    db: &Connection,
    id: u32,
    me: &MemberId,
    epoch: Epoch,
    node: &NodeName,
    session: Option<&str>,
) -> Result<bool, StoreError> {
    let Some(mut row) = one(db, id)?.filter(|row| row.owner.as_ref() == Some(me) && row.epoch == epoch) else {
        return Ok(false);
    };
    match session {
        Some(session) => row.lavalink.insert(node.clone(), session.to_owned()),
        None => row.lavalink.remove(node),
    };
    let what = "saving a Lavalink session";
    let lavalink = text(what, &row.lavalink)?;
    db.execute("UPDATE shards SET lavalink = ?2 WHERE id = ?1", params![id, lavalink])
        .map(|_| true)
        .or_failed(what)
}

pub(super) fn release(
    db: &Connection,
    id: u32,
    me: &MemberId,
    epoch: Epoch,
    trace: Option<&str>,
) -> Result<bool, StoreError> {
    let Some(row) = one(db, id)?.filter(|row| row.epoch == epoch) else {
        return Ok(false);
    };
    if row.owner.as_ref() != Some(me) {
        return Ok(row.owner.is_none());
    }
    let what = "releasing a shard";
    db.execute(
        "UPDATE guilds SET owner = NULL WHERE shard = ?1 AND owner = ?2",
        params![id, me.0],
    )
    .or_failed(what)?;
    db.execute(
        &format!(
            "UPDATE shards SET owner = NULL, released_by = owner, released_ms = {NOW}, trace = coalesce(?2, trace)
             WHERE id = ?1"
        ),
        params![id, trace],
    )
    .map(|_| true)
    .or_failed(what)
}
