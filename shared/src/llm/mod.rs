//! Corrections of text by a language model, asked for by an OpenAI-compatible chat API.
//!
//! What counts as a correction is decided in `scriptorium_contracts::correction`, not by the model. Nothing here fails: what
//! cannot be had, in whatever way, stays as it was heard.

mod chat;

use crate::limiter::{CallLimits, Limiter};
use crate::service::{Endpoint, Service, ServiceConfig, ServiceError};
use crate::waits::Waits;
use chat::Asked;
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use reqwest::RequestBuilder;
use scriptorium_contracts::correction::{Known, LlmOutcome, LlmUsage, Refusal, Room, judge, windows};
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// The name under which calls are counted.
const LIMIT: &str = "llm";
/// Tries of one question.
const TRIES: u32 = 3;
/// Questions about one text at once; the common limits hold all the same.
const AT_ONCE: usize = 4;
/// After a question in vain nobody is asked for this long: texts are not to wait for a service that is away.
const PAUSE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct LlmConfig {
    pub endpoints: Vec<Endpoint>,
    /// As the service calls it.
    pub model: String,
    /// Tokens of a question and its answer together.
    pub context_tokens: u32,
    /// Over all processes together, as far as they share the limiter.
    pub limits: CallLimits,
    /// For one call.
    pub timeout: Duration,
    /// Before an endpoint that failed is asked again, if it does not say.
    pub first_pause: Duration,
    /// For one text, however long; what is not corrected by then stays as it was heard.
    pub longest: Duration,
}

/// A segment as it was heard.
#[derive(Clone, Debug)]
pub struct Said {
    pub text: String,
    /// Two-letter code.
    pub language: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Corrected {
    /// A text for each segment that has a correction.
    pub texts: Vec<Option<String>>,
    pub outcome: LlmOutcome,
}

/// Asks a language model.
pub struct Llm {
    service: Service,
    config: LlmConfig,
    /// After a question in vain: until when nobody is asked.
    away_until: Mutex<Option<Instant>>,
}

impl fmt::Debug for Llm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Llm").field("model", &self.config.model).finish_non_exhaustive()
    }
}

/// What came of one window.
struct Window {
    segments: Range<usize>,
    answer: Result<Vec<Verdict>, ()>,
    usage: LlmUsage,
}

enum Verdict {
    Same,
    Corrected(String),
    Refused,
}

impl Llm {
    /// Calls nobody yet.
    ///
    /// # Errors
    /// This machine has no root certificates to check a server's with.
    pub fn new(config: LlmConfig, limiter: Limiter) -> Result<Self, reqwest::Error> {
        let LlmConfig { endpoints, limits, timeout, first_pause, .. } = config.clone();
        let service = ServiceConfig { name: LIMIT, endpoints, limits, timeout, first_pause, tries: TRIES };
        Ok(Self { service: Service::new(service, limiter)?, config, away_until: Mutex::default() })
    }

