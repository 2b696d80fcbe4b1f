//! A job: its records, and the one function that changes them.

mod change;
mod chunk_set;
mod delete;
mod finish;
mod layout;
mod leases;
mod parts;
mod processing;
mod record;
mod redo;
pub(crate) mod retry;
mod source;
mod step;
mod suspects;
mod timing;
mod upload;
mod webhook;

pub use chunk_set::ChunkSet;
pub use delete::DELETED;
pub use layout::{ChunkRange, Layout, LayoutError, MAX_CHUNKS, MAX_FILE_SIZE, MEGABYTE, MIN_FILE_SIZE};
pub use parts::{MAX_PARTS, Part, PartState};
pub use record::{
    ChunkRecord, ChunkState, CriticalPath, JobHeader, JobOptions, JobState, LlmMode, TranscriptSummary,
};
pub use redo::Redo;
pub use retry::{Limits, retry_delay_ms};
pub use source::{SOURCE_LEASE_MS, source_pause_ms};
pub use step::{Effect, Input, NewJob, PendingEffect, Step, StepError, create, step};
pub use webhook::{WEBHOOK_LEASE_MS, webhook_pause_ms};
