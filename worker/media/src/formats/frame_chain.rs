//! Streams of frames without an index, MP3 and ADTS: their frames are found by chains of headers that agree.

use std::marker::PhantomData;
use std::ops::Range;

use super::tail::{is_tail_tag, trailing_bytes};
use crate::error::MediaError;
use crate::source::Span;

/// How far after the tags the first frame is looked for.
const MAX_JUNK: u64 = 64 * 1024;
/// Bytes that are searched at a time.
const BLOCK: u64 = 4 * 1024;

/// What a chain needs of a frame's header. Its first byte is 0xff.
pub(super) trait Header: Sized {
    /// Bytes that are parsed.
    const BYTES: u64;
    /// Headers in a row that make a stream: the more, the fewer bits of each must fit.
    const CHAIN: usize;

    /// The header at the start of `bytes`.
    fn parse(bytes: &[u8]) -> Option<Self>;
    /// The bits that never change within a stream; the others are 0.
    fn fixed_bits(&self) -> u32;
    /// Bytes of the whole frame.
    fn frame_len(&self) -> u64;
}

/// The chains of one stream.
pub(super) struct Chains<H> {
    /// Where its frames lie.
    data: Range<u64>,
    fixed_bits: u32,
    header: PhantomData<H>,
}

impl<H: Header> Chains<H> {
    pub(super) fn new(data: Range<u64>, fixed_bits: u32) -> Self {
        Self { data, fixed_bits, header: PhantomData }
    }

    /// The first offset from `base` on at which a stream begins, and its first header; `None` if there is none within
    /// [`MAX_JUNK`] bytes.
    pub(super) fn first(bytes: &mut Span<'_>, base: u64) -> Result<Option<(u64, H)>, MediaError> {
        let end = bytes.source_len();
        for at in base..base.saturating_add(MAX_JUNK).min(end) {
            if let Some(header) = H::parse(bytes.slice(at, at + H::BYTES)?)
                && Self::new(base..end, header.fixed_bits()).begins(bytes, at)?
            {
                return Ok(Some((at, header)));
            }
        }
        Ok(None)
    }

    /// The header at `at`, if it is one of this stream.
    pub(super) fn header_at(&self, bytes: &mut Span<'_>, at: u64) -> Result<Option<H>, MediaError> {
        Ok(self.fitting(bytes.slice(at, at + H::BYTES)?))
    }

    fn fitting(&self, head: &[u8]) -> Option<H> {
        H::parse(head).filter(|header| header.fixed_bits() == self.fixed_bits)
    }

    /// Whether the audio ends at `at`: with the file, or with a tag.
    fn ended(&self, bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
        Ok(at + H::BYTES > self.data.end || is_tail_tag(bytes.slice(at, at + 16)?))
    }

    /// Whether a chain begins at `at`: [`Header::CHAIN`] headers in a row, or two and then the end of the audio.
    fn begins(&self, bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
        let mut next = at;
        for found in 0..H::CHAIN {
            match self.header_at(bytes, next)? {
                Some(header) => next += header.frame_len(),
                None => return Ok(found >= 2 && self.ended(bytes, next)?),
            }
        }
        Ok(true)
    }

    /// The first chain that begins in `range`.
    pub(super) fn search(&self, bytes: &mut Span<'_>, range: Range<u64>) -> Result<Option<u64>, MediaError> {
        let mut at = range.start;
        while at < range.end {
            let end = (at + BLOCK).min(range.end);
            let candidates: Vec<u64> = bytes
                .slice(at, end + H::BYTES - 1)?
                .windows(usize::try_from(H::BYTES).unwrap_or(usize::MAX))
                .zip(at..)
                .filter(|(head, _)| head.first() == Some(&0xff) && self.fitting(head).is_some())
                .map(|(_, offset)| offset)
                .collect();
            for offset in candidates {
                if self.begins(bytes, offset)? {
                    return Ok(Some(offset));
                }
            }
            at = end;
        }
        Ok(None)
    }

    /// Where a chain begins inside of the frame at `at`, if none follows the frame. A damaged header can still look like
    /// one; this gives it away.
    pub(super) fn hidden(
        &self,
        bytes: &mut Span<'_>,
        at: u64,
        header: &H,
    ) -> Result<Option<u64>, MediaError> {
        let end = at + header.frame_len();
        if self.header_at(bytes, end)?.is_some() || self.ended(bytes, end)? {
            return Ok(None);
        }
        self.search(bytes, at + H::BYTES..end)
    }

    /// Where to begin to read the frames of a cell: `look_back` bytes before it, or with the stream.
    pub(super) fn synced(
        &self,
        bytes: &mut Span<'_>,
        cell: &Range<u64>,
        look_back: u64,
    ) -> Result<Option<u64>, MediaError> {
        let from = cell.start.saturating_sub(look_back).max(self.data.start);
        if from == self.data.start { Ok(Some(from)) } else { self.search(bytes, from..cell.end) }
    }

    /// Where the stretch that is no frame, and begins at `at`, ends, and the header there: `None` at the end of the stream.
    pub(super) fn after_damage(&self, bytes: &mut Span<'_>, at: u64) -> Result<(u64, Option<H>), MediaError> {
        match self.search(bytes, at + 1..self.data.end)? {
            Some(next) => Ok((next, self.header_at(bytes, next)?)),
            None => Ok((at + trailing_bytes(bytes, at..self.data.end)?, None)),
        }
    }

    /// The end of the stream.
    pub(super) fn end(&self) -> u64 {
        self.data.end
    }
}

/// Whole frames met so far, over which the length of a damaged stretch is estimated.
#[derive(Clone, Copy, Default)]
pub(super) struct Met {
    bytes: u64,
    frames: u64,
}

impl Met {
    /// And another one of so many bytes.
    pub(super) fn and(self, bytes: u64) -> Self {
        Self { bytes: self.bytes + bytes, frames: self.frames + 1 }
    }

    /// How many frames so many bytes have held.
    pub(super) fn frames_in(self, bytes: u64) -> u64 {
        (bytes.saturating_mul(self.frames) + self.bytes / 2) / self.bytes.max(1)
    }
}
