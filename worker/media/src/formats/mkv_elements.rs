//! Matroska and WebM: the elements between which blocks stand, and the blocks (RFC 9559, sections 5 and 10).

use std::ops::Range;

use super::array;
use super::ebml::{Header, MAX_HEADER, header, signed, unsigned, vint};
use crate::error::MediaError;
use crate::source::Span;

pub(crate) const EBML: u32 = 0x1a45_dfa3;
pub(crate) const SEGMENT: u32 = 0x1853_8067;
pub(crate) const INFO: u32 = 0x1549_a966;
pub(crate) const TRACKS: u32 = 0x1654_ae6b;
pub(crate) const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const DISCARD_PADDING: u32 = 0x75a2;
/// What is skipped: SeekHead, Chapters, Cues, Attachments, Tags, SilentTracks, EncryptedBlock, Void.
const SKIPPED: [u32; 8] =
    [0x114d_9b74, 0x1043_a770, 0x1c53_bb6b, 0x1941_a469, 0x1254_c367, 0x5854, 0xaf, 0xec];
/// Position, PrevSize: numbers. And a CRC-32, of four bytes.
const NUMBERS: [u32; 2] = [0xa7, 0xab];
const CRC: u32 = 0xbf;

/// Largest block of sound; 64 seconds of stereo at 4 Mbit/s would fit into one.
pub(crate) const MAX_SOUND_BLOCK: u64 = 1024 * 1024;
/// Largest block of pictures.
const MAX_BLOCK: u64 = 256 * 1024 * 1024;
/// Most elements of a block group.
const MAX_GROUP: usize = 64;

/// What an element means to the scanner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// A cluster, whose elements begin at `body`; where it ends, if it says so.
    Cluster { body: u64, end: Option<u64> },
    /// The segment, or an EBML header (of another recording behind the first): goes on at `next`.
    Enter { next: u64 },
    /// The time of a cluster, in ticks.
    Timestamp { ticks: i64, end: u64 },
    /// A block of whatever track.
    Block(Block),
    /// Nothing that matters here.
    Skip { end: u64 },
}

/// A block: some packets of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// First byte of the element, and the byte after its last.
    pub range: Range<u64>,
    pub track: u64,
    /// Ticks after the cluster's.
    pub ticks: i16,
    pub lacing: Lacing,
    /// The packets, with the sizes of the laced ones before them.
    pub data: Range<u64>,
    /// Nanoseconds to drop at the end; negative: at the start.
    pub discard: i64,
}

/// How several packets share a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacing {
    None,
    Xiph,
    Fixed,
    Ebml,
}

/// What the scanner has to know to tell blocks from chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// End of the recording.
    pub end: u64,
    /// The track that is decoded.
    pub track: u64,
    /// Numbers of all tracks.
    pub tracks: Vec<u64>,
}

pub(crate) fn header_at(bytes: &mut Span<'_>, at: u64) -> Result<Option<Header>, MediaError> {
    Ok(header(bytes.slice(at, at + MAX_HEADER)?))
}

/// Whether something that may stand among blocks begins at `at`, or the recording ends there.
pub(crate) fn may_follow(bytes: &mut Span<'_>, at: u64, end: u64) -> Result<bool, MediaError> {
    if at == end {
        return Ok(true);
    }
    let known = |id: u32| {
        matches!(id, EBML | SEGMENT | INFO | TRACKS | CLUSTER | TIMESTAMP | SIMPLE_BLOCK | BLOCK_GROUP | CRC)
            || SKIPPED.contains(&id)
            || NUMBERS.contains(&id)
    };
    Ok(header_at(bytes, at)?.is_some_and(|found| known(found.id)))
}

