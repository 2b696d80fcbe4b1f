//! What a list of jobs is asked for, and what it gives.

use super::StoreError;
use scriptorium_contracts::job::JobHeader;
use scriptorium_contracts::{JobId, Timestamp};

/// Where a job stands in the order of creation. Jobs of one millisecond are in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobKey {
    pub created: Timestamp,
    pub job: JobId,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Which jobs, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRange {
    pub order: Order,
    /// The end of the page before; that job need not be there any more.
    pub after: Option<JobKey>,
    /// Created at this time or later.
    pub from: Timestamp,
    /// Created before this time.
    pub until: Timestamp,
}

impl Default for JobRange {
    fn default() -> Self {
        Self { order: Order::default(), after: None, from: Timestamp(0), until: Timestamp(u64::MAX) }
    }
}

/// One of the list. A header that can't be understood is an error of its own, so that it never hides the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedJob {
    pub key: JobKey,
    pub header: Result<JobHeader, StoreError>,
}
