//! `POST /chunked-upload-stream`: starts an upload (R2, R3).

use crate::access::Caller;
use crate::estimate;
use crate::problem::{Code, Problem};
use crate::request::{idempotency, init::InitRequest, json::Json};
use crate::spec::Operation;
use crate::state::App;
use crate::uploads::{self, UploadUrl};
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_shared::jobs::CreatedJob;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, Serialize, JsonSchema)]
pub struct InitReply {
    message: &'static str,
    parent_job_id: JobId,
    /// Relative.
    stream_url: String,
    /// In the order in which they should be uploaded; the first page of them.
    upload_urls: Vec<UploadUrl>,
    /// The next page of addresses, above 1 000 chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Seconds for which the addresses can be used.
    expires_in_seconds: u64,
    /// Uploads at once that are advised.
    max_parallel_uploads: u32,
    chunk_info: ChunkInfo,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChunkInfo {
    total_chunks: u32,
    chunk_size_bytes: u64,
    estimated_processing_time: String,
    estimated_processing_seconds: u64,
    /// Chunks of the job that are processed at once.
    max_parallel_chunks: u32,
}

pub fn describe(operation: &mut Operation<'_>) {
    let (ok, chunk) =
        (StatusCode::OK, json!({ "parent_job_id": "$response.body#/parent_job_id", "chunk_index": 0 }));
    let job = json!({ "parent_job_id": "$response.body#/parent_job_id" });
    let in_path = [("id", "$response.body#/parent_job_id")];
    let in_query = [("parent_job_id", "$response.body#/parent_job_id")];
    operation
        .says("start_upload", "uploads", "Starts an upload in chunks")
        .more(
            "Put each chunk to its `upload_url`, several at once and in any order, tell of it by `POST \
             /chunk-upload-complete`, and read the job's live stream meanwhile.",
        )
        .makes_job()
        .problems(&[
            Code::FileTooSmall,
            Code::FileTooLarge,
            Code::NotSupportedYet,
            Code::WebhooksNotConfigured,
            Code::LlmNotConfigured,
            Code::InvalidHost,
        ])
        .replies(&[(ok, "The job, and where its chunks are to be put.")])
        .link(ok, "upload_status", &in_query, None)
        .link(ok, "upload_urls", &in_query, None)
        .link(ok, "fresh_upload_urls", &[], Some(job.clone()))
        .link(ok, "retry_chunk", &[], Some(chunk))
        .link(ok, "cancel_upload", &[], Some(job))
        .link(ok, "job_stream", &in_path, None)
        .link(ok, "job", &in_path, None)
        .link(ok, "delete_job", &in_path, None)
        .link(ok, "transcript", &in_path, None)
        .link(ok, "transcript_record", &in_path, None)
        .link(ok, "job_webhooks", &in_path, None);
}

pub async fn init(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<InitRequest>,
) -> Result<axum::Json<InitReply>, Problem> {
    let base = uploads::base(&app, &headers)?;
    let canonical = serde_json::to_vec(&request)
        .map_err(|_| Problem::new(Code::MalformedJson, "The body cannot be written as JSON."))?;
    let idempotency = idempotency::of(&headers, "chunked-upload-stream", caller.tenant(), &canonical)?;
    let new = request.check(JobId::new(Uuid::new_v4()), &caller, &app.config)?;
    let header = match app.create(&caller, new, idempotency).await? {
        CreatedJob::New(header) => {
            let (chunks, bytes) = (header.total_chunks(), header.total_size);
            tracing::info!(job = %header.id, chunks, bytes, "an upload has begun");
            header
        }
        CreatedJob::Existing(header) => header,
        CreatedJob::KeyReused => {
            let detail =
                "This Idempotency-Key came with another body before. Use a fresh one for a new upload.";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
    };
    let upload_urls = uploads::sign(&app, &header, base.as_deref(), uploads::page_of(&header, 1)).await?;
    let seconds =
        estimate::processing_seconds(&header.filename, header.total_size, app.config.estimated_speed);
    Ok(axum::Json(InitReply {
        message: "Chunked upload streaming initialized successfully",
        parent_job_id: header.id,
        stream_url: caller.stream_url(&app.config, header.id),
        upload_urls,
        next: (header.total_chunks() > uploads::PAGE).then(|| uploads::link(header.id, 2)),
        expires_in_seconds: app.config.url_expiry.as_secs(),
        max_parallel_uploads: app.config.max_parallel_uploads,
        chunk_info: ChunkInfo {
            total_chunks: header.total_chunks(),
            chunk_size_bytes: header.chunk_size,
            estimated_processing_time: estimate::in_words(seconds),
            estimated_processing_seconds: seconds,
            max_parallel_chunks: header.limits.max_parallel_chunks,
        },
    }))
}
