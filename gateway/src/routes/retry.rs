//! `POST /chunked-upload-retry`: a chunk is tried again (R8): its upload, if it has not arrived, otherwise its
//! processing, if that failed. Harmless twice.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::json::Json;
use crate::request::number::whole;
use crate::spec::Operation;
use crate::state::App;
use crate::uploads::{self, UploadUrl};
use axum::extract::State;
use http::HeaderMap;
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{ChunkState, Input, JobHeader, JobState, MAX_CHUNKS};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    parent_job_id: JobId,
    #[serde(deserialize_with = "whole")]
    #[schemars(range(max = MAX_CHUNKS - 1))]
    chunk_index: u32,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Put the chunk to `upload.upload_url`.
    Upload,
    /// The chunk is processed again.
    Process,
    /// Nothing: the chunk is on its way or done.
    None,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct RetryReply {
    parent_job_id: JobId,
    chunk_index: u32,
    action: Action,
    /// Of the job.
    status: JobState,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<UploadUrl>,
}

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("retry_chunk", "uploads", "Tries a chunk again: its upload, or its processing")
        .more("Harmless twice.")
        .problems(&[
            Code::JobNotFound,
            Code::ChunkOutOfRange,
            Code::ChunkReleased,
            Code::JobOver,
            Code::InvalidHost,
        ]);
}

pub async fn retry(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<RetryRequest>,
) -> Result<axum::Json<RetryReply>, Problem> {
    let (job, chunk) = (request.parent_job_id, request.chunk_index);
    let loaded = app.jobs.store.load(job, &[chunk]).await?;
    let (header, mut records) = loaded
        .filter(|(header, _)| header.deleted_at.is_none() && caller.owns(header))
        .ok_or_else(|| Problem::job_not_found(job))?;
    uploads::place(&header, chunk)?;
    let state = records.remove(&chunk).map_or(ChunkState::Pending, |record| record.state);
    let reply = |header: &JobHeader, action, upload| {
        axum::Json(RetryReply {
            parent_job_id: job,
            chunk_index: chunk,
            action,
            status: header.state,
            upload,
        })
    };
    match state {
        ChunkState::Pending => {
            uploads::takes_chunks(&header)?;
            let base = uploads::base(&app, &headers)?;
            let upload = uploads::sign(&app, &header, base.as_deref(), std::iter::once(chunk)).await?.pop();
            Ok(reply(&header, Action::Upload, upload))
        }
        ChunkState::Failed => {
            let header = app.jobs.advance(job, Input::Retry { chunk }).await?;
            // Nothing has changed: the state forbids it.
            if header.failed.contains(chunk) {
                return Err(refusal(&header));
            }
            tracing::info!(%job, chunk, "a failed chunk is tried again");
            Ok(reply(&header, Action::Process, None))
        }
        ChunkState::Uploaded | ChunkState::Queued | ChunkState::Processing => {
            if header.state.is_final() {
                return Err(uploads::job_over(&header));
            }
            Ok(reply(&header, Action::None, None))
        }
        ChunkState::Completed => Ok(reply(&header, Action::None, None)),
    }
}

fn refusal(header: &JobHeader) -> Problem {
    match header.state {
        JobState::Cancelled | JobState::Expired => uploads::job_over(header),
        JobState::Created
        | JobState::Uploading
        | JobState::Processing
        | JobState::Assembling
        | JobState::Completed
        | JobState::CompletedWithErrors
        | JobState::Failed => {
            let detail =
                "The bytes of the chunk are deleted, because the time for which they are kept is over.";
            Problem::new(Code::ChunkReleased, detail)
        }
    }
}