    /// Asks for corrections of a text's segments, several windows at once. Takes no longer than [`LlmConfig::longest`]. `waits`
    /// counts the time in which calls waited for leave.
    pub fn correct<'a>(&'a self, said: &'a [Said], waits: &'a Waits) -> BoxFuture<'a, Corrected> {
        Box::pin(async move {
            let room = Room::in_context(self.config.context_tokens);
            let known = Known::of(said.iter().map(|one| (one.text.as_str(), one.language.as_deref())));
            let deadline = Instant::now() + self.config.longest;
            let windows = windows(said.iter().map(|one| one.text.as_str()), room);
            let asked = windows.into_iter().map(|window| self.window(said, window, &known, deadline, waits));
            let answers: Vec<Window> = stream::iter(asked).buffered(AT_ONCE).collect().await;
            let corrected = self.gathered(said, answers);
            let LlmOutcome { usage, refused, unanswered, .. } = &corrected.outcome;
            info!(segments = said.len(), refused, unanswered, calls = usage.calls, "text was corrected");
            corrected
        })
    }

    fn gathered(&self, said: &[Said], windows: Vec<Window>) -> Corrected {
        let mut texts = vec![None; said.len()];
        let mut outcome = LlmOutcome { model: self.config.model.clone(), ..LlmOutcome::default() };
        let spoken = said.iter().filter(|one| !one.text.trim().is_empty()).count();
        let mut answered = 0;
        for Window { segments, answer, usage } in windows {
            outcome.usage = outcome.usage.plus(usage);
            let Ok(verdicts) = answer else { continue };
            answered += segments.len();
            for (at, verdict) in segments.zip(verdicts) {
                match verdict {
                    Verdict::Same => {}
                    Verdict::Refused => outcome.refused += 1,
                    Verdict::Corrected(text) => {
                        if let Some(place) = texts.get_mut(at) {
                            *place = Some(text);
                        }
                    }
                }
            }
        }
        outcome.unanswered = u32::try_from(spoken.saturating_sub(answered)).unwrap_or(u32::MAX);
        Corrected { texts, outcome }
    }

    async fn window(
        &self,
        said: &[Said],
        segments: Range<usize>,
        known: &Known,
        deadline: Instant,
        waits: &Waits,
    ) -> Window {
        let said = said.get(segments.clone()).unwrap_or_default();
        let mut usage = LlmUsage::default();
        let answer = match tokio::time::timeout_at(deadline, self.ask(said, waits)).await {
            Ok(Some(asked)) => {
                usage = LlmUsage { calls: 1, ..asked.usage };
                asked.texts.map(|texts| verdicts(said, texts, known)).ok_or(())
            }
            Ok(None) => Err(()),
            Err(_) => {
                warn!("the time for corrections is over; the rest stays as it was heard");
                Err(())
            }
        };
        usage.failed_calls = u32::from(answer.is_err());
        Window { segments, answer, usage }
    }

    /// `None` if no service answers.
    async fn ask(&self, said: &[Said], waits: &Waits) -> Option<Asked> {
        if self.is_away() {
            debug!("the language model did not answer a short time ago and is not asked");
            return None;
        }
        let question = chat::question(&self.config.model, said);
        let read = |body: &[u8]| chat::answer(body, said.len());
        let fill = |request: RequestBuilder| Ok(request.json(&question));
        match self.service.post("/chat/completions", fill, read, waits).await {
            Ok(asked) => Some(asked),
            Err(problem) => {
                warn!(%problem, "the language model did not answer; the text stays as it was heard");
                match problem {
                    ServiceError::Unavailable(_) | ServiceError::Refused(_) => self.stay_away(),
                    // It was this question.
                    ServiceError::Request(_) => {}
                }
                None
            }
        }
    }

    fn is_away(&self) -> bool {
        let until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn stay_away(&self) {
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PAUSE);
    }
}

/// What is taken of a window's answer. If most of what it changes is no correction, none of it is: it has gone astray.
fn verdicts(said: &[Said], texts: Vec<String>, known: &Known) -> Vec<Verdict> {
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut changed = 0;
    let verdict = |(said, text): (&Said, String)| {
        let text = text.trim();
        if text == said.text.trim() {
            return Verdict::Same;
        }
        changed += 1;
        match judge(&said.text, text, said.language.as_deref(), known) {
            Ok(()) => Verdict::Corrected(text.to_owned()),
            Err(refusal) => {
                refusals.push(refusal);
                Verdict::Refused
            }
        }
    };
    let mut verdicts: Vec<Verdict> = said.iter().zip(texts).map(verdict).collect();
    if !refusals.is_empty() {
        debug!(?refusals, changed, "some of an answer is no correction");
    }
    if refusals.len() * 2 > changed {
        for verdict in &mut verdicts {
            match verdict {
                Verdict::Corrected(_) => *verdict = Verdict::Refused,
                Verdict::Same | Verdict::Refused => {}
            }
        }
    }
    verdicts
}

#[cfg(test)]
mod tests;
