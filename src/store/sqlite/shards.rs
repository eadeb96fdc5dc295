//! The `shards` table.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::OrFailed as _;
use super::tables::{json, text};
use crate::model::ids::{Epoch, MemberId, NodeName};
use crate::store::{GatewaySession, ShardRow, StoreError};

const COLUMNS: &str = "id, owner, epoch, session, lavalink";

type Columns = (u32, Option<String>, u64, Option<String>, String);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn shard((id, owner, epoch, session, lavalink): Columns) -> Result<ShardRow, StoreError> {
    Ok(ShardRow {
        id,
        owner: owner.map(MemberId),
        epoch: Epoch(epoch),
        session: session.map(|text| json("a gateway session", &text)).transpose()?,
        lavalink: json("Lavalink sessions", &lavalink)?,
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

pub(super) fn claim(
    db: &Connection,
    id: u32,
    previous: Option<&MemberId>,
    me: &MemberId,
) -> Result<Option<ShardRow>, StoreError> {
    let stored = one(db, id)?;
    let owner = stored.as_ref().and_then(|row| row.owner.as_ref());
    if owner == Some(me) {
        return Ok(stored);
    }
    if owner != previous {
        return Ok(None);
    }
    db.execute(
        "INSERT INTO shards (id, owner, epoch, lavalink) VALUES (?1, ?2, 1, '{}')
         ON CONFLICT (id) DO UPDATE SET owner = ?2, epoch = epoch + 1",
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
) -> Result<bool, StoreError> {
    let what = "saving a gateway session";
    let session = session.map(|session| text(what, session)).transpose()?;
    db.execute(
        "UPDATE shards SET session = ?4 WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
        params![id, me.0, epoch.0, session],
    )
    .map(|changed| changed == 1)
    .or_failed(what)
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

pub(super) fn release(db: &Connection, id: u32, me: &MemberId, epoch: Epoch) -> Result<bool, StoreError> {
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
    db.execute("UPDATE shards SET owner = NULL WHERE id = ?1", [id])
        .map(|_| true)
        .or_failed(what)
}
