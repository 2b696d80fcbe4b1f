//! What goes wrong with a store.

use scriptorium_contracts::JobId;
use thiserror::Error;

/// The texts are for logs; what leaves the house is written by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    #[error("the job store is closed")]
    Closed,
    #[error("the job store {path} is in use by another process; stop that one or choose another data folder")]
    InUse { path: String },
    #[error(
        "the job store was written by a newer version (schema {found}, this program knows {known}); use that"
    )]
    NewerSchema { found: i64, known: i64 },
    /// The medium does not answer: full disk, I/O error, lost connection.
    #[error("the job store is not available: {detail}")]
    Unavailable { detail: String },
    /// It answers and does not let this program in, or not do what it must: a person must act.
    #[error("the job store can't be used: {detail}")]
    Refused { detail: String },
    /// A record of one job, or the file as a whole (`job` is `None`).
    #[error("the {what} of job {} can't be understood: {detail}", .job.map_or_else(|| "?".to_owned(), |job| job.to_string()))]
    Damaged { what: &'static str, job: Option<JobId>, detail: String },
    /// A defect of this program.
    #[error("the job store was used wrongly: {detail}")]
    Internal { detail: String },
}

impl StoreError {
    /// Trying the same again later may help.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Closed
            | Self::InUse { .. }
            | Self::NewerSchema { .. }
            | Self::Refused { .. }
            | Self::Damaged { .. }
            | Self::Internal { .. } => false,
        }
    }
}
