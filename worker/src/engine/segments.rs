//! Timestamp tokens to segments, by the rule of OpenAI's `transcribe.py` and faster-whisper's
//! `_split_segments_by_timestamps`.
//!
//! The model writes a time, text, a time, a time, text, … Two times in a row are the border between two segments.
//! If the last token is a single time, the model says that nothing is spoken after it; if the text ends
//! otherwise, what follows the last border is unfinished, and Whisper decodes again from there.

use std::ops::Range;

/// Units of a timestamp token: 20 ms.
pub const UNIT_MS: u32 = 20;

/// A stretch of the tokens and when it was spoken, in units of 20 ms from the start of what was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
    /// Which of the tokens; timestamps at its edges included.
    pub tokens: Range<usize>,
}

/// What the timestamps of one decoding say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The segments, in order.
    pub spans: Vec<Span>,
    /// Text after the last border that the model did not finish. It starts at the border.
    pub unfinished: Option<Span>,
    /// Whether the model ended at a border or in unfinished text, that is, whether it says that more is spoken
    /// after the last segment.
    pub more: bool,
}

impl Split {
    /// Where the last segment ends: what comes later was not transcribed.
    pub fn end(&self) -> u32 {
        self.spans.last().map_or(0, |span| span.end)
    }
}

/// Splits `tokens` (no prompt, no end-of-text) where the timestamps say. `begin` is the first timestamp token;
/// `length` is the length of what was decoded in units of 20 ms, which a text without an end gets as its end.
pub fn split(tokens: &[u32], begin: u32, length: u32) -> Split {
    let time = |at: usize| tokens.get(at).and_then(|token| token.checked_sub(begin));
    let single_ending =
        tokens.len() >= 2 && time(tokens.len() - 1).is_some() && time(tokens.len() - 2).is_none();
    let mut borders: Vec<usize> =
        (1..tokens.len()).filter(|&i| time(i).is_some() && time(i - 1).is_some()).collect();
    if borders.is_empty() {
        let last_time = (0..tokens.len()).rev().find_map(time).filter(|&time| time > 0);
        let end = last_time.unwrap_or(length);
        let start = time(0).unwrap_or(0).min(end);
        let spans =
            if tokens.is_empty() { vec![] } else { vec![Span { start, end, tokens: 0..tokens.len() }] };
        return Split { spans, unfinished: None, more: false };
    }
    if single_ending {
        borders.push(tokens.len());
    }
    let mut spans = Vec::with_capacity(borders.len());
    let mut from = 0;
    for to in borders {
        let start = time(from).unwrap_or(0);
        let end = time(to - 1).unwrap_or(length);
        spans.push(Span { start, end: end.max(start), tokens: from..to });
        from = to;
    }
    let unfinished = (from < tokens.len()).then(|| {
        let start = time(from).or(spans.last().map(|span| span.end)).unwrap_or(0);
        Span { start, end: length.max(start), tokens: from..tokens.len() }
    });
    Split { spans, unfinished, more: !single_ending }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: u32 = 1000;

    fn spans(split: &Split) -> Vec<(u32, u32, Range<usize>)> {
        split.spans.iter().map(|span| (span.start, span.end, span.tokens.clone())).collect()
    }

    #[test]
    fn pairs_of_times_are_borders() {
        // 0.00 text text 1.00 | 1.00 text 2.40
        let split = split(&[T, 5, 6, T + 50, T + 50, 7, T + 120], T, 300);
        assert_eq!(spans(&split), [(0, 50, 0..4), (50, 120, 4..7)]);
        assert_eq!((split.end(), split.unfinished, split.more), (120, None, false));
    }

    #[test]
    fn text_after_the_last_border_is_unfinished() {
        let split = split(&[T, 5, T + 50, T + 60, 7, 8], T, 300);
        assert_eq!(spans(&split), [(0, 50, 0..3)]);
        assert_eq!(split.unfinished, Some(Span { start: 60, end: 300, tokens: 3..6 }));
        assert_eq!((split.end(), split.more), (50, true));
    }

    #[test]
    fn ending_at_a_border_means_more_is_spoken() {
        let split = split(&[T, 5, T + 50, T + 50], T, 300);
        assert_eq!(spans(&split), [(0, 50, 0..3)]);
        assert_eq!((split.end(), split.more), (50, true));
        // The lone time that is left over holds no text.
        assert_eq!(split.unfinished, Some(Span { start: 50, end: 300, tokens: 3..4 }));
    }

    #[test]
    fn one_segment_without_border() {
        assert_eq!(spans(&split(&[T, 5, 6, T + 44], T, 300)), [(0, 44, 0..4)]);
        assert_eq!(spans(&split(&[T, 5, 6], T, 300)), [(0, 300, 0..3)]);
        assert_eq!(spans(&split(&[5, 6], T, 300)), [(0, 300, 0..2)]);
        assert_eq!(spans(&split(&[], T, 300)), []);
    }

    proptest! {
        #[test]
        fn every_token_is_in_one_span(tokens in prop::collection::vec(990u32..1010, 0..40)) {
            let split = split(&tokens, T, 300);
            let mut next = 0;
            for span in split.spans.iter().chain(&split.unfinished) {
                prop_assert_eq!(span.tokens.start, next);
                prop_assert!(span.start <= span.end);
                next = span.tokens.end;
            }
            prop_assert_eq!(next, tokens.len());
        }
    }
}
