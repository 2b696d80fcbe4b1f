//! The directory in an SQLite file of its own. Several processes may have it open: the server, and the command that makes keys.

mod webhooks;

use super::{
    Added, Bounds, Entry, KeyState, Ledger, Look, MAX_KEYS, MAX_TENANTS, Reserved, StaleEntry, day_of,
    decode, encode,
};
use crate::store::StoreError;
use crate::store::embedded::schema::{connect, failed_at, migrate};
use crate::store::embedded::thread::{StoreThread, read_each, write_together};
use rusqlite::{Connection, OptionalExtension, Row, params};
use scriptorium_contracts::tenant::{KeyRecord, TenantLimits, TenantName};
use scriptorium_contracts::{JobId, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// As those of the job store. Records are JSON, times milliseconds since 1970.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE keys (
        id TEXT PRIMARY KEY NOT NULL,
        record TEXT NOT NULL,
        revoked INTEGER
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE tenants (
        name TEXT PRIMARY KEY NOT NULL,
        limits TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE ledger (
        tenant TEXT NOT NULL,
        job BLOB NOT NULL,
        at INTEGER NOT NULL,
        open INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        audio_ms INTEGER NOT NULL,
        looked INTEGER NOT NULL,
        PRIMARY KEY (tenant, job)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ledger_looked ON ledger (tenant, looked, job);

    CREATE TABLE audio (
        tenant TEXT NOT NULL,
        day INTEGER NOT NULL,
        ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, day)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE signing (
        tenant TEXT PRIMARY KEY NOT NULL,
        secrets TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE receivers (
        id TEXT PRIMARY KEY NOT NULL,
        disabled INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
];

/// Days for which the sums of audio are kept.
const AUDIO_DAYS: u64 = 2;
/// Entries of one page.
const MAX_PAGE: u32 = 1_024;

/// See the promises of [`super`]. Clones share the threads, which end when the last clone is gone.
#[derive(Clone, Debug)]
pub struct EmbeddedDirectory {
    threads: Arc<Threads>,
}

#[derive(Debug)]
struct Threads {
    reader: StoreThread,
    writer: StoreThread,
}

impl EmbeddedDirectory {
    /// Opens the file, or makes it; its folder must exist. Blocks for the time of a few disk accesses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writing = connect(path)?;
        migrate(&mut writing, MIGRATIONS)?;
        let reading = connect(path)?;
        let writer = StoreThread::start("tenants-writer", writing, None, write_together)?;
        let reader = StoreThread::start("tenants-reader", reading, None, read_each)?;
        Ok(Self { threads: Arc::new(Threads { reader, writer }) })
    }

    async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let work = move |connection: &Connection| work(connection).map_err(|e| failed_at(what, None, &e));
        self.threads.writer.run(work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let work = move |connection: &Connection| work(connection).map_err(|e| failed_at(what, None, &e));
        self.threads.reader.run(work).await
    }

    pub(super) async fn add_key(&self, record: &KeyRecord) -> Result<Added, StoreError> {
        let (id, record) = (record.id.clone(), encode(record)?);
        self.write("key", move |connection| {
            let insert = "INSERT INTO keys (id, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            let count =
                "SELECT (SELECT count(*) FROM keys) >= ?1 AND NOT EXISTS (SELECT 1 FROM keys WHERE id = ?2)";
            let full: bool = connection.query_row(count, params![MAX_KEYS, id], |row| row.get(0))?;
            if full {
                return Ok(Added::Full);
            }
            connection.execute(insert, params![id, record])?;
            Ok(Added::Done)
        })
        .await
    }

    pub(super) async fn forget_keys(&self, ids: Vec<String>) -> Result<(), StoreError> {
        self.write("key", move |connection| {
            let mut statement = connection.prepare_cached("DELETE FROM keys WHERE id = ?1")?;
            ids.iter().try_for_each(|id| statement.execute([id]).map(drop))
        })
        .await
    }

    pub(super) async fn key(&self, id: &str) -> Result<Option<KeyState>, StoreError> {
        let id = id.to_owned();
        let found = self.read("key", move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT record, revoked FROM keys WHERE id = ?1")?;
            statement.query_row([id], key_row).optional()
        });
        found.await?.map(key_state).transpose()
    }

    pub(super) async fn keys(&self) -> Result<Vec<KeyState>, StoreError> {
        let found = self.read("key", |connection| {
            let mut statement = connection.prepare("SELECT record, revoked FROM keys LIMIT ?1")?;
            statement.query_map([MAX_KEYS], key_row)?.collect::<rusqlite::Result<Vec<_>>>()
        });
        found.await?.into_iter().map(key_state).collect()
    }

    pub(super) async fn revoke(&self, id: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let id = id.to_owned();
        let revoked = self.write("key", move |connection| {
            let revoke = "UPDATE keys SET revoked = coalesce(revoked, ?2) WHERE id = ?1 RETURNING revoked";
            connection.query_row(revoke, params![id, sql(now.0)], |row| unsigned(row, 0)).optional()
        });
        Ok(revoked.await?.map(Timestamp))
    }

    pub(super) async fn set_limits(
        &self,
        tenant: &TenantName,
        limits: TenantLimits,
    ) -> Result<Added, StoreError> {
        let (tenant, text) = (tenant.to_string(), encode(&limits)?);
        self.write("tenant", move |connection| {
            connection.execute("DELETE FROM tenants WHERE name = ?1", [&tenant])?;
            if limits == TenantLimits::default() {
                return Ok(Added::Done);
            }
            let count: u32 = connection.query_row("SELECT count(*) FROM tenants", [], |row| row.get(0))?;
            if count >= MAX_TENANTS {
                return Ok(Added::Full);
            }
            connection.execute("INSERT INTO tenants (name, limits) VALUES (?1, ?2)", [tenant, text])?;
            Ok(Added::Done)
        })
        .await
    }

    pub(super) async fn limits(&self, tenant: &TenantName) -> Result<TenantLimits, StoreError> {
        let tenant = tenant.to_string();
        let found = self.read("tenant", move |connection| {
            let mut statement = connection.prepare_cached("SELECT limits FROM tenants WHERE name = ?1")?;
            statement.query_row([tenant], |row| row.get::<_, String>(0)).optional()
        });
        found.await?.map_or_else(|| Ok(TenantLimits::default()), |text| decode("tenant", text))
    }

    pub(super) async fn reserve(
        &self,
        tenant: &TenantName,
        entry: Entry,
        bounds: Bounds,
    ) -> Result<Reserved, StoreError> {
        let tenant = tenant.to_string();
        self.write("ledger", move |connection| {
            let there = "SELECT EXISTS (SELECT 1 FROM ledger WHERE tenant = ?1 AND job = ?2)";
            if connection.prepare_cached(there)?.query_row(params![tenant, bytes(entry.job)], |row| row.get(0))? {
                return Ok(Reserved::Done);
            }
            let day = day_of(entry.at);
            let ledger = sums(connection, &tenant, day)?;
            if let Some(quota) = ledger.passed(entry.bytes, &bounds) {
                return Ok(Reserved::Refused(quota, ledger));
            }
            connection
                .prepare_cached("DELETE FROM audio WHERE tenant = ?1 AND day < ?2")?
                .execute(params![tenant, sql(day.saturating_sub(AUDIO_DAYS))])?;
            connection
                .prepare_cached(
                    "INSERT INTO ledger (tenant, job, at, open, bytes, audio_ms, looked) VALUES (?1, ?2, ?3, 1, ?4, 0, ?3)",
                )?
                .execute(params![tenant, bytes(entry.job), sql(entry.at.0), sql(entry.bytes)])?;
            Ok(Reserved::Done)
        })
        .await
    }

    pub(super) async fn look(
        &self,
        tenant: &TenantName,
        job: JobId,
        look: Look,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let tenant = tenant.to_string();
        self.write("ledger", move |connection| match look {
            Look::Gone => remove(connection, &tenant, job),
            Look::There { open, kept, audio_ms } => {
                account(connection, &tenant, job, audio_ms)?;
                if !open && !kept {
                    return remove(connection, &tenant, job);
                }
                connection
                    .prepare_cached(
                        "UPDATE ledger SET open = ?3, bytes = iif(?4, bytes, 0), audio_ms = ?5, looked = ?6
                         WHERE tenant = ?1 AND job = ?2",
                    )?
                    .execute(params![tenant, bytes(job), open, kept, sql(audio_ms), sql(now.0)])?;
                Ok(())
            }
        })
        .await
    }

    pub(super) async fn stale(&self, tenant: &TenantName, limit: u32) -> Result<Vec<StaleEntry>, StoreError> {
        let (tenant, limit) = (tenant.to_string(), limit.min(MAX_PAGE));
        self.read("ledger", move |connection| {
            connection
                .prepare_cached("SELECT job, at FROM ledger WHERE tenant = ?1 ORDER BY looked, job LIMIT ?2")?
                .query_map(params![tenant, limit], |row| {
                    let job = JobId::new(uuid::Uuid::from_bytes(row.get(0)?));
                    Ok(StaleEntry { job, at: Timestamp(unsigned(row, 1)?) })
                })?
                .collect()
        })
        .await
    }

    pub(super) async fn ledger(&self, tenant: &TenantName, day: u64) -> Result<Ledger, StoreError> {
        let tenant = tenant.to_string();
        self.read("ledger", move |connection| sums(connection, &tenant, day)).await
    }

    pub(super) async fn close(&self) {
        let threads = self.threads.clone();
        // Joining a thread blocks.
        let closing = tokio::task::spawn_blocking(move || {
            threads.reader.close();
            threads.writer.close();
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "the directory of tenants was not closed in order");
        }
    }
}

fn sums(connection: &Connection, tenant: &str, day: u64) -> rusqlite::Result<Ledger> {
    let sums = "SELECT coalesce(sum(open), 0), coalesce(sum(bytes), 0),
                       coalesce((SELECT ms FROM audio WHERE tenant = ?1 AND day = ?2), 0)
                FROM ledger WHERE tenant = ?1";
    connection.prepare_cached(sums)?.query_row(params![tenant, sql(day)], |row| {
        Ok(Ledger { open_jobs: row.get(0)?, bytes: unsigned(row, 1)?, audio_ms: unsigned(row, 2)? })
    })
}

/// Adds what a job tells now beyond what it has told before to the day on which it was made.
fn account(connection: &Connection, tenant: &str, job: JobId, audio_ms: u64) -> rusqlite::Result<()> {
    let known = connection
        .prepare_cached("SELECT at, audio_ms FROM ledger WHERE tenant = ?1 AND job = ?2")?
        .query_row(params![tenant, bytes(job)], |row| Ok((Timestamp(unsigned(row, 0)?), unsigned(row, 1)?)))
        .optional()?;
    let Some((at, told)) = known.filter(|(_, told)| *told != audio_ms) else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO audio (tenant, day, ms) VALUES (?1, ?2, max(0, ?3))
             ON CONFLICT DO UPDATE SET ms = max(0, ms + ?3)",
        )?
        .execute(params![tenant, sql(day_of(at)), sql(audio_ms) - sql(told)])?;
    Ok(())
}

fn remove(connection: &Connection, tenant: &str, job: JobId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM ledger WHERE tenant = ?1 AND job = ?2")?
        .execute(params![tenant, bytes(job)])?;
    Ok(())
}

type KeyRow = (String, Option<u64>);

fn key_row(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let revoked: Option<i64> = row.get(1)?;
    let revoked = revoked.map(|_| unsigned(row, 1)).transpose()?;
    Ok((row.get(0)?, revoked))
}

fn key_state((record, revoked): KeyRow) -> Result<KeyState, StoreError> {
    Ok(KeyState { record: decode("key", record)?, revoked_at: revoked.map(Timestamp) })
}

fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bytes(job: JobId) -> [u8; 16] {
    job.as_uuid().into_bytes()
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

#[cfg(test)]
mod tests {
    use super::super::{Directory, NewKey};
    use super::*;

    fn open(folder: &Path) -> Directory {
        Directory::Embedded(EmbeddedDirectory::open(&folder.join("tenants.sqlite")).unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_a_directory() {
        let folders = std::sync::Mutex::new(Vec::new());
        let make = async || {
            let folder = tempfile::tempdir().unwrap();
            let directory = open(folder.path());
            folders.lock().unwrap().push(folder);
            directory
        };
        crate::testing::directory_contract(make).await;
    }

    /// As the command does while the server runs.
    #[tokio::test(flavor = "multi_thread")]
    async fn two_that_have_it_open_see_what_the_other_does() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (open(folder.path()), open(folder.path()));
        let key = NewKey::random("acme".parse().unwrap(), None, Timestamp(1), None).record;
        assert_eq!(one.add_key(&key).await.unwrap(), Added::Done);
        assert_eq!(other.key(&key.id).await.unwrap().unwrap().record, key);
        assert_eq!(other.revoke(&key.id, Timestamp(9)).await.unwrap(), Some(Timestamp(9)));
        assert_eq!(one.key(&key.id).await.unwrap().unwrap().revoked_at, Some(Timestamp(9)));
        one.close().await;
        other.close().await;
        assert!(one.keys().await.is_err());
        // All of it is in the file.
        assert_eq!(open(folder.path()).keys().await.unwrap().len(), 1);
    }
}
