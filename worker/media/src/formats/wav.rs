//! WAVE: RIFF, RIFX (its big-endian twin) and RF64 (EBU Tech 3306), with PCM or with MP3 frames inside.

use super::pcm::{PcmStream, check_sound, written_size};
use super::{array, mp3};
use crate::error::MediaError;
use crate::init::{InitSection, PcmFormat};
use crate::source::Span;

/// Most RIFF chunks that are looked at before the `data` chunk.
const MAX_CHUNKS: usize = 1_000;
/// Largest `LIST` chunk in which a title is looked for.
const MAX_LIST: u64 = 64 * 1024;
/// Bytes of a format chunk that matter: WAVEFORMATEXTENSIBLE.
pub(crate) const FORMAT_BYTES: u64 = 40;
const NAMES: (&str, &str) = ("wav", "a WAVE file");

/// What the `fmt ` chunk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pcm(PcmStream),
    /// Frames of MPEG audio layer III, which know the rest themselves.
    Mp3,
}

/// Order of the bytes of numbers and samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

impl Endian {
    fn word(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn long(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// Reads the headers of a WAVE file.
pub(crate) fn probe(bytes: &mut Span<'_>) -> Result<InitSection, MediaError> {
    let head = bytes.slice(0, 4)?;
    let wide = head == b"RF64";
    let endian = if head == b"RIFX" { Endian::Big } else { Endian::Little };
    let (mut at, mut wide_size, mut format, mut title) = (12u64, None, None, None);
    for _ in 0..MAX_CHUNKS {
        let header = bytes.slice(at, at + 8)?;
        let (Some(id), Some(size)) = (array::<4>(header, 0), array::<4>(header, 4)) else {
            return Err(MediaError::damaged("a WAVE file without audio data"));
        };
        let (body, size) = (at + 8, u64::from(endian.long(size)));
        match &id {
            b"ds64" if wide => {
                wide_size = array::<8>(bytes.slice(body, body + 16)?, 8).map(u64::from_le_bytes);
            }
            b"fmt " => {
                format = Some(parse_format(bytes.slice(body, body + size.min(FORMAT_BYTES))?, endian)?)
            }
            b"LIST" if size <= MAX_LIST => title = parse_title(bytes.slice(body, body + size)?, endian),
            b"data" => {
                let format = format
                    .ok_or_else(|| MediaError::damaged("a WAVE file whose audio format is not given"))?;
                let available = bytes.source_len().saturating_sub(body);
                let size = match wide_size.filter(|_| size == u64::from(u32::MAX)) {
                    Some(size) => written_size(size, u64::MAX, available),
                    None => written_size(size, u64::from(u32::MAX), available),
                };
                let size = if ends_there(bytes, body, size, endian)? { size } else { available };
                return section(bytes, format, NAMES, body, size, title);
            }
            _ => {}
        }
        // Chunks are padded to even lengths.
        at = body + size + (size & 1);
    }
    Err(MediaError::Limit { what: format!("more than {MAX_CHUNKS} chunks before the audio data") })
}

/// Whether the audio really ends after `size` bytes. A program that died had perhaps filled in a size before, others write
/// some number to a pipe, and above 4 GiB only what is left of the size; then nothing that stands behind is a chunk.
fn ends_there(bytes: &mut Span<'_>, start: u64, size: u64, endian: Endian) -> Result<bool, MediaError> {
    /// Fewer bytes are not looked at: it would mean to wait for the end of each recording with a title behind its audio.
    const FEW: u64 = 64 * 1024;
    let file_len = bytes.source_len();
    let mut at = start + size + (size & 1);
    if file_len.saturating_sub(at) <= FEW {
        return Ok(true);
    }
    for _ in 0..MAX_CHUNKS {
        let header = bytes.slice(at, at + 8)?;
        let (Some(id), Some(size)) = (array::<4>(header, 0), array::<4>(header, 4)) else { break };
        let size = u64::from(endian.long(size));
        at = at + 8 + size + (size & 1);
        // The last byte may be padding that is not there.
        if !id.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') || at > file_len + 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The section of a file whose audio is the `size` bytes from `start` on.
pub(crate) fn section(
    bytes: &mut Span<'_>,
    format: Format,
    names: (&str, &str),
    start: u64,
    size: u64,
    title: Option<String>,
) -> Result<InitSection, MediaError> {
    let Format::Pcm(stream) = format else {
        let end = start + size;
        let mut init = mp3::probe(bytes, start, title)?
            .filter(|init| init.data_start < end)
            .ok_or_else(|| MediaError::damaged(format!("{} without the MP3 frames it promises", names.1)))?;
        names.0.clone_into(&mut init.media.container);
        init.data_end = end;
        return Ok(init);
    };
    stream.section(names, bytes.source_len(), start, size, title)
}

/// Reads a `fmt ` chunk.
pub(crate) fn parse_format(body: &[u8], endian: Endian) -> Result<Format, MediaError> {
    let short = || MediaError::damaged("a WAVE format chunk that is too short");
    let word = |at| array::<2>(body, at).map(|bytes| endian.word(bytes)).ok_or_else(short);
    let (mut tag, channels, block, bits) = (word(0)?, word(2)?, word(12)?, word(14)?);
    let rate = endian.long(array(body, 4).ok_or_else(short)?);
    if tag == 0xfffe {
        // WAVEFORMATEXTENSIBLE: the real tag leads the sub-format's GUID.
        tag = word(24)?;
    }
    let channels = check_sound(NAMES.1, u32::from(channels), rate)?;
    let sample_bytes = if block % channels == 0 { block / channels } else { 0 };
    let little = endian == Endian::Little;
    let format = match (tag, sample_bytes) {
        (1, 1) => PcmFormat::U8,
        (1, 2) => {
            if little {
                PcmFormat::S16
            } else {
                PcmFormat::S16Be
            }
        }
        (1, 3) => {
            if little {
                PcmFormat::S24
            } else {
                PcmFormat::S24Be
            }
        }
        (1, 4) => {
            if little {
                PcmFormat::S32
            } else {
                PcmFormat::S32Be
            }
        }
        (3, 4) => {
            if little {
                PcmFormat::F32
            } else {
                PcmFormat::F32Be
            }
        }
        (3, 8) => {
            if little {
                PcmFormat::F64
            } else {
                PcmFormat::F64Be
            }
        }
        (6, 1) => PcmFormat::ALaw,
        (7, 1) => PcmFormat::MuLaw,
        (0x55, _) => return Ok(Format::Mp3),
        (1 | 3 | 6 | 7, _) => {
            return Err(MediaError::unsupported(format!("a WAVE file with samples of {bits} bits")));
        }
        _ => return Err(MediaError::unsupported(format!("a WAVE file with {}", codec_name(tag)))),
    };
    Ok(Format::Pcm(PcmStream { format, rate, channels }))
}

fn codec_name(tag: u16) -> String {
    let name = match tag {
        0x0002 => "Microsoft ADPCM",
        0x0011 => "IMA ADPCM",
        0x0031 => "GSM 6.10",
        0x0050 => "MPEG audio layer I or II",
        0x00ff | 0x1600..=0x1610 => "AAC inside",
        0x0160..=0x0162 => "Windows Media Audio inside",
        _ => return format!("the unknown codec {tag:#06x}"),
    };
    name.to_owned()
}

/// The title in a `LIST`/`INFO` chunk.
fn parse_title(list: &[u8], endian: Endian) -> Option<String> {
    let mut rest = list.strip_prefix(b"INFO")?;
    while let (Some(id), Some(size)) = (array::<4>(rest, 0), array::<4>(rest, 4)) {
        let size = usize::try_from(endian.long(size)).ok()?;
        let body = rest.get(8..8usize.checked_add(size)?)?;
        if &id == b"INAM" {
            let text = String::from_utf8_lossy(body);
            let text = text.trim_matches(['\0', ' ']);
            return (!text.is_empty()).then(|| text.to_owned());
        }
        rest = rest.get(8 + size + (size & 1)..)?;
    }
    None
}
