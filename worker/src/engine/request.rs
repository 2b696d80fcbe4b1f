//! What travels between a window's logic and the threads that run the model.

use std::sync::Arc;

use super::Detected;
use super::mel::Mel;
use super::words::Alignment;

/// One pass of the model over a part of a window.
#[derive(Debug, Clone)]
pub struct Request {
    pub mel: Arc<Mel>,
    /// The part: frames of 10 ms, at most 3000 of them.
    pub from: usize,
    pub to: usize,
    pub language: Language,
    /// Tokens (by name) before the transcript: what was said before, or nothing.
    pub prompt: Arc<[String]>,
    pub task: Task,
    /// Whether to write no timestamps and to find when the tokens of the transcript are said.
    pub align: bool,
}

/// The language of the part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Language {
    /// As Whisper writes it: `en`.
    Known(String),
    /// The model is to say, from the part itself.
    Detect,
}

/// What to do with the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Transcribe(Strategy),
    DetectLanguage,
}

/// How to search for the most probable text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Plain beam search.
    Beam,
    /// Beam search in which no three tokens may come twice in a row of the same order: breaks loops.
    NoRepeat,
}

/// What a request gives.
#[derive(Debug, Clone)]
pub enum Answer {
    Text(Decoded),
    Language(Detected),
}

/// The text of a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Text and timestamps, without prompt and end-of-text.
    pub tokens: Vec<u32>,
    /// Average natural log-probability of a token, the end-of-text included.
    pub avg_logprob: f32,
    /// Probability of the no-speech token at the start.
    pub no_speech_prob: f32,
    /// As given or detected.
    pub language: String,
    /// When the text tokens are said; `None` if not asked for or not found.
    pub alignment: Option<Alignment>,
}

impl Request {
    /// Whether the model can work on both in one call: it takes one task and one length of prompt at a time.
    pub fn fits(&self, other: &Self) -> bool {
        self.task == other.task
            && self.prompt.len() == other.prompt.len()
            && self.align == other.align
            && if self.align {
                self.aligns_beside(other)
            } else {
                (self.language == Language::Detect) == (other.language == Language::Detect)
            }
    }

    /// The alignment takes one language for all, known before. If all parts were of one length (in steps of 20 ms), each
    /// result would depend on the longest text (CTranslate2 4.8, `WhisperReplica::align`: padding is taken away before the
    /// normalisation only where lengths differ).
    fn aligns_beside(&self, other: &Self) -> bool {
        let steps = |request: &Self| request.to.saturating_sub(request.from) / 2;
        self.language != Language::Detect && self.language == other.language && steps(self) != steps(other)
    }
}
