//! From the sample table of `moov` (ISO/IEC 14496-12, section 8.7) to packed runs.

use std::ops::Range;

use bytes::Bytes;

use super::mp4_boxes::{find, half, long, word};
use super::mp4_layout::SampleTable;
use crate::error::MediaError;

/// Most bytes of packed table that are kept with a job.
const MAX_TABLE: usize = 64 * 1024 * 1024;

/// Which part of a table is wanted, and in what units.
pub(crate) struct Wanted {
    /// Samples to keep.
    pub samples: Range<u64>,
    /// Bytes of every sample, where the codec knows better than the table (PCM).
    pub equal_size: Option<u32>,
    /// Samples of a packet.
    pub group: u32,
    /// Frames of a sample.
    pub frames: u32,
    /// Frames to drop from the first sample kept on.
    pub skip: u32,
    pub file_len: u64,
}

/// Durations of samples: (how many, ticks of each), as `stts` lists them.
pub(crate) fn durations(stbl: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let body = find(stbl, b"stts").unwrap_or_default();
    let (entries, _) = body.get(8..).unwrap_or_default().as_chunks::<8>();
    entries.iter().filter_map(|entry| Some((u64::from(word(entry, 0)?), u64::from(word(entry, 4)?))))
}

/// Sizes of samples: one for all, or entries of 4, 8, 16 or 32 bits.
pub(crate) struct Sizes<'a> {
    equal: u32,
    bits: u8,
    entries: &'a [u8],
    pub count: u64,
}

impl<'a> Sizes<'a> {
    pub(crate) fn read(stbl: &'a [u8]) -> Option<Self> {
        if let Some(body) = find(stbl, b"stsz") {
            let (equal, count) = (word(body, 4)?, u64::from(word(body, 8)?));
            let entries = body.get(12..)?;
            let listed = if equal > 0 { count } else { count.min(entries.len() as u64 / 4) };
            return Some(Self { equal, bits: 32, entries, count: listed });
        }
        let body = find(stbl, b"stz2")?;
        let (bits, entries) = (*body.get(7)?, body.get(12..)?);
        let listed = if matches!(bits, 4 | 8 | 16) { entries.len() as u64 * 8 / u64::from(bits) } else { 0 };
        Some(Self { equal: 0, bits, entries, count: u64::from(word(body, 8)?).min(listed) })
    }

    fn get(&self, index: u64) -> Option<u32> {
        let at = usize::try_from(index).ok()?;
        match (self.equal, self.bits) {
            (0, 4) => {
                let byte = *self.entries.get(at / 2)?;
                Some(u32::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }))
            }
            (0, 8) => self.entries.get(at).map(|size| u32::from(*size)),
            (0, 16) => half(self.entries, at.checked_mul(2)?).map(u32::from),
            (0, _) => word(self.entries, at.checked_mul(4)?),
            (equal, _) => Some(equal),
        }
    }
}

/// Offsets of chunks and the samples in each (`stco` or `co64`, and `stsc`).
struct Chunks<'a> {
    offsets: &'a [u8],
    wide: bool,
    shares: &'a [[u8; 12]],
}

impl<'a> Chunks<'a> {
    fn read(stbl: &'a [u8]) -> Option<Self> {
        let (body, wide) = match find(stbl, b"stco") {
            Some(body) => (body, false),
            None => (find(stbl, b"co64")?, true),
        };
        let (shares, _) = find(stbl, b"stsc")?.get(8..)?.as_chunks::<12>();
        Some(Self { offsets: body.get(8..)?, wide, shares })
    }

    /// Offset and number of samples of each chunk.
    fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        let width = if self.wide { 8 } else { 4 };
        let mut share = 0;
        self.offsets.chunks_exact(width).zip(1u32..).filter_map(move |(entry, number)| {
            let first = |index: usize| self.shares.get(index).and_then(|share| word(share, 0));
            while first(share + 1).is_some_and(|first| first <= number) {
                share += 1;
            }
            let offset = if self.wide { long(entry, 0)? } else { u64::from(word(entry, 0)?) };
            Some((offset, word(self.shares.get(share)?, 4)?))
        })
    }

    /// Whether all chunks are described by the first sample description.
    fn of_one_kind(&self) -> bool {
        self.shares.iter().all(|share| word(share, 8).is_none_or(|index| index <= 1))
    }
}

