//! Records for the tests of the pure parts.
#![allow(clippy::unwrap_used)]

use scriptorium_contracts::correction::CorrectionSummary;
use scriptorium_contracts::job::{self, JobHeader, JobOptions, Layout, Limits, MEGABYTE, NewJob};
use scriptorium_contracts::job::{LlmMode, TranscriptSummary};
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
        webhook_disabled_since: None,
        tenant: None,
        limits: Limits::default(),
        source: None,
    };
    job::create(new, Timestamp(1_000_000)).header
}

/// Of a transcript that a language model had for so long.
pub fn corrected_summary(waited_ms: u64) -> TranscriptSummary {
    let correction = CorrectionSummary {
        mode: LlmMode::PostProcess,
        edits: 1,
        usage: Default::default(),
        refused_segments: 0,
        unanswered_segments: 0,
        waited_ms,
        limited_ms: 0,
    };
    TranscriptSummary {
        language: "en".into(),
        duration: 3.0,
        segments: 1,
        gaps: Vec::new(),
        coverage: None,
        correction: Some(correction),
    }
}
