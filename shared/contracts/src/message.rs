//! Queue messages. Delivered at least once: every receiver is harmless twice.

use crate::{failure::Failure, ids::JobId, job::JobOptions, media::MediaInfo, transcript::ChunkResult};
use serde::{Deserialize, Serialize};

/// The version that this program writes into each message and record.
pub const VERSION: u16 = 1;

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
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    pub version: u16,
    pub job: JobId,
    pub chunk: u32,
    pub epoch: u32,
    pub report: Report,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Report {
    /// The task has been taken up.
    Started {},
    /// The recording has been recognised; its init section is in the object store.
    Probed {
        media: MediaInfo,
    },
    /// The chunk can't go on before another one is uploaded.
    NeedsChunk {
        needed: u32,
    },
    Completed {
        result: Box<ChunkResult>,
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
    /// All chunks of the job have ended: put the transcript together.
    Assemble {
        version: u16,
        job: JobId,
        epoch: u32,
    },
}
