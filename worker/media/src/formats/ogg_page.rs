//! Ogg pages (RFC 3533, section 6), found from any byte on by capture pattern and CRC, and the packets on them.

use std::ops::Range;

use symphonia::core::checksum::Crc32;
use symphonia::core::io::Monitor;

use super::array;
use crate::error::MediaError;
use crate::source::Span;

/// Bytes of a page's header before its segment table.
const FIXED_HEADER: u64 = 27;
/// Bytes of pages whose CRC does not hold that one search checks: bounds the work that crafted bytes can cause.
const MOST_IN_VAIN: u64 = 1024 * 1024;

/// Whether what begins at `at` is a page that the end of the recording, at `end`, cuts off.
pub(crate) fn is_cut_off(bytes: &mut Span<'_>, at: u64, end: u64) -> Result<bool, MediaError> {
    let header = bytes.slice(at, (at + FIXED_HEADER + 255).min(end))?;
    let begins = header.starts_with(b"OggS") || b"OggS".starts_with(header);
    // A header that is itself cut off has no more to say.
    Ok(begins && parse_header(header, at).is_none_or(|page| page.end() > end))
}

/// The header of a page whose CRC holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// First byte of the capture pattern.
    pub start: u64,
    /// Number of the logical stream.
    pub serial: u32,
    /// Number of the page in its stream.
    pub sequence: u32,
    /// Position at the end of the last packet that ends on the page; `None` where none does, or where it is nonsense.
    pub granule: Option<u64>,
    flags: u8,
    lacing: Box<[u8]>,
}

