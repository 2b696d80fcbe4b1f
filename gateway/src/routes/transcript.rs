//! `GET /jobs/{id}/transcript?format=json|txt|srt|vtt`: the finished text. Without `format` the header `Accept` decides.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::render::{self, Format, Shape};
use crate::request::accept;
use crate::request::address::{JobInPath, Parameters};
use crate::spec::Operation;
use crate::state::App;
use crate::uploads;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobHeader, JobState};
use scriptorium_contracts::objects::transcript_key;
use scriptorium_contracts::transcript::Transcript;
use scriptorium_shared::objects::{Objects, ObjectsError};
use serde::Deserialize;
use serde_json::json;

/// Bytes that are read from the object store at once.
const PIECE: usize = 1 << 20;
/// The longest transcript that is rendered, in bytes of its JSON: some 200 hours of speech, 80 with times of words.
const MAX_RENDERED: u64 = 128 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct TranscriptRequest {
    /// Without it the header `Accept` decides, and without that it is JSON.
    #[serde(default)]
    format: Option<Format>,
    /// Characters of a line of subtitles. This one and the next two are for srt and vtt.
    #[serde(default)]
    #[schemars(range(min = 10, max = 200))]
    max_line_width: Option<u32>,
    /// Lines of one subtitle.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10))]
    max_lines: Option<u32>,
    /// Seconds for which a subtitle is shown.
    #[serde(default)]
    #[schemars(range(min = 0.5, max = 600.0))]
    max_duration: Option<f64>,
}

pub fn describe(operation: &mut Operation<'_>) {
    operation.says("transcript", "jobs", "The transcript of a finished job").problems(&[
        Code::NotAcceptable,
        Code::TranscriptNotReady,
        Code::NoTranscript,
        Code::TranscriptTooLarge,
    ]);
    operation.reply_of::<Transcript>(StatusCode::OK, WHOLE);
    for format in [Format::Txt, Format::Srt, Format::Vtt] {
        operation.reply(StatusCode::OK, WHOLE, format.media_type(), &json!({ "type": "string" }));
    }
}

const WHOLE: &str = "The whole transcript.";

pub async fn transcript(
    State(app): State<App>,
    caller: Caller,
    JobInPath(job): JobInPath,
    Parameters(request): Parameters<TranscriptRequest>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = match request.format {
        Some(format) => format,
        None => negotiated(&headers)?,
    };
    let shape = shape(&request, format)?;
    check_state(&app.header(&caller, job).await?)?;
    let (key, objects) = (transcript_key(job), app.jobs.objects.clone());
    let size = size(&app, &caller, job, &key).await?;
    let body = match format {
        Format::Json => as_stored(objects, key, size),
        Format::Txt => Body::from(read(&app, &key, size, |transcript| render::text(&transcript)).await?),
        Format::Srt => {
            let work = move |transcript| render::srt(&transcript, shape.as_ref());
            Body::from(read(&app, &key, size, work).await?)
        }
        Format::Vtt => {
            let work = move |transcript| render::vtt(&transcript, shape.as_ref());
            Body::from(read(&app, &key, size, work).await?)
        }
    };
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if request.format.is_none() {
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    }
    Ok(response)
}

/// What the client likes best; JSON if it does not say.
fn negotiated(headers: &HeaderMap) -> Result<Format, Problem> {
    let available = Format::ALL.map(Format::media_type);
    accept::choose(headers, &available).and_then(|index| Format::ALL.get(index).copied()).ok_or_else(|| {
        let detail = format!("A transcript can be had as {}.", available.join(", "));
        Problem::new(Code::NotAcceptable, detail).with("available", available.to_vec())
    })
}

/// How subtitles are to be cut; `None` if they are to be as the segments are.
fn shape(request: &TranscriptRequest, format: Format) -> Result<Option<Shape>, Problem> {
    let TranscriptRequest { format: _, max_line_width, max_lines, max_duration } = request;
    if max_line_width.is_none() && max_lines.is_none() && max_duration.is_none() {
        return Ok(None);
    }
    match format {
        Format::Srt | Format::Vtt => {}
        Format::Json | Format::Txt => {
            let detail = "\"max_line_width\", \"max_lines\" and \"max_duration\" are for srt and vtt.";
            return Err(Problem::new(Code::MalformedQuery, detail));
        }
    }
    let shape = Shape::new(*max_line_width, *max_lines, *max_duration);
    shape.map(Some).map_err(|detail| Problem::new(Code::MalformedQuery, detail))
}

