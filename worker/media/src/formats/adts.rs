//! AAC in ADTS (ISO/IEC 14496-3, section 1.A.3.2): frames found by chains of consistent headers.

use std::borrow::Cow;
use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::aac_config::{Core, FRAMES, core, rate_of};
use super::mp3_frame::is_tail_tag;
use super::{Scanner, array};
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, Trim};
use crate::packet::{Packet, content_hash};
use crate::source::Span;

/// How far after the tags the first frame is looked for.
const MAX_JUNK: u64 = 64 * 1024;
/// Headers in a row that make a stream; each has 28 bits that must fit.
const CHAIN: usize = 3;
/// Bytes before a cell from which its first frame is synchronised: two frames of the longest kind.
const LOOK_BACK: u64 = 16 * 1024;
/// Bytes of a header without its CRC.
const HEADER: u64 = 7;
/// Bits that never change within a stream: sync, version, layer, CRC or none, profile, rate, channels.
const FIXED_BITS: u32 = 0xffff_fdc0;
/// Frames over which the bit rate is estimated.
const SAMPLE_FRAMES: u64 = 500;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameHeader {
    /// The first four bytes, of which [`FIXED_BITS`] are the same in the whole stream.
    word: u32,
    /// Bytes of the whole frame.
    len: u64,
    /// Bytes of the header with its CRC.
    header: u64,
    /// Hz.
    rate: u32,
    /// Whether it holds one raw data block: only then one packet.
    single: bool,
}

/// Parses the header at the start of `bytes`, of whatever profile.
fn parse_header(bytes: &[u8]) -> Option<FrameHeader> {
    let word = u32::from_be_bytes(array(bytes, 0)?);
    // Twelve bits of sync, layer 0.
    if word >> 20 != 0xfff || word >> 17 & 3 != 0 {
        return None;
    }
    let rate = rate_of(word >> 10 & 15)?;
    let sizes = u32::from_be_bytes(array(bytes, 3)?);
    let header = if word >> 16 & 1 == 0 { HEADER + 2 } else { HEADER };
    let len = u64::from(sizes >> 13 & 0x1fff);
    (len > header).then_some(FrameHeader { word, len, header, rate, single: *bytes.get(6)? & 3 == 0 })
}

fn core_of(header: &FrameHeader) -> Result<Core, MediaError> {
    // The profile is the object type less one.
    core((header.word >> 14 & 3) + 1, header.rate, header.word >> 6 & 7)
}

/// Reads the beginning of an ADTS stream; `None` if no stream begins within [`MAX_JUNK`] bytes after `base`.
pub(crate) fn probe(
    bytes: &mut Span<'_>,
    base: u64,
    title: Option<String>,
) -> Result<Option<InitSection>, MediaError> {
    let Some((data_start, header)) = first_stream(bytes, base)? else {
        return Ok(None);
    };
    let core = core_of(&header)?;
    if !header.single {
        return Err(MediaError::unsupported("an AAC stream (ADTS) with several blocks in a frame"));
    }
    let file_len = bytes.source_len();
    let bitrate = estimate(bytes, data_start, header.rate);
    Ok(Some(InitSection {
        version: InitSection::VERSION,
        media: MediaInfo {
            container: "adts".to_owned(),
            codec: "aac".to_owned(),
            sample_rate: core.rate,
            channels: u32::from(core.channels),
            bitrate: bitrate.map(|bitrate| bitrate.round() as u64),
            duration_seconds: bitrate.map(|bitrate| (file_len - data_start) as f64 * 8.0 / bitrate),
            title,
        },
        file_len,
        data_start,
        data_end: file_len,
        layout: Layout::Adts { fixed_header_bits: header.word & FIXED_BITS },
        codec: Codec::Aac { config: core.config },
        trim: Trim::default(),
    }))
}

/// The first offset from `base` on at which a chain of consistent headers begins.
fn first_stream(bytes: &mut Span<'_>, base: u64) -> Result<Option<(u64, FrameHeader)>, MediaError> {
    let end = bytes.source_len();
    for at in base..base.saturating_add(MAX_JUNK).min(end) {
        if let Some(header) = parse_header(bytes.slice(at, at + HEADER)?) {
            let scanner = AdtsScanner::new(base..end, header.word & FIXED_BITS);
            if scanner.chain_begins(bytes, at)? {
                return Ok(Some((at, header)));
            }
        }
    }
    Ok(None)
}

/// Bits a second of the first frames, as far as they are there: an estimate is not worth waiting for another chunk.
fn estimate(bytes: &mut Span<'_>, data_start: u64, rate: u32) -> Option<f64> {
    let (mut at, mut frames) = (data_start, 0u64);
    while frames < SAMPLE_FRAMES {
        let Some(header) = bytes.slice(at, at + HEADER).ok().and_then(parse_header) else { break };
        at += header.len;
        frames += 1;
    }
    let seconds = (frames * u64::from(FRAMES)) as f64 / f64::from(rate);
    (frames > 0).then(|| (at - data_start) as f64 * 8.0 / seconds)
}

