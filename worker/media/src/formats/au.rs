//! Sun/NeXT audio (`.au`, `.snd`): a header of six words, then the samples.

use super::array;
use super::pcm::{PcmStream, check_sound, written_size};
use crate::error::MediaError;
use crate::init::{InitSection, PcmFormat};
use crate::source::Span;

/// Reads the header of an AU file.
pub(crate) fn probe(bytes: &mut Span<'_>) -> Result<InitSection, MediaError> {
    const KIND: &str = "a Sun AU file";
    let head = bytes.slice(0, 24)?.to_vec();
    let word = |at| {
        array(&head, at)
            .map(u32::from_be_bytes)
            .ok_or_else(|| MediaError::damaged("a Sun AU file whose header is cut off"))
    };
    let (start, size, encoding) = (u64::from(word(4)?), u64::from(word(8)?), word(12)?);
    let format = match encoding {
        1 => PcmFormat::MuLaw,
        2 => PcmFormat::S8,
        3 => PcmFormat::S16Be,
        4 => PcmFormat::S24Be,
        5 => PcmFormat::S32Be,
        6 => PcmFormat::F32Be,
        7 => PcmFormat::F64Be,
        27 => PcmFormat::ALaw,
        _ => return Err(MediaError::unsupported(format!("{KIND} in encoding {encoding}"))),
    };
    let rate = word(16)?;
    let stream = PcmStream { format, rate, channels: check_sound(KIND, word(20)?, rate)? };
    let start = start.max(24);
    let available = bytes.source_len().saturating_sub(start);
    let size = written_size(size, u64::from(u32::MAX), available);
    stream.section(("au", KIND), bytes.source_len(), start, size, None)
}
