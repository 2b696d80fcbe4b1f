//! AIFF and AIFF-C: chunks as in RIFF, but big-endian and in any order.

use super::array;
use super::pcm::{PcmStream, check_sound, written_size};
use crate::error::MediaError;
use crate::init::{InitSection, PcmFormat};
use crate::source::Span;

/// Most chunks that are looked at.
const MAX_CHUNKS: usize = 1_000;
/// Largest `NAME` chunk that is taken for a title.
const MAX_NAME: u64 = 4 * 1024;
const KIND: &str = "an AIFF file";

/// What the `COMM` chunk says.
struct Common {
    stream: PcmStream,
    /// Frames of the whole; 0 where the writer never came back to fill it in.
    frames: u64,
}

/// Reads the chunks of an AIFF or AIFF-C file, up to the audio data or, if that comes first, to the `COMM` chunk.
pub(crate) fn probe(bytes: &mut Span<'_>) -> Result<InitSection, MediaError> {
    let compressed = bytes.slice(8, 12)? == b"AIFC";
    let (mut at, mut common, mut data, mut title) = (12u64, None, None, None);
    for _ in 0..MAX_CHUNKS {
        let header = bytes.slice(at, at + 8)?;
        let (Some(id), Some(size)) = (array::<4>(header, 0), array::<4>(header, 4)) else {
            return Err(MediaError::damaged(match data {
                Some(_) => "an AIFF file whose audio format is not given",
                None => "an AIFF file without audio data",
            }));
        };
        let (body, size) = (at + 8, u64::from(u32::from_be_bytes(size)));
        match &id {
            b"COMM" => common = Some(parse_common(bytes.slice(body, body + size.min(22))?, compressed)?),
            b"NAME" if size <= MAX_NAME && title.is_none() => {
                title = parse_name(bytes.slice(body, body + size)?);
            }
            b"SSND" => data = Some(parse_data(bytes, body, size)?),
            _ => {}
        }
        if let (Some(common), Some((start, size))) = (&common, data) {
            return section(bytes.source_len(), common, start, size, title);
        }
        // Chunks are padded to even lengths.
        at = body + size + (size & 1);
    }
    Err(MediaError::Limit { what: format!("more than {MAX_CHUNKS} chunks before the audio data") })
}

fn section(
    file_len: u64,
    common: &Common,
    start: u64,
    size: u64,
    title: Option<String>,
) -> Result<InitSection, MediaError> {
    let counted = common.frames * common.stream.frame_bytes();
    let size = if counted == 0 { size } else { size.min(counted) };
    common.stream.section(("aiff", KIND), file_len, start, size, title)
}

/// Where the samples are: the `SSND` chunk begins with an offset to them and a block size, which nobody uses.
fn parse_data(bytes: &mut Span<'_>, body: u64, size: u64) -> Result<(u64, u64), MediaError> {
    let offset = array(bytes.slice(body, body + 4)?, 0).map_or(0, u32::from_be_bytes);
    let start = body + 8 + u64::from(offset);
    let unset = size == 0 || size >= u64::from(u32::MAX) - 1;
    let size = if unset { 0 } else { size.saturating_sub(8 + u64::from(offset)) };
    Ok((start, written_size(size, u64::from(u32::MAX), bytes.source_len().saturating_sub(start))))
}

fn parse_common(body: &[u8], compressed: bool) -> Result<Common, MediaError> {
    let short = || MediaError::damaged("an AIFF file whose COMM chunk is too short");
    let channels = u16::from_be_bytes(array(body, 0).ok_or_else(short)?);
    let frames = u32::from_be_bytes(array(body, 2).ok_or_else(short)?);
    let bits = u16::from_be_bytes(array(body, 6).ok_or_else(short)?);
    let rate = extended(array(body, 8).ok_or_else(short)?);
    let kind = if compressed { array(body, 18).ok_or_else(short)? } else { *b"NONE" };
    // Samples stand in the upper bits of whole bytes.
    let format = match (&kind, bits.div_ceil(8)) {
        (b"NONE" | b"twos" | b"sowt", 1) => PcmFormat::S8,
        (b"NONE" | b"twos", 2) => PcmFormat::S16Be,
        (b"NONE" | b"twos", 3) | (b"in24", _) => PcmFormat::S24Be,
        (b"NONE" | b"twos", 4) | (b"in32", _) => PcmFormat::S32Be,
        (b"sowt", 2) => PcmFormat::S16,
        (b"sowt", 3) | (b"42ni", _) => PcmFormat::S24,
        (b"sowt", 4) | (b"23ni", _) => PcmFormat::S32,
        (b"raw ", 1) => PcmFormat::U8,
        (b"fl32" | b"FL32", _) => PcmFormat::F32Be,
        (b"fl64" | b"FL64", _) => PcmFormat::F64Be,
        (b"alaw" | b"ALAW", _) => PcmFormat::ALaw,
        (b"ulaw" | b"ULAW", _) => PcmFormat::MuLaw,
        (b"NONE" | b"twos" | b"sowt" | b"raw ", _) => {
            return Err(MediaError::unsupported(format!("{KIND} with samples of {bits} bits")));
        }
        _ => {
            let name = String::from_utf8_lossy(&kind).escape_debug().to_string();
            return Err(MediaError::unsupported(format!("an AIFF-C file with codec '{name}'")));
        }
    };
    let channels = check_sound(KIND, u32::from(channels), rate)?;
    Ok(Common { stream: PcmStream { format, rate, channels }, frames: u64::from(frames) })
}

/// An 80-bit extended float (IEEE 754, x87 layout) as the nearest whole number; 0 where it is none that fits.
fn extended(bytes: [u8; 10]) -> u32 {
    let [a, b, mantissa @ ..] = bytes;
    let exponent = u16::from_be_bytes([a, b]);
    // The mantissa has its point after the first of 64 bits; negative numbers have the exponent's top bit set.
    let Some(shift) = (16_383 + 63u16).checked_sub(exponent).filter(|shift| *shift < 64) else {
        return 0;
    };
    let mantissa = u128::from(u64::from_be_bytes(mantissa));
    u32::try_from(((mantissa << 1 >> shift) + 1) >> 1).unwrap_or(0)
}

fn parse_name(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_in_extended_precision() {
        let rate = |head: [u8; 4]| extended([head[0], head[1], head[2], head[3], 0, 0, 0, 0, 0, 0]);
        assert_eq!(rate([0x40, 0x0e, 0xac, 0x44]), 44_100);
        assert_eq!(rate([0x40, 0x0b, 0xfa, 0x00]), 8_000);
        assert_eq!(rate([0x40, 0x0f, 0xbb, 0x80]), 96_000);
        // 22 254.5454… Hz, the rate of old Macintoshes.
        assert_eq!(extended([0x40, 0x0d, 0xad, 0xdd, 0x17, 0x45, 0xd1, 0x74, 0x5d, 0x17]), 22_255);
        assert_eq!(rate([0xc0, 0x0e, 0xac, 0x44]), 0);
        assert_eq!(rate([0x7f, 0xff, 0x80, 0x00]), 0);
        assert_eq!(rate([0, 0, 0, 0]), 0);
    }
}
