//! A job as clients see it, in lists and alone.

use schemars::JsonSchema;
use scriptorium_contracts::failure::Failure;
use scriptorium_contracts::job::{JobHeader, JobState};
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::{JobId, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the header tells without a look at the chunks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobView {
    pub parent_job_id: JobId,
    pub filename: String,
    pub status: JobState,
    /// Bytes.
    pub total_size: u64,
    pub chunk_size_bytes: u64,
    pub total_chunks: u32,
    pub uploaded_chunks: u32,
    pub completed_chunks: u32,
    pub failed_chunks: u32,
    /// Percent of all, as in `progress_update`.
    pub progress: u8,
    pub media: Option<MediaInfo>,
    /// Windows of speech, of up to 30 s each, that workers have put into text, tries that failed included.
    pub windows: u32,
    /// Those of them whose text was known from earlier work on the same sound.
    pub cache_hits: u32,
    /// Why the job failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Seconds of the recording and its language, once the job has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Milliseconds since 1970.
    pub created_at_ms: Timestamp,
    pub updated_at_ms: Timestamp,
    pub finished_at_ms: Option<Timestamp>,
}

/// Percent of all, as in `progress_update`, but of this moment.
pub fn progress(header: &JobHeader) -> u8 {
    let done = u64::from(header.uploaded.len()) + u64::from(header.completed.len());
    let half = done * 50 / u64::from(header.total_chunks().max(1));
    header.progress.max(u8::try_from(half).unwrap_or(100))
}

impl From<JobHeader> for JobView {
    fn from(header: JobHeader) -> Self {
        Self {
            progress: progress(&header),
            total_chunks: header.total_chunks(),
            uploaded_chunks: header.uploaded.len(),
            completed_chunks: header.completed.len(),
            failed_chunks: header.failed.len(),
            parent_job_id: header.id,
            filename: header.filename,
            status: header.state,
            total_size: header.total_size,
            chunk_size_bytes: header.chunk_size,
            media: header.media,
            windows: header.work.windows,
            cache_hits: header.work.cache_hits,
            error: header.failure,
            duration: header.summary.as_ref().map(|summary| summary.duration),
            language: header.summary.map(|summary| summary.language),
            metadata: header.metadata,
            created_at_ms: header.created_at,
            updated_at_ms: header.updated_at,
            finished_at_ms: header.finished_at,
        }
    }
}
