//! `POST /chunk-upload-complete`: a chunk is said to be uploaded (R5). The object is looked at before it is believed.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::json::Json;
use crate::request::number::whole;
use crate::spec::Operation;
use crate::state::App;
use crate::uploads;
use axum::extract::State;
use schemars::JsonSchema;
use scriptorium_contracts::job::{Input, JobState, MAX_CHUNKS, MAX_FILE_SIZE};
use scriptorium_contracts::{JobId, objects};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    parent_job_id: JobId,
    #[serde(deserialize_with = "whole")]
    #[schemars(range(max = MAX_CHUNKS - 1))]
    chunk_index: u32,
    /// Bytes that the client has put.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(max = MAX_FILE_SIZE))]
    actual_size: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct NoticeReply {
    message: &'static str,
    parent_job_id: JobId,
    chunk_index: u32,
    /// Of the job.
    status: JobState,
    uploaded_chunks: u32,
    total_chunks: u32,
    /// Absent where the order of the rest does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Advice>,
}

/// What the client had best do now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Advice {
    /// The chunk to upload next: others that are uploaded already wait for it.
    next: u32,
}

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("chunk_uploaded", "uploads", "Tells that a chunk is uploaded")
        .more("Harmless twice. A notice that never comes is made up for within seconds: the service looks for itself.")
        .problems(&[
            Code::JobNotFound,
            Code::ChunkOutOfRange,
            Code::ChunkNotUploaded,
            Code::SizeMismatch,
            Code::JobOver,
        ]);
}

pub async fn notice(
    State(app): State<App>,
    caller: Caller,
    Json(notice): Json<Notice>,
) -> Result<axum::Json<NoticeReply>, Problem> {
    let (job, chunk) = (notice.parent_job_id, notice.chunk_index);
    let mut header = app.header(&caller, job).await?;
    let (expected, _) = uploads::place(&header, chunk)?;
    if notice.actual_size != expected {
        return Err(size_mismatch(chunk, expected, notice.actual_size, "was reported with"));
    }
    // Said before: the object may be gone by now, and nothing need be done.
    if !header.uploaded.contains(chunk) {
        if header.state.is_final() {
            return Err(uploads::job_over(&header));
        }
        match app.jobs.objects.size(&objects::chunk_key(job, chunk)).await? {
            Some(found) if found == expected => {}
            Some(found) => return Err(size_mismatch(chunk, expected, found, "is stored with")),
            None => {
                let detail =
                    format!("Chunk {chunk} is not in the object store. Put it to its upload_url first.");
                return Err(Problem::new(Code::ChunkNotUploaded, detail).with("chunk_index", chunk));
            }
        }
        header = app.jobs.advance(job, Input::Uploaded { chunk }).await?;
        if !header.uploaded.contains(chunk) {
            return Err(uploads::job_over(&header));
        }
        tracing::debug!(%job, chunk, bytes = expected, "a chunk is uploaded");
    }
    Ok(axum::Json(NoticeReply {
        message: "Chunk upload confirmed",
        parent_job_id: job,
        chunk_index: chunk,
        status: header.state,
        uploaded_chunks: header.uploaded.len(),
        total_chunks: header.total_chunks(),
        advice: header.advised_chunk().map(|next| Advice { next }),
    }))
}

fn size_mismatch(chunk: u32, expected: u64, found: u64, how: &str) -> Problem {
    let detail = format!(
        "Chunk {chunk} {how} {found} bytes, but has to have {expected}. Put exactly its byte_range to its upload_url."
    );
    Problem::new(Code::SizeMismatch, detail)
        .with("chunk_index", chunk)
        .with("expected_size", expected)
        .with("found_size", found)
}