impl Page {
    /// Whether it begins with the rest of a packet.
    pub(crate) fn is_continued(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether a logical stream begins with it.
    pub(crate) fn is_first(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Whether its logical stream ends with it.
    pub(crate) fn is_last(&self) -> bool {
        self.flags & 4 != 0
    }

    /// First byte of its packets.
    fn body(&self) -> u64 {
        self.start + FIXED_HEADER + self.lacing.len() as u64
    }

    /// First byte after it.
    pub(crate) fn end(&self) -> u64 {
        self.body() + self.lacing.iter().map(|len| u64::from(*len)).sum::<u64>()
    }

    /// Whether any packet ends on it.
    pub(crate) fn completes(&self) -> bool {
        self.lacing.iter().any(|len| *len < 255)
    }

    /// Whether any packet lies on it as a whole.
    pub(crate) fn holds_whole_packet(&self) -> bool {
        self.lacing.iter().filter(|len| **len < 255).count() > usize::from(self.is_continued())
    }

    /// The stretches of its body that belong to one packet each, and whether the packet ends there.
    pub(crate) fn pieces(&self) -> Vec<(Range<u64>, bool)> {
        let (mut pieces, mut start) = (Vec::new(), self.body());
        for segments in self.lacing.split_inclusive(|len| *len < 255) {
            let end = start + segments.iter().map(|len| u64::from(*len)).sum::<u64>();
            pieces.push((start..end, segments.last().is_some_and(|len| *len < 255)));
            start = end;
        }
        pieces
    }
}

/// A search for pages, one after the other.
pub(crate) struct Pages {
    range: Range<u64>,
    in_vain: u64,
}

impl Pages {
    /// Pages that begin in `range`.
    pub(crate) fn new(range: Range<u64>) -> Self {
        Self { range, in_vain: 0 }
    }

    /// The next page; bytes between pages are skipped.
    pub(crate) fn next(&mut self, bytes: &mut Span<'_>) -> Result<Option<Page>, MediaError> {
        while let Some(candidate) = capture(bytes, self.range.clone())? {
            self.range.start = candidate + 1;
            if self.in_vain > MOST_IN_VAIN {
                continue;
            }
            match page_at(bytes, candidate)? {
                Ok(page) => {
                    self.range.start = page.end();
                    return Ok(Some(page));
                }
                Err(checked) => self.in_vain += checked,
            }
        }
        self.range.start = self.range.end;
        Ok(None)
    }
}

/// All pages that begin in `range`.
pub(crate) fn pages_in(bytes: &mut Span<'_>, range: Range<u64>) -> Result<Vec<Page>, MediaError> {
    let (mut search, mut pages) = (Pages::new(range), Vec::new());
    while let Some(page) = search.next(bytes)? {
        pages.push(page);
    }
    Ok(pages)
}

/// The first capture pattern that begins in `range`.
fn capture(bytes: &mut Span<'_>, range: Range<u64>) -> Result<Option<u64>, MediaError> {
    const PATTERN: &[u8] = b"OggS";
    const BLOCK: u64 = 16 * 1024;
    let mut at = range.start;
    while at < range.end {
        let end = (at + BLOCK).min(range.end);
        let block = bytes.slice(at, end + PATTERN.len() as u64 - 1)?;
        let found = block.windows(PATTERN.len()).position(|window| window == PATTERN);
        if let Some(found) = found {
            return Ok(Some(at + found as u64));
        }
        at = end;
    }
    Ok(None)
}

/// The page at `start`; else the bytes that were checked in vain.
fn page_at(bytes: &mut Span<'_>, start: u64) -> Result<Result<Page, u64>, MediaError> {
    let header = bytes.slice(start, start + FIXED_HEADER + 255)?;
    let Some(page) = parse_header(header, start) else { return Ok(Err(FIXED_HEADER)) };
    let len = page.end() - start;
    let whole = bytes.slice(start, page.end())?;
    let intact = whole.len() as u64 == len && crc(whole) == array(whole, 22).map(u32::from_le_bytes);
    Ok(if intact { Ok(page) } else { Err(len) })
}

fn parse_header(bytes: &[u8], start: u64) -> Option<Page> {
    let [version, flags] = array(bytes, 4)?;
    let segments = usize::from(*bytes.get(26)?);
    let granule = u64::from_le_bytes(array(bytes, 6)?);
    (version == 0).then_some(Page {
        start,
        serial: u32::from_le_bytes(array(bytes, 14)?),
        sequence: u32::from_le_bytes(array(bytes, 18)?),
        granule: Some(granule).filter(|granule| *granule <= i64::MAX as u64),
        flags,
        lacing: bytes.get(27..27 + segments)?.into(),
    })
}

/// The CRC of a page: that of its bytes with zeros in the place of the CRC itself.
fn crc(page: &[u8]) -> Option<u32> {
    let mut crc = Crc32::new(0);
    crc.process_buf_bytes(page.get(..22)?);
    crc.process_buf_bytes(&[0; 4]);
    crc.process_buf_bytes(page.get(26..)?);
    Some(crc.crc())
}

/// A packet, joined from its pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Its bytes, or the first of them if there are too many.
    pub data: Vec<u8>,
    /// Where its bytes lie.
    pub parts: Vec<Range<u64>>,
    /// How many bytes it has.
    pub len: u64,
}

impl Joined {
    /// First byte.
    pub(crate) fn offset(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.start)
    }

    fn append(&mut self, bytes: &mut Span<'_>, piece: &Range<u64>, most: u64) -> Result<(), MediaError> {
        let keep = most.saturating_sub(self.len).min(piece.end - piece.start);
        if keep > 0 {
            self.data.extend_from_slice(bytes.slice(piece.start, piece.start + keep)?);
            self.parts.push(piece.clone());
        }
        self.len += piece.end - piece.start;
        Ok(())
    }
}

/// Joins the packets of one logical stream.
pub(crate) struct Joiner {
    most: u64,
    open: Option<Joined>,
}

