//! The chunks of one recording on their way into the object store.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::idempotency;
use crate::request::init::InitRequest;
use crate::state::App;
use crate::uploads;
use bytes::Bytes;
use http::HeaderMap;
use scriptorium_contracts::job::{Input, JobHeader, JobState};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, objects};
use scriptorium_shared::jobs::{CreatedJob, Jobs, JobsError};
use scriptorium_shared::store::Idempotency;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Uploads with one Idempotency-Key that broke off, after which the key is used up.
const MAX_BROKEN: u32 = 16;

/// A job that is being filled. Unless all of its chunks have been stored it is cancelled when this is dropped, whatever the
/// reason: the client went away, a part of the service failed, or the process ends.
pub struct Writer {
    jobs: Jobs,
    tasks: TaskTracker,
    header: JobHeader,
    next: u32,
}

/// What there is at the beginning.
pub enum Begun {
    New(Box<Writer>),
    /// The Idempotency-Key has made this job before, and more of its recording is not needed.
    Before(Box<JobHeader>),
}

impl Writer {
    /// Makes the job. An earlier upload with the same Idempotency-Key that is not whole gives way to this one: its client
    /// would not have come again, had it been answered.
    pub async fn begin(
        app: &App,
        caller: &Caller,
        request: &InitRequest,
        idempotency: Option<Idempotency>,
    ) -> Result<Begun, Problem> {
        for attempt in 0..MAX_BROKEN {
            let new = request.clone().check_whole(JobId::new(Uuid::new_v4()), caller, &app.config)?;
            let key = idempotency.as_ref().map(|key| idempotency::attempt(key, attempt));
            match app.create(caller, new, key).await? {
                CreatedJob::New(header) => {
                    let (chunks, bytes) = (header.total_chunks(), header.total_size);
                    tracing::info!(job = %header.id, chunks, bytes, "an upload in one piece has begun");
                    let (jobs, tasks) = (app.jobs.clone(), app.tasks.clone());
                    return Ok(Begun::New(Box::new(Self { jobs, tasks, header, next: 0 })));
                }
                CreatedJob::Existing(header) if is_answered(&header) => {
                    return Ok(Begun::Before(header.into()));
                }
                CreatedJob::Existing(header) => {
                    let reason = "The same upload has come again.".to_owned();
                    match app.jobs.advance(header.id, Input::Cancel { reason }).await {
                        // Deleted at this very moment.
                        Ok(_) | Err(JobsError::NoSuchJob(_)) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                CreatedJob::KeyReused => {
                    let detail = "This Idempotency-Key came with another form before. Use a fresh one for a new upload.";
                    return Err(Problem::new(Code::IdempotencyKeyReused, detail));
                }
            }
        }
        let detail = "Too many uploads with this Idempotency-Key have broken off. Use a fresh one.";
        Err(Problem::new(Code::IdempotencyKeyReused, detail))
    }

    pub fn header(&self) -> &JobHeader {
        &self.header
    }

    /// Bytes of a chunk.
    pub fn chunk_size(&self) -> usize {
        usize::try_from(self.header.chunk_size).unwrap_or(usize::MAX)
    }

    /// Stores the next chunk and tells of it. `false`: the job has failed (the recording is no audio, say), and needs no more.
    pub async fn put(&mut self, bytes: Bytes) -> Result<bool, Problem> {
        let (job, chunk) = (self.header.id, self.next);
        let (expected, _) = uploads::place(&self.header, chunk)?;
        if bytes.len() as u64 != expected {
            return Err(Problem::new(Code::LengthMismatch, "The file has another size than was told."));
        }
        self.jobs.objects.write(&objects::chunk_key(job, chunk), bytes, "application/octet-stream").await?;
        self.header = self.jobs.advance(job, Input::Uploaded { chunk }).await?;
        self.next += 1;
        if self.header.uploaded.contains(chunk) {
            return Ok(true);
        }
        match self.header.state {
            JobState::Failed => Ok(false),
            JobState::Created
            | JobState::Uploading
            | JobState::Processing
            | JobState::Assembling
            | JobState::Completed
            | JobState::CompletedWithErrors
            | JobState::Cancelled
            | JobState::Expired => Err(uploads::job_over(&self.header)),
        }
    }
}

fn is_whole(header: &JobHeader) -> bool {
    header.uploaded.len() == header.total_chunks()
}

/// Whether the same recording would come to nothing else.
fn is_answered(header: &JobHeader) -> bool {
    is_whole(header) || header.failure.as_ref().is_some_and(|failure| failure.code.ends_job())
}

impl Drop for Writer {
    fn drop(&mut self) {
        if is_whole(&self.header) || self.header.state.is_final() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (jobs, job) = (self.jobs.clone(), self.header.id);
        let cancelling = async move {
            // The last commit may have been made while its maker was dropped: what is whole needs nobody any more.
            if let Ok(Some(header)) = jobs.header(job).await
                && is_whole(&header)
            {
                return;
            }
            let reason = "The upload broke off.".to_owned();
            match jobs.advance(job, Input::Cancel { reason }).await {
                Ok(_) => tracing::info!(%job, "an upload in one piece broke off; the job is cancelled"),
                // Deleted while it came.
                Err(JobsError::NoSuchJob(_)) => {}
                // It expires.
                Err(error) => {
                    tracing::warn!(%job, %error, "the job of an upload that broke off could not be cancelled")
                }
            }
        };
        self.tasks.spawn_on(cancelling, &runtime);
    }
}

/// What the request's Idempotency-Key stands for: the fields, the file's name and size, and its first bytes (all of a file
/// that is held whole).
pub fn idempotency_of(
    headers: &HeaderMap,
    (scope, tenant): (&str, Option<&TenantName>),
    fields: &[u8],
    (filename, size): (&str, u64),
    first: &[u8],
) -> Result<Option<Idempotency>, Problem> {
    if !headers.contains_key("idempotency-key") {
        return Ok(None);
    }
    let facts = format!("{size} {filename}");
    idempotency::of_parts(headers, scope, tenant, &[fields, facts.as_bytes(), first])
}
