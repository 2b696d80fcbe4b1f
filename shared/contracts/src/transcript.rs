//! Text with times: what a worker reports of one chunk, and what the user gets in the end.
//!
//! Positions are *frames* (one sample of each channel) at the recording's own rate, so that no rounding adds up;
//! they become milliseconds once, at assembly.

use crate::correction::{Correction, LlmOutcome};
use crate::media::MediaInfo;
use serde::{Deserialize, Serialize};

/// A word and when it is said, inside one passage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// Milliseconds from the start of the passage.
    pub start_ms: u64,
    /// Likewise; not before the start.
    pub end_ms: u64,
    /// With its punctuation, and with the space before it: a segment's words one after the other are its text.
    pub text: String,
    /// Mean probability of the word's tokens, 0 to 1.
    pub probability: f32,
}

/// A stretch of speech with its text, inside one passage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassageSegment {
    /// Milliseconds from the start of the passage.
    pub start_ms: u64,
    pub end_ms: u64,
    pub text: String,
    /// Mean natural logarithm of the tokens' probabilities.
    pub avg_logprob: f32,
    /// Probability that there is no speech.
    pub no_speech_prob: f32,
    /// The segment's words, if the job asked for their times and they could be found; else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    /// What a language model made of the text, where that is a correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<String>,
}

/// One passage: from one cut to the next. See docs/ARCHITECTURE.md, "The chunk is transport, the passage is speech".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassageResult {
    /// Frames from the chunk's first own packet; negative where the cut lies before it.
    pub start: i64,
    /// End, exclusive, in the same frames.
    pub end: i64,
    /// Two-letter code; `None` where nothing was said.
    pub language: Option<String>,
    /// How sure the model was of `language`, 0 to 1; `None` where it did not choose it: the job named the language, or the
    /// model knows no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_probability: Option<f32>,
    pub segments: Vec<PassageSegment>,
    /// It could not be transcribed, however often it was tried.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A stretch that could not be decoded, in the frames of [`PassageResult::start`]. Counted as silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedFrames {
    pub start: i64,
    pub end: i64,
}

/// What became of one chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkResult {
    /// Frames of the packets that begin in this chunk; summed over the earlier chunks they give absolute time.
    pub frames: u64,
    /// Absolute position of the first own packet, where the container has exact ones. It is asked where an earlier chunk failed and
    /// its length is not known; elsewhere the sum decides, for a container's count may begin anew.
    pub absolute_start: Option<u64>,
    pub passages: Vec<PassageResult>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedFrames>,
    /// Which engine and model wrote the text.
    pub engine: String,
    pub model: String,
    /// As [`Transcript::word_timestamps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_timestamps: Option<bool>,
    /// Of a job whose chunks are corrected one by one: what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm: Option<LlmOutcome>,
}

/// What became of one part of a chunk (an object in the store, written by its worker).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartResult {
    pub version: u16,
    pub passages: Vec<PassageResult>,
    /// Packets of its passages that could not be decoded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedFrames>,
    pub engine: String,
    pub model: String,
    /// As [`Transcript::word_timestamps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_timestamps: Option<bool>,
    /// As [`ChunkResult::llm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm: Option<LlmOutcome>,
}

impl ChunkResult {
    /// The chunk's text: its segments, corrected where they are, joined as the language wants.
    pub fn text(&self) -> String {
        let mut text = Joined::default();
        for passage in &self.passages {
            for segment in &passage.segments {
                text.push(segment.corrected.as_ref().unwrap_or(&segment.text), passage.language.as_deref());
            }
        }
        text.0
    }

    /// The language of the chunk's first words.
    pub fn first_language(&self) -> Option<&str> {
        let spoken =
            |passage: &&PassageResult| passage.segments.iter().any(|segment| !segment.text.trim().is_empty());
        self.passages.iter().find(spoken)?.language.as_deref()
    }
}

/// Joins pieces of text: a space between them, none in languages that are written without.
#[derive(Default)]
pub struct Joined(pub String);

impl Joined {
    pub fn push(&mut self, piece: &str, language: Option<&str>) {
        let piece = piece.trim();
        if piece.is_empty() {
            return;
        }
        if !self.0.is_empty() && !written_without_spaces(language) {
            self.0.push(' ');
        }
        self.0.push_str(piece);
    }
}

/// Chinese, Cantonese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan (Unicode Standard Annex 14, SA and ID classes).
pub fn written_without_spaces(language: Option<&str>) -> bool {
    matches!(language, Some("zh" | "yue" | "ja" | "th" | "lo" | "km" | "my" | "bo"))
}

/// A word of the finished transcript, as in the answers of OpenAI's `audio/transcriptions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TimedWord {
    /// With its punctuation, and with the space before it: a segment's words one after the other are its text.
    pub word: String,
    /// Seconds.
    pub start: f64,
    pub end: f64,
    /// Mean probability of the word's tokens, 0 to 1.
    pub probability: f32,
}

