//! Boxes of the ISO base media file format (ISO/IEC 14496-12, section 4.2) and of QuickTime.

use super::array;
use crate::error::MediaError;
use crate::source::Span;

/// Most boxes of the top level that are walked over.
const MAX_BOXES: usize = 10_000;
/// Bytes read ahead of a header: what lies behind it is often not wanted.
const HEADER_AHEAD: u64 = 4 * 1024;

/// The boxes of a container box, each with its type and its body; the last one is cut off at the container's end.
pub(crate) struct Boxes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, header, size) = parse_header(self.0)?;
        let size = size.map_or(self.0.len(), |size| usize::try_from(size).unwrap_or(usize::MAX));
        let (whole, rest) = self.0.split_at(size.min(self.0.len()));
        self.0 = rest;
        Some((kind, whole.get(header..).unwrap_or_default()))
    }
}

/// Type, bytes of the header, and bytes of the whole box (`None`: as far as what holds it).
fn parse_header(bytes: &[u8]) -> Option<([u8; 4], usize, Option<u64>)> {
    let kind = array(bytes, 4)?;
    match u32::from_be_bytes(array(bytes, 0)?) {
        0 => Some((kind, 8, None)),
        1 => {
            let size = u64::from_be_bytes(array(bytes, 8)?);
            (size >= 16).then_some((kind, 16, Some(size)))
        }
        size => (size >= 8).then_some((kind, 8, Some(u64::from(size)))),
    }
}

/// The body of the first box of a type.
pub(crate) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes(bytes).find(|(found, _)| found == kind).map(|(_, body)| body)
}

/// The body of the box at the end of a path of types.
pub(crate) fn descend<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |inside, kind| find(inside, kind))
}

/// Big-endian numbers of a body.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// As [`word`], of 16 bits.
pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// As [`word`], of 64 bits.
pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// A box of the top level, in bytes of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopBox {
    pub kind: [u8; 4],
    /// First byte of its header.
    pub start: u64,
    /// First byte after its header.
    pub body: u64,
    /// Byte after it, which may lie beyond the end of a recording that was cut off.
    pub end: u64,
}

/// The box whose header stands at `at`; `None` where none can be.
pub(crate) fn box_at(bytes: &mut Span<'_>, at: u64) -> Result<Option<TopBox>, MediaError> {
    let file_len = bytes.source_len();
    let mut head = bytes.slice_ahead(at, at.saturating_add(8), HEADER_AHEAD)?;
    if word(head, 0) == Some(1) {
        head = bytes.slice_ahead(at, at.saturating_add(16), HEADER_AHEAD)?;
    }
    Ok(parse_header(head).map(|(kind, header, size)| TopBox {
        kind,
        start: at,
        body: at.saturating_add(header as u64),
        end: size.map_or(file_len, |size| at.saturating_add(size)),
    }))
}

/// Walks over boxes of the top level from `at` on to the first one that is `wanted`.
pub(crate) fn walk_to(
    bytes: &mut Span<'_>,
    mut at: u64,
    mut wanted: impl FnMut(&TopBox) -> bool,
) -> Result<Option<TopBox>, MediaError> {
    for _ in 0..MAX_BOXES {
        if at >= bytes.source_len() {
            return Ok(None);
        }
        match box_at(bytes, at)? {
            Some(found) if wanted(&found) => return Ok(Some(found)),
            Some(found) => at = found.end,
            None => return Ok(None),
        }
    }
    Err(MediaError::Limit { what: format!("more than {MAX_BOXES} boxes") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_of_all_sizes_end_where_they_say_or_where_their_container_ends() {
        let list = |bytes: &[u8]| -> Vec<([u8; 4], usize)> {
            Boxes(bytes).map(|(kind, body)| (kind, body.len())).collect()
        };
        assert_eq!(list(b"\0\0\0\x0afree..\0\0\0\x08wide"), [(*b"free", 2), (*b"wide", 0)]);
        assert_eq!(list(b"\0\0\0\x01free\0\0\0\0\0\0\0\x11x\0\0\0\0udtaxx"), [(*b"free", 1), (*b"udta", 2)]);
        assert_eq!(list(b"\xff\0\0\0moovxx"), [(*b"moov", 2)]);
        assert_eq!(list(b"\0\0\0\x07moovxx"), []);
        assert_eq!(list(b"\0\0\0\x01moov\0\0\0\0\0\0\0\x0f"), []);
        assert_eq!(list(b"\0\0\0\0"), []);
    }

    #[test]
    fn a_path_leads_inside() {
        let bytes = b"\0\0\0\x08free\0\0\0\x12udta\0\0\0\x0anameab";
        assert_eq!(descend(bytes, &[b"udta", b"name"]), Some(&b"ab"[..]));
        assert_eq!(descend(bytes, &[b"udta", b"free"]), None);
    }
}
