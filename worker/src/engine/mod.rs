//! Engines turn sound into text ([`Engine`]): [`Whisper`] on CTranslate2, with its own front end, and [`OpenAi`], a service
//! elsewhere.
//!
//! A [`Window`] of up to 30 s of sound goes in, its [`WindowText`] comes out. Whisper's text is a pure function of the
//! window, the model and the settings that are not about speed; never of what else was being transcribed, on
//! which thread, or how often it was tried. (It may differ between kinds of processors, whose arithmetic units
//! round differently.) All of that but the window is the engine's [`Identity`].
//!
//! | file | job |
//! |---|---|
//! | `whisper` | the handle on all of it |
//! | `mel` | samples → log-mel spectrogram |
//! | `vad` | where somebody speaks |
//! | `window` | what to decode of a window, again if doubtful |
//! | `quality` | when a decoding is doubtful |
//! | `segments` | timestamp tokens → segments |
//! | `words` | times of tokens → words |
//! | `sentences` | words → segments |
//! | `weights` | what the file of weights says of itself |
//! | `vocab` | text ↔ tokens |
//! | `queue` | batches and threads |
//! | `model` | the bridge to CTranslate2 (feature `whisper`) |
//! | `openai` | calls of a service with OpenAI's API |
//! | `identity`, `processor` | what else a text depends on |

// Without the bridge nothing fills in or reads some of the fields.
#![cfg_attr(not(feature = "whisper"), allow(dead_code))]

mod error;
mod identity;
mod mel;
pub mod openai;
mod processor;
mod quality;
mod queue;
mod request;
mod segments;
mod sentences;
pub mod vad;
mod vocab;
#[cfg(feature = "whisper")]
mod weights;
mod whisper;
mod window;
mod words;

#[cfg(feature = "whisper")]
#[path = "model.rs"]
mod backend;
#[cfg(not(feature = "whisper"))]
#[path = "no_model.rs"]
mod backend;

pub use error::EngineError;
pub use identity::Identity;
pub use openai::{OpenAi, OpenAiConfig};
pub use whisper::{EngineConfig, Whisper};

use async_trait::async_trait;
use scriptorium_shared::waits::Waits;
use serde::{Deserialize, Serialize};

/// Samples a second that the engine takes.
pub const SAMPLE_RATE: u32 = 16_000;
/// Most samples of a window: 30 s.
pub const MAX_WINDOW: usize = 480_000;

/// What makes text of sound. [`Whisper`] computes it here, [`OpenAi`] asks a service; the tests have engines that only sleep,
/// or end their process (`tests/engines`, ADR 12).
///
/// An engine bounds what it does at once itself: a caller may offer as many windows as it likes, and waits.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The text of a window. `waits` counts the time in which a service was waited for before it was asked. Dropping the future abandons the window; what has begun may be finished, and its result let go.
    ///
    /// # Errors
    /// [`EngineError::Window`], [`EngineError::Language`], [`EngineError::Inference`],
    /// [`EngineError::Unavailable`], [`EngineError::Closed`].
    async fn transcribe(&self, window: Window, waits: &Waits) -> Result<WindowText, EngineError>;

    /// The language spoken in up to 30 s of sound. An engine that knows only one says so without listening.
    ///
    /// # Errors
    /// As [`Engine::transcribe`].
    async fn detect_language(&self, samples: Vec<f32>, waits: &Waits) -> Result<Detected, EngineError>;

    /// What is running.
    fn info(&self) -> EngineInfo;

    /// What its texts depend on besides the window; `None` if nobody is to keep them for later.
    fn identity(&self) -> Option<&Identity>;

    /// Ends the engine: what waits or runs fails with [`EngineError::Closed`]; returns when nothing runs any more. Once is
    /// enough; again does no harm.
    async fn close(&self);
}

/// What is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// The kind of engine: `whisper`, `openai`.
    pub engine: &'static str,
    /// The model, as users call it.
    pub model: String,
    /// Whether it knows more than one language.
    pub multilingual: bool,
    /// The languages it knows, as Whisper writes them.
    pub languages: Vec<String>,
    /// Whether it can tell when each word is said.
    pub word_timestamps: bool,
}

/// A stretch of sound to transcribe.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// 16 kHz mono, about -1 to 1, finite; 1 to [`MAX_WINDOW`] samples.
    pub samples: Vec<f32>,
    /// The language spoken, as Whisper writes it (`en`); `None`: the model says it from this window.
    pub language: Option<String>,
    /// [`Engine::detect_language`] has found `language`, in these very samples.
    pub detected: bool,
    /// What the model is to take as said before: names, spelling, style. Its last 223 tokens count.
    pub prompt: Option<String>,
    /// Whether to tell when each word is said. Text and times of segments are the same.
    pub word_timestamps: bool,
}

/// The text of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowText {
    /// The language spoken, as given or detected; `und` if it was not given and nobody speaks.
    pub language: String,
    /// In order of time; none if nobody speaks.
    pub segments: Vec<WindowSegment>,
    /// Passes of the model: 0 without speech, 1 normally, more if a pass was doubtful or stopped early.
    pub attempts: u8,
}

/// A sentence or phrase, as the model cuts them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowSegment {
    /// From the start of the window, in milliseconds.
    pub start_ms: u32,
    /// Likewise; later than the start, not later than the window's end.
    pub end_ms: u32,
    /// Without space around it, not empty.
    pub text: String,
    /// Average natural log-probability of a token, over the pass that gave the segment.
    pub avg_logprob: f32,
    /// The model's probability that the pass heard no speech, 0 to 1.
    pub no_speech_prob: f32,
    /// How many times smaller zlib makes the pass's text; above 2.4 it repeats itself.
    pub compression_ratio: f32,
    /// The words of `text`, if asked for. None if the model cannot tell them ([`EngineInfo::word_timestamps`]), or could
    /// not for this segment: no time is made up.
    pub words: Vec<WindowWord>,
}

/// A word and when it is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowWord {
    /// From the start of the window, in milliseconds; not before the segment's start or the end of the word before.
    pub start_ms: u32,
    /// Likewise; not before the start (a short word may have no length), not after the segment's end.
    pub end_ms: u32,
    /// With its punctuation and the space before it: the words one after the other are the segment's text.
    pub text: String,
    /// Mean of the model's probabilities of its tokens, 0 to 1.
    pub probability: f32,
}

/// The language of a stretch of sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detected {
    /// As Whisper writes it (`en`).
    pub language: String,
    /// 0 to 1.
    pub probability: f32,
}

/// Whether a window's samples keep its rules.
fn check(samples: &[f32]) -> Result<(), EngineError> {
    if samples.is_empty() {
        Err(EngineError::Window("it has no samples"))
    } else if samples.len() > MAX_WINDOW {
        Err(EngineError::Window("it is longer than 30 s"))
    } else if samples.iter().any(|sample| !sample.is_finite()) {
        Err(EngineError::Window("a sample is not a finite number"))
    } else {
        Ok(())
    }
}
