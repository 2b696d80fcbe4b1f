//! Sony Wave64: WAVE with GUIDs for chunk names and sizes of 64 bits.

use super::array;
use super::pcm::written_size;
use super::wav::{Endian, FORMAT_BYTES, parse_format, section};
use crate::error::MediaError;
use crate::init::InitSection;
use crate::source::Span;

/// Most chunks that are looked at before the `data` chunk.
const MAX_CHUNKS: usize = 1_000;
/// Bytes of a chunk's GUID and size; the size counts them.
const HEADER: u64 = 24;
/// GUID of the file itself; all other names share an ending of their own.
const RIFF: &[u8; 16] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0";
const ENDING: &[u8; 12] = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";

/// Whether a Wave64 file begins like this.
pub(crate) fn is_wave64(head: &[u8]) -> bool {
    head.starts_with(RIFF) && head.get(24..).is_some_and(|name| name.starts_with(b"wave"))
}

/// Reads the headers of a Wave64 file.
pub(crate) fn probe(bytes: &mut Span<'_>) -> Result<InitSection, MediaError> {
    let (mut at, mut format) = (40u64, None);
    for _ in 0..MAX_CHUNKS {
        let header = bytes.slice(at, at + HEADER)?;
        let (Some(id), Some(ending), Some(size)) =
            (array::<4>(header, 0), array::<12>(header, 4), array::<8>(header, 16))
        else {
            return Err(MediaError::damaged("a Wave64 file without audio data"));
        };
        let (body, size) = (at + HEADER, u64::from_le_bytes(size));
        match &id {
            b"fmt " if ending == *ENDING => {
                let head = bytes.slice(body, body + size.saturating_sub(HEADER).min(FORMAT_BYTES))?;
                format = Some(parse_format(head, Endian::Little)?);
            }
            b"data" if ending == *ENDING => {
                let format = format
                    .ok_or_else(|| MediaError::damaged("a Wave64 file whose audio format is not given"))?;
                let available = bytes.source_len().saturating_sub(body);
                let size = written_size(size.saturating_sub(HEADER), u64::MAX, available);
                return section(bytes, format, ("w64", "a Wave64 file"), body, size, None);
            }
            _ => {}
        }
        // Chunks begin at multiples of 8; one that claims not even its header ends the walk at the limit.
        at = at.saturating_add(size.max(HEADER)).checked_next_multiple_of(8).unwrap_or(u64::MAX);
        if at >= bytes.source_len() {
            return Err(MediaError::damaged("a Wave64 file without audio data"));
        }
    }
    Err(MediaError::Limit { what: format!("more than {MAX_CHUNKS} chunks before the audio data") })
}
