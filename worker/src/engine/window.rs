//! From a window of sound to segments: what to decode, when to decode again, and which result to keep.
//!
//! The order of things follows OpenAI's `transcribe.py` and faster-whisper, with one difference. Whisper answers
//! a doubtful decoding by rolling dice at rising temperatures. A transcript here must be a pure function of the
//! sound, so the ladder has no dice:
//!
//! 1. beam search;
//! 2. if the text repeats itself: beam search that may not say the same three tokens twice;
//! 3. the part cut in two at the quietest point near its middle, each half by beam search;
//!
//! and the first result that is not doubtful is taken. If all are, it is the one with the best average
//! log-probability among those that do not repeat themselves (or among all), as in Whisper.
//!
//! Where the model can tell when words are said, the text is decoded without timestamp tokens (it is better so; ADR 13), and
//! segments are its sentences ([`sentences`]). Otherwise the timestamps say where segments begin and end.
//!
//! Nothing here knows other windows, threads or batches: a window's text depends on its samples, language, prompt
//! and the model alone.

use std::cmp::Reverse;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use super::mel::{HOP, Mel};
use super::quality::{Doubt, compression_ratio, doubt, is_silence};
use super::request::{Decoded, Language, Request, Strategy, Task};
use super::segments::{self, Split, UNIT_MS};
use super::vocab::Vocab;
use super::words::{self, Alignment, PassWords, Place};
use super::{EngineError, SAMPLE_RATE, WindowSegment, WindowText, WindowWord, sentences, vad};

/// Times that what is left of a window is decoded again from the last timestamp.
const MAX_RESUMES: usize = 8;
/// Speech (padding included, in samples) that must be left for that: after a border, where the model says that
/// more is spoken, …
const MIN_REST_AFTER_BORDER: usize = 16_000;
/// … and after an end, where it says there is no more.
const MIN_REST_AFTER_END: usize = 48_000;
/// Shortest part that is cut in two, in frames: 4 s.
const MIN_CUT: usize = 400;
/// Frames of a unit of the timestamps (20 ms).
const UNIT_FRAMES: usize = 2;
/// Language of a window in which nobody speaks and whose language nobody named (ISO 639: undetermined).
const UNDETERMINED: &str = "und";

/// A window made ready: what depends on no model pass.
pub struct Prepared {
    pub samples: Vec<f32>,
    pub mel: Arc<Mel>,
    /// Where somebody speaks, in samples.
    pub speech: Vec<(usize, usize)>,
    pub language: Language,
    pub prompt: Arc<[String]>,
    /// Whether the model can tell when each word is said, so that it need not write timestamps.
    pub aligned: bool,
}

/// A stretch of text that was decoded in one pass, and what there is to say about it.
struct Piece {
    /// First frame.
    from: usize,
    decoded: Decoded,
    split: Split,
    /// Where the text ends, in units of 20 ms from the start.
    end: u32,
    ratio: f32,
    doubt: Option<Doubt>,
}

/// Transcribes a window. `run` has the model decode a part of it.
///
/// # Errors
/// Those of `run`.
pub async fn transcribe<R, F>(window: &Prepared, vocab: &Vocab, run: R) -> Result<WindowText, EngineError>
where
    R: Fn(Request) -> F + Sync,
    F: Future<Output = Result<Decoded, EngineError>> + Send,
{
    let mut job = Job { window, vocab, run, language: window.language.clone(), attempts: 0 };
    let mut segments = Vec::new();
    let mut from = 0;
    let end = window.mel.frames();
    // A window without speech never meets the model: it would invent text.
    if !window.speech.is_empty() {
        for _ in 0..=MAX_RESUMES {
            let pieces = job.pieces(from, end).await?;
            let resume = pieces.last().and_then(|piece| job.resume(piece));
            for (at, piece) in pieces.iter().enumerate() {
                job.collect(piece, resume.is_some() && at + 1 == pieces.len(), &mut segments);
            }
            match resume {
                Some(next) => from = next,
                None => break,
            }
        }
    }
    let language = match job.language {
        Language::Known(language) => language,
        Language::Detect => UNDETERMINED.to_owned(),
    };
    Ok(WindowText { language, segments, attempts: job.attempts })
}

