//! `GET /jobs/{id}/transcript?format=json|txt|srt|vtt`: the finished text.

use crate::problem::{Code, Problem};
use crate::render::{self, Format};
use crate::request::address::{JobInPath, Parameters};
use crate::state::App;
use crate::uploads;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobHeader, JobState};
use scriptorium_contracts::objects::transcript_key;
use scriptorium_contracts::transcript::Transcript;
use scriptorium_shared::objects::{Objects, ObjectsError};
use serde::Deserialize;

/// Bytes that are read from the object store at once.
const PIECE: usize = 1 << 20;
/// The longest transcript that is rendered, in bytes of its JSON: some 200 hours of speech, 80 with times of words.
const MAX_RENDERED: u64 = 128 << 20;

#[derive(Debug, Deserialize)]
pub struct TranscriptRequest {
    #[serde(default)]
    format: Option<Format>,
}

pub async fn transcript(
    State(app): State<App>,
    JobInPath(job): JobInPath,
    Parameters(request): Parameters<TranscriptRequest>,
) -> Result<Response, Problem> {
    check_state(&app.header(job).await?)?;
    let (key, objects) = (transcript_key(job), app.jobs.objects.clone());
    let size = objects.size(&key).await?.ok_or_else(|| lost(job))?;
    let format = request.format.unwrap_or(Format::Json);
    let body = match format {
        Format::Json => as_stored(objects, key, size),
        Format::Txt => Body::from(read(&app, &key, size, |transcript| render::text(&transcript)).await?),
        Format::Srt => Body::from(read(&app, &key, size, |transcript| render::srt(&transcript)).await?),
        Format::Vtt => Body::from(read(&app, &key, size, |transcript| render::vtt(&transcript)).await?),
    };
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    Ok(response)
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
    job: JobId,
    work: impl FnOnce(Transcript) -> T + Send + 'static,
) -> Result<T, Problem> {
    let key = transcript_key(job);
    let size = app.jobs.objects.size(&key).await?.ok_or_else(|| lost(job))?;
    read(app, &key, size, work).await
}

fn lost(job: JobId) -> Problem {
    // It is written before the job ends, and nothing deletes it.
    tracing::error!(%job, "the transcript of a finished job is not in the object store");
    Problem::new(Code::NoTranscript, "The transcript is not in the object store any more.")
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
