//! Core Audio Format: chunks with sizes of 64 bits, big-endian; PCM, or packets whose sizes stand in a `pakt` chunk.

use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::array;
use super::caf_codec::{Sound, aac, alac, opus};
use super::caf_table::{self, TableHead};
use super::pcm::{PcmStream, check_sound};
use crate::error::MediaError;
use crate::init::{InitSection, Layout, PcmFormat, Trim};
use crate::source::Span;

/// Most chunks that are looked at.
const MAX_CHUNKS: usize = 1_000;
/// Largest `info` chunk in which a title is looked for.
const MAX_INFO: u64 = 64 * 1024;
/// Bytes of a `kuki` chunk that are read: descriptors of the codec.
const MAX_COOKIE: u64 = 4 * 1024;
/// Longest packet that is accepted, frames.
const MAX_FRAMES: u32 = 16_384;
const KIND: &str = "a Core Audio Format file";

/// The audio description chunk.
pub(crate) struct Description {
    rate: u32,
    format: [u8; 4],
    flags: u32,
    packet_bytes: u32,
    /// Frames of a packet; 0 where they differ.
    pub packet_frames: u32,
    channels: u32,
    bits: u32,
}

/// What the chunks of a file say.
#[derive(Default)]
struct Chunks {
    description: Option<Description>,
    cookie: Option<Vec<u8>>,
    table: Option<TableHead>,
    data: Option<Range<u64>>,
    title: Option<String>,
}

impl Chunks {
    /// Whether nothing more has to be read.
    fn complete(&self) -> bool {
        let format = self.description.as_ref().map(|description| &description.format);
        let (table, cookie) = match format {
            None => return false,
            Some(b"aac " | b"alac") => (true, true),
            Some(b"opus") => (true, false),
            Some(_) => (false, false),
        };
        self.data.is_some() && (!table || self.table.is_some()) && (!cookie || self.cookie.is_some())
    }
}

/// Reads the chunks of a CAF file: those before the data and, if the packet table stands after it, those there.
pub(crate) fn probe(bytes: &mut Span<'_>) -> Result<InitSection, MediaError> {
    let chunks = walk(bytes)?;
    let description =
        chunks.description.ok_or_else(|| MediaError::damaged(format!("{KIND} that is not described")))?;
    let data = chunks.data.ok_or_else(|| MediaError::damaged(format!("{KIND} without audio data")))?;
    if let Some(format) = pcm_format(&description)? {
        let channels = check_sound(KIND, description.channels, description.rate)?;
        let stream = PcmStream { format, rate: description.rate, channels };
        let size = data.end - data.start;
        return stream.section(("caf", KIND), bytes.source_len(), data.start, size, chunks.title);
    }
    let cookie = chunks.cookie.unwrap_or_default();
    let sound = match &description.format {
        b"aac " => aac(&cookie)?,
        b"alac" => alac(&cookie, description.packet_frames)?,
        b"opus" => opus(description.channels),
        other => {
            let name = String::from_utf8_lossy(other).escape_debug().to_string();
            return Err(MediaError::unsupported(format!("{KIND} with codec '{name}'")));
        }
    };
    let table =
        chunks.table.ok_or_else(|| MediaError::damaged(format!("{KIND} whose packet table is missing")))?;
    section(bytes, &description, &sound, &table, &data, chunks.title)
}

fn walk(bytes: &mut Span<'_>) -> Result<Chunks, MediaError> {
    let (mut at, mut chunks) = (8u64, Chunks::default());
    for _ in 0..MAX_CHUNKS {
        let header = bytes.slice(at, at + 12)?;
        let (Some(id), Some(size)) = (array::<4>(header, 0), array::<8>(header, 4)) else {
            return Ok(chunks);
        };
        let (body, left) = (at + 12, bytes.source_len() - at - 12);
        // Only the data may be of unknown size, -1: then it is the rest of the file.
        let size = match u64::try_from(i64::from_be_bytes(size)) {
            Ok(size) => size.min(left),
            Err(_) if &id == b"data" => left,
            Err(_) => return Err(MediaError::damaged(format!("{KIND} with a chunk of negative size"))),
        };
        match &id {
            b"desc" => chunks.description = Some(parse_description(bytes.slice(body, body + size.min(32))?)?),
            b"kuki" => chunks.cookie = Some(bytes.slice(body, body + size.min(MAX_COOKIE))?.to_vec()),
            b"info" if size <= MAX_INFO => chunks.title = parse_info(bytes.slice(body, body + size)?),
            b"pakt" => chunks.table = TableHead::read(bytes, body..body + size)?,
            // The count of edits comes first.
            b"data" if size >= 4 => chunks.data = Some(body + 4..body + size),
            _ => {}
        }
        if chunks.complete() {
            return Ok(chunks);
        }
        at = body + size;
    }
    Err(MediaError::Limit { what: format!("more than {MAX_CHUNKS} chunks") })
}

