//! The tables, and how those of an older version get what they lack.
//!
//! `user_version` is the oldest layout that a program must know to use the file. What can be added without hurting an
//! older program (a column with a default, a table, an index) is added in place and does not raise it, so that one version
//! back works on the same file.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::fault::OrFailed as _;
use crate::store::StoreError;

/// A file with a higher one was made by a version that this program cannot share it with.
const LAYOUT: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS members (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, seq INTEGER NOT NULL, renewed_ms INTEGER NOT NULL,
    shard_seq TEXT NOT NULL, why TEXT, ended_ms INTEGER, row TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS shards (
    id INTEGER PRIMARY KEY, owner TEXT, epoch INTEGER NOT NULL, session TEXT, lavalink TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS guilds (
    id INTEGER PRIMARY KEY, shard INTEGER NOT NULL, owner TEXT, epoch INTEGER NOT NULL, rev INTEGER NOT NULL,
    active INTEGER NOT NULL, ends_at_ms INTEGER, schema INTEGER NOT NULL,
    anchor_position_ms INTEGER, anchor_at_ms INTEGER, anchor_speed REAL
) STRICT;
CREATE INDEX IF NOT EXISTS guilds_by_shard ON guilds (shard, owner);
CREATE TABLE IF NOT EXISTS guild_heads (id INTEGER PRIMARY KEY, head TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS guild_lists (id INTEGER PRIMARY KEY, lists TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// Table, column, definition: what the first layout did not have.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("members", "playing", "TEXT NOT NULL DEFAULT '{}'"),
    ("members", "container_id", "TEXT"),
    ("members", "assign_gen", "INTEGER NOT NULL DEFAULT 0"),
    ("members", "trace", "TEXT"),
    ("members", "without_discord", "INTEGER NOT NULL DEFAULT 0"),
    ("shards", "want", "TEXT"),
    ("shards", "want_term", "INTEGER NOT NULL DEFAULT 0"),
    ("shards", "trace", "TEXT"),
    ("shards", "owner_trace", "TEXT"),
    ("shards", "released_by", "TEXT"),
    ("shards", "released_ms", "INTEGER"),
    ("guilds", "quarantined", "TEXT"),
];

const LATER: &str = "
CREATE TABLE IF NOT EXISTS guild_failures (id INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS guild_failures_by_id ON guild_failures (id);
CREATE INDEX IF NOT EXISTS guilds_active ON guilds (id) WHERE active;
CREATE INDEX IF NOT EXISTS guilds_quarantined ON guilds (id) WHERE quarantined IS NOT NULL;
CREATE TABLE IF NOT EXISTS leader (
    one INTEGER PRIMARY KEY CHECK (one = 1), term INTEGER NOT NULL, holder TEXT, until_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS recoveries (
    n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, row TEXT NOT NULL
) STRICT;
";
/// The last thing that [`LATER`] makes: where it is, all is.
const LAST: &str = "recoveries";

/// Refuses a file that a newer version does not share.
pub(super) fn check(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let layout = version(db)?;
    if layout > LAYOUT {
        return Err(StoreError::Unreadable {
            what: format!("sqlite:{}", path.display()),
            detail: format!("its layout is {layout}, this program knows {LAYOUT}; run the newer version"),
        });
    }
    Ok(())
}

/// Makes what is missing. A file that has everything is not written to.
pub(super) fn complete(db: &Connection) -> Result<(), StoreError> {
    if version(db)? == LAYOUT && missing(db)?.is_empty() && has_table(db, LAST)? {
        return Ok(());
    }
    let what = "making the tables";
    db.execute_batch("BEGIN IMMEDIATE").or_failed(what)?;
    let made = make(db);
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    made.and(db.execute_batch(end).or_failed(what))
}

fn make(db: &Connection) -> Result<(), StoreError> {
    let what = "making the tables";
    db.execute_batch(TABLES).or_failed(what)?;
    // Asked again: another process may have been faster.
    for (table, column, definition) in missing(db)? {
        db.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"))
            .or_failed(what)?;
    }
    db.execute_batch(LATER).or_failed(what)?;
    db.execute_batch(&format!("PRAGMA user_version = {LAYOUT}"))
        .or_failed(what)
}

fn version(db: &Connection) -> Result<i64, StoreError> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
        .or_failed("opening the database file")
}

fn missing(db: &Connection) -> Result<Vec<&'static (&'static str, &'static str, &'static str)>, StoreError> {
    let mut lacks = Vec::new();
    for column in COLUMNS {
        let found: Option<i64> = db
            .query_row(
                "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2",
                [column.0, column.1],
                |row| row.get(0),
            )
            .optional()
            .or_failed("reading the layout")?;
        if found.is_none() {
            lacks.push(column);
        }
    }
    Ok(lacks)
}

fn has_table(db: &Connection, name: &str) -> Result<bool, StoreError> {
    db.query_row("SELECT 1 FROM sqlite_master WHERE name = ?1", [name], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
        .or_failed("reading the layout")
}
