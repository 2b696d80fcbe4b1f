//! What may stand behind the last frame of a stream that has no index and is no damage: tags and padding.

use std::ops::Range;

use crate::error::MediaError;
use crate::source::Span;

/// Whether one of the tags that stand after the last frame begins here.
pub(super) fn is_tail_tag(bytes: &[u8]) -> bool {
    [&b"TAG"[..], b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI"].iter().any(|tag| bytes.starts_with(tag))
}

/// How many bytes of `range`, in which no frame begins, have held frames: none of a tag, and none of padding.
pub(super) fn trailing_bytes(bytes: &mut Span<'_>, range: Range<u64>) -> Result<u64, MediaError> {
    const BLOCK: u64 = 16 * 1024;
    let head = bytes.slice(range.start, (range.start + 16).min(range.end))?;
    let Some(padding) = head.first().copied() else { return Ok(0) };
    if is_tail_tag(head) {
        return Ok(0);
    }
    let mut at = range.start;
    while at < range.end {
        let end = (at + BLOCK).min(range.end);
        if let Some(other) = bytes.slice(at, end)?.iter().zip(at..).find(|(byte, _)| **byte != padding) {
            let behind = other.1;
            let tag = is_tail_tag(bytes.slice(behind, (behind + 16).min(range.end))?);
            return Ok(if tag { 0 } else { range.end - range.start });
        }
        at = end;
    }
    Ok(0)
}
