//! `GET /chunked-stream/{id}`: the live stream of a job (R10 to R14).

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::address::{JobInPath, Parameters};
use crate::spec::{Operation, STREAM_TOKEN};
use crate::state::App;
use crate::stream::frames::{Frames, Partial, PartialTranscript};
use crate::stream::hub::{self, Listener};
use crate::stream::reader::{Reader, Times};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use scriptorium_contracts::JobId;
use scriptorium_contracts::event::Event;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;

pub const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    // Proxies of the nginx family would hold frames back.
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

#[derive(Debug, Deserialize, JsonSchema)]
pub struct StreamRequest {
    /// What `partial_transcript` frames hold: all of the text, or what was added.
    #[serde(default)]
    partial: Partial,
    /// For clients that cannot send the header `Last-Event-ID`.
    #[serde(default)]
    last_event_id: Option<String>,
}

pub fn describe(operation: &mut Operation<'_>) {
    let event = operation.schemas().written::<Event>();
    let text = operation.schemas().written::<PartialTranscript<'_>>();
    let frames = json!({ "anyOf": [event, text] });
    operation
        .says("job_stream", "jobs", "The live stream of a job (server-sent events)")
        .more(
            "It begins with the job's first event, or behind the one named by `Last-Event-ID`, at whichever gateway, and ends \
             with the job; it is also ended after some time (half an hour, unless the server is set otherwise): open it again. It also ends when its key is \
             revoked.",
        )
        .secured(STREAM_TOKEN)
        .header("Last-Event-ID", "The `id` of the last frame that was read.", &json!({ "type": "string" }))
        .reply_events(StatusCode::OK, "The frames, as they come.", &frames)
        .reply_empty(StatusCode::NO_CONTENT, "The job is over, and the last frame was read: there is no more to come.")
        .problems(&[Code::TooManyStreams]);
}

pub async fn stream(
    State(app): State<App>,
    caller: Caller,
    JobInPath(job): JobInPath,
    Parameters(request): Parameters<StreamRequest>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let in_header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let resume = last_event(in_header.or(request.last_event_id.as_deref()));
    // The listener comes first: what happens from here on wakes it.
    let listener = app.hub.listen(job);
    let newest = hub::newest(&app.header(&caller, job).await?);
    // An id that was never given can't be continued from.
    let resume = if resume > newest.event { 0 } else { resume };
    if newest.over && resume == newest.event {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let reader = reader_of(&app, listener, (job, resume), request.partial)?;
    let body =
        futures::stream::unfold((reader, app.access, caller), |(mut reader, access, caller)| async move {
            let bytes = reader.next().await?;
            // A stream is open for long. Whose key is revoked hears nothing more, and loses the connection at its next sign of life.
            let known = access.still_knows(&caller).await;
            known.then_some((Ok::<_, Infallible>(bytes), (reader, access, caller)))
        });
    Ok((HEADERS, Body::from_stream(body)).into_response())
}

/// A reader of the job's stream behind the event `after`.
pub fn reader(app: &App, job: JobId, after: u64, partial: Partial) -> Result<Reader, Problem> {
    reader_of(app, app.hub.listen(job), (job, after), partial)
}

fn reader_of(
    app: &App,
    listener: Listener,
    place: (JobId, u64),
    partial: Partial,
) -> Result<Reader, Problem> {
    let permit = Arc::clone(&app.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::new(Code::TooManyStreams, "As many live streams are open as are allowed."))?;
    let interval = u64::try_from(app.config.partial_interval.as_millis()).unwrap_or(u64::MAX);
    let frames = Frames::new(partial, interval);
    let times = Times { heartbeat: app.config.heartbeat, timeout: app.config.stream_timeout };
    Ok(Reader::new(place, app.jobs.clone(), listener, frames, times, app.shutdown.clone(), permit))
}

/// 0, the beginning, for what is no id.
fn last_event(text: Option<&str>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_none_start_from_the_beginning() {
        for (text, id) in [
            (Some("7"), 7),
            (Some(" 7 "), 7),
            (Some("-7"), 0),
            (Some("seven"), 0),
            (Some(""), 0),
            (Some("99999999999999999999999"), 0),
            (None, 0),
        ] {
            assert_eq!(last_event(text), id);
        }
    }
}
