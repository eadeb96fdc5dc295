//! Guilds that make their owners fail: counting, setting aside, letting go. And recoveries, for people.

use rusqlite::{Connection, params};

use super::fault::OrFailed as _;
use super::guilds::{key, look};
use super::tables::{NOW, json, text};
use crate::model::ids::{Epoch, GuildId, MemberId};
use crate::store::{
    FAILURES_COUNT_MS, FAILURES_UNTIL_QUARANTINE, Quarantined, RECOVERIES_KEPT, RecoveryRow, StoreError,
};

pub(super) fn failed(db: &Connection, id: GuildId, me: &MemberId, epoch: Epoch, why: &str) -> Result<u32, StoreError> {
    let what = "counting a failure";
    let mine = look(db, id)?.is_some_and(|claim| claim.owner.as_ref() == Some(&me.0) && claim.epoch == epoch.0);
    if !mine {
        return Ok(0);
    }
    db.execute(
        &format!("DELETE FROM guild_failures WHERE id = ?1 AND at_ms < {NOW} - {FAILURES_COUNT_MS}"),
        [key(id)],
    )
    .or_failed(what)?;
    db.execute(
        &format!("INSERT INTO guild_failures (id, at_ms) VALUES (?1, {NOW})"),
        [key(id)],
    )
    .or_failed(what)?;
    let count: u32 = db
        .query_row("SELECT count(*) FROM guild_failures WHERE id = ?1", [key(id)], |row| {
            row.get(0)
        })
        .or_failed(what)?;
    if count >= FAILURES_UNTIL_QUARANTINE {
        db.execute(
            "UPDATE guilds SET quarantined = ?2 WHERE id = ?1",
            params![key(id), why],
        )
        .or_failed(what)?;
    }
    Ok(count)
}

pub(super) fn release(db: &Connection, id: GuildId) -> Result<bool, StoreError> {
    let what = "letting a guild go";
    let released = db
        .execute(
            "UPDATE guilds SET quarantined = NULL WHERE id = ?1 AND quarantined IS NOT NULL",
            [key(id)],
        )
        .or_failed(what)?;
    if released == 1 {
        db.execute("DELETE FROM guild_failures WHERE id = ?1", [key(id)])
            .or_failed(what)?;
    }
    Ok(released == 1)
}

pub(super) fn all(db: &Connection) -> Result<Vec<Quarantined>, StoreError> {
    let rows: Vec<(i64, String)> = db
        .prepare_cached("SELECT id, quarantined FROM guilds WHERE quarantined IS NOT NULL")
        .and_then(|mut select| select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .or_failed("reading quarantined guilds")?;
    let mut found: Vec<_> = rows
        .into_iter()
        .filter_map(|(id, why)| {
            let guild = GuildId::new_checked(id.cast_unsigned())?;
            Some(Quarantined { guild, why })
        })
        .collect();
    found.sort_by_key(|one| one.guild);
    Ok(found)
}

pub(super) fn record(db: &Connection, recoveries: &[RecoveryRow]) -> Result<(), StoreError> {
    let what = "recording recoveries";
    let last = recoveries.len().saturating_sub(RECOVERIES_KEPT);
    for row in &recoveries[last..] {
        db.prepare_cached("INSERT INTO recoveries (key, row) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .or_failed(what)?
            .execute(params![row.key(), text(what, row)?])
            .or_failed(what)?;
    }
    db.execute(
        "DELETE FROM recoveries WHERE n <= (SELECT max(n) FROM recoveries) - ?1",
        [RECOVERIES_KEPT],
    )
    .map(drop)
    .or_failed(what)
}

pub(super) fn recoveries(db: &Connection, limit: usize) -> Result<Vec<RecoveryRow>, StoreError> {
    let rows: Vec<String> = db
        .prepare_cached("SELECT row FROM recoveries ORDER BY n DESC LIMIT ?1")
        .and_then(|mut select| {
            select
                .query_map([limit.min(RECOVERIES_KEPT)], |row| row.get(0))?
                .collect()
        })
        .or_failed("reading recoveries")?;
    rows.iter().map(|row| json("a recovery", row)).collect()
}