/// Finds frames by their headers.
pub(crate) struct AdtsScanner {
    data: Range<u64>,
    fixed: u32,
}

/// Whole frames met so far, over which the length of a damaged stretch is estimated.
#[derive(Default)]
struct Met {
    bytes: u64,
    frames: u64,
}

impl Met {
    /// How many frames (samples) `bytes` bytes have held; `after` is the frame behind them.
    fn lost(&self, bytes: u64, after: &FrameHeader) -> u64 {
        let (all, count) = (self.bytes + after.len, self.frames + 1);
        u64::from(FRAMES) * ((bytes.saturating_mul(count) + all / 2) / all.max(1))
    }
}

impl AdtsScanner {
    pub(crate) fn new(data: Range<u64>, fixed_header_bits: u32) -> Self {
        Self { data, fixed: fixed_header_bits }
    }

    fn header_at(&self, bytes: &mut Span<'_>, at: u64) -> Result<Option<FrameHeader>, MediaError> {
        Ok(self.consistent(bytes.slice(at, at + HEADER)?))
    }

    fn consistent(&self, head: &[u8]) -> Option<FrameHeader> {
        parse_header(head).filter(|header| header.word & FIXED_BITS == self.fixed)
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
                Some(header) => next += header.len,
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
                .windows(7)
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
        let end = at + header.len;
        let follows = self.header_at(bytes, end)?.is_some() || self.ended(bytes, end)?;
        // A damaged header can still look like one; a chain that begins inside the frame gives it away.
        let inside = if follows { None } else { self.search(bytes, at + HEADER..end)? };
        if let Some(next) = inside {
            return Ok(Packet::gap(at, next - at, u64::from(FRAMES)));
        }
        if !header.single {
            // Several blocks in a frame: allowed, written by nobody, and not divided here.
            let blocks = u64::from(bytes.slice(at + 6, at + 7)?.first().map_or(0, |byte| byte & 3)) + 1;
            return Ok(Packet::gap(at, header.len, blocks * u64::from(FRAMES)));
        }
        Ok(Packet {
            offset: at,
            hash: content_hash(bytes.slice(at + header.header, end)?),
            len: u32::try_from(header.len).unwrap_or(u32::MAX),
            frames: FRAMES,
            lead: 0,
            tail: 0,
            carry: 0,
            damaged: false,
        })
    }
}

impl Scanner for AdtsScanner {
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
        let mut met = Met::default();
        while at < cell.end.min(self.data.end) {
            let packet = match self.header_at(bytes, at)? {
                // Cut off within its last frame.
                Some(header) if at + header.len > self.data.end => break,
                Some(header) => self.packet(bytes, at, &header)?,
                None => {
                    let Some(next) = self.search(bytes, at + 1..self.data.end)? else { break };
                    let Some(after) = self.header_at(bytes, next)? else { break };
                    Packet::gap(at, next - at, met.lost(next - at, &after))
                }
            };
            if !packet.damaged {
                met.bytes += u64::from(packet.len);
                met.frames += 1;
            }
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

    /// The raw data block: the frame without its header.
    fn payload<'b>(&mut self, bytes: &'b mut Span<'_>, packet: &Packet) -> Result<Cow<'b, [u8]>, MediaError> {
        let header = self.header_at(bytes, packet.offset)?.map_or(HEADER, |header| header.header);
        let start = (packet.offset + header).min(packet.end());
        Ok(Cow::Borrowed(bytes.slice(start, packet.end())?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        // 44.1 kHz, stereo, 320 bytes, without and with CRC.
        let plain = parse_header(&[0xff, 0xf1, 0x50, 0x80, 0x28, 0x1f, 0xfc]).unwrap();
        assert_eq!((plain.len, plain.header, plain.rate, plain.single), (320, 7, 44_100, true));
        assert_eq!(core_of(&plain).unwrap(), Core { config: vec![0x12, 0x10], rate: 44_100, channels: 2 });
        let crc = parse_header(&[0xff, 0xf0, 0x50, 0x80, 0x28, 0x1f, 0xfd]).unwrap();
        assert_eq!((crc.len, crc.header, crc.single), (320, 9, false));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            [0xff, 0xfb, 0x90, 0x64, 0x28, 0x1f, 0xfc], // MP3
            [0xff, 0xf1, 0x74, 0x80, 0x28, 0x1f, 0xfc], // no such rate
            [0xff, 0xf1, 0x50, 0x80, 0x00, 0xff, 0xfc], // shorter than its header
        ] {
            assert_eq!(parse_header(&bytes), None, "{bytes:02x?}");
        }
    }
}
