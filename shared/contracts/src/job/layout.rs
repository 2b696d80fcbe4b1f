//! How a recording's bytes are divided into chunks.

use thiserror::Error;

/// Sizes are binary everywhere.
pub const MEGABYTE: u64 = 1 << 20;
/// R1: smaller recordings go through the whole-file route.
pub const MIN_FILE_SIZE: u64 = 5 * MEGABYTE;
/// R1: 10 GB, inclusive.
pub const MAX_FILE_SIZE: u64 = 10 << 30;
/// R3: the largest file in the smallest chunks.
pub const MAX_CHUNKS: u32 = 10_240;

/// Bytes of one chunk in the recording; `last` is inclusive, as in HTTP's `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    pub first: u64,
    pub last: u64,
}

impl ChunkRange {
    pub const fn size(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// Total size and chunk size, known to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    total_size: u64,
    chunk_size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    #[error("a recording has at least one byte and a chunk too")]
    Empty,
    #[error("more than {MAX_CHUNKS} chunks")]
    TooManyChunks,
}

impl Layout {
    pub const fn new(total_size: u64, chunk_size: u64) -> Result<Self, LayoutError> {
        if total_size == 0 || chunk_size == 0 {
            return Err(LayoutError::Empty);
        }
        if total_size.div_ceil(chunk_size) > MAX_CHUNKS as u64 {
            return Err(LayoutError::TooManyChunks);
        }
        Ok(Self { total_size, chunk_size })
    }

    pub const fn total_size(&self) -> u64 {
        self.total_size
    }

    pub const fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    pub const fn chunks(&self) -> u32 {
        self.total_size.div_ceil(self.chunk_size) as u32
    }

    /// `None` past the last chunk.
    pub fn range(&self, chunk: u32) -> Option<ChunkRange> {
        let first = u64::from(chunk).checked_mul(self.chunk_size)?;
        (first < self.total_size).then(|| ChunkRange {
            first,
            last: first.saturating_add(self.chunk_size).min(self.total_size) - 1,
        })
    }

    /// The chunk in which a byte lies; `None` past the end.
    pub fn chunk_of(&self, byte: u64) -> Option<u32> {
        (byte < self.total_size).then_some((byte / self.chunk_size) as u32)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_requirements() {
        let layout = Layout::new(524_288_000, 5 * MEGABYTE).unwrap();
        assert_eq!(layout.chunks(), 100);
        assert_eq!(layout.range(99), Some(ChunkRange { first: 519_045_120, last: 524_287_999 }));
        assert_eq!(layout.range(100), None);
        assert_eq!(Layout::new(MAX_FILE_SIZE, MEGABYTE).unwrap().chunks(), MAX_CHUNKS);
        assert_eq!(Layout::new(MAX_FILE_SIZE + 1, MEGABYTE), Err(LayoutError::TooManyChunks));
    }

    proptest! {
        #[test]
        fn ranges_tile_the_recording(total in 1u64..100_000, chunk in 1u64..5_000) {
            prop_assume!(total.div_ceil(chunk) <= u64::from(MAX_CHUNKS));
            let layout = Layout::new(total, chunk).unwrap();
            let mut at = 0;
            for index in 0..layout.chunks() {
                let range = layout.range(index).unwrap();
                prop_assert_eq!(range.first, at);
                prop_assert_eq!(layout.chunk_of(range.first), Some(index));
                prop_assert_eq!(layout.chunk_of(range.last), Some(index));
                at += range.size();
            }
            prop_assert_eq!(at, total);
            prop_assert_eq!(layout.chunk_of(total), None);
        }
    }
}
