//! The store in one SQLite file: write-ahead log, `synchronous=FULL`, so a commit that has returned is on the disk.
//!
//! One thread writes. Commits that wait while another one is written go together into the next transaction (a
//! *group commit*): each in a savepoint of its own, one fsync for all. Another thread reads, and never waits for the
//! writer. Both end with the store.

mod read;
pub(crate) mod schema;
pub(crate) mod thread;
mod write;

#[cfg(test)]
mod tests;

use super::rows::{Rows, decode};
use super::{
    Commit, Created, DueEffect, EffectKey, Idempotency, JobRange, ListedJob, MAX_EVENT_PAGE_BYTES, StoreError,
};
use crate::clock;
use rusqlite::Connection;
use scriptorium_contracts::event::EventRecord;
use scriptorium_contracts::job::{ChunkRecord, JobHeader, Step};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::transcript::ChunkResult;
use scriptorium_contracts::{JobId, Timestamp};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use thread::{StoreThread, read_each, write_together};

/// Rows of one page, whatever the caller asks for.
const MAX_PAGE: u32 = 10_240;

/// See the promises of [`super`]. Clones share the threads, which end when the last clone is gone.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    threads: Arc<Threads>,
}

#[derive(Debug)]
struct Threads {
    // Dropped first: the writer, which ends last when the store is closed, keeps the lock on the file.
    reader: StoreThread,
    writer: StoreThread,
}

impl EmbeddedStore {
    /// Opens the file, or makes it; its folder must exist. A file of an older version is brought up to date, one of
    /// a newer version or one that another process has open is refused. Blocks for the time of a few disk accesses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let mut writing = schema::connect(path)?;
        schema::migrate(&mut writing, schema::MIGRATIONS)?;
        sync_folder(path)?;
        let reading = schema::connect(path)?;
        let writer = StoreThread::start("store-writer", writing, Some(lock), write_together)?;
        let reader = StoreThread::start("store-reader", reading, None, read_each)?;
        Ok(Self { threads: Arc::new(Threads { reader, writer }) })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.threads.writer.run(work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.threads.reader.run(work).await
    }

    pub(super) async fn create(
        &self,
        step: &Step,
        idempotency: Option<Idempotency>,
    ) -> Result<Created, StoreError> {
        let (rows, now) = (Rows::of(step)?, step.header.created_at);
        self.write(move |connection| write::create(connection, &rows, idempotency.as_ref(), now)).await
    }

    pub(super) async fn made_before(&self, key: &Idempotency) -> Result<Option<Created>, StoreError> {
        let (key, now) = (key.clone(), clock::now());
        self.read(move |connection| read::made_before(connection, &key, now)).await
    }

    pub(super) async fn commit(&self, step: &Step) -> Result<Commit, StoreError> {
        let rows = Rows::of(step)?;
        self.write(move |connection| write::commit(connection, &rows)).await
    }

    pub(super) async fn effect_done(&self, job: JobId, number: u64) -> Result<(), StoreError> {
        self.write(move |connection| write::effect_done(connection, job, number)).await
    }

    pub(super) async fn load(
        &self,
        job: JobId,
        chunks: &[u32],
    ) -> Result<Option<(JobHeader, BTreeMap<u32, ChunkRecord>)>, StoreError> {
        let chunks = chunks.to_vec();
        let Some((header, records)) =
            self.read(move |connection| read::load(connection, job, &chunks)).await?
        else {
            return Ok(None);
        };
        let header = decode("header", job, &header)?;
        let records = records
            .into_iter()
            .map(|(chunk, record)| Ok((chunk, decode("chunk record", job, &record)?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Some((header, records)))
    }

    pub(super) async fn chunk_records(
        &self,
        job: JobId,
        from: u32,
        limit: u32,
    ) -> Result<Vec<ChunkRecord>, StoreError> {
        let limit = limit.min(MAX_PAGE);
        let records = self.read(move |connection| read::chunk_records(connection, job, from, limit)).await?;
        records.iter().map(|record| decode("chunk record", job, record)).collect()
    }

    pub(super) async fn result(&self, job: JobId, chunk: u32) -> Result<Option<ChunkResult>, StoreError> {
        let result = self.read(move |connection| read::result(connection, job, chunk)).await?;
        result.map(|result| decode("chunk result", job, &result)).transpose()
    }

    pub(super) async fn events(
        &self,
        job: JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let limit = limit.min(MAX_PAGE);
        let events = self
            .read(move |connection| read::events(connection, job, after, limit, MAX_EVENT_PAGE_BYTES))
            .await?;
        events.iter().map(|event| decode("event", job, event)).collect()
    }

    pub(super) async fn due_effects(
        &self,
        now: Timestamp,
        after: Option<EffectKey>,
        limit: u32,
    ) -> Result<Vec<DueEffect>, StoreError> {
        let limit = limit.min(MAX_PAGE);
        let due = self.read(move |connection| read::due_effects(connection, now, after, limit)).await?;
        Ok(due
            .into_iter()
            .map(|(key, effect)| DueEffect { key, effect: decode("effect", key.job, &effect) })
            .collect())
    }

    pub(super) async fn jobs(
        &self,
        tenant: Option<&TenantName>,
        range: JobRange,
        limit: u32,
    ) -> Result<Vec<ListedJob>, StoreError> {
        let (tenant, limit) = (tenant.cloned(), limit.min(MAX_PAGE));
        let jobs =
            self.read(move |connection| read::jobs(connection, tenant.as_ref(), &range, limit)).await?;
        Ok(jobs
            .into_iter()
            .map(|(key, header)| ListedJob { key, header: decode("header", key.job, &header) })
            .collect())
    }

    pub(super) async fn delete(&self, job: JobId) -> Result<bool, StoreError> {
        self.write(move |connection| write::delete(connection, job)).await
    }

    pub(super) async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |connection| read::next_due(connection, after)).await
    }

    pub(super) async fn jobs_to_sweep(
        &self,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        let limit = limit.min(MAX_PAGE);
        self.read(move |connection| read::jobs_to_sweep(connection, after, limit)).await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await?;
        self.read(|_| Ok(())).await
    }

    pub(super) async fn close(&self) {
        let threads = self.threads.clone();
        // Joining a thread blocks.
        let closing = tokio::task::spawn_blocking(move || {
            threads.reader.close();
            threads.writer.close();
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "the job store was not closed in order");
        }
    }
}

/// Two processes on one file would each have a queue of their own, and each do all the work. The lock is the
/// operating system's, so it ends with the process, however that ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let unavailable = |error: std::io::Error| StoreError::unavailable(format!("{}: {error}", path.display()));
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).append(true).open(name).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// A new file is only safe once its folder is. SQLite does this for its journals, not for the file itself.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::unavailable(format!("{}: {error}", folder.display())))
}

impl StoreError {
    /// The disk does not do what it should; texts that tell what to do about it.
    fn unavailable(what: impl std::fmt::Display) -> Self {
        Self::Unavailable { detail: format!("{what}; check the disk space and the folder's permissions") }
    }
}
