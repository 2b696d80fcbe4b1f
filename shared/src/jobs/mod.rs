//! The loop that advances a job: load → step → commit → wake the readers → perform the effects.
//!
//! State first, then effects: a process that dies at any point in between loses nothing. The effects of a commit stay
//! remembered until they are done; [`Jobs::sweep_once`] performs those that nobody has performed. Everything here
//! may run in several processes at once.

mod delete;
mod error;
mod list;
mod perform;
mod sweep;
#[cfg(test)]
mod tests;

use crate::bus::Bus;
use crate::clock;
use crate::objects::Objects;
use crate::queue::Queue;
use crate::source::DueSources;
use crate::store::{Commit, Created, Idempotency, Store};
use crate::webhook::DueWebhooks;
use backon::{BackoffBuilder, ExponentialBuilder};
pub use delete::{Deleted, Erased};
pub use error::JobsError;
use futures::future::BoxFuture;
pub use list::{JobPage, JobQuery, MAX_LISTED_JOBS};
use scriptorium_contracts::job::{self, Effect, Input, JobHeader, NewJob, PendingEffect, Step, StepError};
use scriptorium_contracts::{JobId, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How often a commit is tried while others advance the same job.
const MAX_TRIES: usize = 50;
/// How often a job is made for a key whose earlier job was deleted.
const MAX_CREATIONS: usize = 3;
/// How often one try may load further chunk records.
const MAX_LOADS: usize = 8;
/// Jobs are spread over this many locks.
const LOCKS: usize = 256;
/// Milliseconds for which the messages of a commit are left to the process that made it, before the sweep sends them.
pub const PERFORM_GRACE_MS: u64 = 5_000;

/// All that is needed to advance jobs. Cheap to clone; clones belong together.
#[derive(Clone)]
pub struct Jobs {
    pub store: Store,
    pub queue: Queue,
    pub bus: Bus,
    pub objects: Objects,
    /// Those of this process who advance the same job wait for one another here, and do not spend their tries on
    /// conflicts. Correctness does not rest on it: the store's revision does.
    locks: Arc<[Mutex<()>]>,
    /// Where the sweep puts the webhooks that are due.
    pub(crate) due_webhooks: DueWebhooks,
    /// And the recordings that are to be fetched.
    pub(crate) due_sources: DueSources,
}

/// Outcome of [`Jobs::create`].
#[derive(Clone, Debug, PartialEq)]
pub enum CreatedJob {
    New(JobHeader),
    /// The idempotency key has made this job before.
    Existing(JobHeader),
    /// The idempotency key was used for something else.
    KeyReused,
}

/// What became of one try.
enum Tried {
    Done(JobHeader, Vec<PendingEffect>),
    /// Nothing changes.
    Same(JobHeader),
    Conflict,
}

impl Jobs {
    pub fn new(store: Store, queue: Queue, bus: Bus, objects: Objects) -> Self {
        let locks = (0..LOCKS).map(|_| Mutex::new(())).collect();
        let (due_webhooks, due_sources) = (DueWebhooks::default(), DueSources::default());
        Self { store, queue, bus, objects, locks, due_webhooks, due_sources }
    }

    /// Makes a job.
    pub fn create(
        &self,
        new: NewJob,
        idempotency: Option<Idempotency>,
    ) -> BoxFuture<'_, Result<CreatedJob, JobsError>> {
        Box::pin(async move {
            let step = job::create(new, clock::now());
            for _ in 0..MAX_CREATIONS {
                match self.store.create(&step, idempotency.clone()).await? {
                    Created::New => {
                        self.wake(step.header.id).await;
                        return Ok(CreatedJob::New(step.header));
                    }
                    Created::Existing(id) => match self.header(id).await? {
                        Some(header) => return Ok(CreatedJob::Existing(header)),
                        // Deleted, and its records are about to go: with them the key is free. What is left of its objects
                        // is known to its effects.
                        None => self.store.delete(id).await?,
                    },
                    Created::KeyReused => return Ok(CreatedJob::KeyReused),
                };
            }
            Err(JobsError::Busy(step.header.id))
        })
    }

    /// What came of an idempotency key before, if the job is there; nothing is made. `None` says nothing.
    pub async fn made_before(&self, key: &Idempotency) -> Result<Option<CreatedJob>, JobsError> {
        match self.store.made_before(key).await? {
            Some(Created::Existing(id)) => Ok(self.header(id).await?.map(CreatedJob::Existing)),
            Some(Created::KeyReused) => Ok(Some(CreatedJob::KeyReused)),
            Some(Created::New) | None => Ok(None),
        }
    }

    /// Lets something happen to a job and returns its header after that. Once it has returned, the change is safe;
    /// its effects are performed or remembered. If it is dropped half-way, the change may have happened or not.
    pub fn advance(&self, job: JobId, input: Input) -> BoxFuture<'_, Result<JobHeader, JobsError>> {
        Box::pin(async move {
            let mut pauses = ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(1))
                .with_max_delay(Duration::from_millis(30))
                .with_max_times(MAX_TRIES - 1)
                .with_jitter()
                .build();
            let (header, messages) = loop {
                match self.try_advance(job, &input).await? {
                    Tried::Same(header) => return Ok(header),
                    Tried::Done(header, messages) => break (header, messages),
                    Tried::Conflict => match pauses.next() {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None => return Err(JobsError::Busy(job)),
                    },
                }
            };
            self.wake(job).await;
            self.send_fresh(job, messages).await;
            Ok(header)
        })
    }

    /// The job as it is now. One that was deleted is not there any more, though something of it may still be about to go.
    pub async fn header(&self, job: JobId) -> Result<Option<JobHeader>, JobsError> {
        let header = self.store.load(job, &[]).await?.map(|(header, _)| header);
        Ok(header.filter(|header| header.deleted_at.is_none()))
    }

    /// Wakes the readers after a commit. A commit to Redis has done so itself, in the same script: even if its maker
    /// died right after it.
    async fn wake(&self, job: JobId) {
        match (&self.store, &self.bus) {
            (Store::Redis(_), Bus::Redis(_)) => {}
            (Store::Embedded(_), Bus::Embedded(_) | Bus::Redis(_)) | (Store::Redis(_), Bus::Embedded(_)) => {
                self.bus.notify(job).await;
            }
        }
    }

    async fn lock(&self, job: JobId) -> Option<MutexGuard<'_, ()>> {
        let at = (job.as_uuid().as_u128() % LOCKS as u128) as usize;
        match self.locks.get(at) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }

    async fn try_advance(&self, job: JobId, input: &Input) -> Result<Tried, JobsError> {
        let _lock = self.lock(job).await;
        let mut wanted: Vec<u32> = input.chunk().into_iter().collect();
        for _ in 0..MAX_LOADS {
            let Some((header, chunks)) = self.store.load(job, &wanted).await? else {
                return Err(JobsError::NoSuchJob(job));
            };
            if header.deleted_at.is_some() && !matches!(input, Input::Delete { .. }) {
                return Err(JobsError::NoSuchJob(job));
            }
            let now = clock::now();
            match job::step(&header, &chunks, input.clone(), now) {
                Ok(None) => return Ok(Tried::Same(header)),
                Ok(Some(mut step)) => {
                    let messages = take_messages(&mut step, now);
                    return match self.store.commit(&step).await? {
                        Commit::Done => Ok(Tried::Done(step.header, messages)),
                        Commit::Conflict => Ok(Tried::Conflict),
                    };
                }
                // What has been loaded and is not there will not be there the next time.
                Err(StepError::Missing(missing)) if missing.iter().any(|chunk| wanted.contains(chunk)) => {
                    return Err(JobsError::Damaged(job));
                }
                Err(StepError::Missing(missing)) => wanted.extend(missing),
                Err(StepError::NoSuchChunk(chunk)) => return Err(JobsError::NoSuchChunk { job, chunk }),
                Err(StepError::Damaged) => return Err(JobsError::Damaged(job)),
            }
        }
        // Each load was of another revision.
        Ok(Tried::Conflict)
    }
}

/// The messages that are due at once. They are sent right after the commit; so that no sweep sends them at the same
/// time, they are remembered as due a little later. Deletions, webhooks and what is fetched are left to the sweep, because they may take long,
/// and who advances the job need not wait for them.
fn take_messages(step: &mut Step, now: Timestamp) -> Vec<PendingEffect> {
    let mut messages = Vec::new();
    for pending in step.effects.iter_mut().filter(|pending| pending.due <= now) {
        match pending.effect {
            Effect::PublishTask { .. } | Effect::PublishMerge { .. } | Effect::PublishAssembly { .. } => {
                messages.push(pending.clone());
                pending.due = now.plus(PERFORM_GRACE_MS);
            }
            Effect::DeleteTemporaryObjects { .. }
            | Effect::DeliverWebhook { .. }
            | Effect::FetchSource { .. }
            | Effect::EraseJob { .. } => {}
        }
    }
    messages
}
