//! Where jobs are kept: header, chunk records, results, event log and remembered effects.
//!
//! What a store promises:
//! - [`Store::commit`] and [`Store::create`] are all or nothing, and what they have acknowledged survives the death
//!   of every process at any moment. They know nothing of jobs: they write what a [`Step`] says.
//! - A commit whose step was computed on an older revision is refused with [`Commit::Conflict`] and changes nothing.
//!   So of all who advance a job at the same time exactly one goes through; the others load and compute again.
//! - What is acknowledged is seen by every later read, in whatever process.
//! - [`Store::load`] gives header and records of one revision, never a mixture of two.
//! - Events come back in the order of their ids without a hole, as they were written.
//! - An effect is remembered from the commit that brought it until [`Store::effect_done`], which is harmless twice.
//! - The cost of a commit does not depend on the number of chunks, events or jobs (but for index depth).
//! - Jobs are listed in the order of their creation, each from [`Store::create`] on until it is deleted, or its time is over.
//! - Records with fields that this program does not know are read; the unknown fields are left out at the next write.
//! - A record that can't be understood is a [`StoreError::Damaged`], and no other job suffers from it.

pub mod embedded;
mod error;
mod listing;
mod redis;
mod rows;

pub use embedded::EmbeddedStore;
pub use error::StoreError;
use futures::future::BoxFuture;
pub use listing::{JobKey, JobRange, ListedJob, Order};
pub use redis::RedisStore;
use scriptorium_contracts::event::EventRecord;
use scriptorium_contracts::job::{ChunkRecord, Effect, JobHeader, Step};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::transcript::ChunkResult;
use scriptorium_contracts::{JobId, Timestamp};
use std::collections::BTreeMap;

/// A page of events ends when it has this many bytes, so that a reader's memory stays bounded whatever the texts.
pub const MAX_EVENT_PAGE_BYTES: usize = 4 << 20;
/// Milliseconds for which an idempotency key is remembered.
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;

/// A client's key against making a job twice, already scoped to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// Of the request's body: the same key with another body is a client's mistake.
    pub body_hash: String,
}

impl Idempotency {
    /// What the key stands for: the job that a request with this body has made.
    fn found(&self, job: JobId, body_hash: &str) -> Created {
        if self.body_hash == body_hash { Created::Existing(job) } else { Created::KeyReused }
    }
}

/// Outcome of [`Store::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// The key has made this job already (or the job itself is there): nothing was written.
    Existing(JobId),
    /// The key was used with another body: nothing was written.
    KeyReused,
}

/// Outcome of [`Store::commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Done,
    /// The job has moved on (or does not exist): nothing was written.
    Conflict,
}

/// Where an effect stands in the order of due effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectKey {
    pub due: Timestamp,
    pub job: JobId,
    pub number: u64,
}

/// An effect that is due. One that can't be understood is an error of its own, so that it never hides the others.
#[derive(Clone, Debug, PartialEq)]
pub struct DueEffect {
    pub key: EffectKey,
    pub effect: Result<Effect, StoreError>,
}

/// A job's header and some of its chunk records.
pub type Loaded = (JobHeader, BTreeMap<u32, ChunkRecord>);

/// The port; see the module's promises.
#[derive(Clone, Debug)]
pub enum Store {
    Embedded(EmbeddedStore),
    Redis(RedisStore),
}