/// Whether the end of the recording cuts off what begins at `at`.
pub(crate) fn is_cut_off(bytes: &mut Span<'_>, at: u64, known: &Known) -> Result<bool, MediaError> {
    if known.end.saturating_sub(at) < MAX_HEADER {
        return Ok(true);
    }
    let Some(header) = header_at(bytes, at)? else { return Ok(false) };
    let body = at + header.len;
    let beyond = header.size.is_some_and(|size| body.saturating_add(size) > known.end);
    Ok(beyond
        && match header.id {
            SIMPLE_BLOCK => vint(bytes.slice(body, (body + 8).min(known.end))?)
                .is_none_or(|(track, _)| known.tracks.contains(&track)),
            BLOCK_GROUP => header_at(bytes, body)?.is_none_or(|child| child.id == BLOCK),
            id => SKIPPED.contains(&id) || id == TIMESTAMP,
        })
}

/// The element at `at`; `None` if none can stand there, or if it is cut off.
pub(crate) fn element_at(
    bytes: &mut Span<'_>,
    at: u64,
    known: &Known,
) -> Result<Option<Element>, MediaError> {
    let Some(header) = header_at(bytes, at)? else { return Ok(None) };
    let body = at + header.len;
    let end = header.size.and_then(|size| body.checked_add(size)).filter(|end| *end <= known.end);
    if header.id == CLUSTER {
        return Ok(Some(Element::Cluster { body, end }));
    }
    if header.id == SEGMENT {
        return Ok(Some(Element::Enter { next: body }));
    }
    let Some(end) = end else { return Ok(None) };
    let size = end - body;
    Ok(match header.id {
        EBML if size < 1024 => Some(Element::Enter { next: end }),
        INFO | TRACKS => Some(Element::Skip { end }),
        CRC if size == 4 => Some(Element::Skip { end }),
        TIMESTAMP if size <= 8 => unsigned(bytes.slice(body, end)?)
            .and_then(|ticks| i64::try_from(ticks).ok())
            .map(|ticks| Element::Timestamp { ticks, end }),
        SIMPLE_BLOCK => block(bytes, at..end, body..end, 0, known)?.map(Element::Block),
        BLOCK_GROUP => block_group(bytes, at..end, body, known)?.map(Element::Block),
        id if NUMBERS.contains(&id) && size <= 8 => Some(Element::Skip { end }),
        id if SKIPPED.contains(&id) => Some(Element::Skip { end }),
        _ => None,
    })
}

/// A block whose body (track, time, flags, packets) is `body`, in the element `range`.
fn block(
    bytes: &mut Span<'_>,
    range: Range<u64>,
    body: Range<u64>,
    discard: i64,
    known: &Known,
) -> Result<Option<Block>, MediaError> {
    /// A track number of up to 8 bytes, two bytes of time, one of flags.
    const LONGEST: u64 = 11;
    let head = bytes.slice(body.start, (body.start + LONGEST).min(body.end))?;
    let Some((track, len)) = vint(head).filter(|(track, _)| known.tracks.contains(track)) else {
        return Ok(None);
    };
    let (Some(ticks), Some(flags)) = (array(head, len), head.get(len + 2)) else { return Ok(None) };
    let largest = if track == known.track { MAX_SOUND_BLOCK } else { MAX_BLOCK };
    // Bits 0x70 are reserved.
    if flags & 0x70 != 0 || body.end - body.start > largest {
        return Ok(None);
    }
    let lacing = match flags >> 1 & 3 {
        0 => Lacing::None,
        1 => Lacing::Xiph,
        2 => Lacing::Fixed,
        _ => Lacing::Ebml,
    };
    let data = body.start + len as u64 + 3..body.end;
    Ok(Some(Block { range, track, ticks: i16::from_be_bytes(ticks), lacing, data, discard }))
}

