//! RIFF/RF64 WAVE with linear PCM: packets by arithmetic.

use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::{Scanner, array};
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, MAX_CHANNELS, MAX_RATE, MIN_RATE, PcmFormat, Trim};
use crate::packet::{Packet, content_hash};
use crate::source::Span;

/// Most RIFF chunks that are looked at before the `data` chunk.
const MAX_CHUNKS: usize = 1_000;
/// Largest `LIST` chunk in which a title is looked for.
const MAX_LIST: u64 = 64 * 1024;
/// Blocks a second: a packet is 20 ms.
const BLOCKS_PER_SECOND: u32 = 50;

/// The facts of the `fmt ` chunk.
struct Format {
    pcm: PcmFormat,
    rate: u32,
    channels: u16,
}

/// Reads the headers of a WAVE file.
pub(crate) fn probe(bytes: &mut Span<'_>) -> Result<InitSection, MediaError> {
    let wide = bytes.slice(0, 4)? == b"RF64";
    let (mut at, mut wide_size, mut format, mut title) = (12u64, None, None, None);
    for _ in 0..MAX_CHUNKS {
        let header = bytes.slice(at, at + 8)?;
        let (Some(id), Some(size)) = (array::<4>(header, 0), array::<4>(header, 4)) else {
            return Err(MediaError::damaged("a WAVE file without audio data"));
        };
        let (body, size) = (at + 8, u64::from(u32::from_le_bytes(size)));
        match &id {
            b"ds64" if wide => {
                wide_size = array::<8>(bytes.slice(body, body + 16)?, 8).map(u64::from_le_bytes);
            }
            b"fmt " => format = Some(parse_format(bytes.slice(body, body + size.min(40))?)?),
            b"LIST" if size <= MAX_LIST => title = parse_title(bytes.slice(body, body + size)?),
            b"data" => {
                let Some(format) = format else {
                    return Err(MediaError::damaged("a WAVE file whose audio format is not given"));
                };
                let size = if wide && size == u64::from(u32::MAX) { wide_size.unwrap_or(size) } else { size };
                return section(bytes.source_len(), body, size, &format, title);
            }
            _ => {}
        }
        // Chunks are padded to even lengths.
        at = body + size + (size & 1);
    }
    Err(MediaError::Limit { what: format!("more than {MAX_CHUNKS} chunks before the audio data") })
}

fn parse_format(body: &[u8]) -> Result<Format, MediaError> {
    let short = || MediaError::damaged("a WAVE format chunk that is too short");
    let word = |at| array::<2>(body, at).map(u16::from_le_bytes).ok_or_else(short);
    let (mut tag, channels, block, bits) = (word(0)?, word(2)?, word(12)?, word(14)?);
    let rate = u32::from_le_bytes(array(body, 4).ok_or_else(short)?);
    if tag == 0xfffe {
        // WAVEFORMATEXTENSIBLE: the real tag leads the sub-format's GUID.
        tag = word(24)?;
    }
    if channels == 0 || channels > MAX_CHANNELS || !(MIN_RATE..=MAX_RATE).contains(&rate) {
        return Err(MediaError::damaged(format!("a WAVE file of {channels} channels at {rate} Hz")));
    }
    let sample_bytes = if block % channels == 0 { block / channels } else { 0 };
    let pcm = match (tag, sample_bytes) {
        (1, 1) => PcmFormat::U8,
        (1, 2) => PcmFormat::S16,
        (1, 3) => PcmFormat::S24,
        (1, 4) => PcmFormat::S32,
        (3, 4) => PcmFormat::F32,
        (3, 8) => PcmFormat::F64,
        (1 | 3, _) => {
            return Err(MediaError::unsupported(format!("a WAVE file with samples of {bits} bits")));
        }
        _ => return Err(MediaError::unsupported(format!("a WAVE file with {}", codec_name(tag)))),
    };
    Ok(Format { pcm, rate, channels })
}

