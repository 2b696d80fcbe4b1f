//! When a decoding is not to be trusted, by the thresholds of OpenAI's `transcribe.py`.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

/// Text that zlib makes more than this many times smaller repeats itself.
pub const MAX_COMPRESSION_RATIO: f32 = 2.4;
/// Average log-probability of a token below which the model is guessing.
pub const MIN_LOGPROB: f32 = -1.0;
/// Probability of the no-speech token above which a guess counts as silence.
pub const MAX_NO_SPEECH: f32 = 0.6;
/// Above this the model is nearly sure that nobody speaks: 31 minutes of speech had no pass above 0.31, music had 0.77 to 0.93…
pub const NEARLY_SURE_NO_SPEECH: f32 = 0.75;
/// …and its inventions ("Thank you.") -1.0 to -0.65, so that text needs more than that to be believed.
pub const CONVINCING_LOGPROB: f32 = -0.6;
/// A phrase of up to this many tokens that is said over and over is a loop…
const LOOP_PHRASE: usize = 12;
/// …if it comes this often in a row…
const LOOP_TIMES: usize = 5;
/// …and fills this many tokens. (People do say "no, no, no, no, no".)
const LOOP_TOKENS: usize = 16;

/// Why a decoding is to be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The text repeats itself.
    Repetition,
    /// The model is unsure.
    LowProbability,
}

/// What there is to say about a decoding: `text` is its text, `tokens` its text tokens.
pub fn doubt(tokens: &[u32], compression_ratio: f32, avg_logprob: f32) -> Option<Doubt> {
    if compression_ratio > MAX_COMPRESSION_RATIO || has_loop(tokens) {
        Some(Doubt::Repetition)
    } else if avg_logprob < MIN_LOGPROB {
        Some(Doubt::LowProbability)
    } else {
        None
    }
}

/// Whether a decoding says that nobody speaks: the model thinks so, and has no convincing text either. The second rule is
/// not Whisper's; it keeps music from becoming words.
pub fn is_silence(no_speech_prob: f32, avg_logprob: f32) -> bool {
    (no_speech_prob > MAX_NO_SPEECH && avg_logprob < MIN_LOGPROB)
        || (no_speech_prob > NEARLY_SURE_NO_SPEECH && avg_logprob < CONVINCING_LOGPROB)
}

/// How many times smaller zlib makes the text: about 1.5 for a sentence, far more for a phrase over and over.
/// 0 for no text.
pub fn compression_ratio(text: &str) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    match encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(packed) => text.len() as f32 / packed.len().max(1) as f32,
        Err(_) => 0.0,
    }
}

/// Whether some phrase is repeated back to back so often that it cannot be speech.
fn has_loop(tokens: &[u32]) -> bool {
    (1..=LOOP_PHRASE).any(|phrase| {
        let mut run = 0;
        tokens.iter().zip(tokens.iter().skip(phrase)).any(|(token, later)| {
            run = if token == later { run + 1 } else { 0 };
            // `run` equal pairs at distance `phrase` make run / phrase + 1 repetitions.
            run >= phrase * (LOOP_TIMES - 1) && run + phrase >= LOOP_TOKENS
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_tells_speech_from_loops() {
        let speech = "Printing, in the only sense with which we are at present concerned, differs from most if not \
                      from all the arts and crafts represented in the exhibition";
        assert!((1.0..2.0).contains(&compression_ratio(speech)));
        assert!(compression_ratio(&"thank you very much ".repeat(12)) > MAX_COMPRESSION_RATIO);
        assert_eq!(compression_ratio(""), 0.0);
    }

    #[test]
    fn loops_are_found_at_any_place() {
        let noise = |n: u32| (1000..1000 + n).collect::<Vec<u32>>();
        let phrase = [7, 8, 9, 10];
        assert!(has_loop(&[noise(20), phrase.repeat(5), noise(3)].concat()));
        assert!(!has_loop(&[noise(20), phrase.repeat(4), noise(3)].concat()));
        assert!(!has_loop(&[noise(5), vec![3; 15]].concat()), "a word said fifteen times is possible");
        assert!(has_loop(&[3; 16]));
        assert!(!has_loop(&noise(200)));
        assert!(!has_loop(&[]));
    }

    #[test]
    fn doubts() {
        let varied: Vec<u32> = (0..50).collect();
        assert_eq!(doubt(&varied, 1.5, -0.3), None);
        assert_eq!(doubt(&varied, 2.41, -0.3), Some(Doubt::Repetition));
        assert_eq!(doubt(&varied, 1.5, -1.01), Some(Doubt::LowProbability));
        assert_eq!(doubt(&[3; 40], 1.5, -0.01), Some(Doubt::Repetition));
        assert!(is_silence(0.61, -1.01) && !is_silence(0.61, -0.9) && !is_silence(0.59, -2.0));
        assert!(is_silence(0.76, -0.61) && !is_silence(0.76, -0.59) && !is_silence(0.74, -0.61));
    }
}
