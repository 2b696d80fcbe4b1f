//! What is kept of a job: one header and one record a chunk.

use super::{ChunkSet, Layout, Limits, Part, Redo};
use crate::correction::CorrectionSummary;
use crate::message::Work;
use crate::source::Source;
use crate::tenant::TenantName;
use crate::transcript::{Coverage, Gap};
use crate::webhook::Webhook;
use crate::{failure::Failure, ids::JobId, ids::Timestamp, media::MediaInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of a job (R85).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Created,
    Uploading,
    /// All chunks are uploaded, not all have ended.
    Processing,
    Assembling,
    Completed,
    CompletedWithErrors,
    Failed,
    Cancelled,
    Expired,
}

impl JobState {
    /// Nothing more happens by itself.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::CompletedWithErrors | Self::Failed | Self::Cancelled | Self::Expired => {
                true
            }
            Self::Created | Self::Uploading | Self::Processing | Self::Assembling => false,
        }
    }
}

/// The state of a chunk (R85).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChunkState {
    Pending,
    /// The object is there; the chunk waits for its turn or for another chunk.
    Uploaded,
    Queued,
    Processing,
    Completed,
    Failed,
}

/// When a language model corrects the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LlmMode {
    /// Each chunk's, before live readers see it.
    PerChunk,
    /// The whole transcript's, when it is put together.
    PostProcess,
}

/// What the client asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobOptions {
    /// Two-letter code; `None` = detected.
    pub language: Option<String>,
    /// Text that the engine is to take as said before.
    pub prompt: Option<String>,
    pub word_timestamps: bool,
    pub use_llm: bool,
    pub llm_mode: Option<LlmMode>,
    /// Nothing is to be taken from the cache of texts, nor left in it.
    #[serde(skip_serializing_if = "is_false")]
    pub no_cache: bool,
}

/// What the user gets to know of a finished transcript without reading it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranscriptSummary {
    pub language: String,
    /// Seconds.
    pub duration: f64,
    pub segments: u32,
    /// Gaps with their times, at most 1 000 of them.
    pub gaps: Vec<Gap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// If the job asked for corrections. The corrected transcript is then an object of its own
    /// ([`crate::objects::corrected_key`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<CorrectionSummary>,
}

/// What the end of a job waited for: the way of the chunk that ended last. The milliseconds from the job's creation to
/// that end are the sum of the three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticalPath {
    pub chunk: u32,
    /// From the creation of the job until the chunk, and another one that it may have waited for, was there.
    pub upload_ms: u64,
    /// From there until its worker began; with earlier tries, if there were any.
    pub queue_ms: u64,
    /// With its worker; of a divided chunk from the first task to the merge.
    pub processing_ms: u64,
    /// Where the workers' time for the chunk went; of parts that ran side by side it is more than `processing_ms`.
    pub work: Work,
    pub ended_at: Timestamp,
}

/// The header of a job. Its sets always agree with the chunk records: `uploaded` holds the chunks that are not
/// pending, `completed` and `failed` those in that state, `in_flight` the queued and processing ones, and `ready`
/// the uploaded ones that wait for nothing but their turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobHeader {
    pub version: u16,
    pub id: JobId,
    /// Counts the commits; a commit on an older revision is refused.
    pub revision: u64,
    pub state: JobState,
    pub filename: String,
    /// Bytes.
    pub total_size: u64,
    /// Bytes.
    pub chunk_size: u64,
    pub options: JobOptions,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// Whose job it is; never changes. `None`: it was made without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    pub limits: Limits,
    /// Where the recording is fetched from, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    pub created_at: Timestamp,
    /// Of the last event that a client caused or saw.
    pub updated_at: Timestamp,
    pub last_upload_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub media: Option<MediaInfo>,
    pub uploaded: ChunkSet,
    /// Chunks that are not uploaded yet and that others wait for.
    #[serde(default, skip_serializing_if = "ChunkSet::is_empty")]
    pub wanted: ChunkSet,
    pub ready: ChunkSet,
    pub in_flight: ChunkSet,
    pub completed: ChunkSet,
    pub failed: ChunkSet,
    /// How many chunks from 0 on have been told to readers as complete ([`crate::event::Event::TextGrew`]).
    pub text_chunks: u32,
    /// The last progress told, and when.
    pub progress: u8,
    pub progress_at: Timestamp,
    /// Id of the last event.
    pub last_event: u64,
    /// Number of the last effect.
    pub last_effect: u64,
    /// Fencing token of the assembly.
    pub assembly_epoch: u32,
    /// What is done again before the transcript is put together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo: Option<Redo>,
    /// Until when whoever asks a language model for corrections of the assembled text may be silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correcting_until: Option<Timestamp>,
    /// Edits of the transcript that a user has taken back, by their numbers.
    #[serde(default, skip_serializing_if = "ChunkSet::is_empty")]
    pub reverted_edits: ChunkSet,
    pub failure: Option<Failure>,
    pub summary: Option<TranscriptSummary>,
    /// What the webhook was told or is to be told, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
    /// The temporary objects are deleted or about to be.
    pub objects_released: bool,
    /// Of the chunk that has ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<CriticalPath>,
    /// Of all the job's chunks together, tries that failed included.
    #[serde(default, skip_serializing_if = "Work::is_zero")]
    pub work: Work,
    /// A user has deleted the job: what is left of it is about to go, and nothing happens to it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

