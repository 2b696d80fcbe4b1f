//! AAC in ADTS (ISO/IEC 14496-3, section 1.A.3.2): frames found by chains of consistent headers.

use std::borrow::Cow;
use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::aac_config::{Core, FRAMES, core, rate_of};
use super::frame_chain::{Chains, Header, Met};
use super::{Scanner, array};
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, Trim};
use crate::packet::{Packet, content_hash};
use crate::source::Span;

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

impl Header for FrameHeader {
    const BYTES: u64 = HEADER;
    /// Each has 28 bits that must fit.
    const CHAIN: usize = 3;

    fn parse(bytes: &[u8]) -> Option<Self> {
        parse_header(bytes)
    }

    fn fixed_bits(&self) -> u32 {
        self.word & FIXED_BITS
    }

    fn frame_len(&self) -> u64 {
        self.len
    }
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

/// Reads the beginning of an ADTS stream; `None` if none begins near `base`.
pub(crate) fn probe(
    bytes: &mut Span<'_>,
    base: u64,
    title: Option<String>,
) -> Result<Option<InitSection>, MediaError> {
    let Some((data_start, header)) = Chains::<FrameHeader>::first(bytes, base)? else {
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
        layout: Layout::Adts { fixed_header_bits: header.fixed_bits() },
        codec: Codec::Aac { config: core.config },
        trim: Trim::default(),
    }))
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
    chains: Chains<FrameHeader>,
}

impl AdtsScanner {
    pub(crate) fn new(data: Range<u64>, fixed_header_bits: u32) -> Self {
        Self { chains: Chains::new(data, fixed_header_bits) }
    }

    /// The frame at `at`, whose length is doubted if no frame follows it.
    fn packet(&self, bytes: &mut Span<'_>, at: u64, header: &FrameHeader) -> Result<Packet, MediaError> {
        if let Some(next) = self.chains.hidden(bytes, at, header)? {
            return Ok(Packet::gap(at, next - at, u64::from(FRAMES)));
        }
        if !header.single {
            // Several blocks in a frame: allowed, written by nobody, and not divided here.
            let blocks = u64::from(bytes.slice(at + 6, at + 7)?.first().map_or(0, |byte| byte & 3)) + 1;
            return Ok(Packet::gap(at, header.len, blocks * u64::from(FRAMES)));
        }
        Ok(Packet {
            offset: at,
            hash: content_hash(bytes.slice(at + header.header, at + header.len)?),
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
        let Some(mut at) = self.chains.synced(bytes, &cell, LOOK_BACK)? else {
            return Ok(packets);
        };
        let mut met = Met::default();
        while at < cell.end.min(self.chains.end()) {
            let packet = match self.chains.header_at(bytes, at)? {
                // Cut off within its last frame.
                Some(header) if at + header.len > self.chains.end() => break,
                Some(header) => self.packet(bytes, at, &header)?,
                None => {
                    let (end, after) = self.chains.after_damage(bytes, at)?;
                    let met = after.as_ref().map_or(met, |after| met.and(after.len));
                    let lost = u64::from(FRAMES) * met.frames_in(end - at);
                    if after.is_none() && lost == 0 {
                        break;
                    }
                    Packet::gap(at, end - at, lost)
                }
            };
            if !packet.damaged {
                met = met.and(u64::from(packet.len));
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
        let header = self.chains.header_at(bytes, packet.offset)?.map_or(HEADER, |header| header.header);
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