impl Joiner {
    /// Of each packet at most `most` bytes are kept.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, open: None }
    }

    /// First byte of the packet that has begun and not ended yet.
    pub(crate) fn open(&self) -> Option<u64> {
        self.open.as_ref().map(Joined::offset)
    }

    /// Drops the packet that has begun, if `page` does not continue it; `follows`: no page is missing before it.
    /// Returns its first byte.
    pub(crate) fn drop_broken(&mut self, page: &Page, follows: bool) -> Option<u64> {
        self.open.take_if(|_| !follows || !page.is_continued()).map(|broken| broken.offset())
    }

    /// The packets that end on the next page; empty ones are left out.
    pub(crate) fn push(&mut self, bytes: &mut Span<'_>, page: &Page) -> Result<Vec<Joined>, MediaError> {
        let mut done = Vec::new();
        for (index, (piece, ends)) in page.pieces().into_iter().enumerate() {
            let rest = index == 0 && page.is_continued();
            // The rest of a packet whose beginning is lost is skipped.
            let packet = if rest { self.open.take() } else { Some(Joined::default()) };
            if let Some(mut packet) = packet {
                packet.append(bytes, &piece, self.most)?;
                if !ends {
                    self.open = Some(packet);
                } else if packet.len > 0 {
                    done.push(packet);
                }
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::source::MemorySource;

    fn page(flags: u8, sequence: u32, lacing: &[u8], body: u8) -> Vec<u8> {
        let mut bytes = b"OggS\0".to_vec();
        bytes.push(flags);
        bytes.extend(7u64.to_le_bytes());
        bytes.extend(5u32.to_le_bytes());
        bytes.extend(sequence.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.push(u8::try_from(lacing.len()).unwrap());
        bytes.extend(lacing);
        bytes.resize(bytes.len() + lacing.iter().map(|len| usize::from(*len)).sum::<usize>(), body);
        let sum = crc(&bytes).unwrap();
        bytes[22..26].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn pages_are_found_between_other_bytes() {
        let mut bytes = b"OggS\0OOggSx".to_vec();
        bytes.extend(page(2, 0, &[30, 0, 4], 1));
        bytes.extend(b"Ogg");
        let second = bytes.len() as u64;
        bytes.extend(page(4, 1, &[], 0));
        let mut damaged = page(0, 2, &[9], 3);
        damaged[30] ^= 1;
        bytes.extend(damaged);
        let source = MemorySource::new(bytes.clone());
        let pages = pages_in(&mut Span::new(&source), 0..bytes.len() as u64).unwrap();
        let places: Vec<(u64, u64, u32)> = pages.iter().map(|p| (p.start, p.end(), p.sequence)).collect();
        assert_eq!(places, [(11, 11 + 30 + 34, 0), (second, second + 27, 1)]);
        assert!(pages[0].is_first() && !pages[0].is_last() && pages[1].is_last());
        assert!(pages[0].holds_whole_packet() && !pages[1].completes());
    }

    #[test]
    fn packets_are_joined_over_pages_and_dropped_when_broken() {
        let mut bytes = page(0, 0, &[3, 255], 1);
        bytes.extend(page(1, 1, &[255], 2));
        bytes.extend(page(1, 2, &[1, 0, 255], 3));
        bytes.extend(page(1, 4, &[8, 2], 4));
        let source = MemorySource::new(bytes.clone());
        let mut span = Span::new(&source);
        let pages = pages_in(&mut span, 0..bytes.len() as u64).unwrap();
        let mut joiner = Joiner::new(300);
        assert_eq!(joiner.push(&mut span, &pages[0]).unwrap()[0].data, [1; 3]);
        assert_eq!(joiner.open(), Some(32));
        assert_eq!(joiner.drop_broken(&pages[1], true), None);
        assert_eq!(joiner.push(&mut span, &pages[1]).unwrap(), []);
        let joined = joiner.push(&mut span, &pages[2]).unwrap();
        assert_eq!((joined.len(), joined[0].len, joined[0].data.len()), (1, 511, 300));
        assert_eq!(joined[0].data[254..256], [1, 2]);
        assert!(joiner.drop_broken(&pages[3], false).is_some());
        let joined = joiner.push(&mut span, &pages[3]).unwrap();
        assert_eq!((joined.len(), joined[0].data.as_slice()), (1, [4u8; 2].as_slice()));
    }
}
