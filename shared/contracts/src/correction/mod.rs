//! Corrections by a language model: what counts as one, which edits it consists of, and how they are taken back. All pure; who
//! asks a model is `scriptorium_shared::llm`.
//!
//! The raw text is the truth and stays: a corrected text is always the raw one with a list of edits applied to it.

mod diff;
mod edits;
mod guard;
mod kept;
mod sense;
mod spelling;
mod transcript;
mod windows;

pub use edits::{apply, edits};
pub use guard::{Known, Refusal, judge};
pub use windows::{Room, windows};

use crate::job::LlmMode;
use serde::{Deserialize, Serialize};

/// Edits of one transcript: as many as a set in the job's header has room for. Segments beyond stay raw.
pub const MAX_EDITS: usize = crate::job::MAX_CHUNKS as usize;

/// One change of a segment's raw text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Edit {
    /// Its number in the transcript, from 0 on.
    pub id: u32,
    /// The segment's number.
    pub segment: u32,
    /// Where `before` begins in the segment's raw text, in characters (Unicode code points).
    pub start: u32,
    /// As it was heard; whole words, never empty.
    pub before: String,
    /// What stands in its place.
    pub after: String,
    /// It was taken back: `before` stands in the text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reverted: bool,
}

/// What the language model was asked, and took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LlmUsage {
    /// Questions that were answered.
    pub calls: u32,
    /// Questions that stayed without a usable answer, however often they were asked.
    pub failed_calls: u32,
    /// As the service counted them.
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

impl LlmUsage {
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failed_calls: self.failed_calls.saturating_add(other.failed_calls),
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
        }
    }
}

/// What came of asking, besides texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlmOutcome {
    /// As the service calls it; empty if none was asked.
    pub model: String,
    pub usage: LlmUsage,
    /// Segments that stay raw because what came for them was no correction.
    pub refused: u32,
    /// Segments that stay raw because nothing came for them.
    pub unanswered: u32,
}

impl LlmOutcome {
    pub fn plus(self, other: Self) -> Self {
        Self {
            model: if self.model.is_empty() { other.model } else { self.model },
            usage: self.usage.plus(other.usage),
            refused: self.refused.saturating_add(other.refused),
            unanswered: self.unanswered.saturating_add(other.unanswered),
        }
    }
}

/// The corrections of a transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Correction {
    pub mode: LlmMode,
    /// As the service calls it; empty if none was asked.
    pub model: String,
    /// In the order of the text.
    pub edits: Vec<Edit>,
    pub usage: LlmUsage,
    /// Segments that stay raw because what came for them was no correction.
    pub refused_segments: u32,
    /// Segments that stay raw because nothing came for them.
    pub unanswered_segments: u32,
}

/// What of it is known without reading the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CorrectionSummary {
    pub mode: LlmMode,
    pub edits: u32,
    pub usage: LlmUsage,
    /// Segments that stay raw because what came for them was no correction.
    pub refused_segments: u32,
    /// Segments that stay raw because nothing came for them.
    pub unanswered_segments: u32,
    /// Milliseconds for which the finished transcript waited (mode `post_process`).
    pub waited_ms: u64,
    /// Those of them in which questions waited for leave: for a limit of calls, or because the service had asked for a pause.
    #[serde(default, skip_serializing_if = "is_no_time")]
    pub limited_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_no_time(milliseconds: &u64) -> bool {
    *milliseconds == 0
}

impl Correction {
    /// `limited_ms` of the milliseconds that were waited.
    pub fn summary(&self, waited_ms: u64, limited_ms: u64) -> CorrectionSummary {
        CorrectionSummary {
            mode: self.mode,
            edits: u32::try_from(self.edits.len()).unwrap_or(u32::MAX),
            usage: self.usage,
            refused_segments: self.refused_segments,
            unanswered_segments: self.unanswered_segments,
            waited_ms,
            limited_ms: limited_ms.min(waited_ms),
        }
    }
}
