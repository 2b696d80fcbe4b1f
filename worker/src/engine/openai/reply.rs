//! What an API answers (`verbose_json` of OpenAI's `audio/transcriptions`), as the text of a window.
//!
//! Servers that speak this API differ: segments, words, languages and probabilities may be missing, times may lie outside
//! of the sound.

use crate::engine::quality;
use crate::engine::{WindowSegment, WindowText, WindowWord};
use scriptorium_contracts::language;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    text: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    segments: Option<Vec<ReplySegment>>,
    #[serde(default)]
    words: Option<Vec<ReplyWord>>,
}

#[derive(Debug, Deserialize)]
struct ReplySegment {
    /// Seconds.
    start: f64,
    end: f64,
    text: String,
    #[serde(default)]
    avg_logprob: Option<f32>,
    #[serde(default)]
    no_speech_prob: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct ReplyWord {
    /// Without punctuation, as a rule.
    word: String,
    /// Seconds.
    start: f64,
    end: f64,
}

impl Reply {
    /// The code of the language that was found.
    pub(super) fn language(&self) -> Option<&'static str> {
        self.language.as_deref().and_then(language::code_of)
    }

    /// `length_ms` is the window's. Times are put into the window, in order; segments that the model itself takes for silence
    /// are left out.
    pub(super) fn into_text(self, language: String, length_ms: u32) -> WindowText {
        let whole = |text: String| ReplySegment {
            start: 0.0,
            end: f64::from(length_ms) / 1_000.0,
            text,
            avg_logprob: None,
            no_speech_prob: None,
        };
        let segments = match self.segments {
            Some(segments) if !segments.is_empty() => segments,
            Some(_) | None => vec![whole(self.text)],
        };
        let mut words = Words { left: self.words.unwrap_or_default().into_iter().peekable() };
        let (mut from, mut laid) = (0, Vec::new());
        for segment in segments {
            let text = segment.text.trim().to_owned();
            let (no_speech_prob, avg_logprob) = (finite(segment.no_speech_prob), finite(segment.avg_logprob));
            let start_ms = milliseconds(segment.start).clamp(from, length_ms.saturating_sub(1).max(from));
            let end_ms = milliseconds(segment.end).clamp(start_ms + 1, length_ms.max(start_ms + 1));
            let found = words.of(&text, start_ms, end_ms, avg_logprob.exp().clamp(0.0, 1.0));
            if text.is_empty() || quality::is_silence(no_speech_prob, avg_logprob) || start_ms >= length_ms {
                continue;
            }
            let compression_ratio = quality::compression_ratio(&text);
            from = end_ms;
            laid.push(WindowSegment {
                start_ms,
                end_ms,
                text,
                avg_logprob,
                no_speech_prob,
                compression_ratio,
                words: found,
            });
        }
        WindowText { language, segments: laid, attempts: 1 }
    }
}

/// The words of the whole reply, which come without saying which segment they belong to.
struct Words {
    left: std::iter::Peekable<std::vec::IntoIter<ReplyWord>>,
}

impl Words {
    /// Those of a segment with this text, in the text's own spelling; none if they do not fit it.
    fn of(&mut self, text: &str, start_ms: u32, end_ms: u32, probability: f32) -> Vec<WindowWord> {
        let (mut words, mut from) = (Vec::new(), start_ms);
        for (index, token) in text.split_whitespace().enumerate() {
            let wanted = plain(token);
            let mut spelled = if index == 0 { token.to_owned() } else { format!(" {token}") };
            if wanted.is_empty() {
                // Punctuation on its own belongs to the word before.
                match words.last_mut() {
                    Some(WindowWord { text, .. }) => text.push_str(&spelled),
                    None => return self.skip(end_ms),
                }
                continue;
            }
            let Some((start, end)) = self.take(&wanted) else { return self.skip(end_ms) };
            let start_ms = milliseconds(start).clamp(from, end_ms);
            from = milliseconds(end).clamp(start_ms, end_ms);
            let text = std::mem::take(&mut spelled);
            words.push(WindowWord { start_ms, end_ms: from, text, probability });
        }
        words
    }

    /// The next words, if they spell this one.
    fn take(&mut self, wanted: &str) -> Option<(f64, f64)> {
        let (mut spelled, mut start, mut end) = (String::new(), None, 0.0);
        while spelled != wanted {
            let word = self.left.next_if(|word| {
                let more = plain(&word.word);
                wanted.get(spelled.len()..).is_some_and(|rest| rest.starts_with(more.as_str()))
            })?;
            spelled.push_str(&plain(&word.word));
            start = start.or(Some(word.start));
            end = word.end;
        }
        Some((start?, end))
    }

