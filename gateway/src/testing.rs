//! Records for the tests of the pure parts.
#![allow(clippy::unwrap_used)]

use scriptorium_contracts::job::{self, JobHeader, JobOptions, Layout, Limits, MEGABYTE, NewJob};
use scriptorium_contracts::{JobId, Timestamp};
use uuid::Uuid;

/// A new job of so many chunks of one megabyte.
pub fn header(chunks: u64) -> JobHeader {
    let new = NewJob {
        id: JobId::new(Uuid::from_u128(7)),
        filename: "talk.wav".into(),
        layout: Layout::new(chunks * MEGABYTE, MEGABYTE).unwrap(),
        options: JobOptions::default(),
        metadata: Default::default(),
        webhook_url: None,
        tenant: None,
        limits: Limits::default(),
        source: None,
    };
    job::create(new, Timestamp(1_000_000)).header
}
