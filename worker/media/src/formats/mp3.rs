//! MP3: the encoder's tag at the beginning, and frames found by chains of consistent headers.

use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::Scanner;
use super::mp3_frame::{
    EncoderTag, FIXED_BITS, FrameHeader, HEADER, encoder_tag, header_word, is_tail_tag, parse_header,
};
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, Trim};
use crate::packet::{Packet, content_hash};
use crate::source::Span;

/// How far after the tags the first frame is looked for.
const MAX_JUNK: u64 = 64 * 1024;
/// Headers in a row that make a stream.
const CHAIN: usize = 4;
/// Bytes before a cell from which its first frame is synchronised: at least 11 frames of the longest kind.
const LOOK_BACK: u64 = 16 * 1024;
/// What every layer III decoder adds to the encoder's delay.
const DECODER_DELAY: u32 = 529;
/// Frames over which a bit rate is estimated where no tag tells.
const SAMPLE_FRAMES: u64 = 200;

/// Reads the beginning of an MP3 stream; `None` if no stream begins within [`MAX_JUNK`] bytes after `base`.
pub(crate) fn probe(
    bytes: &mut Span<'_>,
    base: u64,
    title: Option<String>,
) -> Result<Option<InitSection>, MediaError> {
    let Some((start, header)) = first_stream(bytes, base)? else {
        return Ok(None);
    };
    let word = header_word(bytes.slice(start, start + HEADER)?).unwrap_or_default();
    let frame = bytes.slice(start, start + u64::from(header.len))?;
    let tag = encoder_tag(frame, &header);
    let data_start = start + if tag.is_some() { u64::from(header.len) } else { 0 };
    let trim = trim_of(tag, start);
    let file_len = bytes.source_len();
    let (bitrate, seconds) = estimate(bytes, data_start, &header, tag, trim)?;
    Ok(Some(InitSection {
        version: InitSection::VERSION,
        media: MediaInfo {
            container: "mp3".to_owned(),
            codec: "mp3".to_owned(),
            sample_rate: header.rate,
            channels: u32::from(header.channels),
            bitrate: Some(bitrate),
            duration_seconds: Some(seconds),
            title,
        },
        file_len,
        data_start: data_start.min(file_len),
        data_end: file_len,
        layout: Layout::Mp3 { fixed_header_bits: word & FIXED_BITS },
        codec: Codec::Mp3 { mpeg1: header.mpeg1 },
        trim,
    }))
}

/// The first offset from `base` on at which a chain of consistent headers begins.
fn first_stream(bytes: &mut Span<'_>, base: u64) -> Result<Option<(u64, FrameHeader)>, MediaError> {
    let end = bytes.source_len();
    let mut at = base;
    while at < (base + MAX_JUNK).min(end) {
        let head = bytes.slice(at, at + HEADER)?;
        let found = parse_header(head).zip(header_word(head));
        if let Some((header, word)) = found {
            let scanner = Mp3Scanner::new(base..end, word & FIXED_BITS);
            if scanner.chain_begins(bytes, at)? {
                return Ok(Some((at, header)));
            }
        }
        at += 1;
    }
    Ok(None)
}

/// Start: the encoder's delay and the decoder's. End: the padding beyond what the decoder's delay already pushed out.
fn trim_of(tag: Option<EncoderTag>, tag_offset: u64) -> Trim {
    let Some((tag, (delay, padding))) = tag.and_then(|tag| Some((tag, tag.delay_and_padding?))) else {
        return Trim::default();
    };
    Trim {
        start: delay + DECODER_DELAY,
        end: padding.saturating_sub(DECODER_DELAY),
        end_if_data_ends_at: tag.bytes.map(|bytes| tag_offset + u64::from(bytes)),
    }
}

/// Bits a second and seconds: exact where the tag counts frames, else from the first frames.
fn estimate(
    bytes: &mut Span<'_>,
    data_start: u64,
    header: &FrameHeader,
    tag: Option<EncoderTag>,
    trim: Trim,
) -> Result<(u64, f64), MediaError> {
    let rate = f64::from(header.rate);
    let data = bytes.source_len().saturating_sub(data_start) as f64;
    if let Some(frames) = tag.and_then(|tag| tag.frames).filter(|frames| *frames > 0) {
        let samples = u64::from(frames) * u64::from(header.samples);
        let seconds = samples.saturating_sub(u64::from(trim.start) + u64::from(trim.end)) as f64 / rate;
        let coded = tag.and_then(|tag| tag.bytes).map_or(data, f64::from);
        return Ok(((coded * 8.0 / (samples as f64 / rate)) as u64, seconds));
    }
    let (mut at, mut frames) = (data_start, 0u64);
    while frames < SAMPLE_FRAMES {
        // Only what is there: an estimate is not worth waiting for another chunk.
        let Ok(head) = bytes.slice(at, at + HEADER) else { break };
        let Some(next) = parse_header(head) else { break };
        at += u64::from(next.len);
        frames += 1;
    }
    let bitrate = match frames {
        0 => f64::from(header.bitrate),
        _ => (at - data_start) as f64 * 8.0 * rate / (frames as f64 * f64::from(header.samples)),
    };
    Ok((bitrate.round() as u64, data * 8.0 / bitrate))
}

