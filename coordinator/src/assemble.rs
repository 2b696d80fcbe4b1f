//! From the results of the chunks to the transcript: pure.
//!
//! Chunks are given in order, one at a time, so that only the transcript itself is in memory. Nothing of the chunks
//! may show in it: the same recording cut otherwise must give the same bytes.

use crate::coverage::{Kind, coverage};
use scriptorium_contracts::correction::LlmOutcome;
use scriptorium_contracts::job::{ChunkRange, TranscriptSummary};
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::transcript::{
    ChunkResult, Gap, GapReason, Joined, PassageResult, PassageSegment, Segment, TimedWord, Transcript, Word,
};
use std::collections::BTreeMap;
use thiserror::Error;

/// Gaps kept in the job's header; the transcript has all of them.
const SUMMARY_GAPS: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AssembleError {
    #[error("the recording's sample rate is 0")]
    NoRate,
    #[error("chunk {chunk} claims positions beyond any recording")]
    Overflow { chunk: u32 },
}

/// Corrected texts by the numbers of their segments, and what else came of asking for them.
#[derive(Debug, Default, PartialEq)]
pub struct Corrections {
    pub texts: BTreeMap<u32, String>,
    pub outcome: LlmOutcome,
}

/// What [`Assembler::finish`] gives.
#[derive(Debug, PartialEq)]
pub struct Assembled {
    pub transcript: Transcript,
    pub corrections: Corrections,
    pub summary: TranscriptSummary,
    /// 0 unless two machines disagreed.
    pub seams_mended: u32,
}

/// Collects the chunks of one job.
pub struct Assembler {
    media: MediaInfo,
    /// Absolute frame at which the next chunk's first packet lies.
    origin: u64,
    /// Absolute frame up to which the recording is accounted for.
    covered: u64,
    /// A chunk failed since the last passage.
    failed_before: bool,
    frames_seen: u64,
    bytes_seen: u64,
    segments: Vec<Segment>,
    gaps: Vec<Gap>,
    /// Segments and gaps in milliseconds.
    ledger: Vec<(Kind, u64, u64)>,
    /// Milliseconds of speech by language.
    speech: BTreeMap<String, u64>,
    text: Joined,
    engine: String,
    model: String,
    /// Corrected texts by the numbers of their segments, where chunks were corrected one by one.
    corrected: BTreeMap<u32, String>,
    llm: LlmOutcome,
    /// `None` until a chunk was asked for times of words; `false` once one could not give them.
    word_timestamps: Option<bool>,
    /// Stretches that two passages claimed or none did; 0 unless two machines disagreed.
    seams_mended: u32,
}

impl Assembler {
    pub fn new(media: MediaInfo) -> Result<Self, AssembleError> {
        if media.sample_rate == 0 {
            return Err(AssembleError::NoRate);
        }
        Ok(Self {
            media,
            origin: 0,
            covered: 0,
            failed_before: false,
            frames_seen: 0,
            bytes_seen: 0,
            segments: Vec::new(),
            gaps: Vec::new(),
            ledger: Vec::new(),
            speech: BTreeMap::new(),
            text: Joined::default(),
            engine: String::new(),
            model: String::new(),
            corrected: BTreeMap::new(),
            llm: LlmOutcome::default(),
            word_timestamps: None,
            seams_mended: 0,
        })
    }

    /// The next chunk; `None` if it failed.
    pub fn push(
        &mut self,
        chunk: u32,
        range: ChunkRange,
        result: Option<&ChunkResult>,
    ) -> Result<(), AssembleError> {
        let overflow = AssembleError::Overflow { chunk };
        let Some(result) = result else {
            self.failed_before = true;
            self.origin = self.origin.checked_add(self.estimated_frames(range)).ok_or(overflow)?;
            return Ok(());
        };
        // Up to here the sum of all packets is exact, and the same whatever the chunks: the container's own count, which begins
        // anew where recordings were joined, is asked only where a failed chunk was estimated.
        let told = result.absolute_start.filter(|start| self.failed_before && *start >= self.covered);
        self.origin = told.unwrap_or(self.origin);
        for passage in &result.passages {
            self.passage(passage).ok_or_else(|| overflow.clone())?;
        }
        for damaged in &result.damaged {
            let start = self.origin.checked_add_signed(damaged.start).ok_or_else(|| overflow.clone())?;
            let end = self.origin.checked_add_signed(damaged.end).ok_or_else(|| overflow.clone())?;
            self.gap(start, end, GapReason::Damaged);
        }
        self.engine.clone_from(&result.engine);
        self.model.clone_from(&result.model);
        if let Some(llm) = &result.llm {
            self.llm = std::mem::take(&mut self.llm).plus(llm.clone());
        }
        if let Some(given) = result.word_timestamps {
            self.word_timestamps = Some(given && self.word_timestamps.unwrap_or(true));
        }
        self.frames_seen = self.frames_seen.saturating_add(result.frames);
        self.bytes_seen = self.bytes_seen.saturating_add(range.size());
        self.origin = self.origin.checked_add(result.frames).ok_or(overflow)?;
        Ok(())
    }

    /// A failed chunk has told no length: its bytes are taken to hold as much as the others' do. The next chunk of a
    /// container with exact positions puts it right.
    fn estimated_frames(&self, range: ChunkRange) -> u64 {
        let (frames, bytes) = if self.bytes_seen > 0 {
            (self.frames_seen, self.bytes_seen)
        } else {
            // Nothing seen yet: the probe's bit rate.
            (u64::from(self.media.sample_rate), self.media.bitrate.unwrap_or(128_000).max(8) / 8)
        };
        let estimate = u128::from(range.size()) * u128::from(frames) / u128::from(bytes.max(1));
        u64::try_from(estimate).unwrap_or(u64::MAX)
    }

