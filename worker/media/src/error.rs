//! What can go wrong with a recording, in words fit for the person who uploaded it.

use thiserror::Error;

/// A byte range that could not be had.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// The bytes lie in a chunk that is not uploaded yet; the job waits for exactly this one (`needs_chunk`).
    #[error("chunk {chunk} is needed and not uploaded yet")]
    Missing {
        /// Index of the chunk.
        chunk: u32,
    },
    /// The store failed.
    #[error("the recording could not be read: {what}")]
    Io {
        /// What the store said.
        what: String,
        /// Whether trying again may help.
        retryable: bool,
    },
    /// The job or the task was cancelled while bytes were on their way.
    #[error("reading was cancelled")]
    Cancelled,
}

/// Why a recording, or a part of it, cannot be turned into samples.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MediaError {
    /// The bytes are no audio at all.
    #[error("this is not an audio file: found {found}")]
    NotAudio {
        /// What was found instead, with its article ("a PDF document").
        found: String,
    },
    /// Audio, but of a kind that is not decoded (yet).
    #[error("found {found}; not supported yet")]
    Unsupported {
        /// What was found, with its article ("an MP4 container").
        found: String,
    },
    /// Audio of a known kind whose headers contradict themselves.
    #[error("the file is damaged: {what}")]
    Damaged {
        /// The contradiction.
        what: String,
    },
    /// A count read from the file is beyond what any honest recording has.
    #[error("the file exceeds a limit: {what}")]
    Limit {
        /// Which limit.
        what: String,
    },
    /// A plan or an init section does not belong to these bytes or to this version of the program.
    #[error("the stored description of the recording does not fit: {what}")]
    Stale {
        /// What does not fit.
        what: String,
    },
    /// The bytes could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl MediaError {
    /// Whether the same call may succeed later without anything else being changed.
    ///
    /// A missing chunk is *not* retried: the job waits for the chunk instead.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Read(ReadError::Io { retryable: true, .. }))
    }

    /// The chunk the job has to wait for, if that is all that is wrong.
    pub fn missing_chunk(&self) -> Option<u32> {
        match self {
            Self::Read(ReadError::Missing { chunk }) => Some(*chunk),
            Self::NotAudio { .. }
            | Self::Unsupported { .. }
            | Self::Damaged { .. }
            | Self::Limit { .. }
            | Self::Stale { .. }
            | Self::Read(ReadError::Io { .. } | ReadError::Cancelled) => None,
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn unsupported(found: impl Into<String>) -> Self {
        Self::Unsupported { found: found.into() }
    }

    pub(crate) fn not_audio(found: impl Into<String>) -> Self {
        Self::NotAudio { found: found.into() }
    }
}
