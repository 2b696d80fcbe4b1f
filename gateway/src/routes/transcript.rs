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
use scriptorium_contracts::job::{ChunkSet, JobHeader, JobState};
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
    /// The transcript as it was heard, without the corrections of a language model.
    #[serde(default)]
    raw: bool,
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
    let header = app.header(&caller, job).await?;
    check_state(&header)?;
    let stored = if request.raw { Stored::raw(job) } else { Stored::of(&header) };
    let size = size(&app, &caller, &stored).await?;
    let body = match format {
        Format::Json if stored.reverted.is_empty() => as_stored(app.jobs.objects.clone(), stored.key, size),
        Format::Json => {
            let json = read(&app, stored, size, |transcript| serde_json::to_vec_pretty(&transcript)).await?;
            Body::from(json.map_err(|error| {
                tracing::error!(%job, %error, "a transcript can't be written");
                Problem::new(Code::Internal, "The transcript can't be written; the log has the details.")
            })?)
        }
        Format::Txt => Body::from(read(&app, stored, size, |transcript| render::text(&transcript)).await?),
        Format::Srt => {
            let work = move |transcript| render::srt(&transcript, shape.as_ref());
            Body::from(read(&app, stored, size, work).await?)
        }
        Format::Vtt => {
            let work = move |transcript| render::vtt(&transcript, shape.as_ref());
            Body::from(read(&app, stored, size, work).await?)
        }
    };
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if request.format.is_none() {
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    }
    Ok(response)
}

/// Which transcript: where it lies, and which of its edits are taken back.
struct Stored {
    job: JobId,
    key: String,
    reverted: ChunkSet,
}

impl Stored {
    fn of(header: &JobHeader) -> Self {
        Self { job: header.id, key: header.transcript_key(), reverted: header.reverted_edits.clone() }
    }

    fn raw(job: JobId) -> Self {
        Self { job, key: transcript_key(job), reverted: ChunkSet::default() }
    }
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
    let TranscriptRequest { format: _, raw: _, max_line_width, max_lines, max_duration } = request;
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

/// Whether there is a transcript.
pub fn check_state(header: &JobHeader) -> Result<(), Problem> {
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
    header: &JobHeader,
    work: impl FnOnce(Transcript) -> T + Send + 'static,
) -> Result<T, Problem> {
    let stored = Stored::of(header);
    let size = size(app, caller, &stored).await?;
    read(app, stored, size, work).await
}

/// Bytes of a finished job's transcript.
async fn size(app: &App, caller: &Caller, Stored { job, key, .. }: &Stored) -> Result<u64, Problem> {
    let job = *job;
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
    Stored { key, reverted, .. }: Stored,
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
        json.extend_from_slice(&piece(&app.jobs.objects, &key, json.len() as u64).await?);
    }
    // Some seconds for the longest ones: not among the tasks that answer others.
    let work = move || {
        let _permit = permit;
        let transcript: Transcript = serde_json::from_slice(&json)?;
        Ok::<_, serde_json::Error>(work(transcript.reverted(&reverted)))
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