impl JobOptions {
    /// Whether and when a language model is to correct the text.
    pub fn correction(&self) -> Option<LlmMode> {
        self.use_llm.then(|| self.llm_mode.unwrap_or(LlmMode::PostProcess))
    }
}

impl JobHeader {
    pub fn total_chunks(&self) -> u32 {
        self.total_size.div_ceil(self.chunk_size.max(1)).min(u64::from(super::MAX_CHUNKS)) as u32
    }

    /// The division into chunks. Records are only written for sizes that fit, so `None` means a damaged record.
    pub fn layout(&self) -> Option<Layout> {
        Layout::new(self.total_size, self.chunk_size).ok()
    }

    /// The chunk whose upload helps most: the earliest that others wait for.
    pub fn advised_chunk(&self) -> Option<u32> {
        self.wanted.iter().next()
    }

    /// The message to the webhook with this number.
    pub fn webhook(&self, number: u32) -> Option<&Webhook> {
        self.webhooks.iter().find(|webhook| webhook.number == number)
    }

    /// Where the finished transcript lies: the corrected one, if the job asked for it.
    pub fn transcript_key(&self) -> String {
        match self.summary.as_ref().and_then(|summary| summary.correction) {
            Some(_) => crate::objects::corrected_key(self.id, self.assembly_epoch),
            None => crate::objects::transcript_key(self.id),
        }
    }

    /// Chunks that have ended, one way or the other.
    pub fn ended_chunks(&self) -> u32 {
        self.completed.len() + self.failed.len()
    }
}

/// The record of one chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkRecord {
    pub version: u16,
    pub index: u32,
    pub state: ChunkState,
    /// Fencing token: grows with each task that is made for the chunk or for a part of it.
    pub epoch: u32,
    /// Tries that ended in failure.
    pub attempts: u32,
    /// Workers that died of its tasks, as far as is known. Counted apart: a process that dies is seldom the chunk's fault.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
    pub error: Option<Failure>,
    /// The chunk that must be uploaded first.
    pub waiting_for: Option<u32>,
    /// The chunk that it last waited for, and that has come: a worker that still can't find it meets a lost object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<u32>,
    /// Chunks that wait for this one; small however many they are.
    #[serde(default, skip_serializing_if = "ChunkSet::is_empty")]
    pub waiters: ChunkSet,
    /// The parts of a chunk with more audio than a task shall have; none while it is not divided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The next task shall divide the chunk, whatever its length.
    #[serde(default, skip_serializing_if = "is_false")]
    pub divide: bool,
    pub uploaded_at: Option<Timestamp>,
    /// When the chunk got its next turn after it had waited for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    /// Of all tasks for the chunk.
    #[serde(default, skip_serializing_if = "Work::is_zero")]
    pub work: Work,
    /// Until when a chunk in processing is its worker's; a sign of life moves it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl ChunkRecord {
    pub fn pending(index: u32) -> Self {
        Self {
            version: crate::message::VERSION,
            index,
            state: ChunkState::Pending,
            epoch: 0,
            attempts: 0,
            losses: 0,
            error: None,
            waiting_for: None,
            waited_for: None,
            waiters: ChunkSet::default(),
            parts: Vec::new(),
            divide: false,
            uploaded_at: None,
            ready_at: None,
            started_at: None,
            work: Work::default(),
            lease_until: None,
            ended_at: None,
        }
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}
