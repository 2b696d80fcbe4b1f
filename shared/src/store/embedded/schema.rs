//! The tables, how they came to be, and how a connection is set up.

use super::super::StoreError;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use scriptorium_contracts::JobId;
use std::path::Path;
use std::time::Duration;

/// `MIGRATIONS[n]` leads from schema `n` to `n + 1`. Those that have been in a release are never changed.
///
/// Job ids are the 16 bytes of the UUID, times are milliseconds since 1970, records are JSON.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE jobs (
        id BLOB PRIMARY KEY NOT NULL,
        revision INTEGER NOT NULL,
        -- 1: not final, or its temporary objects are not released.
        open INTEGER NOT NULL,
        header TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX jobs_open ON jobs (id) WHERE open = 1;

    CREATE TABLE chunks (
        job BLOB NOT NULL,
        chunk INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (job, chunk)
    ) STRICT, WITHOUT ROWID;

    -- Results and events may be long: these tables keep their rows out of the index.
    CREATE TABLE results (
        job BLOB NOT NULL,
        chunk INTEGER NOT NULL,
        result TEXT NOT NULL,
        PRIMARY KEY (job, chunk)
    ) STRICT;

    CREATE TABLE events (
        job BLOB NOT NULL,
        id INTEGER NOT NULL,
        event TEXT NOT NULL,
        PRIMARY KEY (job, id)
    ) STRICT;

    CREATE TABLE effects (
        job BLOB NOT NULL,
        number INTEGER NOT NULL,
        due INTEGER NOT NULL,
        effect TEXT NOT NULL,
        PRIMARY KEY (job, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX effects_due ON effects (due, job, number);

    CREATE TABLE idempotency (
        key TEXT PRIMARY KEY NOT NULL,
        body_hash TEXT NOT NULL,
        job BLOB NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX idempotency_expires ON idempotency (expires);
",
    // Jobs are listed in the order of their creation, and deleted with their keys.
    "
    ALTER TABLE jobs ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET created = CASE WHEN json_valid(header)
        THEN coalesce(CAST(json_extract(header, '$.created_at') AS INTEGER), 0) ELSE 0 END;
    CREATE INDEX jobs_created ON jobs (created, id);
    CREATE INDEX idempotency_job ON idempotency (job);
",
    // Each tenant has a list of its own; '' is of jobs without a tenant.
    "
    ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    DROP INDEX jobs_created;
    CREATE INDEX jobs_listed ON jobs (tenant, created, id);
",
];

/// Statements that a connection keeps prepared.
const PREPARED: usize = 64;

pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // FULL syncs the log at each commit; fullfsync is what that takes on macOS.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "fullfsync", true)?;
        // KiB.
        connection.pragma_update(None, "cache_size", -16_384)?;
        // Bytes that the log keeps after a checkpoint; one that had to grow shrinks again.
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(connection)
    };
    connect().map_err(|error| failed(&error))
}

/// Brings the file to the schema of this program, each step in a transaction of its own. Another process may do so at the
/// same time.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let version_of = |connection: &Connection| -> rusqlite::Result<i64> {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0))
    };
    let found = version_of(connection).map_err(|error| failed(&error))?;
    let known = migrations.len() as i64;
    if !(0..=known).contains(&found) {
        return Err(StoreError::NewerSchema { found, known });
    }
    for (statements, version) in migrations.iter().zip(1..).skip(found as usize) {
        let migrate = |connection: &mut Connection, version: i64| -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if version_of(&transaction)? >= version {
                return Ok(());
            }
            transaction.execute_batch(statements)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        migrate(connection, version).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// An error of the file as a whole or of the program.
pub(crate) fn failed(error: &rusqlite::Error) -> StoreError {
    failed_at("database", None, error)
}

/// An error that, if it is one of damage, concerns a record of this job.
pub(crate) fn failed_at(what: &'static str, job: Option<JobId>, error: &rusqlite::Error) -> StoreError {
    let detail = error.to_string();
    if unreadable(error) {
        return StoreError::Damaged { what, job, detail };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { what: "database", job: None, detail }
        }
        Some(code) if passing(code) => StoreError::unavailable(detail),
        Some(_) | None => StoreError::Internal { detail },
    }
}

/// The medium fails, not the program.
fn passing(code: ErrorCode) -> bool {
    [
        ErrorCode::DatabaseBusy,
        ErrorCode::DatabaseLocked,
        ErrorCode::OutOfMemory,
        ErrorCode::ReadOnly,
        ErrorCode::SystemIoFailure,
        ErrorCode::DiskFull,
        ErrorCode::CannotOpen,
        ErrorCode::FileLockingProtocolFailed,
        ErrorCode::PermissionDenied,
        ErrorCode::NoLargeFileSupport,
    ]
    .contains(&code)
}

/// A column does not hold what it should.
fn unreadable(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}
