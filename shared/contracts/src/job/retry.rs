//! Limits of a job, and when a failed chunk is tried again.

use crate::failure::FailureCode;
use serde::{Deserialize, Serialize};

/// Fixed when the job is made, so that every process that advances it decides alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Chunks of the job that are queued or processed at once (R22).
    pub max_parallel_chunks: u32,
    /// Parts of one divided chunk that are queued or processed at once.
    #[serde(default = "parallel_parts", skip_serializing_if = "is_parallel_parts")]
    pub max_parallel_parts: u32,
    /// Milliseconds after which a worker that gives no sign of life loses what it works on.
    #[serde(default = "lease_ms", skip_serializing_if = "is_lease_ms")]
    pub lease_ms: u64,
    /// Tries after the first one (R21).
    pub max_retries: u32,
    /// Milliseconds before the first retry; doubles with each further one.
    pub retry_delay_ms: u64,
    /// Milliseconds from the last uploaded chunk to the end of processing (R23).
    pub processing_timeout_ms: u64,
    /// The processing timeout is never less than this many times the recording's length (R23).
    pub timeout_per_audio: u32,
    /// Milliseconds without an upload after which an unfinished upload expires (R24).
    pub upload_expiry_ms: u64,
    /// Milliseconds that the chunks of a job with failures are kept for another try (R8).
    pub retention_ms: u64,
    /// Milliseconds for which objects outlive the job's need of them. A job store may lose its last second or two (Redis that
    /// writes to disk once a second): the work that it then does again must find its input.
    #[serde(default = "release_delay_ms", skip_serializing_if = "is_release_delay_ms")]
    pub release_delay_ms: u64,
    /// Milliseconds between two `progress_update` events.
    pub progress_interval_ms: u64,
}

fn parallel_parts() -> u32 {
    16
}

fn is_parallel_parts(value: &u32) -> bool {
    *value == parallel_parts()
}

pub(crate) fn lease_ms() -> u64 {
    15_000
}

pub(crate) fn is_lease_ms(value: &u64) -> bool {
    *value == lease_ms()
}

fn release_delay_ms() -> u64 {
    10_000
}

fn is_release_delay_ms(value: &u64) -> bool {
    *value == release_delay_ms()
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_parallel_chunks: 3,
            max_parallel_parts: parallel_parts(),
            lease_ms: lease_ms(),
            max_retries: 3,
            retry_delay_ms: 5_000,
            processing_timeout_ms: 3_600_000,
            timeout_per_audio: 4,
            upload_expiry_ms: 24 * 3_600_000,
            retention_ms: 24 * 3_600_000,
            release_delay_ms: release_delay_ms(),
            progress_interval_ms: 1_000,
        }
    }
}

/// Milliseconds until what failed is tried again, if it is; `attempts` are the tries that counted. What waits for a service
/// that is away is tried until the job's time is over, always after as long as before a second try.
pub(super) fn next_try_ms(limits: &Limits, code: FailureCode, attempts: u32, seed: u64) -> Option<u64> {
    if code.is_outage() {
        return Some(retry_delay_ms(limits, 2, seed));
    }
    (code.retryable() && attempts <= limits.max_retries).then(|| retry_delay_ms(limits, attempts, seed))
}

/// Milliseconds before try number `attempt` (1 = the first retry): exponential, at most an hour, with up to 20 % of
/// jitter. The jitter is made of `seed`, because the pure rooms have no randomness: neighbouring seeds (the chunks of one
/// job) are spread.
pub fn retry_delay_ms(limits: &Limits, attempt: u32, seed: u64) -> u64 {
    const HOUR: u64 = 3_600_000;
    let doubled = limits.retry_delay_ms.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(HOUR);
    jitter(doubled, seed)
}

/// Up to a fifth longer.
pub(super) fn jitter(delay_ms: u64, seed: u64) -> u64 {
    // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): spreads neighbouring seeds.
    let spread = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    delay_ms + delay_ms / 5 * spread / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_stays_within_bounds() {
        let limits = Limits::default();
        for seed in 0..200 {
            let delays: Vec<u64> = (1..30).map(|attempt| retry_delay_ms(&limits, attempt, seed)).collect();
            assert!((5_000..=6_000).contains(&delays[0]));
            assert!((10_000..=12_000).contains(&delays[1]));
            assert!(delays.iter().all(|delay| *delay <= 3_600_000 * 6 / 5));
            assert!(delays.is_sorted());
        }
        assert_ne!(retry_delay_ms(&limits, 1, 1), retry_delay_ms(&limits, 1, 2));
    }

    /// Attempt 0 is no retry, but counts as the first one; limits that make no sense still give a bounded delay.
    #[test]
    fn the_ends_of_the_range_are_harmless() {
        let with = |retry_delay_ms| Limits { retry_delay_ms, ..Limits::default() };
        for attempt in [0, 1, 21, 22, u32::MAX] {
            assert_eq!(retry_delay_ms(&with(0), attempt, 7), 0);
            for seed in [0, 1, u64::MAX] {
                assert!((3_600_000..=4_320_000).contains(&retry_delay_ms(&with(u64::MAX), attempt, seed)));
            }
        }
        assert_eq!(retry_delay_ms(&with(5_000), 0, 3), retry_delay_ms(&with(5_000), 1, 3));
    }

    /// A job's chunks are spread over the whole jitter, so that they do not come back in one crowd.
    #[test]
    fn chunks_of_a_job_are_spread() {
        let limits = Limits::default();
        let created = 1_700_000_000_123;
        let delays: std::collections::BTreeSet<u64> =
            (0..100).map(|chunk| retry_delay_ms(&limits, 1, created + chunk)).collect();
        assert!(delays.len() > 80, "{} different delays", delays.len());
        assert!(delays.first().is_some_and(|least| *least < 5_100));
        assert!(delays.last().is_some_and(|most| *most > 5_900));
    }
}
