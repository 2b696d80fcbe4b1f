//! What goes wrong when a job is advanced.

use crate::{objects::ObjectsError, queue::QueueError, store::StoreError};
use scriptorium_contracts::JobId;
use thiserror::Error;

/// The texts are for logs; what leaves the house is written by the gateway.
#[derive(Debug, Error)]
pub enum JobsError {
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    #[error("job {job} has no chunk {chunk}")]
    NoSuchChunk { job: JobId, chunk: u32 },
    /// Others advanced the job again and again in the meantime.
    #[error("job {0} changes too fast; try again")]
    Busy(JobId),
    /// Header and chunk records of the job do not fit together.
    #[error("the records of job {0} are damaged")]
    Damaged(JobId),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// A message could not be written: a defect of this program.
    #[error("a message could not be written")]
    Message(#[from] serde_json::Error),
}

impl JobsError {
    /// Trying the same again later may help.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Busy(_) => true,
            Self::NoSuchJob(_) | Self::NoSuchChunk { .. } | Self::Damaged(_) | Self::Message(_) => false,
            Self::Store(error) => error.retryable(),
            Self::Queue(error) => error.retryable(),
            Self::Objects(error) => error.retryable(),
        }
    }
}