/// Packs the wanted part of a table; samples beyond the end of the file are left out.
pub(crate) fn pack(stbl: &[u8], wanted: &Wanted) -> Result<SampleTable, MediaError> {
    let broken = || MediaError::damaged("an MP4 file whose sample table is incomplete");
    let sizes = Sizes::read(stbl).ok_or_else(broken)?;
    let chunks = Chunks::read(stbl).ok_or_else(broken)?;
    if !chunks.of_one_kind() {
        return Err(MediaError::unsupported("an MP4 file whose sound changes its format on the way"));
    }
    let mut packer = Packer { wanted, index: 0, end: 0, run: None, runs: Vec::new(), sizes: Vec::new() };
    for (offset, count) in chunks.iter() {
        packer.chunk(offset, count, &sizes)?;
        if packer.index >= wanted.samples.end {
            break;
        }
    }
    packer.finish(sizes.equal)
}

struct Packer<'a> {
    wanted: &'a Wanted,
    /// Samples seen.
    index: u64,
    /// Byte after the latest sample kept.
    end: u64,
    run: Option<(u64, u32)>,
    runs: Vec<u8>,
    sizes: Vec<u32>,
}

impl Packer<'_> {
    fn chunk(&mut self, offset: u64, count: u32, sizes: &Sizes<'_>) -> Result<(), MediaError> {
        let equal = self.wanted.equal_size.or((sizes.equal > 0).then_some(sizes.equal));
        let Some(size) = equal else {
            let mut at = offset;
            for index in self.index..self.index.saturating_add(u64::from(count)).min(sizes.count) {
                let size = sizes.get(index).unwrap_or(0);
                let kept = self.wanted.samples.contains(&index) && size > 0;
                if kept && at.saturating_add(u64::from(size)) <= self.wanted.file_len {
                    self.keep(at, u64::from(size), 1)?;
                    self.sizes.push(size);
                }
                at = at.saturating_add(u64::from(size));
            }
            self.index = self.index.saturating_add(u64::from(count));
            return Ok(());
        };
        let (first, last) = (self.index, self.index.saturating_add(u64::from(count)));
        self.index = last;
        let from = first.max(self.wanted.samples.start);
        let start = offset.saturating_add(from.saturating_sub(first).saturating_mul(u64::from(size)));
        let fitting = self.wanted.file_len.saturating_sub(start) / u64::from(size.max(1));
        let kept = last.min(self.wanted.samples.end).saturating_sub(from).min(fitting);
        if kept > 0 {
            self.keep(start, u64::from(size), u32::try_from(kept).unwrap_or(u32::MAX))?;
        }
        Ok(())
    }

    fn keep(&mut self, at: u64, size: u64, count: u32) -> Result<(), MediaError> {
        if at < self.end {
            return Err(MediaError::unsupported("an MP4 file whose sound is not stored in order"));
        }
        match &mut self.run {
            Some((_, before)) if at == self.end && before.checked_add(count).is_some() => *before += count,
            run => {
                let before = run.replace((at, count));
                self.write(before);
            }
        }
        self.end = at.saturating_add(size.saturating_mul(u64::from(count)));
        if self.runs.len() + 2 * self.sizes.len() > MAX_TABLE {
            return Err(MediaError::Limit {
                what: "the table of an MP4 file's samples is too long".to_owned(),
            });
        }
        Ok(())
    }

    fn write(&mut self, run: Option<(u64, u32)>) {
        if let Some((offset, count)) = run {
            self.runs.extend(offset.to_be_bytes());
            self.runs.extend(count.to_be_bytes());
        }
    }

    fn finish(mut self, equal: u32) -> Result<SampleTable, MediaError> {
        let last = self.run.take();
        self.write(last);
        let wide = self.sizes.iter().any(|size| *size > u32::from(u16::MAX));
        let sizes: Vec<u8> = if wide {
            self.sizes.iter().flat_map(|size| size.to_be_bytes()).collect()
        } else {
            self.sizes.iter().flat_map(|size| (*size as u16).to_be_bytes()).collect()
        };
        if sizes.len() + self.runs.len() > MAX_TABLE {
            return Err(MediaError::Limit {
                what: "the table of an MP4 file's samples is too long".to_owned(),
            });
        }
        Ok(SampleTable {
            runs: Bytes::from(self.runs),
            sizes: Bytes::from(sizes),
            width: if wide { 4 } else { 2 },
            equal_size: self.wanted.equal_size.unwrap_or(equal),
            group: self.wanted.group,
            frames: self.wanted.frames,
            skip: self.wanted.skip,
        })
    }
}
