//! When each word is said, from when each token is said: by the practice of OpenAI's `timing.py` and of faster-whisper
//! (`add_word_timestamps`).
//!
//! The model tells for each token which part of the sound it attends to; dynamic time warping makes that a time for each
//! token ([`Alignment`]). Tokens become words at spaces, or one by one in languages that are written without; punctuation
//! joins its word and takes no time of its own. The warping puts a pause into the word beside it, so words at the borders
//! of sentences and segments that are far longer than the others are shortened.
//!
//! Times are milliseconds: from the start of the pass in [`of_pass`], from the start of the window in [`place`].

use std::ops::Range;

use super::WindowWord;
use super::segments::UNIT_MS;
use super::vocab::Vocab;

/// Languages whose text is not split at spaces, as in OpenAI's `tokenizer.py`.
const UNSPACED: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];
/// Punctuation that is a word of its own until it joins one (Python's `string.punctuation`).
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Punctuation that joins the word after it.
const OPENING: &str = "\"'“¿([{-";
/// Punctuation that joins the word before it.
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、";
/// Punctuation beside which a long word is taken to hold a pause.
const SENTENCE_END: &str = ".。!！?？";
/// A word's usual length is taken to be at most this.
const MAX_USUAL_MS: u32 = 700;
/// A word that begins so much before its segment, or ends so much after it, holds a pause.
const MAX_OVERHANG_MS: u32 = 500;

/// When the text tokens of a pass are said.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// When each token begins, and at last when the text ends, in units of 20 ms from the start of the pass: one more
    /// than there are tokens, never going back.
    times: Vec<u32>,
    /// The model's probability of each token.
    probabilities: Vec<f32>,
}

impl Alignment {
    /// Follows the warping's path of (token, frame of 20 ms), which begins at (0, 0) and takes each step forward in one or
    /// both. The token after the last one is the end of the text. `None` if the path is not one through all tokens.
    pub fn new(path: impl IntoIterator<Item = (i64, i64)>, probabilities: Vec<f32>) -> Option<Self> {
        let mut times: Vec<u32> = Vec::with_capacity(probabilities.len() + 1);
        for (token, frame) in path {
            let (token, frame) = (usize::try_from(token).ok()?, u32::try_from(frame).ok()?);
            if token == times.len() && times.last().is_none_or(|&last| last <= frame) {
                times.push(frame);
            } else if token + 1 != times.len() {
                return None;
            }
        }
        let whole = times.len() == probabilities.len() + 1 && probabilities.iter().all(|p| p.is_finite());
        whole.then_some(Self { times, probabilities })
    }

    /// When the text ends, in units of 20 ms.
    pub fn end(&self) -> u32 {
        self.times.last().copied().unwrap_or(0)
    }

    /// The word of some tokens; `None` if they are not in the alignment.
    fn word(&self, text: String, tokens: Range<usize>) -> Option<WindowWord> {
        let probabilities = self.probabilities.get(tokens.clone())?;
        Some(WindowWord {
            start_ms: self.times.get(tokens.start)?.saturating_mul(UNIT_MS),
            end_ms: self.times.get(tokens.end)?.saturating_mul(UNIT_MS),
            text,
            probability: probabilities.iter().sum::<f32>() / probabilities.len().max(1) as f32,
        })
    }
}

/// The words of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct PassWords {
    pub words: Vec<WindowWord>,
    /// How long a word is: the median, at most 0.7 s.
    pub usual_ms: u32,
}

/// The words of a pass, whose text has these `tokens`. `None` if the alignment is of another text, or the words are not the
/// text.
pub fn of_pass(vocab: &Vocab, language: &str, tokens: &[u32], alignment: &Alignment) -> Option<PassWords> {
    if tokens.len() != alignment.probabilities.len() {
        return None;
    }
    let split = split(vocab, language, tokens);
    let mut words = split
        .into_iter()
        .map(|(text, tokens)| alignment.word(text, tokens))
        .collect::<Option<Vec<WindowWord>>>()?;
    let usual_ms = usual(&words);
    shorten_at_sentence_ends(&mut words, 2 * usual_ms);
    let words = trimmed(join_punctuation(words));
    let text: String = words.iter().map(|word| word.text.as_str()).collect();
    (!words.is_empty() && text == vocab.text(tokens).trim()).then_some(PassWords { words, usual_ms })
}

/// The words of a text, punctuation apart, and which of its tokens they are.
fn split(vocab: &Vocab, language: &str, tokens: &[u32]) -> Vec<(String, Range<usize>)> {
    let mut words: Vec<(String, Range<usize>)> = Vec::new();
    let mut from = 0;
    for to in 1..=tokens.len() {
        let text = vocab.text(&tokens[from..to]);
        // A character may be spread over tokens; until it is whole it is read as U+FFFD.
        if text.ends_with(char::REPLACEMENT_CHARACTER) && to < tokens.len() {
            continue;
        }
        let begins =
            UNSPACED.contains(&language) || text.starts_with(' ') || PUNCTUATION.contains(text.trim());
        match words.last_mut() {
            Some((word, range)) if !begins => {
                word.push_str(&text);
                range.end = to;
            }
            Some(_) | None => words.push((text, from..to)),
        }
        from = to;
    }
    words
}

/// The median length of the words that have one, at most 0.7 s.
fn usual(words: &[WindowWord]) -> u32 {
    let mut lengths: Vec<u32> = words.iter().map(length).filter(|&length| length > 0).collect();
    lengths.sort_unstable();
    let middle = lengths.len() / 2;
    let median = match (lengths.get(middle), middle.checked_sub(1).and_then(|below| lengths.get(below))) {
        (Some(above), Some(below)) if lengths.len().is_multiple_of(2) => (above + below) / 2,
        (Some(median), _) => *median,
        (None, _) => 0,
    };
    median.min(MAX_USUAL_MS)
}

