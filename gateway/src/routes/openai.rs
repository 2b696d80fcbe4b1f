//! `POST /v1/audio/transcriptions`: OpenAI's request, answered by a job of this service (R67).

use crate::access::Caller;
use crate::openai::error::ErrorDocument;
use crate::openai::reply::{Plain, Verbose};
use crate::openai::request::{self, Asked, TRANSCRIPTION};
use crate::openai::{error, reply, shape, stream::Translator};
use crate::problem::{Code, Problem};
use crate::routes::stream::{HEADERS, reader};
use crate::routes::{transcript, upload};
use crate::spec::{ErrorForm, Operation};
use crate::state::App;
use crate::stream::frames::Partial;
use crate::uploads;
use crate::whole::{self, shape::PROBLEMS};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use scriptorium_contracts::job::{Input, JobHeader, JobState};
use serde_json::json;
use std::convert::Infallible;

pub fn describe(operation: &mut Operation<'_>) {
    let (ok, whole) = (StatusCode::OK, "The transcript, or a stream of it.");
    operation
        .says("openai_transcription", "openai", "OpenAI's `audio/transcriptions`")
        .more(
            "As their clients call it, with their errors. What their API defines and this service cannot do is refused, not \
             ignored. The header `Location` names the record of the job.",
        )
        .errors(ErrorForm::OpenAi)
        .makes_job()
        .body("In forms of more than 25 MB `file` has to be the last field.", "multipart/form-data", &shape::form())
        .problems(&PROBLEMS)
        .problems(&[Code::JobOver, Code::NoTranscript, Code::TranscriptTooLarge, Code::TooManyStreams]);
    let forms = [operation.schemas().written::<Plain<'_>>(), operation.schemas().written::<Verbose<'_>>()];
    operation.reply(ok, whole, "application/json", &json!({ "anyOf": forms }));
    for media_type in ["text/plain", "application/x-subrip", "text/vtt"] {
        operation.reply(ok, whole, media_type, &json!({ "type": "string" }));
    }
    let events = shape::events(operation.schemas());
    operation.reply_events(ok, whole, &events);
    let late = operation.schemas().written::<ErrorDocument>();
    operation.reply_header(ok, "Location", "The record of the job.").reply(
        StatusCode::GATEWAY_TIMEOUT,
        "It takes longer; the work goes on.",
        "application/json",
        &late,
    );
}

pub async fn transcriptions(State(app): State<App>, caller: Caller, request: Request) -> Response {
    answer(&app, &caller, request).await.unwrap_or_else(|problem| error::reply(&problem))
}

async fn answer(app: &App, caller: &Caller, request: Request) -> Result<Response, Problem> {
    let (header, form) = Box::pin(whole::receive(app, caller, TRANSCRIPTION, request)).await?;
    let asked = request::asked(&form)?;
    let (job, location) = (header.id, upload::location(header.id)?);
    let mut response = if asked.stream {
        match streamed(app, &header) {
            Ok(response) => response,
            Err(problem) => {
                // The client will send all of it again, and wants it once.
                let reason = "There was no place for a live stream.".to_owned();
                app.advance(caller, job, Input::Cancel { reason }).await?;
                return Err(problem);
            }
        }
    } else {
        let header = whole::ended(app, caller, job).await?;
        finished(app, caller, header, asked).await?
    };
    // Not of OpenAI's API: by it the job can be found.
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

async fn finished(app: &App, caller: &Caller, header: JobHeader, asked: Asked) -> Result<Response, Problem> {
    match header.state {
        JobState::Completed | JobState::CompletedWithErrors => {}
        JobState::Created | JobState::Uploading | JobState::Processing | JobState::Assembling => {
            return Ok(error::not_in_time(&format!("/api/transcripts/{}", header.id)));
        }
        JobState::Failed | JobState::Cancelled | JobState::Expired => {
            return match &header.failure {
                Some(failure) => Ok(error::failed(failure)),
                None => Err(uploads::job_over(&header)),
            };
        }
    }
    let body =
        transcript::with(app, caller, &header, move |transcript| reply::body(&transcript, asked)).await?;
    let body = body.map_err(|error| {
        tracing::error!(job = %header.id, %error, "a transcript can't be written");
        Problem::new(Code::Internal, "The transcript can't be written; the log has the details.")
    })?;
    let content_type = HeaderValue::from_static(reply::content_type(asked.format));
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

fn streamed(app: &App, header: &JobHeader) -> Result<Response, Problem> {
    let reader = reader(app, header.id, 0, Partial::Delta)?;
    let body =
        futures::stream::unfold((reader, Translator::default()), |(mut reader, mut translator)| async move {
            // Nothing for the client may be in what has come; an empty piece is none.
            loop {
                let frames = reader.next().await?;
                let events = translator.translate(&String::from_utf8_lossy(&frames));
                if !events.is_empty() {
                    return Some((Ok::<_, Infallible>(Bytes::from(events)), (reader, translator)));
                }
            }
        });
    Ok((HEADERS, Body::from_stream(body)).into_response())
}