/// Finds frames by their headers.
pub(crate) struct Mp3Scanner {
    data: Range<u64>,
    fixed: u32,
}

impl Mp3Scanner {
    pub(crate) fn new(data: Range<u64>, fixed_header_bits: u32) -> Self {
        Self { data, fixed: fixed_header_bits }
    }

    fn header_at(&self, bytes: &mut Span<'_>, at: u64) -> Result<Option<FrameHeader>, MediaError> {
        Ok(self.consistent(bytes.slice(at, at + HEADER)?))
    }

    fn consistent(&self, head: &[u8]) -> Option<FrameHeader> {
        header_word(head).filter(|word| word & FIXED_BITS == self.fixed)?;
        parse_header(head)
    }

    /// Whether the audio ends at `at`: with the file, or with a tag.
    fn ended(&self, bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
        Ok(at + HEADER > self.data.end || is_tail_tag(bytes.slice(at, at + 16)?))
    }

    /// Whether a chain of headers begins at `at`: [`CHAIN`] in a row, or two and then the end of the audio.
    fn chain_begins(&self, bytes: &mut Span<'_>, at: u64) -> Result<bool, MediaError> {
        let mut next = at;
        for found in 0..CHAIN {
            match self.header_at(bytes, next)? {
                Some(header) => next += u64::from(header.len),
                None => return Ok(found >= 2 && self.ended(bytes, next)?),
            }
        }
        Ok(true)
    }

    /// The first chain that begins in `range`.
    fn search(&self, bytes: &mut Span<'_>, range: Range<u64>) -> Result<Option<u64>, MediaError> {
        const BLOCK: u64 = 4 * 1024;
        let mut at = range.start;
        while at < range.end {
            let end = (at + BLOCK).min(range.end);
            let candidates: Vec<u64> = bytes
                .slice(at, end + HEADER - 1)?
                .windows(4)
                .zip(at..)
                .filter(|(head, _)| head[0] == 0xff && self.consistent(head).is_some())
                .map(|(_, offset)| offset)
                .collect();
            for offset in candidates {
                if self.chain_begins(bytes, offset)? {
                    return Ok(Some(offset));
                }
            }
            at = end;
        }
        Ok(None)
    }

    /// The frame at `at`, whose length is doubted if no frame follows it.
    fn packet(&self, bytes: &mut Span<'_>, at: u64, header: &FrameHeader) -> Result<Packet, MediaError> {
        let end = at + u64::from(header.len);
        let follows = self.header_at(bytes, end)?.is_some() || self.ended(bytes, end)?;
        // A damaged header can still look like one; a chain that begins inside the frame gives it away.
        let inside = if follows { None } else { self.search(bytes, at + HEADER..end)? };
        if let Some(next) = inside {
            return Ok(Packet::gap(at, next - at, u64::from(header.samples)));
        }
        Ok(Packet {
            offset: at,
            hash: content_hash(bytes.slice(at + HEADER, end)?),
            len: header.len,
            frames: header.samples,
            lead: 0,
            tail: 0,
            carry: u16::try_from(header.main_data()).unwrap_or(u16::MAX),
            damaged: false,
        })
    }

    /// How many samples a damaged stretch held: exact where the bit rate is constant, else by its neighbours.
    fn lost(before: Option<FrameHeader>, after: FrameHeader, bytes: u64) -> u64 {
        let before = before.unwrap_or(after);
        let samples = u64::from(after.samples);
        // Bytes of a frame, as the fraction `over / under`.
        let (over, under) = if before.bitrate == after.bitrate {
            (samples * u64::from(after.bitrate), 8 * u64::from(after.rate))
        } else {
            (u64::from(before.len) + u64::from(after.len), 2)
        };
        samples * ((bytes * under + over / 2) / over.max(1))
    }
}

impl Scanner for Mp3Scanner {
    fn cell_len(&self) -> u64 {
        64 * 1024
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        let from = cell.start.saturating_sub(LOOK_BACK).max(self.data.start);
        let synced = if from == self.data.start { Some(from) } else { self.search(bytes, from..cell.end)? };
        let Some(mut at) = synced else {
            return Ok(packets);
        };
        let mut before = None;
        while at < cell.end.min(self.data.end) {
            let packet = match self.header_at(bytes, at)? {
                // Cut off within its last frame.
                Some(header) if at + u64::from(header.len) > self.data.end => break,
                Some(header) => {
                    before = Some(header);
                    self.packet(bytes, at, &header)?
                }
                None => {
                    let Some(next) = self.search(bytes, at + 1..self.data.end)? else { break };
                    let Some(after) = self.header_at(bytes, next)? else { break };
                    Packet::gap(at, next - at, Self::lost(before, after, next - at))
                }
            };
            if packet.offset >= cell.start {
                packets.push(packet);
            }
            at = packet.end().max(at + 1);
        }
        Ok(packets)
    }

    fn absolute_start(&mut self, _: &mut Span<'_>, _: &Packet) -> Result<Option<u64>, MediaError> {
        Ok(None)
    }
}
