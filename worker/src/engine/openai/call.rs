//! One window, as a call of the API.

use super::OpenAiConfig;
use super::reply::Reply;
use crate::engine::EngineError;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use scriptorium_shared::limiter::Limiter;
use scriptorium_shared::service::{Service, ServiceConfig, ServiceError};
use scriptorium_shared::waits::Waits;

/// Calls for one window before it is given up for now.
const TRIES: u32 = 6;
/// The name under which calls are counted.
const LIMIT: &str = "openai";

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

pub(super) struct Caller(Service);

impl Caller {
    /// Calls nobody yet.
    ///
    /// # Errors
    /// [`EngineError::Inference`] if this machine has no root certificates to check a server's with.
    pub(super) fn new(config: OpenAiConfig, limiter: Limiter) -> Result<Self, EngineError> {
        let OpenAiConfig { endpoints, limits, timeout, first_pause, .. } = config;
        let config = ServiceConfig { name: LIMIT, endpoints, limits, timeout, first_pause, tries: TRIES };
        let service =
            Service::new(config, limiter).map_err(|problem| EngineError::Inference(problem.to_string()))?;
        Ok(Self(service))
    }

    /// # Errors
    /// [`EngineError::Unavailable`] if no endpoint answers, [`EngineError::Inference`] if they refuse.
    pub(super) async fn transcribe(&self, ask: &Ask, waits: &Waits) -> Result<Reply, EngineError> {
        let read = |body: &[u8]| serde_json::from_slice(body).ok();
        let answer = self.0.post("/audio/transcriptions", |request| filled(request, ask), read, waits).await;
        answer.map_err(|problem| match problem {
            ServiceError::Unavailable(what) => EngineError::Unavailable(what),
            ServiceError::Refused(what) => EngineError::Inference(what),
            ServiceError::Request(status) => {
                EngineError::Inference(format!("the API answers {status} to a window"))
            }
        })
    }
}

fn filled(request: RequestBuilder, ask: &Ask) -> Result<RequestBuilder, reqwest::Error> {
    // A body in memory has a length, which some servers insist on.
    let length = ask.sound.len() as u64;
    let sound = Part::stream_with_length(ask.sound.clone(), length)
        .file_name("window.flac")
        .mime_str("audio/flac")?;
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
    Ok(request.multipart(form))
}
