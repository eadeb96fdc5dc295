//! The `leader` table: one row, whose term only grows.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::OrFailed as _;
use super::members;
use super::tables::{NOW, now_ms};
use crate::model::ids::MemberId;
use crate::store::{Campaign, LeaderRow, StoreError};

struct Stored {
    leader: LeaderRow,
    until_ms: i64,
}

fn stored(db: &Connection) -> Result<Stored, StoreError> {
    let found = db
        .prepare_cached("SELECT term, holder, until_ms FROM leader")
        .and_then(|mut select| {
            select
                .query_row([], |row| {
                    let leader = LeaderRow {
                        term: row.get(0)?,
                        holder: row.get::<_, Option<String>>(1)?.map(MemberId),
                    };
                    Ok(Stored {
                        leader,
                        until_ms: row.get(2)?,
                    })
                })
                .optional()
        })
        .or_failed("reading who leads")?;
    Ok(found.unwrap_or(Stored {
        leader: LeaderRow::default(),
        until_ms: 0,
    }))
}

pub(super) fn leader(db: &Connection) -> Result<LeaderRow, StoreError> {
    stored(db).map(|stored| stored.leader)
}

fn put(db: &Connection, term: u64, holder: &MemberId, lease_ms: i64) -> Result<(), StoreError> {
    db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO leader (one, term, holder, until_ms) VALUES (1, ?1, ?2, {NOW} + ?3)"
    ))
    .and_then(|mut put| put.execute(params![term, holder.0, lease_ms]))
    .map(drop)
    .or_failed("electing a leader")
}

pub(super) fn new_term(db: &Connection, me: &MemberId) -> Result<u64, StoreError> {
    let term = stored(db)?.leader.term + 1;
    put(db, term, me, 0)?;
    Ok(term)
}

pub(super) fn campaign(db: &Connection, me: &MemberId, lease_ms: i64) -> Result<Campaign, StoreError> {
    let Stored { leader, until_ms } = stored(db)?;
    let term = match leader.holder {
        Some(holder) if holder == *me => leader.term,
        Some(holder) if now_ms(db)? < until_ms && !members::is_final(db, &holder.0)? => {
            return Ok(Campaign::Follower {
                holder,
                term: leader.term,
            });
        }
        Some(_) | None => leader.term + 1,
    };
    put(db, term, me, lease_ms)?;
    Ok(Campaign::Leader { term })
}

pub(super) fn resign(db: &Connection, me: &MemberId, term: u64) -> Result<bool, StoreError> {
    db.execute(
        "UPDATE leader SET holder = NULL, until_ms = 0 WHERE holder = ?1 AND term = ?2",
        params![me.0, term],
    )
    .map(|changed| changed == 1)
    .or_failed("resigning")
}
