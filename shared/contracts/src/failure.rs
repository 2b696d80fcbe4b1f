//! What went wrong with a chunk or a job, in words that may leave the house.

use serde::{Deserialize, Serialize};

/// Stable names: clients and alerts match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The recording is no audio; the detail says what was found.
    NotAudio,
    /// Audio in a container or codec without a decoder here.
    UnsupportedMedia,
    /// The bytes that tell what the recording is are missing or wrong; the detail says what was found.
    DamagedHeader,
    /// Bytes that should be there are missing or wrong, and no part of the chunk could be used.
    DamagedMedia,
    /// The object store, or the queue, did not answer, or refused.
    StorageUnavailable,
    /// The object store answers, but an object that was written is not there any more.
    ObjectMissing,
    /// The speech-to-text engine failed.
    EngineFailed,
    /// The service elsewhere that is the engine did not answer, or is too busy.
    EngineUnavailable,
    /// The task ended without an answer (a crash), more often than it may.
    WorkerLost,
    /// The job's processing time is over.
    TimedOut,
    /// The parts of the transcript do not fit together.
    AssemblyFailed,
    /// The recording that was to be fetched can't be had: its server does not answer, or with an error that may pass.
    SourceUnavailable,
    /// The recording that was to be fetched can't be had: its server refuses it, or the address is none that is fetched from.
    SourceRefused,
    /// The recording was changed or replaced while it was fetched.
    SourceChanged,
    /// A defect of this program; the log has the details.
    Internal,
}

impl FailureCode {
    /// Trying again with the same bytes may help.
    pub const fn retryable(self) -> bool {
        match self {
            Self::StorageUnavailable
            | Self::ObjectMissing
            | Self::EngineFailed
            | Self::EngineUnavailable
            | Self::WorkerLost
            | Self::SourceUnavailable
            | Self::Internal => true,
            Self::NotAudio
            | Self::UnsupportedMedia
            | Self::DamagedHeader
            | Self::DamagedMedia
            | Self::TimedOut
            | Self::AssemblyFailed
            | Self::SourceRefused
            | Self::SourceChanged => false,
        }
    }

    /// Perhaps only some seconds of the audio are the cause: without them the rest can be had.
    pub const fn may_be_local(self) -> bool {
        match self {
            Self::EngineFailed | Self::WorkerLost | Self::Internal => true,
            Self::NotAudio
            | Self::UnsupportedMedia
            | Self::DamagedHeader
            | Self::DamagedMedia
            | Self::StorageUnavailable
            | Self::ObjectMissing
            | Self::EngineUnavailable
            | Self::TimedOut
            | Self::AssemblyFailed
            | Self::SourceUnavailable
            | Self::SourceRefused
            | Self::SourceChanged => false,
        }
    }

    /// A service is away. That is not the fault of what waits for it: it costs no try.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::StorageUnavailable | Self::EngineUnavailable)
    }

    /// The whole recording is concerned: the job fails at once.
    pub const fn ends_job(self) -> bool {
        match self {
            Self::NotAudio | Self::UnsupportedMedia | Self::DamagedHeader => true,
            Self::DamagedMedia
            | Self::StorageUnavailable
            | Self::ObjectMissing
            | Self::EngineFailed
            | Self::EngineUnavailable
            | Self::WorkerLost
            | Self::TimedOut
            | Self::AssemblyFailed
            | Self::SourceUnavailable
            | Self::SourceRefused
            | Self::SourceChanged
            | Self::Internal => false,
        }
    }
}

/// A failure as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    pub code: FailureCode,
    /// One sentence for the user: what was found and what can be done. No internal text.
    pub detail: String,
}

impl Failure {
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