/// The block of a group. What stands beside it is looked at for the decoded track alone.
fn block_group(
    bytes: &mut Span<'_>,
    range: Range<u64>,
    body: u64,
    known: &Known,
) -> Result<Option<Block>, MediaError> {
    let (mut at, mut found, mut discard) = (body, None, 0);
    for _ in 0..MAX_GROUP {
        if at == range.end {
            break;
        }
        let Some(child) = header_at(bytes, at)? else { return Ok(None) };
        let start = at + child.len;
        let end = child.size.and_then(|size| start.checked_add(size)).filter(|end| *end <= range.end);
        let Some(end) = end else { return Ok(None) };
        match child.id {
            BLOCK => {
                let Some(block) = block(bytes, range.clone(), start..end, 0, known)? else { return Ok(None) };
                if block.track != known.track {
                    return Ok(Some(block));
                }
                found = Some(block);
            }
            DISCARD_PADDING if end - start <= 8 => {
                discard = signed(bytes.slice(start, end)?).unwrap_or(0);
            }
            _ => {}
        }
        at = end;
    }
    Ok(found.map(|block| Block { discard, ..block }))
}

/// One packet that fills the block.
pub(crate) fn whole(data: &[u8]) -> Vec<Range<usize>> {
    std::iter::once(0..data.len()).collect()
}

/// The packets of a block, as ranges of its data; `None` where the sizes contradict the data (section 10.3).
pub(crate) fn laced(data: &[u8], lacing: Lacing) -> Option<Vec<Range<usize>>> {
    if lacing == Lacing::None {
        return Some(whole(data));
    }
    let count = usize::from(*data.first()?) + 1;
    let mut at = 1;
    let mut sizes = Vec::with_capacity(count);
    match lacing {
        Lacing::None => {}
        Lacing::Fixed => sizes.resize(count - 1, (data.len() - 1) / count),
        Lacing::Xiph => {
            for _ in 1..count {
                let mut size = 0;
                loop {
                    let byte = *data.get(at)?;
                    at += 1;
                    size += usize::from(byte);
                    if byte < 255 {
                        break;
                    }
                }
                sizes.push(size);
            }
        }
        Lacing::Ebml => {
            let mut size = 0i64;
            for index in 1..count {
                let (value, len) = vint(data.get(at..)?)?;
                at += len;
                let value = i64::try_from(value).ok()?;
                // All but the first are differences, shifted to be positive.
                let half = (1i64 << (7 * u32::try_from(len).ok()? - 1)) - 1;
                size = if index == 1 { value } else { size.checked_add(value - half)? };
                sizes.push(usize::try_from(size).ok()?);
            }
        }
    }
    let mut packets = Vec::with_capacity(count);
    for size in sizes {
        let end = at.checked_add(size).filter(|end| *end <= data.len())?;
        packets.push(at..end);
        at = end;
    }
    packets.push(at..data.len());
    let fixed = lacing == Lacing::Fixed && packets.iter().any(|packet| packet.len() != packets[0].len());
    (!fixed).then_some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laces_of_all_kinds() {
        let lengths = |data: &[u8], lacing| {
            laced(data, lacing).map(|packets| packets.iter().map(ExactSizeIterator::len).collect::<Vec<_>>())
        };
        let with = |head: &[u8], body: usize| [head, &vec![0; body]].concat();
        assert_eq!(lengths(&[0; 7], Lacing::None), Some(vec![7]));
        assert_eq!(lengths(&with(&[2], 30), Lacing::Fixed), Some(vec![10, 10, 10]));
        assert_eq!(lengths(&with(&[2], 31), Lacing::Fixed), None);
        assert_eq!(lengths(&with(&[2, 255, 5, 3], 270), Lacing::Xiph), Some(vec![260, 3, 7]));
        assert_eq!(lengths(&with(&[2, 255, 5, 3], 262), Lacing::Xiph), None);
        // 800, 500 (-300), the rest.
        assert_eq!(
            lengths(&with(&[2, 0x43, 0x20, 0x5e, 0xd3], 1800), Lacing::Ebml),
            Some(vec![800, 500, 500])
        );
        assert_eq!(lengths(&with(&[2, 0x43, 0x20, 0x5e, 0xd3], 1200), Lacing::Ebml), None);
        assert_eq!(lengths(&[], Lacing::Xiph), None);
        assert_eq!(lengths(&[255, 255, 255], Lacing::Xiph), None);
    }
}
