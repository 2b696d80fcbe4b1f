//! A service elsewhere that speaks OpenAI's `audio/transcriptions` API
//! (<https://platform.openai.com/docs/api-reference/audio>): OpenAI itself, or any of the servers that copy it.
//!
//! A window of at most 30 s is one call, so no length or size that such services allow is ever reached. The text of a
//! window is what the service makes of it: that it is always the same is the service's to keep.

mod call;
mod flac;
mod reply;

pub use scriptorium_shared::service::Endpoint;

use super::{
    Detected, Engine, EngineError, EngineInfo, Identity, SAMPLE_RATE, Window, WindowText, check, identity,
    vad,
};
use async_trait::async_trait;
use call::{Ask, Caller};
use scriptorium_contracts::language;
use scriptorium_shared::limiter::{CallLimits, Limiter};
use scriptorium_shared::waits::Waits;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Services do not say how sure they are of a language. This sure, a clear majority of the recording overrules it.
const LANGUAGE_PROBABILITY: f32 = 0.9;
/// Texts that came while a language was asked for, and are about to be asked for themselves.
const REMEMBERED: usize = 64;
/// Whisper reads the last 224 tokens of a prompt; services refuse long ones.
const MAX_PROMPT: usize = 800;

#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Asked in this order: the next one where the one before does not answer.
    pub endpoints: Vec<Endpoint>,
    /// As the service calls it: `whisper-1`.
    pub model: String,
    /// Over all workers together, as far as they share the limiter.
    pub limits: CallLimits,
    /// Calls of this process at once.
    pub slots: usize,
    /// For one call.
    pub timeout: Duration,
    /// Before an endpoint that failed is asked again, if it does not say; doubles with each try of a window.
    pub first_pause: Duration,
}

pub struct OpenAi {
    caller: Caller,
    identity: Identity,
    model: String,
    slots: Semaphore,
    /// Keys the hashes, so that nobody can make two windows that look alike.
    hasher: RandomState,
    heard: Mutex<VecDeque<(u64, WindowText)>>,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenAi").field("model", &self.model).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// Calls nobody yet.
    ///
    /// # Errors
    /// [`EngineError::Inference`] if this machine has no root certificates to check a server's with.
    pub fn new(config: OpenAiConfig, limiter: Limiter) -> Result<Self, EngineError> {
        Ok(Self {
            identity: identity::openai(&config),
            model: config.model.clone(),
            slots: Semaphore::new(config.slots.clamp(1, 128)),
            caller: Caller::new(config, limiter)?,
            hasher: RandomState::new(),
            heard: Mutex::default(),
        })
    }

    /// One call. `language` is as the caller knows it; the text's own is the one that the service found.
    async fn ask(
        &self,
        samples: Vec<f32>,
        language: Option<String>,
        prompt: Option<String>,
        words: bool,
        waits: &Waits,
    ) -> Result<WindowText, EngineError> {
        let _slot = self.slots.acquire().await.map_err(|_| EngineError::Closed)?;
        let length_ms = length_ms(&samples);
        let encoded = tokio::task::spawn_blocking(move || flac::encode(&samples));
        // It fails only if the runtime is shutting down.
        let sound = encoded.await.map_err(|_| EngineError::Closed)??.into();
        let prompt = prompt.map(|prompt| last_part(&prompt).to_owned()).filter(|prompt| !prompt.is_empty());
        let ask = Ask { sound, model: self.model.clone(), language: language.clone(), prompt, words };
        let reply = self.caller.transcribe(&ask, waits).await?;
        let language = language.or_else(|| reply.language().map(str::to_owned));
        Ok(reply.into_text(language.unwrap_or_else(|| "und".to_owned()), length_ms))
    }

    fn key(&self, samples: &[f32]) -> u64 {
        let bits: Vec<u32> = samples.iter().map(|sample| sample.to_bits()).collect();
        self.hasher.hash_one(bits)
    }

    fn remember(&self, key: u64, text: WindowText) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.truncate(REMEMBERED - 1);
        heard.push_front((key, text));
    }

    /// The text of a window, if it came when its language was asked for.
    fn heard(&self, key: u64, language: &str) -> Option<WindowText> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let at = heard.iter().position(|(of, text)| *of == key && text.language == language)?;
        heard.remove(at).map(|(_, text)| text)
    }
}

#[async_trait]
impl Engine for OpenAi {
    async fn transcribe(&self, window: Window, waits: &Waits) -> Result<WindowText, EngineError> {
        let Window { samples, language, detected, prompt, word_timestamps } = window;
        check(&samples)?;
        if let Some(language) = language.as_ref().filter(|named| !language::is_code(named) && *named != "und")
        {
            return Err(EngineError::Language { model: self.model.clone(), language: language.clone() });
        }
        if vad::speech_regions(&samples).is_empty() {
            // Nothing to pay for.
            let language = language.unwrap_or_else(|| "und".to_owned());
            return Ok(WindowText { language, segments: Vec::new(), attempts: 0 });
        }
        let language = language.filter(|language| language != "und");
        if let (true, Some(language), None, false) = (detected, &language, &prompt, word_timestamps) {
            // The language was found by asking for the text. Whether that text is still at hand or not, it is the one.
            if let Some(text) = self.heard(self.key(&samples), language) {
                return Ok(text);
            }
            let text = self.ask(samples, None, None, false, waits).await?;
            return Ok(WindowText { language: language.clone(), ..text });
        }
        self.ask(samples, language, prompt, word_timestamps, waits).await
    }

    async fn detect_language(&self, samples: Vec<f32>, waits: &Waits) -> Result<Detected, EngineError> {
        check(&samples)?;
        if vad::speech_regions(&samples).is_empty() {
            return Ok(Detected { language: "und".to_owned(), probability: 0.0 });
        }
        let key = self.key(&samples);
        let text = self.ask(samples, None, None, false, waits).await?;
        let language = text.language.clone();
        let probability = if language == "und" { 0.0 } else { LANGUAGE_PROBABILITY };
        self.remember(key, text);
        Ok(Detected { language, probability })
    }

    fn info(&self) -> EngineInfo {
        EngineInfo {
            engine: "openai",
            model: self.model.clone(),
            multilingual: true,
            languages: language::codes().map(str::to_owned).collect(),
            word_timestamps: true,
        }
    }

    fn identity(&self) -> Option<&Identity> {
        Some(&self.identity)
    }

    async fn close(&self) {
        self.slots.close();
    }
}

fn length_ms(samples: &[f32]) -> u32 {
    u32::try_from(samples.len() as u64 * 1_000 / u64::from(SAMPLE_RATE)).unwrap_or(u32::MAX)
}

/// What was said last counts most.
fn last_part(prompt: &str) -> &str {
    let from = prompt.len().saturating_sub(MAX_PROMPT);
    let from = (from..=prompt.len()).find(|at| prompt.is_char_boundary(*at)).unwrap_or(0);
    prompt.get(from..).unwrap_or_default().trim()
}