fn length(word: &WindowWord) -> u32 {
    word.end_ms.saturating_sub(word.start_ms)
}

/// The pause between two sentences is not part of the full stop, nor of the word after it.
fn shorten_at_sentence_ends(words: &mut [WindowWord], most_ms: u32) {
    if most_ms == 0 {
        return;
    }
    for at in 1..words.len() {
        if length(&words[at]) <= most_ms {
            continue;
        }
        if SENTENCE_END.contains(&words[at].text) {
            words[at].end_ms = words[at].start_ms + most_ms;
        } else if SENTENCE_END.contains(&words[at - 1].text) {
            words[at].start_ms = words[at].end_ms - most_ms;
        }
    }
}

/// Joins punctuation to the words it belongs to, which keep their times and probabilities.
fn join_punctuation(words: Vec<WindowWord>) -> Vec<WindowWord> {
    // From the end, so that a row of opening marks joins the same word.
    let mut opened: Vec<WindowWord> = Vec::with_capacity(words.len());
    for word in words.into_iter().rev() {
        match opened.last_mut() {
            Some(next) if word.text.starts_with(' ') && OPENING.contains(word.text.trim()) => {
                next.text.insert_str(0, &word.text);
            }
            Some(_) | None => opened.push(word),
        }
    }
    let mut closed: Vec<WindowWord> = Vec::with_capacity(opened.len());
    for word in opened.into_iter().rev() {
        match closed.last_mut() {
            Some(before) if !before.text.ends_with(' ') && CLOSING.contains(&word.text) => {
                before.text.push_str(&word.text);
            }
            Some(_) | None => closed.push(word),
        }
    }
    closed
}

/// Takes the space around the whole away, as it is taken from a segment's text, and what then is nothing.
pub fn trimmed(mut words: Vec<WindowWord>) -> Vec<WindowWord> {
    let blank = |word: &WindowWord| word.text.trim().is_empty();
    while words.last().is_some_and(blank) {
        words.pop();
    }
    let first = words.iter().position(|word| !blank(word)).unwrap_or(words.len());
    words.drain(..first);
    if let Some(first) = words.first_mut() {
        first.text = first.text.trim_start().to_owned();
    }
    if let Some(last) = words.last_mut() {
        last.text = last.text.trim_end().to_owned();
    }
    words
}

/// Where a segment's words are put.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The segment's times, by the model's timestamps.
    pub start_ms: u32,
    pub end_ms: u32,
    /// When the segment before ends.
    pub before_ms: u32,
    /// When the window ends.
    pub window_ms: u32,
    /// See [`PassWords::usual_ms`].
    pub usual_ms: u32,
}

/// Keeps the words to what is `heard` (which tells of a stretch where in it somebody speaks, if anybody does), shortens what
/// then is too long at the segment's borders, and puts all in order. Gives the segment's times: from its first word to its
/// last. If no word has any length, the segment keeps its own times and the words lie in them.
pub fn place(
    words: &mut [WindowWord],
    place: Place,
    heard: impl Fn(u32, u32) -> Option<(u32, u32)>,
) -> (u32, u32) {
    for word in words.iter_mut() {
        if let Some((start_ms, end_ms)) = heard(word.start_ms, word.end_ms) {
            (word.start_ms, word.end_ms) = (start_ms, end_ms);
        }
    }
    shorten_after_pause(words, place);
    if let Some(first) = words.first_mut()
        && place.start_ms < first.end_ms
        && place.start_ms > first.start_ms.saturating_add(MAX_OVERHANG_MS)
    {
        first.start_ms = first.end_ms.saturating_sub(place.usual_ms).min(place.start_ms);
    }
    if let Some(last) = words.last_mut()
        && place.end_ms > last.start_ms
        && place.end_ms.saturating_add(MAX_OVERHANG_MS) < last.end_ms
    {
        last.end_ms = (last.start_ms + place.usual_ms).max(place.end_ms);
    }
    in_order(words, place.before_ms.min(place.window_ms), place.window_ms);
    match (words.first(), words.last()) {
        (Some(first), Some(last)) if first.start_ms < last.end_ms => (first.start_ms, last.end_ms),
        _ => {
            in_order(words, place.start_ms, place.end_ms.max(place.start_ms));
            (place.start_ms, place.end_ms)
        }
    }
}

/// After a pause the first two words are not longer than twice the usual length each.
fn shorten_after_pause(words: &mut [WindowWord], place: Place) {
    let most_ms = 2 * place.usual_ms;
    let (first, second) = match words {
        [] => return,
        [first] => (first, None),
        [first, second, ..] => (first, Some(second)),
    };
    let after_pause = first.end_ms.saturating_sub(place.before_ms) > 4 * place.usual_ms;
    let both = second.as_ref().map_or(0, |second| second.end_ms.saturating_sub(first.start_ms));
    if !after_pause || (length(first) <= most_ms && both <= 2 * most_ms) {
        return;
    }
    if let Some(second) = second
        && length(second) > most_ms
    {
        let border = (second.end_ms / 2).max(second.end_ms.saturating_sub(most_ms));
        first.end_ms = border;
        second.start_ms = border;
    }
    first.start_ms = first.end_ms.saturating_sub(most_ms);
}

/// No word begins before the one before has ended, and all lie between `from` and `to`.
fn in_order(words: &mut [WindowWord], from: u32, to: u32) {
    let mut before = from;
    for word in words {
        word.start_ms = word.start_ms.clamp(before, to);
        word.end_ms = word.end_ms.clamp(word.start_ms, to);
        before = word.end_ms;
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
