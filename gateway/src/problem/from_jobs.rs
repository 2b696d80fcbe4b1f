//! What the inner rooms report, told to clients. Here it is logged, once; the inner texts do not leave the house.

use super::{Code, Problem};
use scriptorium_contracts::JobId;
use scriptorium_shared::jobs::JobsError;
use scriptorium_shared::objects::ObjectsError;
use scriptorium_shared::queue::QueueError;
use scriptorium_shared::store::StoreError;

impl Problem {
    pub fn job_not_found(job: JobId) -> Self {
        Self::new(Code::JobNotFound, format!("There is no job {job}."))
    }
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        match error {
            JobsError::NoSuchJob(job) => Self::job_not_found(job),
            JobsError::NoSuchChunk { job, chunk } => Self::field(
                Code::ChunkOutOfRange,
                "chunk_index",
                format!("The job {job} has no chunk {chunk}; chunks count from 0."),
            ),
            JobsError::Busy(job) => {
                tracing::warn!(%job, "a request was refused: the job changes too fast");
                Self::new(Code::ServiceUnavailable, "Too many requests for this job at once. Try again.")
            }
            JobsError::Damaged(_) | JobsError::Message(_) => internal(&error),
            JobsError::Store(error) => error.into(),
            JobsError::Queue(error) => error.into(),
            JobsError::Objects(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed | StoreError::Unavailable { .. } => unavailable("job store", &error),
            StoreError::InUse { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::Refused { .. }
            | StoreError::Damaged { .. }
            | StoreError::Internal { .. } => internal(&error),
        }
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Closed | QueueError::Full(_) | QueueError::Unavailable { .. } => {
                unavailable("queue", &error)
            }
            QueueError::TooLong(_) | QueueError::Refused { .. } => internal(&error),
        }
    }
}

impl From<ObjectsError> for Problem {
    fn from(error: ObjectsError) -> Self {
        match error {
            ObjectsError::Unavailable(_) | ObjectsError::Full(_) | ObjectsError::Answer(_) => {
                unavailable("object store", &error)
            }
            ObjectsError::Config(_)
            | ObjectsError::NoCredentials(_)
            | ObjectsError::Denied(_)
            | ObjectsError::NoSuchBucket(_) => {
                // It may be put right while we run, but not without a person.
                tracing::error!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "the object store can't be used"
                );
                Self::new(
                    Code::ServiceUnavailable,
                    "The object store can't be used at the moment. Try again later.",
                )
            }
            ObjectsError::Request(_) | ObjectsError::Refused { .. } | ObjectsError::TooMany => {
                internal(&error)
            }
        }
    }
}

fn unavailable(part: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::warn!(part, %error, "a request was refused: a part of the service does not answer");
    Problem::new(Code::ServiceUnavailable, format!("The {part} does not answer. Try again in a few seconds."))
}

fn internal(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(%error, "a request failed");
    Problem::new(Code::Internal, "The service met a defect of its own; its log has the details.")
}