fn check_state(header: &JobHeader) -> Result<(), Problem> {
    let state = uploads::state_name(header.state);
    let (code, detail) = match header.state {
        JobState::Completed | JobState::CompletedWithErrors => return Ok(()),
        JobState::Created | JobState::Uploading | JobState::Processing | JobState::Assembling => {
            (Code::TranscriptNotReady, format!("The job is still under way ({state})."))
        }
        JobState::Failed | JobState::Cancelled | JobState::Expired => {
            (Code::NoTranscript, format!("The job ended without a transcript ({state})."))
        }
    };
    Err(Problem::new(code, detail).with("job_status", state))
}

/// The object's own bytes, piece by piece.
fn as_stored(objects: Objects, key: String, size: u64) -> Body {
    Body::from_stream(futures::stream::unfold(0, move |offset| {
        let (objects, key) = (objects.clone(), key.clone());
        async move {
            if offset >= size {
                return None;
            }
            match piece(&objects, &key, offset).await {
                Ok(bytes) => {
                    let next = offset + bytes.len() as u64;
                    Some((Ok(bytes), next))
                }
                // The connection breaks off, so that the client sees that something is missing.
                Err(error) => Some((Err(error), size)),
            }
        }
    }))
}

/// At least one byte.
async fn piece(objects: &Objects, key: &str, offset: u64) -> Result<Bytes, ObjectsError> {
    match objects.read(key, offset, PIECE).await? {
        Some(bytes) if !bytes.is_empty() => Ok(bytes),
        Some(_) | None => Err(ObjectsError::Answer("the transcript ended early")),
    }
}

/// What `work` makes of a finished job's transcript.
pub async fn with<T: Send + 'static>(
    app: &App,
    caller: &Caller,
    job: JobId,
    work: impl FnOnce(Transcript) -> T + Send + 'static,
) -> Result<T, Problem> {
    let key = transcript_key(job);
    let size = size(app, caller, job, &key).await?;
    read(app, &key, size, work).await
}

/// Bytes of a finished job's transcript.
async fn size(app: &App, caller: &Caller, job: JobId, key: &str) -> Result<u64, Problem> {
    if let Some(size) = app.jobs.objects.size(key).await? {
        return Ok(size);
    }
    // It was written before the job ended, and goes only with the job.
    app.header(caller, job).await?;
    tracing::error!(%job, "the transcript of a finished job is not in the object store");
    Err(Problem::new(Code::NoTranscript, "The transcript is not in the object store any more."))
}

async fn read<T: Send + 'static>(
    app: &App,
    key: &str,
    size: u64,
    work: impl FnOnce(Transcript) -> T + Send + 'static,
) -> Result<T, Problem> {
    if size > MAX_RENDERED {
        let detail = "The transcript is too large to be rendered here. Fetch it with format=json.";
        return Err(Problem::new(Code::TranscriptTooLarge, detail));
    }
    let busy = || Problem::new(Code::ServiceUnavailable, "The service is shutting down. Try again.");
    let permit = app.renders.clone().acquire_owned().await.map_err(|_| busy())?;
    let mut json = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
    while (json.len() as u64) < size {
        json.extend_from_slice(&piece(&app.jobs.objects, key, json.len() as u64).await?);
    }
    // Some seconds for the longest ones: not among the tasks that answer others.
    let work = move || {
        let _permit = permit;
        Ok::<_, serde_json::Error>(work(serde_json::from_slice(&json)?))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(error)) => {
            tracing::error!(key, %error, "a stored transcript can't be read");
            Err(Problem::new(Code::Internal, "The stored transcript can't be read; the log has the details."))
        }
        Err(_) => Err(busy()),
    }
}
