//! Tags at the start of a file: skipped by their size; ID3v2 is read for the title alone.

use super::array;
use crate::error::MediaError;
use crate::source::Span;

/// Most tags in a row that are skipped.
const MAX_TAGS: usize = 16;
/// Bytes of a tag in which the title is looked for; covers and lyrics are not read.
const MAX_TITLE_SCAN: u64 = 8 * 1024;

/// Skips all ID3v2 and APE tags from `base` on: the offset after them, and the title if one of them has it early.
pub(crate) fn skip(bytes: &mut Span<'_>, base: u64) -> Result<(u64, Option<String>), MediaError> {
    let (mut at, mut title) = (base, None);
    for _ in 0..MAX_TAGS {
        let head = bytes.slice(at, at + APE_HEADER)?;
        if let Some(size) = ape_size(head) {
            at += size;
            continue;
        }
        let Some(size) = tag_size(head) else {
            return Ok((at, title));
        };
        if title.is_none() {
            // A title is not worth waiting for another chunk.
            title = bytes.slice(at, at + size.min(MAX_TITLE_SCAN)).ok().and_then(find_title);
        }
        at += size;
    }
    Ok((at, title))
}

/// Bytes of the header of an APE tag.
const APE_HEADER: u64 = 32;

/// Whole size of an APEv2 tag that begins with its header: mark, version, size of the rest, count of items, flags, of which
/// bit 29 tells header from footer.
fn ape_size(head: &[u8]) -> Option<u64> {
    let flags = u32::from_le_bytes(array(head, 20)?);
    let size = u32::from_le_bytes(array(head, 12)?);
    (head.starts_with(b"APETAGEX") && flags & 1 << 29 != 0).then(|| APE_HEADER + u64::from(size))
}

/// Whole size of the tag with header and footer; `None` if there is none.
fn tag_size(head: &[u8]) -> Option<u64> {
    let size = head.get(6..10).filter(|_| head.starts_with(b"ID3") && head[3] != 0xff && head[4] != 0xff)?;
    let sound = size.iter().all(|byte| byte & 0x80 == 0);
    let body = size.iter().fold(0u64, |sum, byte| sum << 7 | u64::from(*byte));
    let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
    sound.then_some(10 + body + footer)
}

/// The text of `TIT2` (or `TT2`).
fn find_title(tag: &[u8]) -> Option<String> {
    let version = *tag.get(3)?;
    let mut at = 10;
    loop {
        let (size, header) = match version {
            2 => {
                let [a, b, c] = array(tag, at + 3)?;
                (u32::from_be_bytes([0, a, b, c]), 6)
            }
            3 => (u32::from_be_bytes(array(tag, at + 4)?), 10),
            4 => {
                let parts = array::<4>(tag, at + 4)?;
                (parts.iter().fold(0, |sum, byte| sum << 7 | u32::from(byte & 0x7f)), 10)
            }
            _ => return None,
        };
        let body = at + header..at.checked_add(header)?.checked_add(usize::try_from(size).ok()?)?;
        let id = tag.get(at..at + 3)?;
        if id == [0; 3] {
            return None;
        }
        if id == b"TT2" || tag.get(at..at + 4)? == b"TIT2" {
            return text(tag.get(body)?);
        }
        at = body.end;
    }
}

/// A text frame: one byte of encoding, then the text.
fn text(body: &[u8]) -> Option<String> {
    let (encoding, rest) = body.split_first()?;
    let utf16 = |rest: &[u8], big: bool| {
        let units = rest.chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        });
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>()
    };
    let text = match encoding {
        0 => rest.iter().map(|byte| char::from(*byte)).collect(),
        1 if rest.starts_with(&[0xfe, 0xff]) => utf16(&rest[2..], true),
        1 => utf16(rest.strip_prefix(&[0xff, 0xfe]).unwrap_or(rest), false),
        2 => utf16(rest, true),
        3 => String::from_utf8_lossy(rest).into_owned(),
        _ => return None,
    };
    let text = text.split('\0').next().unwrap_or_default().trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_in_all_encodings() {
        assert_eq!(text(b"\0Caf\xe9").as_deref(), Some("Café"));
        assert_eq!(text(b"\x01\xff\xfeA\0b\0").as_deref(), Some("Ab"));
        assert_eq!(text(b"\x02\0A\0b").as_deref(), Some("Ab"));
        assert_eq!(text("\u{3}Größe\0".as_bytes()).as_deref(), Some("Größe"));
        assert_eq!(text(b"\x03"), None);
        assert_eq!(text(b""), None);
    }

    #[test]
    fn sizes_are_of_seven_bits_a_byte() {
        assert_eq!(tag_size(b"ID3\x04\0\0\0\0\x02\x01"), Some(10 + 257));
        assert_eq!(tag_size(b"ID3\x04\0\x10\0\0\x02\x01"), Some(20 + 257));
        assert_eq!(tag_size(b"ID3\x04\0\0\0\0\x82\x01"), None);
        assert_eq!(ape_size(b"APETAGEX\xd0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0\xa0\0\0\0\0\0\0\0\0"), Some(96));
        assert_eq!(ape_size(b"APETAGEX\xd0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0"), None);
        assert_eq!(tag_size(b"ID4\x04\0\0\0\0\x02\x01"), None);
    }
}
