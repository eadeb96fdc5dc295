//! The file: making it, its clock and the small facts.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;

use super::fault::{OrFailed as _, failed};
use super::layout;
use crate::store::StoreError;

/// Shorter than an operation's deadline, so that a lock held by another process is told as "unavailable".
const BUSY: Duration = Duration::from_secs(1);
/// SQLite's own clock in milliseconds, for use inside statements.
pub(super) const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    create(path).map_err(|error| StoreError::Refused {
        what: "opening the database file (does its folder exist, and may this user write there?)",
        source: Box::new(error),
    })?;
    let what = "opening the database file";
    let db = Connection::open(path).or_failed(what)?;
    db.busy_timeout(BUSY).or_failed(what)?;
    layout::check(&db, path)?;
    let mode: String = db
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .or_failed(what)?;
    if mode != "wal" {
        return Err(StoreError::Refused {
            what,
            source: format!("no write-ahead log on this file system ({mode}); use a local disk").into(),
        });
    }
    // The kernel keeps the file's pages too: SQLite's own 2 MB would be a second copy.
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -512")
        .or_failed(what)?;
    layout::complete(&db)?;
    Ok(db)
}

/// The file exists before SQLite opens it, so that nobody else can ever read it; its journals inherit the mode.
fn create(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

/// Inside `BEGIN IMMEDIATE`, so the write lock was had.
pub(super) fn ping(db: &Connection) -> Result<(), StoreError> {
    db.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))
        .or_failed("ping")
}

pub(super) fn now_ms(db: &Connection) -> Result<i64, StoreError> {
    db.query_row(&format!("SELECT {NOW}"), [], |row| row.get(0))
        .or_failed("reading the clock")
}

pub(super) fn limit_pages(db: &Connection, pages: u32) -> Result<(), StoreError> {
    db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        .or_failed("limiting the file")
}

/// JSON out of a column. The error names the column, not what is in it.
pub(super) fn json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable {
        what: what.to_owned(),
        detail: error.to_string(),
    })
}

/// JSON for a column.
pub(super) fn text<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Refused {
        what,
        source: Box::new(error),
    })
}

pub(super) fn meta(db: &Connection, key: &str) -> Result<Option<Value>, StoreError> {
    let found: Option<String> = db
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .optional()
        .or_failed("reading a fact")?;
    found.map(|found| json("a fact", &found)).transpose()
}

pub(super) fn put_meta(
    db: &Connection,
    key: &str,
    expected: Option<&Value>,
    value: &Value,
) -> Result<bool, StoreError> {
    if meta(db, key)?.as_ref() != expected {
        return Ok(false);
    }
    let value = text("writing a fact", value)?;
    db.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
        [key, &value],
    )
    .map(|_| true)
    .map_err(|error| failed("writing a fact", error))
}
