//! `POST /api/transcripts`: a recording that the service fetches itself.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::address::Parameters;
use crate::request::idempotency;
use crate::request::json::Json;
use crate::request::source::{Asked, From, SourceRequest};
use crate::routes::upload::{self, UploadRequest};
use crate::spec::Operation;
use crate::state::App;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobHeader, NewJob};
use scriptorium_contracts::source::Source;
use scriptorium_shared::jobs::CreatedJob;
use scriptorium_shared::source::Fetcher;
use uuid::Uuid;

const NOT_CONFIGURED: &str =
    "This server fetches no recordings. Upload it, or ask the operator (--source-fetches).";

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("fetch_recording", "recordings", "Fetches a recording from elsewhere, and starts its job")
        .more(
            "The address is asked once, for the size, before the request is answered; then the recording is fetched in parts, several \
             times if its server fails, and transcribed as it comes. What cannot be had in the end fails the job. The address is \
             forgotten as soon as the recording is whole; after a failure, with what was stored of it.",
        )
        .makes_job()
        .problems(&[
            Code::SourcesNotConfigured,
            Code::SourceUnusable,
            Code::SourceUnreachable,
            Code::FileTooLarge,
            Code::LlmNotConfigured,
            Code::WebhooksNotConfigured,
            Code::TooManyUploads,
            // Deleted while it was waited for.
            Code::JobNotFound,
        ]);
    upload::describe_record(operation);
}

pub async fn fetch(
    State(app): State<App>,
    caller: Caller,
    Parameters(wait): Parameters<UploadRequest>,
    headers: HeaderMap,
    Json(request): Json<SourceRequest>,
) -> Result<Response, Problem> {
    let Some(fetcher) = app.config.sources.clone() else {
        return Err(Problem::field(Code::SourcesNotConfigured, "source_url", NOT_CONFIGURED));
    };
    let canonical = serde_json::to_vec(&request)
        .map_err(|_| Problem::new(Code::MalformedJson, "The body cannot be written as JSON."))?;
    let key = idempotency::of(&headers, "transcripts", caller.tenant(), &canonical)?;
    let created = match app.made_before(&caller, key.as_ref()).await? {
        // Where the recording is, nobody is asked again: it may be gone by now.
        Some(before) => before,
        None => {
            let new = Box::pin(look(&app, &caller, &fetcher, &request)).await?;
            app.create(&caller, new, key).await?
        }
    };
    let header = match created {
        CreatedJob::New(header) => {
            told(&header);
            header
        }
        CreatedJob::Existing(header) => header,
        CreatedJob::KeyReused => {
            let detail = "This Idempotency-Key came with another body before. Use a fresh one for a new job.";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
    };
    upload::accepted(&app, &caller, header, &wait).await
}

/// The job of the recording, as it is found where it is.
async fn look(
    app: &App,
    caller: &Caller,
    fetcher: &Fetcher,
    request: &SourceRequest,
) -> Result<NewJob, Problem> {
    let from = From { reach: fetcher.reach(), imports: fetcher.imports(), tenant: caller.tenant() };
    let Asked { origin, filename, field } = request.source(&from)?;
    // Whatever its size is: what is wrong with the rest is told before anybody is asked.
    request.upload(&filename, 1)?.check_whole(JobId::new(Uuid::nil()), caller, &app.config)?;
    let _place = app.looks.enter(caller.tenant()).ok_or_else(|| {
        Problem::new(Code::TooManyUploads, "Too many recordings are looked at at this moment. Try again.")
    })?;
    let found = fetcher.look(&origin).await.map_err(|error| {
        tracing::info!(server = origin.server(), %error, "a recording can't be fetched");
        Problem::of_source(&error, field)
    })?;
    let new = request.upload(&filename, found.size)?.check_whole(
        JobId::new(Uuid::new_v4()),
        caller,
        &app.config,
    )?;
    Ok(NewJob { source: Some(Source::new(origin, found.version, found.ranges)), ..new })
}

fn told(header: &JobHeader) {
    let (chunks, bytes) = (header.total_chunks(), header.total_size);
    let server = header.source.as_ref().map(|source| source.origin.server());
    tracing::info!(job = %header.id, chunks, bytes, server, "a recording is to be fetched");
}