struct Job<'a, R> {
    window: &'a Prepared,
    vocab: &'a Vocab,
    run: R,
    /// As asked for; once detected it stays for the rest of the window.
    language: Language,
    attempts: u8,
}

impl<R, F> Job<'_, R>
where
    R: Fn(Request) -> F + Sync,
    F: Future<Output = Result<Decoded, EngineError>> + Send,
{
    /// Decodes the frames `[from, to)`, up the ladder as far as needed. One piece, or two halves.
    async fn pieces(&mut self, from: usize, to: usize) -> Result<Vec<Piece>, EngineError> {
        let first = self.decode(from, to, Strategy::Beam).await?;
        let Some(cause) = first.doubt.filter(|_| !first.is_silence()) else { return Ok(vec![first]) };
        let mut candidates = vec![vec![first]];
        if cause == Doubt::Repetition {
            let second = self.decode(from, to, Strategy::NoRepeat).await?;
            if second.doubt.is_none() || second.is_silence() {
                return Ok(vec![second]);
            }
            candidates.push(vec![second]);
        }
        if to - from >= MIN_CUT {
            let middle = quietest(&self.window.samples, from, to);
            let mut halves = Vec::with_capacity(2);
            for (from, to) in [(from, middle), (middle, to)] {
                if self.speech(from, to) > 0 {
                    halves.push(self.decode(from, to, Strategy::Beam).await?);
                }
            }
            if !halves.is_empty() {
                candidates.push(halves);
            }
        }
        Ok(best(candidates))
    }

    /// One pass of the model over the frames `[from, to)`.
    async fn decode(&mut self, from: usize, to: usize, strategy: Strategy) -> Result<Piece, EngineError> {
        self.attempts = self.attempts.saturating_add(1);
        let decoded = (self.run)(Request {
            mel: Arc::clone(&self.window.mel),
            from,
            to,
            language: self.language.clone(),
            prompt: Arc::clone(&self.window.prompt),
            task: Task::Transcribe(strategy),
            align: self.window.aligned,
        })
        .await?;
        if self.language == Language::Detect {
            self.language = Language::Known(decoded.language.clone());
        }
        let length = u32::try_from((to - from).div_ceil(UNIT_FRAMES)).unwrap_or(u32::MAX);
        let split = segments::split(&decoded.tokens, self.vocab.timestamp_begin(), length);
        let text: Vec<u32> =
            decoded.tokens.iter().copied().filter(|&token| self.vocab.is_text(token)).collect();
        let ratio = compression_ratio(self.vocab.text(&text).trim());
        let doubt = doubt(&text, ratio, decoded.avg_logprob);
        let end = decoded.alignment.as_ref().map_or_else(|| split.end(), Alignment::end);
        Ok(Piece { from, decoded, split, end, ratio, doubt })
    }

    /// Samples of speech (and its padding) in the frames `[from, to)`.
    fn speech(&self, from: usize, to: usize) -> usize {
        vad::overlap(&self.window.speech, from * HOP, to * HOP)
    }

    /// The frame to decode on from, if the model stopped while somebody was still speaking. (Whisper goes on
    /// only after a border; but after an end, too, seconds of speech are not to be lost.)
    fn resume(&self, last: &Piece) -> Option<usize> {
        let next = last.from + last.end as usize * UNIT_FRAMES;
        let least = if last.split.more { MIN_REST_AFTER_BORDER } else { MIN_REST_AFTER_END };
        let end = self.window.mel.frames();
        let goes_on = next > last.from && next < end && !last.is_silence() && self.speech(next, end) >= least;
        goes_on.then_some(next)
    }

    /// Adds the segments of a piece. Unfinished text is dropped if its sound is decoded again.
    fn collect(&self, piece: &Piece, resumed: bool, out: &mut Vec<WindowSegment>) {
        if piece.is_silence() {
            return;
        }
        let unfinished = piece.split.unfinished.as_ref().filter(|_| !resumed);
        let window_ms = milliseconds(self.window.samples.len());
        let offset = milliseconds(piece.from * HOP);
        // A text with words has no timestamps, so it is one span.
        let mut words = self.words(piece, offset);
        for span in piece.split.spans.iter().chain(unfinished) {
            let tokens = piece.decoded.tokens.get(span.tokens.clone()).unwrap_or_default();
            let text = self.vocab.text(tokens).trim().to_owned();
            let start_ms = offset + span.start * UNIT_MS;
            let end_ms = (offset + span.end * UNIT_MS).min(window_ms);
            let Some((start_ms, end_ms)) = self.heard(start_ms, end_ms).filter(|_| has_words(&text)) else {
                continue;
            };
            let Some(PassWords { mut words, usual_ms }) = words.take() else {
                out.push(piece.segment(start_ms, end_ms, text, Vec::new()));
                continue;
            };
            let before_ms = out.last().map_or(0, |segment| segment.end_ms);
            let place = Place { start_ms, end_ms, before_ms, window_ms, usual_ms };
            let (start_ms, end_ms) =
                words::place(&mut words, place, |start_ms, end_ms| self.said(start_ms, end_ms));
            out.extend(piece.sentences(&words, start_ms, end_ms));
        }
    }

    /// The words of a piece at their times in the window; `None` if it was not aligned.
    fn words(&self, piece: &Piece, offset_ms: u32) -> Option<PassWords> {
        let tokens = piece.decoded.tokens.iter().copied();
        let text: Vec<u32> = tokens.filter(|&token| self.vocab.is_text(token)).collect();
        let alignment = piece.decoded.alignment.as_ref()?;
        let mut found = words::of_pass(self.vocab, &piece.decoded.language, &text, alignment)?;
        for word in &mut found.words {
            word.start_ms = word.start_ms.saturating_add(offset_ms);
            word.end_ms = word.end_ms.saturating_add(offset_ms);
        }
        Some(found)
    }

    /// When a word between `start_ms` and `end_ms` is said: in the stretch of speech that has most of it, as a word is said
    /// without a pause.
    fn said(&self, start_ms: u32, end_ms: u32) -> Option<(u32, u32)> {
        let within = |&(from, to): &(usize, usize)| {
            let (from, to) = (milliseconds(from).max(start_ms), milliseconds(to).min(end_ms));
            (from < to).then_some((from, to))
        };
        let parts = self.window.speech.iter().filter_map(within);
        parts.max_by_key(|(from, to)| (to - from, Reverse(*from)))
    }

    /// When between `start_ms` and `end_ms` there is speech (padding included). Whisper lets a text begin in its
    /// first second at the latest, whenever it is spoken, and reach over pauses. `None` if there is no speech, which
    /// the model then made up; or no time, which is its way to say that it did.
    fn heard(&self, start_ms: u32, end_ms: u32) -> Option<(u32, u32)> {
        let (from, to) = (samples(start_ms), samples(end_ms));
        let inside = |&&(start, end): &&(usize, usize)| start < to && end > from;
        let first = self.window.speech.iter().find(inside)?;
        let last = self.window.speech.iter().rfind(inside)?;
        let start_ms = start_ms.max(milliseconds(first.0));
        let end_ms = end_ms.min(milliseconds(last.1));
        (start_ms < end_ms).then_some((start_ms, end_ms))
    }
}

