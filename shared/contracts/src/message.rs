//! Queue messages. Delivered at least once: every receiver is harmless twice.

use crate::{
    failure::Failure,
    ids::JobId,
    job::{JobOptions, retry},
    media::MediaInfo,
    tenant::TenantName,
    transcript::ChunkResult,
};
use serde::{Deserialize, Serialize};

/// The version that this program writes into each message and record.
pub const VERSION: u16 = 1;

/// Deaths of workers of which a queue alone takes care, by delivering the task again.
pub const DEATHS_BEFORE_LOST: u32 = 3;

/// Work for a worker: one chunk. Holds all that is needed, so that a worker reads no job state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkTask {
    pub version: u16,
    pub job: JobId,
    pub chunk: u32,
    /// Fencing token: a result with an older one is refused.
    pub epoch: u32,
    /// Bytes of the recording.
    pub total_size: u64,
    /// Bytes of a chunk; the last one may be shorter.
    pub chunk_size: u64,
    pub options: JobOptions,
    /// Milliseconds after which a worker without a sign of life loses the task.
    #[serde(default = "retry::lease_ms", skip_serializing_if = "retry::is_lease_ms")]
    pub lease_ms: u64,
    /// Only this part of a chunk that is divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartTask>,
    /// Divide the chunk in any case: something in it has failed again and again, and shall be found.
    #[serde(default, skip_serializing_if = "is_false")]
    pub divide: bool,
    /// Only the passages of the chunk that the job's redo list names ([`crate::plan::RedoList`]); the token is the
    /// assembly's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo: Option<RedoTask>,
    /// Whose job it is. What is kept of its sound and text, to be used again, is used for jobs of the same tenant alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// Workers have died with it: it is for a worker that does nothing else at the time, and to be tried once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub alone: bool,
}

impl ChunkTask {
    /// Deliveries in a row that no worker answered, after which the task is told to be lost ([`Report::Lost`]).
    pub const fn deaths_before_lost(&self) -> u32 {
        if self.alone { 1 } else { DEATHS_BEFORE_LOST }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedoTask {
    /// The recording's language, two-letter code.
    pub language: String,
    /// First frame of the first passage that is not done yet; none: all of them. One task does as much audio as a part has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
}

fn deaths_before_lost() -> u32 {
    DEATHS_BEFORE_LOST
}

fn is_deaths_before_lost(deaths: &u32) -> bool {
    *deaths == DEATHS_BEFORE_LOST
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A run of passages of a chunk's plan ([`crate::plan::ChunkPlan`], which lies in the object store).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTask {
    /// Which of the chunk's parts it is.
    pub index: u32,
    /// The first passage.
    pub first: u32,
    /// How many passages.
    pub count: u32,
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    pub version: u16,
    pub job: JobId,
    pub chunk: u32,
    /// Of the task: for a part its own.
    pub epoch: u32,
    /// Which part of the chunk the report is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// Of a task that does passages again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redo: bool,
    /// Where the task's time went; said with its last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    pub report: Report,
}

/// A worker's time, in milliseconds, and what it was spent on. Samples are decoded ahead of the engine, so the two times do
/// not overlap: what is decoded while the engine computes costs nobody a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The engine had nothing to do: for the recording was read, planned and decoded.
    pub decode_ms: u64,
    /// Windows were with the engine, in its queue or computed.
    pub engine_ms: u64,
    /// Windows of speech that were put into text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub windows: u32,
    /// Those of them whose text was known from earlier work, so that the engine had nothing to do.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_hits: u32,
    /// Text was with the language model that corrects it; nothing else was done meanwhile.
    #[serde(default, skip_serializing_if = "is_no_time")]
    pub llm_ms: u64,
    /// Calls of a service, of the engine's or the language model's, waited for leave: for a limit of calls, or because the service
    /// had asked for a pause. In none of the times above.
    #[serde(default, skip_serializing_if = "is_no_time")]
    pub limit_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_no_time(milliseconds: &u64) -> bool {
    *milliseconds == 0
}

impl Work {
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    pub const fn plus(self, other: Self) -> Self {
        Self {
            decode_ms: self.decode_ms.saturating_add(other.decode_ms),
            engine_ms: self.engine_ms.saturating_add(other.engine_ms),
            windows: self.windows.saturating_add(other.windows),
            cache_hits: self.cache_hits.saturating_add(other.cache_hits),
            llm_ms: self.llm_ms.saturating_add(other.llm_ms),
            limit_ms: self.limit_ms.saturating_add(other.limit_ms),
        }
    }

    /// Whether there was text to be made, and all of it was known before.
    pub const fn is_from_cache(self) -> bool {
        self.windows > 0 && self.cache_hits >= self.windows
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Report {
    /// The task has been taken up, or is still in work: repeated several times a lease.
    Started {},
    /// The recording has been recognised; its init section is in the object store.
    Probed {
        media: MediaInfo,
    },
    /// The chunk can't go on before another one is uploaded.
    NeedsChunk {
        needed: u32,
    },
    /// The chunk holds more audio than a task shall have. Its plan is in the object store; here is how many passages
    /// each part has.
    Planned {
        parts: Vec<u32>,
    },
    Completed {
        result: Box<ChunkResult>,
    },
    /// The part's result is in the object store.
    PartCompleted {},
    /// The passages that were done again are in the object store.
    Redone {
        /// As the task said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<i64>,
        /// First frame of the next passage that is to be done; none: the chunk's are done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<i64>,
    },
    /// The task has been delivered so many times without an answer: it may be what kills its workers.
    Lost {
        #[serde(default = "deaths_before_lost", skip_serializing_if = "is_deaths_before_lost")]
        deaths: u32,
    },
    Failed {
        failure: Failure,
    },
}

/// What the coordinator takes from its queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum CoordinatorMessage {
    Report(WorkerReport),
    /// All parts of the chunk have ended: put its result together.
    Merge {
        version: u16,
        job: JobId,
        chunk: u32,
        epoch: u32,
    },
    /// All chunks of the job have ended: put the transcript together.
    Assemble {
        version: u16,
        job: JobId,
        epoch: u32,
    },
}
