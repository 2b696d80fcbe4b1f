//! `POST /api/transcripts/upload`: a recording in one piece (R51), and `GET /api/transcripts/{id}`: what became of it.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::address::{JobInPath, Parameters};
use crate::routes::transcript;
use crate::spec::Operation;
use crate::state::App;
use crate::{view, whole};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use scriptorium_contracts::correction::Correction;
use scriptorium_contracts::failure::Failure;
use scriptorium_contracts::job::{JobHeader, JobState};
use scriptorium_contracts::transcript::{Gap, Segment, Transcript};
use scriptorium_contracts::{JobId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub struct UploadRequest {
    /// Hold the reply until the job has ended.
    #[serde(default)]
    wait: bool,
}

/// The record of a job, as far as it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TranscriptRecord")]
struct Record {
    id: JobId,
    original_filename: String,
    status: JobState,
    /// Percent.
    progress: u8,
    /// Milliseconds since 1970.
    created_at_ms: Timestamp,
    /// Why the job failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    #[serde(flatten)]
    result: Option<ResultOf>,
}

/// What there is at the end.
#[derive(Debug, Serialize, JsonSchema)]
struct ResultOf {
    text: String,
    /// As it was heard, and what a language model has made of it; if the job asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<Correction>,
    language: String,
    segments: Vec<Segment>,
    /// Stretches without text because something failed there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<Gap>,
    /// Seconds from the job's beginning to its end.
    processing_time: f64,
    /// Seconds.
    audio_duration: f64,
    chunks_processed: u32,
    /// Windows of speech whose text was known from earlier work on the same sound.
    cache_hits: u32,
}

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("upload_recording", "recordings", "Uploads a recording in one piece, and starts its job")
        .more(
            "The fields are those of an upload in chunks; numbers, truth values and `metadata` are written as in JSON. The \
             request needs a `Content-Length`. In forms of more than 25 MB `file` has to be the last field.",
        )
        .makes_job()
        .body("Up to 10 GB.", "multipart/form-data", &whole::shape::session())
        .problems(&whole::shape::PROBLEMS);
    describe_record(operation);
}

/// What [`accepted`] answers.
pub fn describe_record(operation: &mut Operation<'_>) {
    let id = [("id", "$response.body#/id")];
    let location = "Where the record is.";
    let (made, ended) = ("The job is under way.", "The job has ended (`wait=true`).");
    for (status, description) in [(StatusCode::ACCEPTED, made), (StatusCode::OK, ended)] {
        operation
            .reply_of::<Record>(status, description)
            .reply_header(status, "Location", location)
            .link(status, "transcript_record", &id, None)
            .link(status, "job", &id, None)
            .link(status, "transcript", &id, None)
            .link(status, "job_stream", &id, None)
            .link(status, "job_webhooks", &id, None)
            .link(status, "delete_job", &id, None);
    }
}

pub fn describe_get(operation: &mut Operation<'_>) {
    operation
        .says("transcript_record", "recordings", "What became of a recording")
        .reply_of::<Record>(StatusCode::OK, "The record, with the transcript once there is one.")
        .problems(&[Code::NoTranscript, Code::TranscriptTooLarge]);
}

pub async fn upload(
    State(app): State<App>,
    caller: Caller,
    Parameters(asked): Parameters<UploadRequest>,
    request: Request,
) -> Result<Response, Problem> {
    let (header, _) = Box::pin(whole::receive(&app, &caller, whole::SESSION, request)).await?;
    accepted(&app, &caller, header, &asked).await
}

/// The record of a job that was just made, at its end if that is waited for.
pub async fn accepted(
    app: &App,
    caller: &Caller,
    mut header: JobHeader,
    asked: &UploadRequest,
) -> Result<Response, Problem> {
    if asked.wait {
        header = whole::ended(app, caller, header.id).await?;
    }
    let status = if asked.wait && header.state.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = location(header.id)?;
    let mut response = record(app, caller, header).await?;
    *response.status_mut() = status;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

pub async fn get(
    State(app): State<App>,
    caller: Caller,
    JobInPath(job): JobInPath,
) -> Result<Response, Problem> {
    let header = app.header(&caller, job).await?;
    record(&app, &caller, header).await
}

/// Where the record is.
pub fn location(job: JobId) -> Result<HeaderValue, Problem> {
    let address = format!("/api/transcripts/{job}");
    HeaderValue::try_from(address).map_err(|_| Problem::job_not_found(job))
}

async fn record(app: &App, caller: &Caller, header: JobHeader) -> Result<Response, Problem> {
    let job = header.id;
    let has_transcript = match header.state {
        JobState::Completed | JobState::CompletedWithErrors => true,
        JobState::Created
        | JobState::Uploading
        | JobState::Processing
        | JobState::Assembling
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Expired => false,
    };
    if !has_transcript {
        return Ok(axum::Json(record_of(header, None)).into_response());
    }
    let body = transcript::with(app, caller, &header.clone(), |transcript| {
        serde_json::to_vec(&record_of(header, Some(transcript)))
    })
    .await;
    let body = body?.map_err(|error| {
        tracing::error!(%job, %error, "a record can't be written");
        Problem::new(Code::Internal, "The record can't be written; the log has the details.")
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn record_of(header: JobHeader, transcript: Option<Transcript>) -> Record {
    let ended = header.finished_at.unwrap_or(header.updated_at);
    let result = transcript.map(|transcript| ResultOf {
        text: transcript.text,
        raw_text: transcript.raw_text,
        correction: transcript.correction,
        language: transcript.language,
        segments: transcript.segments,
        gaps: transcript.gaps,
        processing_time: ended.since(header.created_at) as f64 / 1_000.0,
        audio_duration: transcript.duration,
        chunks_processed: header.completed.len(),
        cache_hits: header.work.cache_hits,
    });
    Record {
        progress: view::progress(&header),
        id: header.id,
        original_filename: header.filename,
        status: header.state,
        created_at_ms: header.created_at,
        error: header.failure,
        result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_record_has_no_result_before_there_is_one() {
        let json = serde_json::to_value(record_of(testing::header(3), None)).unwrap();
        assert_eq!(json["original_filename"], "talk.wav");
        assert_eq!((&json["status"], &json["progress"]), (&"created".into(), &0.into()));
        let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["created_at_ms", "id", "original_filename", "progress", "status"]);
    }
}
