//! The plan of a chunk: what a worker finds by scanning it, and hands to the workers that take its parts.

use crate::transcript::DamagedFrames;
use serde::{Deserialize, Serialize};

/// What a chunk holds. Frames are counted at the recording's rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkPlan {
    /// Frames of the packets that the chunk owns; the sums of all chunks before give a chunk's absolute time.
    pub frames: u64,
    /// Frames before the chunk's first packet, where the container itself says so.
    pub absolute_start: Option<u64>,
    /// The passages whose anchor the chunk owns, in order; none where a chunk is shorter than a passage.
    pub passages: Vec<PassagePlan>,
    /// Stretches that begin in the chunk and hold no packets, as far as their length can be told; silence stands in
    /// their place. Packets that turn out to be undecodable are told by the reader of their passage.
    pub damaged: Vec<DamagedFrames>,
}

/// A stretch from one cut to the next. Relative to the first packet that the chunk owns: it may begin before it (a
/// cut lies up to 3 seconds before its anchor), and it usually ends in a later chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassagePlan {
    /// First frame.
    pub start: i64,
    /// Frame after the last.
    pub end: i64,
    /// First byte of the packet from which decoding restarts.
    pub restart: u64,
    /// Frames from the start of that packet to `start`.
    pub skip: u64,
}

/// Passages that were taken for another language than the recording's, to be done again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedoList {
    /// Two-letter code.
    pub language: String,
    /// In the order of the chunks.
    pub chunks: Vec<RedoChunk>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedoChunk {
    pub chunk: u32,
    /// The passages' first frames, as in [`PassagePlan::start`].
    pub passages: Vec<i64>,
}

impl RedoList {
    /// First frames of the passages of a chunk.
    pub fn passages_of(&self, chunk: u32) -> &[i64] {
        self.chunks.iter().find(|one| one.chunk == chunk).map_or(&[], |one| &one.passages)
    }
}

impl PassagePlan {
    /// Frames of the passage.
    pub fn frames(&self) -> u64 {
        self.end.saturating_sub(self.start).try_into().unwrap_or(0)
    }
}

impl ChunkPlan {
    /// Frames of all its passages.
    pub fn passage_frames(&self) -> u64 {
        self.passages.iter().fold(0, |sum, passage| sum.saturating_add(passage.frames()))
    }

    /// Divides the passages into runs of at most `longest` frames (a longer passage stands alone): how many passages
    /// each run has.
    pub fn parts(&self, longest: u64) -> Vec<u32> {
        let mut parts: Vec<u32> = Vec::new();
        let mut frames = 0u64;
        for passage in &self.passages {
            frames = frames.saturating_add(passage.frames());
            match parts.last_mut() {
                Some(count) if frames <= longest => *count += 1,
                _ => {
                    parts.push(1);
                    frames = passage.frames();
                }
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lengths: &[i64]) -> ChunkPlan {
        let mut at = -5;
        let passages = lengths
            .iter()
            .map(|length| {
                let start = at;
                at += length;
                PassagePlan { start, end: at, restart: 0, skip: 0 }
            })
            .collect();
        ChunkPlan { passages, ..ChunkPlan::default() }
    }

    #[test]
    fn parts_hold_all_passages_and_are_no_longer_than_they_may() {
        assert_eq!(plan(&[30, 30, 30, 30, 30]).parts(90), [3, 2]);
        assert_eq!(plan(&[30, 100, 30, 30]).parts(60), [1, 1, 2]);
        assert_eq!(plan(&[100]).parts(60), [1]);
        assert_eq!(plan(&[]).parts(60), [0u32; 0]);
        assert_eq!(plan(&[30, 40]).passage_frames(), 70);
    }
}
