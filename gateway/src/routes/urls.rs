//! `POST` and `GET /chunked-upload-urls`: fresh addresses, and what is uploaded already (R4).

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::address::{self, Parameters};
use crate::request::json::Json;
use crate::request::number::whole;
use crate::spec::Operation;
use crate::state::App;
use crate::uploads::{self, PAGE, UploadUrl};
use axum::extract::State;
use http::HeaderMap;
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobHeader, JobState, MAX_CHUNKS};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlsRequest {
    parent_job_id: JobId,
    /// Absent: all chunks that are not uploaded yet, in pages.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(length(max = PAGE), inner(range(max = MAX_CHUNKS - 1)))]
    chunk_indexes: Option<Vec<u32>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct PageRequest {
    #[schemars(with = "JobId")]
    parent_job_id: String,
    /// Of the chunks, above 1 000 of them; counts from 1.
    #[serde(default)]
    #[schemars(range(min = 1))]
    page: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct UrlsReply {
    parent_job_id: JobId,
    status: JobState,
    total_chunks: u32,
    chunk_size_bytes: u64,
    /// Chunks that are not uploaded yet, in the order in which they should be.
    upload_urls: Vec<UploadUrl>,
    /// All chunks that have arrived: they need no upload.
    uploaded_chunks: Vec<u32>,
    /// The next page with chunks that are not uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    expires_in_seconds: u64,
    max_parallel_uploads: u32,
}

pub fn describe_post(operation: &mut Operation<'_>) {
    operation.says("fresh_upload_urls", "uploads", "Fresh addresses for chunks").problems(&[
        Code::JobNotFound,
        Code::ChunkOutOfRange,
        Code::JobOver,
        Code::InvalidHost,
    ]);
}

pub fn describe_get(operation: &mut Operation<'_>) {
    operation
        .says("upload_urls", "uploads", "Addresses for chunks that are not uploaded yet, in pages")
        .problems(&[Code::InvalidJobId, Code::JobNotFound, Code::JobOver, Code::InvalidHost]);
}

pub async fn post(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<UrlsRequest>,
) -> Result<axum::Json<UrlsReply>, Problem> {
    let header = app.header(&caller, request.parent_job_id).await?;
    match request.chunk_indexes {
        None => page(&app, &headers, &header, 1).await,
        Some(chunks) => {
            check(&header, &chunks)?;
            reply(&app, &headers, &header, &chunks, None).await
        }
    }
}

pub async fn get(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Parameters(request): Parameters<PageRequest>,
) -> Result<axum::Json<UrlsReply>, Problem> {
    let job = address::job_id(&request.parent_job_id)?;
    let number = request.page.unwrap_or(1);
    if number == 0 {
        return Err(Problem::new(Code::MalformedQuery, "Pages count from 1."));
    }
    let header = app.header(&caller, job).await?;
    page(&app, &headers, &header, number).await
}

/// The page, or the first one behind it that has something to upload.
async fn page(
    app: &App,
    headers: &HeaderMap,
    header: &JobHeader,
    number: u32,
) -> Result<axum::Json<UrlsReply>, Problem> {
    let Some(number) = uploads::pending_page(header, number) else {
        return reply(app, headers, header, &[], None).await;
    };
    let chunks: Vec<u32> = uploads::page_of(header, number).collect();
    let next = uploads::pending_page(header, number + 1).map(|next| uploads::link(header.id, next));
    reply(app, headers, header, &chunks, next).await
}

fn check(header: &JobHeader, chunks: &[u32]) -> Result<(), Problem> {
    if chunks.len() > PAGE as usize {
        let detail = format!("\"chunk_indexes\" has more than {PAGE} entries; ask for fewer at once.");
        return Err(Problem::field(Code::InvalidField, "chunk_indexes", detail));
    }
    chunks.iter().try_for_each(|chunk| uploads::place(header, *chunk).map(|_| ()))
}

async fn reply(
    app: &App,
    headers: &HeaderMap,
    header: &JobHeader,
    chunks: &[u32],
    next: Option<String>,
) -> Result<axum::Json<UrlsReply>, Problem> {
    uploads::takes_chunks(header)?;
    let base = uploads::base(app, headers)?;
    // What has been taken must not be overwritten, so it gets no address.
    let pending = chunks.iter().copied().filter(|chunk| !header.uploaded.contains(*chunk));
    Ok(axum::Json(UrlsReply {
        parent_job_id: header.id,
        status: header.state,
        total_chunks: header.total_chunks(),
        chunk_size_bytes: header.chunk_size,
        upload_urls: uploads::sign(app, header, base.as_deref(), pending).await?,
        uploaded_chunks: header.uploaded.iter().collect(),
        next,
        expires_in_seconds: app.config.url_expiry.as_secs(),
        max_parallel_uploads: app.config.max_parallel_uploads,
    }))
}
