//! What is written. Each function runs in a savepoint: if it fails, nothing of it stays.

use super::super::rows::Rows;
use super::super::{Commit, Created, IDEMPOTENCY_MS, Idempotency, StoreError};
use super::read::made_before;
use super::schema::failed_at;
use rusqlite::{Connection, params};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, Timestamp};

/// Expired idempotency keys that a new job takes along; so they never pile up and no job pays for many.
const KEYS_TO_FORGET: u32 = 8;

pub(super) fn create(
    connection: &Connection,
    rows: &Rows,
    idempotency: Option<&Idempotency>,
    now: Timestamp,
) -> Result<Created, StoreError> {
    let failed = |error| failed_at("idempotency key", Some(rows.job), &error);
    if let Some(wanted) = idempotency
        && let Some(before) = made_before(connection, wanted, now)?
    {
        return Ok(before);
    }
    if !insert_job(connection, rows)? {
        return Ok(Created::Existing(rows.job));
    }
    if let Some(wanted) = idempotency {
        remember_key(connection, wanted, rows.job, now).map_err(failed)?;
    }
    Ok(Created::New)
}

fn remember_key(
    connection: &Connection,
    wanted: &Idempotency,
    job: JobId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM idempotency WHERE key IN
                 (SELECT key FROM idempotency WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?
        .execute(params![sql(now.0), KEYS_TO_FORGET])?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO idempotency (key, body_hash, job, expires) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![wanted.key, wanted.body_hash, bytes(job), sql(now.plus(IDEMPOTENCY_MS).0)])?;
    Ok(())
}

/// False if the job is there already.
fn insert_job(connection: &Connection, rows: &Rows) -> Result<bool, StoreError> {
    let insert = || -> rusqlite::Result<bool> {
        let inserted = connection
            .prepare_cached(
                "INSERT INTO jobs (id, revision, open, header, created, tenant) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                bytes(rows.job),
                sql(rows.revision),
                rows.open,
                rows.header,
                sql(rows.created.0),
                rows.tenant.as_ref().map_or("", TenantName::as_str)
            ])?;
        if inserted == 1 {
            write_parts(connection, rows)?;
        }
        Ok(inserted == 1)
    };
    insert().map_err(|error| failed_at("job", Some(rows.job), &error))
}

pub(super) fn commit(connection: &Connection, rows: &Rows) -> Result<Commit, StoreError> {
    let Some(before) = rows.revision.checked_sub(1) else { return Ok(Commit::Conflict) };
    let commit = || -> rusqlite::Result<Commit> {
        let updated = connection
            .prepare_cached(
                "UPDATE jobs SET revision = ?2, open = ?3, header = ?4 WHERE id = ?1 AND revision = ?5",
            )?
            .execute(params![bytes(rows.job), sql(rows.revision), rows.open, rows.header, sql(before)])?;
        if updated != 1 {
            return Ok(Commit::Conflict);
        }
        write_parts(connection, rows)?;
        Ok(Commit::Done)
    };
    commit().map_err(|error| failed_at("job", Some(rows.job), &error))
}

fn write_parts(connection: &Connection, rows: &Rows) -> rusqlite::Result<()> {
    let job = bytes(rows.job);
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO chunks (job, chunk, record) VALUES (?1, ?2, ?3)")?;
    for (chunk, record) in &rows.chunks {
        statement.execute(params![job, chunk, record])?;
    }
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO results (job, chunk, result) VALUES (?1, ?2, ?3)")?;
    for (chunk, result) in &rows.results {
        statement.execute(params![job, chunk, result])?;
    }
    // No REPLACE: what has been told to readers is never told otherwise.
    let mut statement =
        connection.prepare_cached("INSERT INTO events (job, id, event) VALUES (?1, ?2, ?3)")?;
    for (id, event) in &rows.events {
        statement.execute(params![job, sql(*id), event])?;
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO effects (job, number, due, effect) VALUES (?1, ?2, ?3, ?4)")?;
    for row in &rows.effects {
        statement.execute(params![job, sql(row.number), sql(row.due), row.effect])?;
    }
    Ok(())
}

pub(super) fn effect_done(connection: &Connection, job: JobId, number: u64) -> Result<(), StoreError> {
    let forget = || -> rusqlite::Result<usize> {
        connection
            .prepare_cached("DELETE FROM effects WHERE job = ?1 AND number = ?2")?
            .execute(params![bytes(job), sql(number)])
    };
    forget().map(|_| ()).map_err(|error| failed_at("effect", Some(job), &error))
}

/// All but the effects.
pub(super) fn delete(connection: &Connection, job: JobId) -> Result<bool, StoreError> {
    let delete = || -> rusqlite::Result<bool> {
        for statement in [
            "DELETE FROM chunks WHERE job = ?1",
            "DELETE FROM results WHERE job = ?1",
            "DELETE FROM events WHERE job = ?1",
            "DELETE FROM idempotency WHERE job = ?1",
        ] {
            connection.prepare_cached(statement)?.execute([bytes(job)])?;
        }
        Ok(connection.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([bytes(job)])? == 1)
    };
    delete().map_err(|error| failed_at("job", Some(job), &error))
}

/// SQLite's integers have a sign. No time and no number of ours comes near the end.
pub(super) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn bytes(job: JobId) -> [u8; 16] {
    job.as_uuid().into_bytes()
}
