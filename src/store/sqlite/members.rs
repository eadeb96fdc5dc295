//! The `members` table.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault::OrFailed as _;
use super::tables::{NOW, json, text};
use crate::model::ids::MemberId;
use crate::store::row::state_of;
use crate::store::{Beat, FINAL_KEPT_MS, Fence, MemberRow, MemberState, StoreError};

const COLUMNS: &str = "row, state, seq, renewed_ms, shard_seq, why, playing, container_id, assign_gen, ended_ms, trace,
    without_discord";

struct Columns {
    row: String,
    state: String,
    seq: u64,
    renewed_ms: i64,
    shard_seq: String,
    why: Option<String>,
    playing: String,
    container_id: Option<String>,
    assign_gen: u64,
    ended_ms: Option<i64>,
    trace: Option<String>,
    without_discord: bool,
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok(Columns {
        row: row.get(0)?,
        state: row.get(1)?,
        seq: row.get(2)?,
        renewed_ms: row.get(3)?,
        shard_seq: row.get(4)?,
        why: row.get(5)?,
        playing: row.get(6)?,
        container_id: row.get(7)?,
        assign_gen: row.get(8)?,
        ended_ms: row.get(9)?,
        trace: row.get(10)?,
        without_discord: row.get(11)?,
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
        playing: json("a member's playing guilds", &columns.playing)?,
        container_id: columns.container_id,
        assign_gen: columns.assign_gen,
        final_ms: columns.ended_ms,
        trace: columns.trace,
        without_discord: columns.without_discord,
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
    let (shard_seq, playing) = (text(what, &member.shard_seq)?, text(what, &member.playing)?);
    let row = text(what, member)?;
    db.prepare_cached(&format!(
        "INSERT INTO members (id, state, seq, renewed_ms, shard_seq, playing, container_id, row)
         VALUES (?1, 'live', 1, {NOW}, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
    ))
    .and_then(|mut insert| insert.execute(params![member.id.0, shard_seq, playing, member.container_id, row]))
    .map(drop)
    .or_failed(what)
}

pub(super) fn renew(db: &Connection, id: &MemberId, beat: &Beat) -> Result<Option<MemberRow>, StoreError> {
    let what = "renewing";
    let (shard_seq, playing) = (text(what, &beat.shard_seq)?, text(what, &beat.playing)?);
    db.prepare_cached(&format!(
        "UPDATE members SET seq = seq + 1, renewed_ms = {NOW}, shard_seq = ?2, playing = ?3,
         container_id = coalesce(?4, container_id), without_discord = ?5
         WHERE id = ?1 AND state IN ('live', 'draining') RETURNING {COLUMNS}"
    ))
    .and_then(|mut update| {
        update
            .query_row(
                params![id.0, shard_seq, playing, beat.container_id, beat.without_discord],
                columns,
            )
            .optional()
    })
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

pub(super) fn fence(db: &Connection, fence: &Fence) -> Result<bool, StoreError> {
    db.execute(
        &format!(
            "UPDATE members SET state = 'fenced', why = ?2, trace = ?3, ended_ms = {NOW}
             WHERE id = ?1 AND state IN ('live', 'draining') AND (?4 IS NULL OR {NOW} >= renewed_ms + ?4)"
        ),
        params![fence.id.0, fence.why, fence.trace, fence.overdue_ms],
    )
    .map(|changed| changed == 1)
    .or_failed("fencing")
}

/// Something about this member's shards changed.
pub(super) fn tell(db: &Connection, id: &MemberId) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE members SET assign_gen = assign_gen + 1 WHERE id = ?1")
        .and_then(|mut update| update.execute([&id.0]))
        .map(drop)
        .or_failed("telling members of shards")
}

/// Whether it is stored, and fenced or gone.
pub(super) fn is_final(db: &Connection, id: &str) -> Result<bool, StoreError> {
    db.prepare_cached("SELECT state IN ('fenced', 'gone') FROM members WHERE id = ?1")
        .and_then(|mut select| select.query_row([id], |row| row.get(0)).optional())
        .map(|found| found.unwrap_or(false))
        .or_failed("reading members")
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
        params![id.0, state.name(), ended],
    )
    .map(|changed| changed == 1)
    .or_failed("changing a member's state")
}
