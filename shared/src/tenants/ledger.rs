//! What a tenant has taken up, and what it may. Pure.

use scriptorium_contracts::{JobId, Timestamp};

/// Milliseconds.
const DAY_MS: u64 = 86_400_000;

/// The UTC day, counted from 1970.
pub const fn day_of(at: Timestamp) -> u64 {
    at.0 / DAY_MS
}

/// A job that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub job: JobId,
    /// Of the whole recording.
    pub bytes: u64,
    pub at: Timestamp,
}

/// `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Jobs that are not over.
    pub open_jobs: Option<u32>,
    /// Of recordings whose chunks are kept.
    pub bytes: Option<u64>,
    /// Milliseconds. Once so much is there, no further job is taken on that day.
    pub audio_ms_per_day: Option<u64>,
}

/// Which of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    OpenJobs,
    Bytes,
    Audio,
}

/// Sums of the entries of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub open_jobs: u32,
    pub bytes: u64,
    /// Milliseconds, of the jobs that were made on one day; also of those whose entries are gone.
    pub audio_ms: u64,
}

impl Ledger {
    /// The bound that a recording of so many bytes would pass, with what is there already.
    pub(super) fn passed(&self, bytes: u64, bounds: &Bounds) -> Option<Quota> {
        if bounds.open_jobs.is_some_and(|most| self.open_jobs >= most) {
            return Some(Quota::OpenJobs);
        }
        if bounds.bytes.is_some_and(|most| self.bytes.saturating_add(bytes) > most) {
            return Some(Quota::Bytes);
        }
        bounds.audio_ms_per_day.is_some_and(|most| self.audio_ms >= most).then_some(Quota::Audio)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    Done,
    /// Nothing was entered; the sums are as they were found.
    Refused(Quota, Ledger),
}

/// How a job was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is no such job (any more). What it has told of its length stays.
    Gone,
    There {
        /// It is not over.
        open: bool,
        /// Its chunks are kept.
        kept: bool,
        /// Milliseconds of its recording, as far as it has told.
        audio_ms: u64,
    },
}

/// An entry that may not be true any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleEntry {
    pub job: JobId,
    /// When it was entered.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_passed_where_they_are() {
        let ledger = Ledger { open_jobs: 3, bytes: 100, audio_ms: 60_000 };
        let passed = |bytes, bounds| ledger.passed(bytes, &bounds);
        assert_eq!(passed(u64::MAX, Bounds::default()), None);
        for (most, expected) in [(3, Some(Quota::OpenJobs)), (0, Some(Quota::OpenJobs)), (4, None)] {
            assert_eq!(passed(1, Bounds { open_jobs: Some(most), ..Bounds::default() }), expected);
        }
        let bytes = Bounds { bytes: Some(150), ..Bounds::default() };
        assert_eq!(passed(50, bytes), None);
        for much in [51, u64::MAX] {
            assert_eq!(passed(much, bytes), Some(Quota::Bytes));
        }
        for (most, expected) in [(60_001, None), (60_000, Some(Quota::Audio))] {
            assert_eq!(passed(1, Bounds { audio_ms_per_day: Some(most), ..Bounds::default() }), expected);
        }
    }
}
