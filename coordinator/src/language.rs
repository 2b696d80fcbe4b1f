//! Which passages were taken for a language that they most likely are not in: pure.
//!
//! Each passage's language is detected on its own, so that it depends on no order of arrival. Short or noisy passages are
//! then sometimes taken for another language, and come out as nonsense. Seen from the end, the rest of the recording tells.

use scriptorium_contracts::plan::{RedoChunk, RedoList};
use scriptorium_contracts::transcript::ChunkResult;
use std::collections::BTreeMap;

/// Below this the detection of a single passage is not believed.
const DOUBTFUL: f32 = 0.5;
/// Above this it is believed even against the rest of the recording: people do quote, and interpreters change.
const CERTAIN: f32 = 0.95;
/// The share of the recording's speech, weighted by probability, in percent, that makes a clear majority.
const CLEAR_MAJORITY: u64 = 80;

/// A passage whose language was detected.
struct Detected {
    chunk: u32,
    start: i64,
    language: String,
    probability: f32,
}

/// Collects the passages of a job, chunk by chunk.
#[derive(Default)]
pub(crate) struct Languages {
    passages: Vec<Detected>,
    /// Speech by language: milliseconds times the detection's probability in thousandths.
    speech: BTreeMap<String, u64>,
}

impl Languages {
    pub fn push(&mut self, chunk: u32, result: &ChunkResult) {
        for passage in &result.passages {
            let (Some(language), Some(probability)) = (&passage.language, passage.language_probability)
            else {
                continue;
            };
            let speech: u64 = passage
                .segments
                .iter()
                .map(|segment| segment.end_ms.saturating_sub(segment.start_ms))
                .fold(0, u64::saturating_add);
            if speech == 0 {
                continue;
            }
            // In whole numbers, so that the order of summing does not matter. The cast saturates.
            let weight = speech.saturating_mul((probability * 1_000.0).round() as u64);
            let sum = self.speech.entry(language.clone()).or_default();
            *sum = sum.saturating_add(weight);
            self.passages.push(Detected {
                chunk,
                start: passage.start,
                language: language.clone(),
                probability,
            });
        }
    }

    /// The passages to be done again, and the language of the recording in which; `None` if all is well.
    pub fn doubtful(&self) -> Option<RedoList> {
        // Most speech wins; of equals the first in the alphabet.
        let (language, most) = self.speech.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)))?;
        let total: u128 = self.speech.values().map(|sum| u128::from(*sum)).sum();
        let clear = u128::from(*most) * 100 >= total * u128::from(CLEAR_MAJORITY);
        let mut list = RedoList { language: language.clone(), chunks: Vec::new() };
        for passage in &self.passages {
            let limit = if clear { CERTAIN } else { DOUBTFUL };
            if passage.language != *language && passage.probability < limit {
                match list.chunks.last_mut() {
                    Some(last) if last.chunk == passage.chunk => last.passages.push(passage.start),
                    _ => list.chunks.push(RedoChunk { chunk: passage.chunk, passages: vec![passage.start] }),
                }
            }
        }
        (!list.chunks.is_empty()).then_some(list)
    }
}

/// Puts passages that were done again in the place of the first ones.
pub(crate) fn replace(
    result: &mut ChunkResult,
    redone: Vec<scriptorium_contracts::transcript::PassageResult>,
) {
    for passage in redone {
        if let Some(old) = result.passages.iter_mut().find(|old| old.start == passage.start) {
            *old = passage;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scriptorium_contracts::transcript::{PassageResult, PassageSegment};

    fn result(passages: &[(&str, f32, u64)]) -> ChunkResult {
        let passage = |(index, (language, probability, ms)): (usize, &(&str, f32, u64))| PassageResult {
            start: index as i64 * 100,
            end: index as i64 * 100 + 100,
            language: Some((*language).to_owned()),
            language_probability: Some(*probability),
            segments: vec![PassageSegment {
                start_ms: 0,
                end_ms: *ms,
                text: "words".to_owned(),
                avg_logprob: -0.2,
                no_speech_prob: 0.0,
                words: Vec::new(),
                corrected: None,
            }],
            failed: false,
        };
        ChunkResult {
            frames: 1_000,
            absolute_start: None,
            passages: passages.iter().enumerate().map(passage).collect(),
            damaged: Vec::new(),
            engine: String::new(),
            model: String::new(),
            word_timestamps: None,
            llm: None,
        }
    }

    fn doubtful(passages: &[(&str, f32, u64)]) -> Option<(String, Vec<i64>)> {
        let mut languages = Languages::default();
        languages.push(3, &result(passages));
        languages.doubtful().map(|list| (list.language.clone(), list.passages_of(3).to_vec()))
    }

    #[test]
    fn against_a_clear_majority_only_a_certain_passage_stands() {
        let passages = [("en", 0.99, 20_000), ("cy", 0.7, 900), ("en", 0.98, 25_000), ("fr", 0.97, 5_000)];
        assert_eq!(doubtful(&passages), Some(("en".to_owned(), vec![100])));
    }

    #[test]
    fn without_a_clear_majority_only_doubtful_passages_are_done_again() {
        let passages = [("en", 0.9, 20_000), ("de", 0.8, 18_000), ("nn", 0.3, 30_000)];
        assert_eq!(doubtful(&passages), Some(("en".to_owned(), vec![200])));
    }

    #[test]
    fn one_language_or_none_leaves_nothing_to_do() {
        assert_eq!(doubtful(&[("en", 0.4, 20_000), ("en", 0.9, 1_000)]), None);
        assert_eq!(doubtful(&[]), None);
        assert_eq!(doubtful(&[("en", 0.9, 0)]), None);
    }

    /// What the rule says depends on the passages, not on how chunks divide them.
    #[test]
    fn chunks_do_not_matter() {
        let passages = [("en", 0.99, 20_000), ("cy", 0.7, 900), ("en", 0.98, 25_000), ("fr", 0.4, 5_000)];
        let mut languages = Languages::default();
        for (chunk, passage) in (0..).zip(&passages) {
            languages.push(chunk, &result(&[*passage]));
        }
        let redo = |chunk| RedoChunk { chunk, passages: vec![0] };
        assert_eq!(languages.doubtful().map(|list| list.chunks), Some(vec![redo(1), redo(3)]));
    }
}