    fn passage(&mut self, passage: &PassageResult) -> Option<()> {
        let start = self.origin.checked_add_signed(passage.start)?;
        let end = self.origin.checked_add_signed(passage.end)?;
        if start > self.covered {
            let reason = if self.failed_before { GapReason::Failed } else { GapReason::Damaged };
            self.seams_mended += u32::from(!self.failed_before);
            self.gap(self.covered, start, reason);
        } else if start < self.covered && !self.failed_before {
            self.seams_mended += 1;
        }
        self.failed_before = false;
        if passage.failed {
            self.gap(start.max(self.covered), end, GapReason::Failed);
        }
        let (from, covered_ms) = (self.milliseconds(start), self.milliseconds(self.covered));
        let until = self.milliseconds(end.max(start));
        for segment in &passage.segments {
            let (begin, finish) =
                (from.saturating_add(segment.start_ms), from.saturating_add(segment.end_ms).min(until));
            // Said by the passage before already (only where seams had to be mended).
            if begin / 2 + finish / 2 < covered_ms {
                continue;
            }
            let words = words(from, begin.min(finish), finish, &segment.words);
            self.segment(begin.min(finish), finish, passage.language.as_deref(), segment, words);
        }
        self.covered = self.covered.max(end);
        Some(())
    }

    fn segment(
        &mut self,
        start: u64,
        end: u64,
        language: Option<&str>,
        said: &PassageSegment,
        words: Vec<TimedWord>,
    ) {
        let text = said.text.trim();
        if text.is_empty() {
            return;
        }
        if let Some(language) = language {
            *self.speech.entry(language.to_owned()).or_default() += end - start;
        }
        self.text.push(text, language);
        self.ledger.push((Kind::Transcribed, start, end));
        let id = self.segments.len() as u32;
        if let Some(corrected) = &said.corrected {
            self.corrected.insert(id, corrected.clone());
        }
        self.segments.push(Segment {
            id,
            start: seconds(start),
            end: seconds(end),
            text: text.to_owned(),
            raw_text: None,
            avg_logprob: said.avg_logprob,
            no_speech_prob: said.no_speech_prob,
            language: language.map(str::to_owned),
            words,
        });
    }

    fn gap(&mut self, start: u64, end: u64, reason: GapReason) {
        if end > start {
            let (start, end) = (self.milliseconds(start), self.milliseconds(end));
            let kind = match reason {
                GapReason::Failed => Kind::Failed,
                GapReason::Damaged => Kind::Damaged,
            };
            self.ledger.push((kind, start, end));
            self.gaps.push(Gap { start: seconds(start), end: seconds(end), reason });
        }
    }

    fn milliseconds(&self, frames: u64) -> u64 {
        let exact = u128::from(frames) * 1_000 / u128::from(self.media.sample_rate.max(1));
        u64::try_from(exact).unwrap_or(u64::MAX)
    }

    /// The transcript as it was heard, what was corrected already, its summary for the job's header, and how many seams had to be
    /// mended.
    pub fn finish(mut self) -> Assembled {
        if self.origin > self.covered {
            let reason = if self.failed_before { GapReason::Failed } else { GapReason::Damaged };
            self.seams_mended += u32::from(!self.failed_before);
            self.gap(self.covered, self.origin, reason);
        }
        self.gaps.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
        let duration_ms = self.milliseconds(self.origin.max(self.covered));
        let duration = seconds(duration_ms);
        let coverage = Some(coverage(duration_ms, &self.ledger));
        // Most speech wins; of equals the first in the alphabet.
        let language = self
            .speech
            .iter()
            .max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)))
            .map_or_else(|| "auto".to_owned(), |(language, _)| language.clone());
        self.media.duration_seconds = Some(duration);
        let summary = TranscriptSummary {
            language: language.clone(),
            duration,
            segments: self.segments.len() as u32,
            gaps: self.gaps.iter().take(SUMMARY_GAPS).cloned().collect(),
            coverage,
            correction: None,
        };
        let transcript = Transcript {
            version: scriptorium_contracts::message::VERSION,
            text: self.text.0,
            raw_text: None,
            language,
            duration,
            segments: self.segments,
            gaps: self.gaps,
            coverage,
            media: self.media,
            engine: self.engine,
            model: self.model,
            word_timestamps: self.word_timestamps,
            correction: None,
        };
        let corrections = Corrections { texts: self.corrected, outcome: self.llm };
        Assembled { transcript, corrections, summary, seams_mended: self.seams_mended }
    }
}

/// The words of a segment that lasts from `start` to `end`, in a passage that begins at `from`: within the segment and in
/// order, whatever was reported. All in milliseconds.
fn words(from: u64, start: u64, end: u64, said: &[Word]) -> Vec<TimedWord> {
    let mut before = start;
    let timed = said.iter().map(|word| {
        let begin = from.saturating_add(word.start_ms).clamp(before, end);
        before = from.saturating_add(word.end_ms).clamp(begin, end);
        TimedWord {
            word: word.text.clone(),
            start: seconds(begin),
            end: seconds(before),
            probability: word.probability,
        }
    });
    timed.collect()
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
