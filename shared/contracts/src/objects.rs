//! Where a job's bytes lie in the object store: one prefix a job, so that a job is deleted by its prefix.

use crate::ids::JobId;

/// Everything temporary of a job: chunks and init section. Deleted when the job is over.
pub fn temporary_prefix(job: JobId) -> String {
    format!("jobs/{job}/upload/")
}

pub fn chunk_key(job: JobId, chunk: u32) -> String {
    format!("jobs/{job}/upload/chunk-{chunk:05}")
}

/// The chunk that an object of [`temporary_prefix`] holds; `None` for other objects.
pub fn chunk_of_key(job: JobId, key: &str) -> Option<u32> {
    key.strip_prefix(&temporary_prefix(job))?.strip_prefix("chunk-")?.parse().ok()
}

/// What a worker needs to start in the middle of the recording (JSON, written by the worker that probed it).
pub fn init_section_key(job: JobId) -> String {
    format!("jobs/{job}/upload/init.json")
}

/// The finished transcript (JSON, [`crate::transcript::Transcript`]).
pub fn transcript_key(job: JobId) -> String {
    format!("jobs/{job}/transcript.json")
}