impl Store {
    /// Writes the first step of a job. The key is remembered for [`IDEMPOTENCY_MS`] from `step.header.created_at`.
    pub fn create<'a>(
        &'a self,
        step: &'a Step,
        idempotency: Option<Idempotency>,
    ) -> BoxFuture<'a, Result<Created, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.create(step, idempotency)),
            Self::Redis(store) => Box::pin(store.create(step, idempotency)),
        }
    }

    /// What [`Store::create`] would answer without writing anything, if this key has made a job that is there. `None` says
    /// nothing: the job may just be being made.
    pub fn made_before<'a>(
        &'a self,
        key: &'a Idempotency,
    ) -> BoxFuture<'a, Result<Option<Created>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.made_before(key)),
            Self::Redis(store) => Box::pin(store.made_before(key)),
        }
    }

    /// The header and the named chunk records (those that exist), all of one revision. `None`: no such job.
    pub fn load<'a>(
        &'a self,
        job: JobId,
        chunks: &'a [u32],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.load(job, chunks)),
            Self::Redis(store) => Box::pin(store.load(job, chunks)),
        }
    }

    /// Writes a step if the stored revision is `step.header.revision - 1`. An error may mean that it was written or
    /// that it was not; loading again tells.
    pub fn commit<'a>(&'a self, step: &'a Step) -> BoxFuture<'a, Result<Commit, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.commit(step)),
            Self::Redis(store) => Box::pin(store.commit(step)),
        }
    }

    /// Chunk records in the order of their numbers, from `from` on. Fewer than `limit` means the end.
    pub fn chunk_records(
        &self,
        job: JobId,
        from: u32,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<ChunkRecord>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.chunk_records(job, from, limit)),
            Self::Redis(store) => Box::pin(store.chunk_records(job, from, limit)),
        }
    }

    /// The result of a chunk, the last one if it was done again.
    pub fn result(&self, job: JobId, chunk: u32) -> BoxFuture<'_, Result<Option<ChunkResult>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.result(job, chunk)),
            Self::Redis(store) => Box::pin(store.result(job, chunk)),
        }
    }

    /// Events with an id above `after`, in order, at most `limit` of them. A page also ends at
    /// [`MAX_EVENT_PAGE_BYTES`]: only an *empty* page means that there are no more.
    pub fn events(
        &self,
        job: JobId,
        after: u64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<EventRecord>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.events(job, after, limit)),
            Self::Redis(store) => Box::pin(store.events(job, after, limit)),
        }
    }

    /// Effects that are due at `now`, in the order of their keys, from behind `after` on.
    pub fn due_effects(
        &self,
        now: Timestamp,
        after: Option<EffectKey>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<DueEffect>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.due_effects(now, after, limit)),
            Self::Redis(store) => Box::pin(store.due_effects(now, after, limit)),
        }
    }

    /// Forgets an effect. Harmless twice.
    pub fn effect_done(&self, job: JobId, number: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.effect_done(job, number)),
            Self::Redis(store) => Box::pin(store.effect_done(job, number)),
        }
    }

    /// When the first effect that is due later than `after` will be due.
    pub fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.next_due(after)),
            Self::Redis(store) => Box::pin(store.next_due(after)),
        }
    }

    /// Jobs that are not final or whose temporary objects are not released yet, in the order of their ids, from
    /// behind `after` on. Fewer than `limit` means the end.
    pub fn jobs_to_sweep(
        &self,
        after: Option<JobId>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<JobId>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.jobs_to_sweep(after, limit)),
            Self::Redis(store) => Box::pin(store.jobs_to_sweep(after, limit)),
        }
    }

    /// The jobs of a tenant, or those of none, in the order of their creation, from behind `range.after` on, at most `limit` of
    /// them. Only an *empty* page means that there are no more. What it costs does not depend on how many jobs others have.
    pub fn jobs<'a>(
        &'a self,
        tenant: Option<&'a TenantName>,
        range: JobRange,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<ListedJob>, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.jobs(tenant, range, limit)),
            Self::Redis(store) => Box::pin(store.jobs(tenant, range, limit)),
        }
    }

    /// Forgets a job: header, chunk records, results, events, idempotency keys. What is still to be done for it
    /// ([`Store::due_effects`]) is kept until it is done. Harmless twice. True if the job was there.
    pub fn delete(&self, job: JobId) -> BoxFuture<'_, Result<bool, StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.delete(job)),
            Self::Redis(store) => Box::pin(store.delete(job)),
        }
    }

    /// A store outside of this process may lose its last second when it is restarted (Redis with `appendfsync everysec`).
    /// `Some`: it was, and [`Store::healed`] has not been told so since; what it knows of the queue may be outdated.
    pub fn restarted(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async move {
            match self {
                Self::Embedded(_) => Ok(None),
                Self::Redis(store) => store.restarted().await,
            }
        })
    }

    /// The jobs were looked through after the restart that [`Store::restarted`] told of. Harmless twice.
    pub fn healed<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            match self {
                Self::Embedded(_) => Ok(()),
                Self::Redis(store) => store.healed(run).await,
            }
        })
    }

    /// Readiness: does the store answer?
    pub fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        match self {
            Self::Embedded(store) => Box::pin(store.ping()),
            Self::Redis(store) => Box::pin(store.ping()),
        }
    }

    /// Waits for the writes under way and lets go of files and connections. Later calls are refused.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        match self {
            Self::Embedded(store) => Box::pin(store.close()),
            Self::Redis(store) => Box::pin(store.close()),
        }
    }
}