    /// Leaves out what was said before that time.
    fn skip(&mut self, end_ms: u32) -> Vec<WindowWord> {
        while self.left.next_if(|word| milliseconds(word.start) < end_ms).is_some() {}
        Vec::new()
    }
}

/// Letters and digits, in lower case.
fn plain(word: &str) -> String {
    word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// `as` saturates, and NaN becomes 0.
fn milliseconds(seconds: f64) -> u32 {
    (seconds * 1_000.0).round() as u32
}

fn finite(number: Option<f32>) -> f32 {
    number.filter(|number| number.is_finite()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text_of(json: &str) -> WindowText {
        serde_json::from_str::<Reply>(json).unwrap().into_text("en".to_owned(), 10_000)
    }

    #[test]
    fn segments_and_their_words() {
        let text = text_of(
            r#"{"language": "english", "duration": 10, "text": "Hello, World's end - now. Yes.", "segments": [
                {"start": 0.5, "end": 3.25, "text": " Hello, World's end - now.", "avg_logprob": -0.5, "no_speech_prob": 0.01},
                {"start": 3.25, "end": 4, "text": " Yes."}],
               "words": [{"word": "Hello", "start": 0.5, "end": 1}, {"word": "World", "start": 1, "end": 1.5},
                {"word": "'s", "start": 1.5, "end": 1.75}, {"word": "end", "start": 2, "end": 2.5},
                {"word": "now", "start": 2.5, "end": 3.5}, {"word": "Yes", "start": 3.5, "end": 4}]}"#,
        );
        let [first, second] = text.segments.as_slice() else { panic!("{text:?}") };
        assert_eq!(
            (first.start_ms, first.end_ms, first.text.as_str()),
            (500, 3_250, "Hello, World's end - now.")
        );
        let words: Vec<_> =
            first.words.iter().map(|word| (word.text.as_str(), word.start_ms, word.end_ms)).collect();
        let expected = [
            ("Hello,", 500, 1_000),
            (" World's", 1_000, 1_750),
            (" end -", 2_000, 2_500),
            (" now.", 2_500, 3_250),
        ];
        assert_eq!(words, expected, "the last one ends with its segment");
        assert_eq!(second.words.first().map(|word| (word.start_ms, word.end_ms)), Some((3_500, 4_000)));
    }

    #[test]
    fn words_that_do_not_fit_are_not_made_up() {
        let text = text_of(
            r#"{"text": "", "segments": [{"start": 0, "end": 2, "text": "One two."}, {"start": 2, "end": 3, "text": "Three."}],
               "words": [{"word": "Won", "start": 0, "end": 1}, {"word": "too", "start": 1, "end": 2},
                         {"word": "three", "start": 2, "end": 3}]}"#,
        );
        assert!(text.segments[0].words.is_empty());
        assert_eq!(text.segments[1].words.len(), 1, "the next segment is not concerned");
    }

    #[test]
    fn a_text_alone_lasts_as_long_as_the_window() {
        let text = text_of(r#"{"text": " All of it. "}"#);
        let [segment] = text.segments.as_slice() else { panic!("{text:?}") };
        assert_eq!((segment.start_ms, segment.end_ms, segment.text.as_str()), (0, 10_000, "All of it."));
        assert!(text_of(r#"{"text": " "}"#).segments.is_empty());
        assert!(text_of("{}").segments.is_empty());
    }

    #[test]
    fn times_are_put_into_the_window_and_in_order() {
        let text = text_of(
            r#"{"segments": [{"start": -3, "end": 4, "text": "a"}, {"start": 2, "end": 1, "text": "b"},
                {"start": 1e300, "end": 1e301, "text": "c"}, {"start": 11, "end": 12, "text": "d"}]}"#,
        );
        let mut from = 0;
        for segment in &text.segments {
            assert!(
                from <= segment.start_ms && segment.start_ms < segment.end_ms && segment.end_ms <= 10_000,
                "{text:?}"
            );
            from = segment.end_ms;
        }
        assert_eq!(text.segments.len(), 3, "there is no room for a fourth: {text:?}");
    }

    #[test]
    fn what_the_model_takes_for_silence_is_left_out() {
        let text = text_of(
            r#"{"segments": [{"start": 0, "end": 4, "text": "Thank you.", "avg_logprob": -1.2, "no_speech_prob": 0.9}]}"#,
        );
        assert!(text.segments.is_empty());
    }
}