impl Piece {
    /// The segments of a text whose `words` are said between `start_ms` and `end_ms`: its sentences.
    fn sentences(&self, words: &[WindowWord], start_ms: u32, end_ms: u32) -> Vec<WindowSegment> {
        let ranges = sentences::cut(words);
        let whole = ranges.len() == 1;
        let segment = |range: Range<usize>| {
            let words = words::trimmed(words.get(range)?.to_vec());
            let text: String = words.iter().map(|word| word.text.as_str()).collect();
            let (first, last) = (words.first()?, words.last()?);
            let (start_ms, end_ms) = if whole { (start_ms, end_ms) } else { (first.start_ms, last.end_ms) };
            has_words(&text).then(|| self.segment(start_ms, end_ms, text, words))
        };
        ranges.into_iter().filter_map(segment).collect()
    }

    fn segment(&self, start_ms: u32, end_ms: u32, text: String, words: Vec<WindowWord>) -> WindowSegment {
        WindowSegment {
            start_ms,
            end_ms,
            text,
            words,
            avg_logprob: self.decoded.avg_logprob,
            no_speech_prob: self.decoded.no_speech_prob,
            compression_ratio: self.ratio,
        }
    }

    fn is_silence(&self) -> bool {
        is_silence(self.decoded.no_speech_prob, self.decoded.avg_logprob)
    }
}

