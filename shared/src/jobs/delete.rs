//! A job is deleted with everything of it. State first: from the commit on there is no such job for anybody, and whoever
//! dies after it leaves the rest to the sweep.

use super::perform::in_time;
use super::{Jobs, JobsError};
use futures::future::BoxFuture;
use scriptorium_contracts::job::{Input, JobState};
use scriptorium_contracts::{JobId, objects};
use std::time::Duration;

/// What signed URLs begin to upload in their last second may take so long to arrive.
const LAST_UPLOAD: Duration = Duration::from_secs(900);

/// What became of a job that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// As it was before.
    pub state: JobState,
    /// `None`: something did not answer, and the rest goes later.
    pub erased: Option<Erased>,
}

/// What is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    pub objects: u64,
}

impl Jobs {
    /// Ends a job, if it is under way, and deletes all of it. `url_expiry`: for so long signed URLs that were given out may
    /// still be used; what comes with them is deleted after that.
    ///
    /// # Errors
    /// [`JobsError::NoSuchJob`]: it is not there, perhaps because it was deleted before.
    pub fn delete(&self, job: JobId, url_expiry: Duration) -> BoxFuture<'_, Result<Deleted, JobsError>> {
        Box::pin(async move {
            let before = self.header(job).await?.ok_or(JobsError::NoSuchJob(job))?;
            let late = url_expiry.saturating_add(LAST_UPLOAD).as_millis();
            let late_ms = u64::try_from(late).unwrap_or(u64::MAX);
            self.advance(job, Input::Delete { late_ms }).await?;
            let erased = match self.erase(job).await {
                Ok(erased) => Some(erased),
                Err(error) => {
                    tracing::warn!(%job, %error, "a job is deleted, but not yet all that was stored of it");
                    None
                }
            };
            Ok(Deleted { state: before.state, erased })
        })
    }

    /// The objects first: as long as the records are there, somebody knows that something is left to do.
    pub(super) async fn erase(&self, job: JobId) -> Result<Erased, JobsError> {
        let objects = in_time(self.objects.delete_prefix(&objects::job_prefix(job))).await?;
        self.store.delete(job).await?;
        Ok(Erased { objects })
    }

    /// To be called before the last report of a task is acknowledged whose job is not there any more: a worker that was
    /// at it when the job was deleted may have stored its result after that. `all`: the transcript too.
    pub fn delete_objects_of_gone(&self, job: JobId, all: bool) -> BoxFuture<'_, Result<(), JobsError>> {
        Box::pin(async move {
            let prefix = if all { objects::job_prefix(job) } else { objects::temporary_prefix(job) };
            in_time(self.objects.delete_prefix(&prefix)).await.map(|_| ())
        })
    }
}
