//! Calls of the API: within the limits that hold for all workers together, again where that may help, elsewhere where an
//! endpoint does not answer.

use super::OpenAiConfig;
use super::reply::Reply;
use crate::engine::EngineError;
use reqwest::header::RETRY_AFTER;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use scriptorium_shared::clock;
use scriptorium_shared::limiter::{CallLimits, Granted, Limiter, Permit};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, warn};

/// Calls for one window before it is given up for now.
const TRIES: u32 = 6;
/// No `Retry-After` is obeyed for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// An endpoint that refuses us may be mended, but not at once.
const REFUSED_PAUSE: Duration = Duration::from_secs(20);
/// The text of 30 s of speech, with every word's time, has some kB.
const MAX_REPLY: usize = 1 << 20;
/// The name under which calls are counted.
const LIMIT: &str = "openai";

/// One server of the API.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// With the version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Servers of one's own may need none.
    pub api_key: Option<String>,
}

impl fmt::Debug for Endpoint {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Endpoint").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// What is asked of a window.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// FLAC.
    pub(super) sound: bytes::Bytes,
    pub(super) model: String,
    pub(super) language: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) words: bool,
}

/// Why a call gave no reply.
enum Trouble {
    /// It may pass: ask again, not before this time if the endpoint says so.
    Away { what: String, pause: Option<Duration> },
    /// The endpoint does not take us: a wrong key, a model that it does not have.
    Refused(StatusCode),
    /// It would be the same everywhere.
    Request(StatusCode),
}

pub(super) struct Caller {
    client: Client,
    endpoints: Vec<Endpoint>,
    /// When each endpoint may be asked again.
    free_at: Mutex<Vec<Instant>>,
    limiter: Limiter,
    limits: CallLimits,
    timeout: Duration,
    first_pause: Duration,
}

impl Caller {
    pub(super) fn new(client: Client, config: OpenAiConfig, limiter: Limiter) -> Self {
        let OpenAiConfig { endpoints, limits, timeout, first_pause, .. } = config;
        let free_at = Mutex::new(vec![Instant::now(); endpoints.len()]);
        Self { client, endpoints, free_at, limiter, limits, timeout, first_pause }
    }

    /// # Errors
    /// [`EngineError::Unavailable`] if no endpoint answers, [`EngineError::Inference`] if they refuse.
    pub(super) async fn transcribe(&self, ask: &Ask) -> Result<Reply, EngineError> {
        let mut last = EngineError::Unavailable("it has no address".to_owned());
        let mut refused = vec![false; self.endpoints.len()];
        for attempt in 0..TRIES {
            let (index, free_at) = self.next_endpoint();
            let Some(endpoint) = self.endpoints.get(index) else { break };
            tokio::time::sleep_until(free_at).await;
            let permit = self.permit().await?;
            let outcome = self.call(endpoint, ask).await;
            if let Err(problem) = self.limiter.release(permit).await {
                debug!(%problem, "a permit can't be given back; it ends with its lease");
            }
            let pause = match outcome {
                Ok(reply) => return Ok(reply),
                Err(Trouble::Request(status)) => {
                    return Err(EngineError::Inference(format!("the API answers {status} to a window")));
                }
                Err(Trouble::Refused(status)) => {
                    last = EngineError::Inference(format!("{} answers {status}", endpoint.base_url));
                    if let Some(refused) = refused.get_mut(index) {
                        *refused = true;
                    }
                    REFUSED_PAUSE
                }
                Err(Trouble::Away { what, pause }) => {
                    let pause = pause.unwrap_or(self.first_pause * (1 << attempt));
                    last = EngineError::Unavailable(format!("{}: {what}", endpoint.base_url));
                    pause
                }
            };
            warn!(problem = %last, pause_seconds = pause.as_secs_f64(), "a call of the API failed");
            self.put_off(index, pause.min(LONGEST_PAUSE));
            if refused.iter().all(|refused| *refused) {
                break;
            }
        }
        Err(last)
    }

    /// The one that may be asked first; of several the first in the list.
    fn next_endpoint(&self) -> (usize, Instant) {
        let (now, free_at) = (Instant::now(), self.free_at.lock().unwrap_or_else(PoisonError::into_inner));
        let times = free_at.iter().map(|at| (*at).max(now)).enumerate();
        times.min_by_key(|(_, at)| *at).unwrap_or((0, now))
    }

    fn put_off(&self, index: usize, pause: Duration) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free_at.get_mut(index) {
            *at = Instant::now() + pause;
        }
    }

    /// Waits for leave to make a call. It ends by itself should this process die during the call.
    async fn permit(&self) -> Result<Permit, EngineError> {
        let lease = self.timeout + Duration::from_secs(10);
        loop {
            let granted = self.limiter.acquire(LIMIT, self.limits, clock::now(), lease).await;
            match granted.map_err(|problem| EngineError::Unavailable(problem.to_string()))? {
                Granted::Permit(permit) => return Ok(permit),
                Granted::Wait(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    async fn call(&self, endpoint: &Endpoint, ask: &Ask) -> Result<Reply, Trouble> {
        let url = format!("{}/audio/transcriptions", endpoint.base_url.trim_end_matches('/'));
        let mut request = self.client.post(url).timeout(self.timeout).multipart(form(ask)?);
        if let Some(key) = &endpoint.api_key {
            request = request.bearer_auth(key);
        }
        // What reqwest says names the URL, and never the key.
        let response = request.send().await.map_err(|problem| away(problem.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return read(response).await;
        }
        let pause = retry_after(&response);
        Err(match status.as_u16() {
            408 | 409 | 425 | 429 | 500..=599 => Trouble::Away { what: status.to_string(), pause },
            400 | 413 | 415 | 422 => Trouble::Request(status),
            _ => Trouble::Refused(status),
        })
    }
}

fn form(ask: &Ask) -> Result<Form, Trouble> {
    // A body in memory has a length, which some servers insist on.
    let length = ask.sound.len() as u64;
    let sound = Part::stream_with_length(ask.sound.clone(), length)
        .file_name("window.flac")
        .mime_str("audio/flac")
        .map_err(away)?;
    let mut form = Form::new()
        .part("file", sound)
        .text("model", ask.model.clone())
        .text("response_format", "verbose_json")
        .text("temperature", "0")
        .text("timestamp_granularities[]", "segment");
    if ask.words {
        form = form.text("timestamp_granularities[]", "word");
    }
    if let Some(language) = &ask.language {
        form = form.text("language", language.clone());
    }
    if let Some(prompt) = &ask.prompt {
        form = form.text("prompt", prompt.clone());
    }
    Ok(form)
}

async fn read(mut response: Response) -> Result<Reply, Trouble> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|problem| away(problem.without_url()))? {
        if body.len() + piece.len() > MAX_REPLY {
            return Err(Trouble::Away { what: "a reply of more than 1 MiB".to_owned(), pause: None });
        }
        body.extend_from_slice(&piece);
    }
    let unreadable = |_| Trouble::Away { what: "a reply that is no transcription".to_owned(), pause: None };
    serde_json::from_slice(&body).map_err(unreadable)
}

fn away(problem: reqwest::Error) -> Trouble {
    let what = if problem.is_timeout() { "no answer in time".to_owned() } else { problem.to_string() };
    Trouble::Away { what, pause: None }
}

/// Seconds; a date is not used by these APIs.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: f64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|pause| pause.min(LONGEST_PAUSE))
}
