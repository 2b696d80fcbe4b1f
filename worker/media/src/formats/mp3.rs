//! MP3: the encoder's tag at the beginning, and frames found by chains of consistent headers.

use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::Scanner;
use super::frame_chain::{Chains, Header, Met};
use super::mp3_frame::{EncoderTag, FrameHeader, HEADER, encoder_tag, parse_header};
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, Trim};
use crate::packet::{Packet, content_hash};
use crate::source::Span;

/// Bytes before a cell from which its first frame is synchronised: at least 11 frames of the longest kind.
const LOOK_BACK: u64 = 16 * 1024;
/// What every layer III decoder adds to the encoder's delay.
const DECODER_DELAY: u32 = 529;
/// Frames over which a bit rate is estimated where no tag tells.
const SAMPLE_FRAMES: u64 = 200;

/// Reads the beginning of an MP3 stream; `None` if none begins near `base`.
pub(crate) fn probe(
    bytes: &mut Span<'_>,
    base: u64,
    title: Option<String>,
) -> Result<Option<InitSection>, MediaError> {
    let Some((start, header)) = Chains::<FrameHeader>::first(bytes, base)? else {
        return Ok(None);
    };
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
        layout: Layout::Mp3 { fixed_header_bits: header.fixed_bits },
        codec: Codec::Mp3 { mpeg1: header.mpeg1 },
        trim,
    }))
}

impl Header for FrameHeader {
    const BYTES: u64 = HEADER;
    const CHAIN: usize = 4;

    fn parse(bytes: &[u8]) -> Option<Self> {
        parse_header(bytes)
    }

    fn fixed_bits(&self) -> u32 {
        self.fixed_bits
    }

    fn frame_len(&self) -> u64 {
        u64::from(self.len)
    }
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
    chains: Chains<FrameHeader>,
}

impl Mp3Scanner {
    pub(crate) fn new(data: Range<u64>, fixed_header_bits: u32) -> Self {
        Self { chains: Chains::new(data, fixed_header_bits) }
    }

    /// The frame at `at`, whose length is doubted if no frame follows it.
    fn packet(&self, bytes: &mut Span<'_>, at: u64, header: &FrameHeader) -> Result<Packet, MediaError> {
        if let Some(next) = self.chains.hidden(bytes, at, header)? {
            return Ok(Packet::gap(at, next - at, u64::from(header.samples)));
        }
        Ok(Packet {
            offset: at,
            hash: content_hash(bytes.slice(at + HEADER, at + u64::from(header.len))?),
            len: header.len,
            frames: header.samples,
            lead: 0,
            tail: 0,
            carry: u16::try_from(header.main_data()).unwrap_or(u16::MAX),
            damaged: false,
        })
    }
}

/// How many samples a damaged stretch of `bytes` bytes held: exact where the bit rate is constant, else by its neighbours.
fn lost(before: FrameHeader, after: FrameHeader, bytes: u64) -> u64 {
    let samples = u64::from(after.samples);
    // Bytes of a frame, as the fraction `over / under`.
    let (over, under) = if before.bitrate == after.bitrate {
        (samples * u64::from(after.bitrate), 8 * u64::from(after.rate))
    } else {
        (u64::from(before.len) + u64::from(after.len), 2)
    };
    samples * ((bytes * under + over / 2) / over.max(1))
}

impl Scanner for Mp3Scanner {
    fn cell_len(&self) -> u64 {
        64 * 1024
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        let Some(mut at) = self.chains.synced(bytes, &cell, LOOK_BACK)? else {
            return Ok(packets);
        };
        let (mut before, mut met) = (None, Met::default());
        while at < cell.end.min(self.chains.end()) {
            let packet = match self.chains.header_at(bytes, at)? {
                // Cut off within its last frame.
                Some(header) if at + u64::from(header.len) > self.chains.end() => break,
                Some(header) => {
                    (before, met) = (Some(header), met.and(header.frame_len()));
                    self.packet(bytes, at, &header)?
                }
                None => {
                    let (end, after) = self.chains.after_damage(bytes, at)?;
                    let lost = match (before, after) {
                        (before, Some(after)) => lost(before.unwrap_or(after), after, end - at),
                        (Some(before), None) => u64::from(before.samples) * met.frames_in(end - at),
                        (None, None) => 0,
                    };
                    if after.is_none() && lost == 0 {
                        break;
                    }
                    Packet::gap(at, end - at, lost)
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
