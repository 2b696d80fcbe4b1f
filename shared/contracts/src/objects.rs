//! Where a job's bytes lie in the object store: one prefix a job, so that a job is deleted by its prefix.

use crate::ids::JobId;

/// Everything of a job.
pub fn job_prefix(job: JobId) -> String {
    format!("jobs/{job}/")
}

/// Everything temporary of a job: chunks, init section, plans and results of parts. Deleted when the job is over.
pub fn temporary_prefix(job: JobId) -> String {
    format!("jobs/{job}/upload/")
}

/// The chunks alone.
pub fn chunks_prefix(job: JobId) -> String {
    format!("jobs/{job}/upload/chunk-")
}

pub fn chunk_key(job: JobId, chunk: u32) -> String {
    format!("jobs/{job}/upload/chunk-{chunk:05}")
}

/// The chunk that an object of [`chunks_prefix`] holds; `None` for other objects.
pub fn chunk_of_key(job: JobId, key: &str) -> Option<u32> {
    key.strip_prefix(&chunks_prefix(job))?.parse().ok()
}

/// What a worker needs to start in the middle of the recording (JSON, written by the worker that probed it).
pub fn init_section_key(job: JobId) -> String {
    format!("jobs/{job}/upload/init.json")
}

/// The plan of a chunk that is divided into parts (JSON, [`crate::plan::ChunkPlan`]).
pub fn plan_key(job: JobId, chunk: u32) -> String {
    format!("jobs/{job}/upload/plan-{chunk:05}.json")
}

/// The result of `count` passages of a chunk's plan, from `first` on (JSON, [`crate::transcript::PartResult`]).
pub fn part_key(job: JobId, chunk: u32, first: u32, count: u32) -> String {
    format!("jobs/{job}/upload/part-{chunk:05}-{first}-{count}.json")
}

/// Which passages are done again in the recording's language (JSON, [`crate::plan::RedoList`]).
pub fn redo_list_key(job: JobId) -> String {
    format!("jobs/{job}/upload/redo.json")
}

/// Those passages of one chunk, done again by the task that began at this frame, or with the first (JSON,
/// [`crate::transcript::PartResult`]).
pub fn redone_key(job: JobId, chunk: u32, from: Option<i64>) -> String {
    match from {
        None => format!("jobs/{job}/upload/redone-{chunk:05}.json"),
        Some(frame) => format!("jobs/{job}/upload/redone-{chunk:05}-{frame}.json"),
    }
}

/// The transcript with corrections (JSON, [`crate::transcript::Transcript`]), as the assembly with this fencing token made it: two
/// that ask a language model need not get the same answers.
pub fn corrected_key(job: JobId, epoch: u32) -> String {
    format!("jobs/{job}/corrected-{epoch}.json")
}

/// The finished transcript as it was heard (JSON, [`crate::transcript::Transcript`]).
pub fn transcript_key(job: JobId) -> String {
    format!("jobs/{job}/transcript.json")
}