/// The candidate to keep: the last one if nothing in it is doubtful (the ladder stops at the first such), or else
/// the most probable one among those that do not repeat themselves, or among all. The earlier one of equals.
fn best(mut candidates: Vec<Vec<Piece>>) -> Vec<Piece> {
    let clean = |pieces: &Vec<Piece>| pieces.iter().all(|piece| piece.doubt.is_none());
    let repeats = |pieces: &Vec<Piece>| pieces.iter().any(|piece| piece.doubt == Some(Doubt::Repetition));
    if candidates.last().is_some_and(clean) {
        return candidates.pop().unwrap_or_default();
    }
    if !candidates.iter().all(repeats) {
        candidates.retain(|pieces| !repeats(pieces));
    }
    let mut best: Option<(f32, Vec<Piece>)> = None;
    for pieces in candidates {
        let logprob = logprob(&pieces);
        if best.as_ref().is_none_or(|(most, _)| logprob > *most) {
            best = Some((logprob, pieces));
        }
    }
    best.map(|(_, pieces)| pieces).unwrap_or_default()
}

/// Average log-probability of a token over all pieces.
fn logprob(pieces: &[Piece]) -> f32 {
    let weight = |piece: &Piece| piece.decoded.tokens.len() as f32 + 1.0;
    let sum: f32 = pieces.iter().map(|piece| piece.decoded.avg_logprob * weight(piece)).sum();
    sum / pieces.iter().map(weight).sum::<f32>()
}

/// The frame at which the middle third of `[from, to)` is quietest over 0.2 s, on the grid of the timestamps.
fn quietest(samples: &[f32], from: usize, to: usize) -> usize {
    const HALF: usize = 10;
    let third = (to - from) / 3 / UNIT_FRAMES * UNIT_FRAMES;
    let energy = |frame: usize| -> f64 {
        let range = frame.saturating_sub(HALF) * HOP..((frame + HALF) * HOP).min(samples.len());
        samples.get(range).unwrap_or_default().iter().map(|&sample| f64::from(sample).powi(2)).sum()
    };
    let mut best = (f64::INFINITY, from + (to - from) / 2);
    for frame in (from + third..to - third).step_by(UNIT_FRAMES) {
        let energy = energy(frame);
        if energy < best.0 {
            best = (energy, frame);
        }
    }
    best.1
}

/// Full stops and notes alone are what models make of sounds.
fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Length of that many samples, in whole milliseconds.
fn milliseconds(samples: usize) -> u32 {
    u32::try_from(samples as u64 * 1000 / u64::from(SAMPLE_RATE)).unwrap_or(u32::MAX)
}

/// Samples up to that time.
fn samples(ms: u32) -> usize {
    ms as usize * SAMPLE_RATE as usize / 1000
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