fn codec_name(tag: u16) -> String {
    let name = match tag {
        0x0002 => "Microsoft ADPCM",
        0x0006 => "A-law",
        0x0007 => "µ-law",
        0x0011 => "IMA ADPCM",
        0x0031 => "GSM 6.10",
        0x0050 => "MPEG audio layer I or II",
        0x0055 => "MP3 inside",
        0x00ff | 0x1600..=0x1610 => "AAC inside",
        0x0160..=0x0162 => "Windows Media Audio inside",
        _ => return format!("the unknown codec {tag:#06x}"),
    };
    name.to_owned()
}

/// The title in a `LIST`/`INFO` chunk.
fn parse_title(list: &[u8]) -> Option<String> {
    let mut rest = list.strip_prefix(b"INFO")?;
    while let (Some(id), Some(size)) = (array::<4>(rest, 0), array::<4>(rest, 4)) {
        let size = usize::try_from(u32::from_le_bytes(size)).ok()?;
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

fn section(
    file_len: u64,
    start: u64,
    size: u64,
    format: &Format,
    title: Option<String>,
) -> Result<InitSection, MediaError> {
    let frame_bytes = format.pcm.bytes() as u64 * u64::from(format.channels);
    let available = file_len.saturating_sub(start);
    // Recorders that were killed, or that wrote to a pipe, leave 0 or the largest number: then to the end of the file.
    let size = if size == 0 || size >= u64::from(u32::MAX) - 1 { available } else { size.min(available) };
    let frames = size / frame_bytes;
    if frames == 0 {
        return Err(MediaError::not_audio("a WAVE file without any audio"));
    }
    Ok(InitSection {
        version: InitSection::VERSION,
        media: MediaInfo {
            container: "wav".to_owned(),
            codec: format.pcm.name().to_owned(),
            sample_rate: format.rate,
            channels: u32::from(format.channels),
            bitrate: Some(frame_bytes * 8 * u64::from(format.rate)),
            duration_seconds: Some(frames as f64 / f64::from(format.rate)),
            title,
        },
        file_len,
        data_start: start,
        data_end: start + frames * frame_bytes,
        layout: Layout::Pcm {
            frame_bytes: u32::try_from(frame_bytes).unwrap_or(u32::MAX),
            block_frames: (format.rate / BLOCKS_PER_SECOND).max(1),
        },
        codec: Codec::Pcm(format.pcm),
        trim: Trim::default(),
    })
}

/// Blocks of equal length from the first byte of the data on.
pub(crate) struct PcmScanner {
    data: Range<u64>,
    frame_bytes: u64,
    block_frames: u64,
}

impl PcmScanner {
    pub(crate) fn new(data: Range<u64>, frame_bytes: u32, block_frames: u32) -> Self {
        // Both are at least 1 in a section that a probe made; a section from elsewhere must not divide by zero.
        Self {
            data,
            frame_bytes: u64::from(frame_bytes.max(1)),
            block_frames: u64::from(block_frames.max(1)),
        }
    }

    fn block_bytes(&self) -> u64 {
        self.frame_bytes * self.block_frames
    }
}

impl Scanner for PcmScanner {
    fn cell_len(&self) -> u64 {
        256 * 1024
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let block = self.block_bytes();
        let first = cell.start.saturating_sub(self.data.start).div_ceil(block);
        let mut offset = self.data.start + first * block;
        let mut packets = Vec::new();
        while offset < cell.end.min(self.data.end) {
            let len = block.min(self.data.end - offset);
            let hash = content_hash(bytes.slice(offset, offset + len)?);
            packets.push(Packet {
                offset,
                hash,
                len: u32::try_from(len).unwrap_or(u32::MAX),
                frames: u32::try_from(len / self.frame_bytes).unwrap_or(u32::MAX),
                lead: 0,
                tail: 0,
                carry: 0,
                damaged: false,
            });
            offset += block;
        }
        Ok(packets)
    }

    fn absolute_start(&mut self, _: &mut Span<'_>, packet: &Packet) -> Result<Option<u64>, MediaError> {
        Ok(Some(packet.offset.saturating_sub(self.data.start) / self.frame_bytes))
    }
}