fn parse_description(body: &[u8]) -> Result<Description, MediaError> {
    let short = || MediaError::damaged(format!("{KIND} whose description is too short"));
    let word = |at| array(body, at).map(u32::from_be_bytes).ok_or_else(short);
    let rate = f64::from_be_bytes(array(body, 0).ok_or_else(short)?);
    Ok(Description {
        // A cast from float to integer saturates, and takes NaN for 0.
        rate: rate.round() as u32,
        format: array(body, 8).ok_or_else(short)?,
        flags: word(12)?,
        packet_bytes: word(16)?,
        packet_frames: word(20)?,
        channels: word(24)?,
        bits: word(28)?,
    })
}

/// The layout of samples; `None` where the format is no PCM.
fn pcm_format(description: &Description) -> Result<Option<PcmFormat>, MediaError> {
    let (float, little) = (description.flags & 1 != 0, description.flags & 2 != 0);
    let format = match (&description.format, float, little, description.bits) {
        (b"alaw", ..) => PcmFormat::ALaw,
        (b"ulaw", ..) => PcmFormat::MuLaw,
        (b"lpcm", false, _, 8) => PcmFormat::S8,
        (b"lpcm", false, true, 16) => PcmFormat::S16,
        (b"lpcm", false, false, 16) => PcmFormat::S16Be,
        (b"lpcm", false, true, 24) => PcmFormat::S24,
        (b"lpcm", false, false, 24) => PcmFormat::S24Be,
        (b"lpcm", false, true, 32) => PcmFormat::S32,
        (b"lpcm", false, false, 32) => PcmFormat::S32Be,
        (b"lpcm", true, true, 32) => PcmFormat::F32,
        (b"lpcm", true, false, 32) => PcmFormat::F32Be,
        (b"lpcm", true, true, 64) => PcmFormat::F64,
        (b"lpcm", true, false, 64) => PcmFormat::F64Be,
        (b"lpcm", ..) => {
            return Err(MediaError::unsupported(format!("{KIND} with samples of {} bits", description.bits)));
        }
        _ => return Ok(None),
    };
    let packed = (format.bytes() as u64).checked_mul(u64::from(description.channels));
    if packed != Some(u64::from(description.packet_bytes)) || description.packet_frames != 1 {
        return Err(MediaError::unsupported(format!("{KIND} with padded samples")));
    }
    Ok(Some(format))
}

fn section(
    bytes: &mut Span<'_>,
    description: &Description,
    sound: &Sound,
    head: &TableHead,
    data: &Range<u64>,
    title: Option<String>,
) -> Result<InitSection, MediaError> {
    check_sound(KIND, sound.channels, sound.rate)?;
    // A file may count at another rate than its codec decodes to; Opus files do.
    let scale = sound.rate.checked_div(description.rate).unwrap_or(0);
    let frames = description.packet_frames.saturating_mul(scale);
    if !(1..=MAX_FRAMES).contains(&frames) || description.packet_bytes != 0 {
        return Err(MediaError::unsupported(format!("{KIND} with packets of {frames} frames")));
    }
    let (table, coded) = caf_table::read(bytes, head, frames, scale, data)?;
    if table.packets == 0 {
        return Err(MediaError::not_audio(format!("{KIND} without any audio")));
    }
    // Delay beyond the first cell would be no encoder's.
    let start = head.priming.saturating_mul(scale).min(frames.saturating_mul(coded.first_cell));
    let total = (table.packets + table.lost.0) * u64::from(frames);
    let audible = total.saturating_sub(u64::from(start) + u64::from(table.remainder));
    Ok(InitSection {
        version: InitSection::VERSION,
        media: MediaInfo {
            container: "caf".to_owned(),
            codec: sound.name.to_owned(),
            sample_rate: sound.rate,
            channels: sound.channels,
            bitrate: Some(
                ((coded.bytes + table.lost.1) as f64 * 8.0 * f64::from(sound.rate) / total as f64) as u64,
            ),
            duration_seconds: Some(audible as f64 / f64::from(sound.rate)),
            title,
        },
        file_len: bytes.source_len(),
        data_start: data.start,
        data_end: data.start + coded.bytes + table.lost.1,
        layout: Layout::Caf { table },
        codec: sound.codec.clone(),
        trim: Trim { start, ..Trim::default() },
    })
}

/// The title in an `info` chunk: a count, then keys and values, each ended by a zero byte.
fn parse_info(body: &[u8]) -> Option<String> {
    let mut texts = body.get(4..)?.split(|byte| *byte == 0);
    while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
        if key == b"title" {
            return Some(String::from_utf8_lossy(value).trim().to_owned()).filter(|title| !title.is_empty());
        }
    }
    None
}
