//! The event log: everything a client may see of a job, in the order in which it happened.

use crate::{failure::Failure, ids::JobId, ids::Timestamp, job::JobState, media::MediaInfo};
use serde::{Deserialize, Serialize};

/// One entry of a job's log. `id` counts from 1 without a hole; it is the SSE `id:` of the frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    pub id: u64,
    pub at: Timestamp,
    pub event: Event,
}

/// What happened: the `data:` of a frame of the live stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    Initialized {
        parent_job_id: JobId,
        total_chunks: u32,
    },
    /// The job's webhook leads to a receiver that has taken nothing for long: its end is told there once, and not again for a day.
    WebhookDisabled {
        /// Milliseconds since 1970.
        since_ms: Timestamp,
    },
    MediaInfo {
        media: MediaInfo,
    },
    /// `progress` = floor(100 · (uploaded + completed) / (2 · total)); never goes back.
    ProgressUpdate {
        progress: u8,
        uploaded_chunks: u32,
        completed_chunks: u32,
    },
    ChunkComplete {
        chunk_index: u32,
        text: String,
        /// Of the first words of `text`: tells a reader of the log how to join it to the text before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
        /// All of the text was known from earlier work on the same sound. It says nothing about the text, which is the same.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        from_cache: bool,
    },
    /// The first `chunks` chunks are complete: the text without a gap reaches to their end. No frame itself: readers of the
    /// log make `partial_transcript` frames of it, from the texts of the `chunk_complete` entries before it; so the log grows
    /// linearly with the text.
    #[cfg_attr(feature = "schema", schemars(skip))]
    TextGrew {
        chunks: u32,
    },
    ChunkFailed {
        chunk_index: u32,
        error: Failure,
        attempts: u32,
        will_retry: bool,
    },
    FinalResult {
        final_transcript: String,
        status: JobState,
    },
    JobFailed {
        error: Failure,
    },
    Cancelled {
        reason: String,
    },
    /// The upload was left alone for too long.
    Expired {},
    /// Stands where an event was that readers have seen and that the store has lost, so that its number is not given to
    /// another one. Not shown.
    #[cfg_attr(feature = "schema", schemars(skip))]
    Lost {},
    /// A finished job goes on, because a failed chunk is tried again.
    Reopened {},
}
