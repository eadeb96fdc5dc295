//! What SQLite's errors mean to the rest of the program.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// What became of a statement that failed: nothing of it was written.
pub(super) fn failed(what: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { what },
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
        ) => StoreError::Unavailable {
            what,
            source: Some(Box::new(error)),
        },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Unreadable {
            what: "the database file".to_owned(),
            detail: format!("{error}; stop every replica, move the file away, and put a backup in its place"),
        },
        _ => StoreError::Refused {
            what,
            source: Box::new(error),
        },
    }
}

/// The same for a commit, which may have happened when the disk fails in the middle of it.
pub(super) fn commit_failed(error: rusqlite::Error) -> StoreError {
    let what = "committing";
    if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
        StoreError::Unknown {
            what,
            source: Some(Box::new(error)),
        }
    } else {
        failed(what, error)
    }
}

/// `result.or_failed("doing this")`.
pub(super) trait OrFailed<T> {
    fn or_failed(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> OrFailed<T> for Result<T, rusqlite::Error> {
    fn or_failed(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| failed(what, error))
    }
}
