//! What goes over the wire, as far as this client needs it. Unknown members are passed over, so that an older client
//! works with a newer server.

use scriptorium_contracts::JobId;
use scriptorium_contracts::failure::Failure;
use scriptorium_contracts::job::JobState;
use scriptorium_contracts::media::MediaInfo;
use serde::{Deserialize, Serialize};

/// Body of `POST /chunked-upload-stream`.
#[derive(Clone, Debug, Serialize)]
pub struct NewUpload {
    pub filename: String,
    /// Bytes.
    pub total_size: u64,
    /// Megabytes, or `"auto"`.
    pub chunk_size_mb: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Left out if not asked for: servers of earlier versions refuse it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub word_timestamps: bool,
    /// `false`, or left out as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_cache: Option<bool>,
}

/// Body of `POST /api/transcripts`.
#[derive(Clone, Debug, Serialize)]
pub struct NewFetch {
    pub source_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub word_timestamps: bool,
    /// `false`, or left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_cache: Option<bool>,
}

/// What is read of its reply.
#[derive(Clone, Debug, Deserialize)]
pub struct Fetch {
    pub id: JobId,
}

/// Reply of `POST /chunked-upload-stream`.
#[derive(Clone, Debug, Deserialize)]
pub struct Upload {
    pub parent_job_id: JobId,
    /// Relative to the server's address.
    pub stream_url: String,
    /// In the order in which the server would like the chunks; of large recordings only the first page.
    pub upload_urls: Vec<UploadUrl>,
    pub chunk_info: ChunkInfo,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ChunkInfo {
    pub total_chunks: u32,
    pub chunk_size_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct UploadUrl {
    pub chunk_index: u32,
    pub upload_url: String,
    /// Bytes.
    pub expected_size: u64,
    /// First and last byte, inclusive.
    pub byte_range: [u64; 2],
}

/// Reply of `POST /chunk-upload-complete`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Notice {
    #[serde(default)]
    pub advice: Option<Advice>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Advice {
    /// The chunk to upload next.
    pub next: u32,
}

/// Reply of `POST /chunked-upload-urls`.
#[derive(Clone, Debug, Deserialize)]
pub struct FreshUrls {
    pub upload_urls: Vec<UploadUrl>,
    /// Chunks that have arrived already; they get no URL.
    pub uploaded_chunks: Vec<u32>,
}

/// What is read of `GET /chunked-upload-status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    pub status: JobState,
    /// Bytes.
    #[serde(default)]
    pub total_size: u64,
    #[serde(default)]
    pub total_chunks: u32,
    /// Relative to the server's address.
    #[serde(default)]
    pub stream_url: String,
}

/// A page of `GET /jobs`. The jobs as the server tells of them; [`JobRow`] is what is read of one.
#[derive(Clone, Debug, Deserialize)]
pub struct JobsPage {
    pub jobs: Vec<serde_json::Value>,
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// A job in a list. States of later times are shown as they are.
#[derive(Clone, Debug, Deserialize)]
pub struct JobRow {
    pub parent_job_id: String,
    pub filename: String,
    pub status: String,
    /// Bytes.
    pub total_size: u64,
    /// Percent.
    pub progress: u8,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
}

/// What is shown of one job besides.
#[derive(Clone, Debug, Deserialize)]
pub struct JobDetails {
    #[serde(flatten)]
    pub row: JobRow,
    pub total_chunks: u32,
    pub uploaded_chunks: u32,
    pub completed_chunks: u32,
    pub failed_chunks: u32,
    #[serde(default)]
    pub finished_at_ms: Option<u64>,
    /// Seconds.
    #[serde(default)]
    pub duration: Option<f64>,
    #[serde(default)]
    pub language: Option<String>,
    #[serde(default)]
    pub error: Option<Failure>,
    #[serde(default)]
    pub windows: u32,
    #[serde(default)]
    pub cache_hits: u32,
    #[serde(default)]
    pub timings: Option<Timings>,
}

/// Seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Timings {
    pub total: f64,
    pub upload: f64,
    pub queue: f64,
    #[serde(default)]
    pub rate_limit: f64,
    pub decode: f64,
    pub engine: f64,
    #[serde(default)]
    pub llm: f64,
    pub assembly: f64,
}

/// Reply of `DELETE /jobs/{id}`.
#[derive(Clone, Debug, Deserialize)]
pub struct DeletedJob {
    pub status: String,
    pub cancelled: bool,
    pub complete: bool,
}

/// A frame of the live stream. Members that are missing or of a later time do no harm.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame {
    Initialized {
        total_chunks: u32,
    },
    MediaInfo {
        media: MediaInfo,
    },
    ProgressUpdate {
        progress: u8,
        uploaded_chunks: u32,
        completed_chunks: u32,
    },
    ChunkComplete {
        chunk_index: u32,
        text: String,
        #[serde(default)]
        language: Option<String>,
    },
    ChunkFailed {
        chunk_index: u32,
        error: Failure,
        will_retry: bool,
    },
    FinalResult {
        status: JobState,
    },
    JobFailed {
        error: Failure,
    },
    Cancelled {
        #[serde(default)]
        reason: String,
    },
    Expired {},
    /// `partial_transcript` (made of the `chunk_complete` frames here), `reopened`, and frames of later times.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use scriptorium_contracts::event::Event;
    use scriptorium_contracts::failure::FailureCode;

    /// The stream's frames are the events of the log: this client reads what the contracts write.
    #[test]
    fn every_event_is_a_frame() {
        let failure = Failure::new(FailureCode::NotAudio, "text");
        let read =
            |event: Event| serde_json::from_value::<Frame>(serde_json::to_value(event).unwrap()).unwrap();
        let final_result =
            Event::FinalResult { final_transcript: "t".into(), status: JobState::CompletedWithErrors };
        assert_eq!(read(final_result), Frame::FinalResult { status: JobState::CompletedWithErrors });
        assert_eq!(
            read(Event::JobFailed { error: failure.clone() }),
            Frame::JobFailed { error: failure.clone() }
        );
        assert_eq!(read(Event::Cancelled { reason: "r".into() }), Frame::Cancelled { reason: "r".into() });
        assert_eq!(read(Event::Expired {}), Frame::Expired {});
        assert_eq!(read(Event::Reopened {}), Frame::Other);
        let chunk_failed =
            Event::ChunkFailed { chunk_index: 3, error: failure.clone(), attempts: 2, will_retry: true };
        assert_eq!(
            read(chunk_failed),
            Frame::ChunkFailed { chunk_index: 3, error: failure, will_retry: true }
        );
        let progress = Event::ProgressUpdate { progress: 7, uploaded_chunks: 2, completed_chunks: 1 };
        assert_eq!(
            read(progress),
            Frame::ProgressUpdate { progress: 7, uploaded_chunks: 2, completed_chunks: 1 }
        );
        let complete = Event::ChunkComplete {
            chunk_index: 0,
            text: "a".into(),
            language: Some("en".into()),
            from_cache: true,
        };
        let frame = Frame::ChunkComplete { chunk_index: 0, text: "a".into(), language: Some("en".into()) };
        assert_eq!(read(complete), frame);
        let partial = serde_json::json!({"type": "partial_transcript", "partial_transcript": "a"});
        assert_eq!(serde_json::from_value::<Frame>(partial).unwrap(), Frame::Other);
    }
}