/// A segment of the finished transcript. Times are milliseconds of the recording, written as seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Segment {
    pub id: u32,
    /// Seconds.
    pub start: f64,
    pub end: f64,
    pub text: String,
    /// As it was heard, where a correction has changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_text: Option<String>,
    pub avg_logprob: f32,
    pub no_speech_prob: f32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub language: Option<String>,
    /// Its words, if the job asked for their times and they could be found; else none. Within the segment's times, in order,
    /// none before the end of the one before. They are what was heard: of a corrected segment the words of `raw_text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<TimedWord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The chunk failed; its failure is in the job's status.
    Failed,
    /// The bytes there could not be decoded.
    Damaged,
}

/// A stretch of the recording without text because something failed there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gap {
    /// Seconds.
    pub start: f64,
    pub end: f64,
    pub reason: GapReason,
}

/// Where the seconds of the recording went. The sum is the duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Coverage {
    /// Within a segment with text.
    pub transcribed: f64,
    /// Silence, noise, or what the engine heard no words in.
    pub no_speech: f64,
    /// Bytes that could not be decoded (gaps that are `damaged`).
    pub damaged: f64,
    /// Decoded, but not transcribed (gaps that are `failed`).
    pub failed: f64,
    /// Of a job that was cancelled: its whole recording, as nothing of it is kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cancelled: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

/// The finished transcript. A pure function of the recording, the engine and the options: it holds nothing of chunk
/// sizes, workers, retries or the time of day. What a language model has corrected is as constant as that model's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transcript {
    pub version: u16,
    pub text: String,
    /// As it was heard, if the job asked for corrections by a language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_text: Option<String>,
    /// The language with most seconds of speech; `auto` where nothing was said.
    pub language: String,
    /// Seconds.
    pub duration: f64,
    pub segments: Vec<Segment>,
    pub gaps: Vec<Gap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    pub media: MediaInfo,
    pub engine: String,
    pub model: String,
    /// Absent unless the job asked for times of words; `false` if the model that wrote the text cannot tell them. A segment
    /// whose words could not be found lacks them also where this is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_timestamps: Option<bool>,
    /// If the job asked for corrections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[(&str, Option<&str>)]) -> String {
        let mut text = Joined::default();
        for (piece, language) in pieces {
            text.push(piece, *language);
        }
        text.0
    }

    #[test]
    fn joins_as_the_language_wants() {
        let pieces = |language| [(" Good morning.", language), ("And good night. ", language)];
        assert_eq!(joined(&pieces(Some("en"))), "Good morning. And good night.");
        assert_eq!(joined(&pieces(None)), "Good morning. And good night.");
        assert_eq!(joined(&[("今日は", Some("ja")), (" 晴れです。", Some("ja"))]), "今日は晴れです。");
        assert_eq!(joined(&[("你好", Some("zh")), ("世界", Some("yue"))]), "你好世界");
        assert_eq!(joined(&[("안녕", Some("ko")), ("세상", Some("ko"))]), "안녕 세상");
    }

    #[test]
    fn the_later_piece_decides_where_languages_meet() {
        assert_eq!(joined(&[("今日は", Some("ja")), ("Hello.", Some("en"))]), "今日は Hello.");
        assert_eq!(joined(&[("Hello.", Some("en")), ("今日は", Some("ja"))]), "Hello.今日は");
    }

    #[test]
    fn nothing_adds_nothing() {
        assert_eq!(joined(&[("", None), ("  \n", Some("en"))]), "");
        assert_eq!(joined(&[("One.", Some("en")), ("\t ", Some("en")), ("Two.", None)]), "One. Two.");
    }

    #[test]
    fn a_chunk_s_text_is_its_segments() {
        let segment = |text: &str| PassageSegment {
            start_ms: 0,
            end_ms: 900,
            text: text.to_owned(),
            avg_logprob: -0.5,
            no_speech_prob: 0.1,
            words: Vec::new(),
            corrected: None,
        };
        let passage = |language: Option<&str>, texts: &[&str]| PassageResult {
            start: 0,
            end: 16_000,
            language: language.map(str::to_owned),
            language_probability: None,
            segments: texts.iter().map(|text| segment(text)).collect(),
            failed: false,
        };
        let mut result = ChunkResult {
            frames: 48_000,
            absolute_start: None,
            passages: vec![
                passage(Some("en"), &[" One.", " Two."]),
                passage(None, &[]),
                passage(Some("en"), &["Three."]),
            ],
            damaged: Vec::new(),
            engine: "whisper".to_owned(),
            model: "tiny".to_owned(),
            word_timestamps: None,
            llm: None,
        };
        assert_eq!(result.text(), "One. Two. Three.");
        result.passages.clear();
        assert_eq!(result.text(), "");
    }
}
