//! The `members` table.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::OrFailed as _;
use super::tables::{NOW, json, text};
use crate::model::ids::MemberId;
use crate::store::row::{state_of, state_text};
use crate::store::{Beat, FINAL_KEPT_MS, MemberRow, MemberState, StoreError};

const COLUMNS: &str = "row, state, seq, renewed_ms, shard_seq, why";

struct Columns {
    row: String,
    state: String,
    seq: u64,
    renewed_ms: i64,
    shard_seq: String,
    why: Option<String>,
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok(Columns {
        row: row.get(0)?,
        state: row.get(1)?,
        seq: row.get(2)?,
        renewed_ms: row.get(3)?,
        shard_seq: row.get(4)?,
        why: row.get(5)?,
    })
}

fn member(columns: Columns) -> Result<MemberRow, StoreError> {
    let state = state_of(&columns.state).ok_or_else(|| StoreError::Unreadable {
        what: "a member's state".to_owned(),
        detail: "unknown word".to_owned(),
    })?;
    Ok(MemberRow {
        state,
        seq: columns.seq,
        renewed_ms: columns.renewed_ms,
        shard_seq: json("a member's sequence numbers", &columns.shard_seq)?,
        why: columns.why,
        ..json::<MemberRow>("a member", &columns.row)?
    })
}

/// An id that is there already stays as it is: the same call came twice.
pub(super) fn join(db: &Connection, member: &MemberRow) -> Result<(), StoreError> {
    let what = "joining";
    db.execute(
        &format!("DELETE FROM members WHERE ended_ms < {NOW} - {FINAL_KEPT_MS}"),
        [],
    )
    .or_failed(what)?;
    db.prepare_cached(&format!(
        "INSERT INTO members (id, state, seq, renewed_ms, shard_seq, why, row)
         VALUES (?1, 'live', 1, {NOW}, ?2, NULL, ?3) ON CONFLICT DO NOTHING"
    ))
    .and_then(|mut insert| {
        let shard_seq = serde_json::to_string(&member.shard_seq).unwrap_or_else(|_| "{}".to_owned());
        let row =
            serde_json::to_string(member).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        insert.execute(params![member.id.0, shard_seq, row])
    })
    .or_failed(what)?;
    Ok(())
}

pub(super) fn renew(db: &Connection, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError> {
    let what = "renewing";
    let shard_seq = text(what, &beat.shard_seq)?;
    db.prepare_cached(&format!(
        "UPDATE members SET seq = seq + 1, renewed_ms = {NOW}, shard_seq = ?2
         WHERE id = ?1 AND state IN ('live', 'draining') RETURNING {COLUMNS}"
    ))
    .and_then(|mut update| update.query_row(params![id.0, shard_seq], columns).optional())
    .or_failed(what)?
    .map(member)
    .transpose()
}

pub(super) fn all(db: &Connection) -> Result<Vec<MemberRow>, StoreError> {
    let rows: Vec<Columns> = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM members ORDER BY id"))
        .and_then(|mut all| all.query_map([], columns)?.collect())
        .or_failed("reading members")?;
    rows.into_iter().map(member).collect()
}

pub(super) fn fence(db: &Connection, id: &MemberId, why: &str) -> Result<bool, StoreError> {
    db.execute(
        &format!(
            "UPDATE members SET state = 'fenced', why = ?2, ended_ms = {NOW}
             WHERE id = ?1 AND state IN ('live', 'draining')"
        ),
        params![id.0, why],
    )
    .map(|changed| changed == 1)
    .or_failed("fencing")
}

pub(super) fn set_state(db: &Connection, id: &MemberId, state: MemberState) -> Result<bool, StoreError> {
    let from = match state {
        MemberState::Live => return Ok(false),
        MemberState::Draining => "('live')",
        MemberState::Fenced | MemberState::Gone => "('live', 'draining')",
    };
    let ended = matches!(state, MemberState::Fenced | MemberState::Gone);
    db.execute(
        &format!("UPDATE members SET state = ?2, ended_ms = iif(?3, {NOW}, NULL) WHERE id = ?1 AND state IN {from}"),
        params![id.0, state_text(state), ended],
    )
    .map(|changed| changed == 1)
    .or_failed("changing a member's state")
}
