//! What is read. Each function runs in a transaction, so all that it reads is of one state. Texts are understood
//! outside of the reading thread.

use super::super::{Created, EffectKey, Idempotency, JobKey, JobRange, Order, StoreError};
use super::schema::failed_at;
use super::write::{bytes, sql};
use rusqlite::{Connection, OptionalExtension, Row, params};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, Timestamp};

/// Header and chunk records.
type LoadedRows = (String, Vec<(u32, String)>);

pub(super) fn load(
    connection: &Connection,
    job: JobId,
    chunks: &[u32],
) -> Result<Option<LoadedRows>, StoreError> {
    let load = || -> rusqlite::Result<Option<LoadedRows>> {
        let header = connection
            .prepare_cached("SELECT header FROM jobs WHERE id = ?1")?
            .query_row([bytes(job)], |row| row.get(0))
            .optional()?;
        let Some(header) = header else { return Ok(None) };
        let mut statement =
            connection.prepare_cached("SELECT record FROM chunks WHERE job = ?1 AND chunk = ?2")?;
        let mut records = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let record = statement.query_row(params![bytes(job), chunk], |row| row.get(0)).optional()?;
            records.extend(record.map(|record| (*chunk, record)));
        }
        Ok(Some((header, records)))
    };
    load().map_err(|error| failed_at("header or chunk record", Some(job), &error))
}

/// What came of this key before.
pub(super) fn made_before(
    connection: &Connection,
    wanted: &Idempotency,
    now: Timestamp,
) -> Result<Option<Created>, StoreError> {
    let known = known_key(connection, &wanted.key, now)
        .map_err(|error| failed_at("idempotency key", None, &error))?;
    Ok(known.map(|(job, body_hash)| wanted.found(job, &body_hash)))
}

fn known_key(
    connection: &Connection,
    key: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<(JobId, String)>> {
    connection
        .prepare_cached("SELECT job, body_hash FROM idempotency WHERE key = ?1 AND expires > ?2")?
        .query_row(params![key, sql(now.0)], |row| Ok((job_id(row, 0)?, row.get(1)?)))
        .optional()
}

pub(super) fn chunk_records(
    connection: &Connection,
    job: JobId,
    from: u32,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        connection
            .prepare_cached(
                "SELECT record FROM chunks WHERE job = ?1 AND chunk >= ?2 ORDER BY chunk LIMIT ?3",
            )?
            .query_map(params![bytes(job), from, limit], |row| row.get(0))?
            .collect()
    };
    read().map_err(|error| failed_at("chunk record", Some(job), &error))
}

pub(super) fn result(connection: &Connection, job: JobId, chunk: u32) -> Result<Option<String>, StoreError> {
    let read = || -> rusqlite::Result<Option<String>> {
        connection
            .prepare_cached("SELECT result FROM results WHERE job = ?1 AND chunk = ?2")?
            .query_row(params![bytes(job), chunk], |row| row.get(0))
            .optional()
    };
    read().map_err(|error| failed_at("chunk result", Some(job), &error))
}

/// Ends at `limit` rows or with the row that brings the page to `max_bytes`.
pub(super) fn events(
    connection: &Connection,
    job: JobId,
    after: u64,
    limit: u32,
    max_bytes: usize,
) -> Result<Vec<String>, StoreError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection
            .prepare_cached("SELECT event FROM events WHERE job = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
        let mut rows = statement.query(params![bytes(job), sql(after), limit])?;
        let (mut events, mut size) = (Vec::new(), 0);
        while size < max_bytes
            && let Some(row) = rows.next()?
        {
            let event: String = row.get(0)?;
            size += event.len();
            events.push(event);
        }
        Ok(events)
    };
    read().map_err(|error| failed_at("event", Some(job), &error))
}

pub(super) fn due_effects(
    connection: &Connection,
    now: Timestamp,
    after: Option<EffectKey>,
    limit: u32,
) -> Result<Vec<(EffectKey, String)>, StoreError> {
    // Before all: no effect has the number 0.
    let (due, job, number) =
        after.map_or((0, [0; 16], 0), |key| (sql(key.due.0), bytes(key.job), sql(key.number)));
    let read = || -> rusqlite::Result<Vec<(EffectKey, String)>> {
        connection
            .prepare_cached(
                "SELECT due, job, number, effect FROM effects
                 WHERE due <= ?1 AND (due, job, number) > (?2, ?3, ?4) ORDER BY due, job, number LIMIT ?5",
            )?
            .query_map(params![sql(now.0), due, job, number, limit], |row| {
                let due = Timestamp(number_of(row, 0)?);
                let key = EffectKey { due, job: job_id(row, 1)?, number: number_of(row, 2)? };
                Ok((key, row.get(3)?))
            })?
            .collect()
    };
    read().map_err(|error| failed_at("effect", None, &error))
}

pub(super) fn next_due(connection: &Connection, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let read = || -> rusqlite::Result<Option<Timestamp>> {
        connection
            .prepare_cached("SELECT due FROM effects WHERE due > ?1 ORDER BY due LIMIT 1")?
            .query_row([sql(after.0)], |row| Ok(Timestamp(number_of(row, 0)?)))
            .optional()
    };
    read().map_err(|error| failed_at("effect", None, &error))
}

pub(super) fn jobs_to_sweep(
    connection: &Connection,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<JobId>, StoreError> {
    // Every id is longer than none.
    let after = after.map_or(Vec::new(), |job| bytes(job).to_vec());
    let read = || -> rusqlite::Result<Vec<JobId>> {
        connection
            .prepare_cached("SELECT id FROM jobs WHERE open = 1 AND id > ?1 ORDER BY id LIMIT ?2")?
            .query_map(params![after, limit], |row| job_id(row, 0))?
            .collect()
    };
    read().map_err(|error| failed_at("job id", None, &error))
}

pub(super) fn jobs(
    connection: &Connection,
    tenant: Option<&TenantName>,
    range: &JobRange,
    limit: u32,
) -> Result<Vec<(JobKey, String)>, StoreError> {
    let newest_first = "SELECT created, id, header FROM jobs
         WHERE tenant = ?6 AND created >= ?1 AND created < ?2 AND (created, id) < (?3, ?4)
         ORDER BY created DESC, id DESC LIMIT ?5";
    let oldest_first = "SELECT created, id, header FROM jobs
         WHERE tenant = ?6 AND created >= ?1 AND created < ?2 AND (created, id) > (?3, ?4)
         ORDER BY created, id LIMIT ?5";
    let (statement, before_all) = match range.order {
        Order::NewestFirst => (newest_first, (i64::MAX, vec![u8::MAX; 17])),
        Order::OldestFirst => (oldest_first, (-1, Vec::new())),
    };
    let (created, id) = range.after.map_or(before_all, |key| (sql(key.created.0), bytes(key.job).to_vec()));
    let tenant = tenant.map_or("", TenantName::as_str);
    let read = || -> rusqlite::Result<Vec<(JobKey, String)>> {
        connection
            .prepare_cached(statement)?
            .query_map(params![sql(range.from.0), sql(range.until.0), created, id, limit, tenant], |row| {
                let key = JobKey { created: Timestamp(number_of(row, 0)?), job: job_id(row, 1)? };
                Ok((key, row.get(2)?))
            })?
            .collect()
    };
    read().map_err(|error| failed_at("header", None, &error))
}

pub(super) fn job_id(row: &Row<'_>, column: usize) -> rusqlite::Result<JobId> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(JobId::new(uuid::Uuid::from_bytes(bytes)))
}

fn number_of(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
