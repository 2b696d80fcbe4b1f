//! FLAC: the metadata before the audio, and frames found by CRC-8 of the header and CRC-16 of the whole.

use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;
use symphonia::core::checksum::Crc16Ansi;
use symphonia::core::io::Monitor;

use super::flac_frame::{FrameHeader, MAX_HEADER, may_begin, parse_header, parse_stream};
use super::tail::trailing_bytes;
use super::{Scanner, array};
use crate::error::MediaError;
use crate::init::{Codec, FlacStream, InitSection, Layout, Trim};
use crate::packet::{Packet, content_hash};
use crate::source::Span;

/// Most metadata blocks that are walked over.
const MAX_BLOCKS: usize = 10_000;
/// Bytes of a cell.
const CELL: u64 = 128 * 1024;
/// Largest comment block in which a title is looked for.
const MAX_COMMENT: u64 = 256 * 1024;

/// Reads the metadata of a FLAC file whose marker `fLaC` stands at `base`.
pub(crate) fn probe(bytes: &mut Span<'_>, base: u64) -> Result<InitSection, MediaError> {
    let (mut at, mut title, mut info) = (base + 4, None, None);
    for _ in 0..MAX_BLOCKS {
        let [kind, a, b, c] = array::<4>(bytes.slice(at, at + 4)?, 0)
            .ok_or_else(|| MediaError::damaged("a FLAC file that ends in its metadata"))?;
        let (body, size) = (at + 4, u64::from(u32::from_be_bytes([0, a, b, c])));
        match kind & 0x7f {
            0 => info = Some(bytes.slice(body, body + size.min(34))?.to_vec()),
            4 if size <= MAX_COMMENT => title = comment_title(bytes.slice(body, body + size)?),
            _ => {}
        }
        at = body + size;
        if kind & 0x80 != 0 {
            let mut info =
                info.ok_or_else(|| MediaError::damaged("a FLAC file without stream information"))?;
            // Sizes of the smallest and largest frame: nobody needs them, and a decoder refuses them where they lie.
            info.iter_mut().skip(4).take(6).for_each(|byte| *byte = 0);
            return section(bytes, at, info, title);
        }
    }
    Err(MediaError::Limit { what: format!("more than {MAX_BLOCKS} metadata blocks") })
}

fn section(
    bytes: &mut Span<'_>,
    data_start: u64,
    stream_info: Vec<u8>,
    title: Option<String>,
) -> Result<InitSection, MediaError> {
    let mut stream = parse_stream(&stream_info)
        .ok_or_else(|| MediaError::damaged("a FLAC file with impossible stream information"))?;
    if stream.bits == 32 && stream.channels == 2 {
        // Its side channel has 33 bits, more than the decoder can hold.
        return Err(MediaError::unsupported("a FLAC file in 32-bit stereo"));
    }
    let file_len = bytes.source_len();
    if data_start >= file_len {
        return Err(MediaError::not_audio("a FLAC file without any audio"));
    }
    let head = bytes.slice(data_start, data_start + MAX_HEADER)?;
    // Older encoders mark variable block sizes in the frames alone.
    stream.variable |= head.len() > 1 && head[0] == 0xff && head[1] == 0xf9;
    stream.variable &= !(head.len() > 1 && head[0] == 0xff && head[1] == 0xf8);
    let first_sample = parse_header(head, &stream).map_or(0, |header| header.first_sample);
    let seconds = match stream.total {
        Some(total) => Some(total as f64 / f64::from(stream.sample_rate)),
        None => estimate(bytes, data_start..file_len, &stream, first_sample)?,
    };
    Ok(InitSection {
        version: InitSection::VERSION,
        media: MediaInfo {
            container: "flac".to_owned(),
            codec: "flac".to_owned(),
            sample_rate: stream.sample_rate,
            channels: u32::from(stream.channels),
            bitrate: seconds.filter(|s| *s > 0.0).map(|s| ((file_len - data_start) as f64 * 8.0 / s) as u64),
            duration_seconds: seconds,
            title,
        },
        file_len,
        data_start,
        data_end: file_len,
        layout: Layout::Flac { stream, first_sample },
        codec: Codec::Flac { stream_info },
        trim: Trim::default(),
    })
}

/// Seconds by the first frames, where an encoder that wrote to a pipe could not tell how many samples there are.
fn estimate(
    bytes: &mut Span<'_>,
    data: Range<u64>,
    stream: &FlacStream,
    first_sample: u64,
) -> Result<Option<f64>, MediaError> {
    let mut scanner = FlacScanner::new(data.clone(), stream.clone(), first_sample);
    let packets = scanner.scan(bytes, data.start..(data.start + CELL).min(data.end))?;
    let frames: u64 = packets.iter().map(Packet::duration).sum();
    let seen = packets.last().map_or(0, |last| last.end() - data.start);
    let seconds = frames as f64 / f64::from(stream.sample_rate);
    Ok((frames > 0 && seen > 0).then(|| seconds * (data.end - data.start) as f64 / seen as f64))
}

/// `TITLE=` of a Vorbis comment block.
pub(crate) fn comment_title(block: &[u8]) -> Option<String> {
    let length = |at| Some(usize::try_from(u32::from_le_bytes(array(block, at)?)).unwrap_or(usize::MAX));
    let mut at = length(0)?.checked_add(8)?;
    while at < block.len() {
        let size = length(at)?;
        let entry = block.get(at + 4..at.checked_add(4)?.checked_add(size)?)?;
        if entry.len() > 6 && entry[..6].eq_ignore_ascii_case(b"TITLE=") {
            return Some(String::from_utf8_lossy(&entry[6..]).trim().to_owned()).filter(|t| !t.is_empty());
        }
        at += 4 + size;
    }
    None
}

/// What a FLAC file begins with.
const MARKER: &[u8] = b"fLaC";

/// Whether what follows on a frame may begin with this byte: another frame, or the marker of another recording.
fn may_follow(byte: &u8) -> bool {
    *byte == 0xff || *byte == b'f'
}

/// Finds frames by their CRCs.
pub(crate) struct FlacScanner {
    data: Range<u64>,
    stream: FlacStream,
    first_sample: u64,
}

/// A frame that was found.
struct Found {
    offset: u64,
    end: u64,
    header: FrameHeader,
}

/// Where a frame ends.
enum End {
    /// Here: its CRC-16 holds, and another frame or the end of the file follows.
    At(u64),
    /// No end was found before the end of the file, which is near.
    Open,
    /// Nowhere: damaged, or no frame at all.
    Nowhere,
}

/// Bounds the work that crafted bytes can cause: bytes checked in vain, against bytes walked over.
struct Budget {
    origin: u64,
    spent: u64,
}

impl Budget {
    fn allows(&self, at: u64, max_frame: u64) -> bool {
        self.spent <= 64 * max_frame + 16 * at.saturating_sub(self.origin)
    }
}

impl FlacScanner {
    pub(crate) fn new(data: Range<u64>, stream: FlacStream, first_sample: u64) -> Self {
        Self { data, stream, first_sample }
    }

    /// Longest frame there can be: all channels verbatim, with room for an encoder's folly.
    fn max_frame(&self) -> u64 {
        let bits = u64::from(self.stream.bits) + 1;
        u64::from(self.stream.channels) * (u64::from(self.stream.max_block) * bits / 8 + 256) + 4096
    }

    fn frame_at(
        &self,
        bytes: &mut Span<'_>,
        at: u64,
        budget: &mut Budget,
    ) -> Result<Option<Found>, MediaError> {
        let Some(header) = parse_header(bytes.slice(at, at + MAX_HEADER)?, &self.stream) else {
            return Ok(None);
        };
        if !budget.allows(at, self.max_frame()) {
            return Ok(None);
        }
        Ok(match self.frame_end(bytes, at, &header)? {
            End::At(end) => Some(Found { offset: at, end, header }),
            // The last frame, followed by something that is no FLAC: the decoder finds the end by itself.
            End::Open | End::Nowhere if self.is_last(&header) => {
                Some(Found { offset: at, end: (at + self.max_frame()).min(self.data.end), header })
            }
            End::Open | End::Nowhere => {
                budget.spent += self.max_frame();
                None
            }
        })
    }

    fn is_last(&self, header: &FrameHeader) -> bool {
        self.stream.total.is_some_and(|total| {
            header.first_sample.saturating_sub(self.first_sample) + header.block == total
        })
    }

    fn frame_end(&self, bytes: &mut Span<'_>, start: u64, header: &FrameHeader) -> Result<End, MediaError> {
        const BLOCK: u64 = 16 * 1024;
        let limit = (start + self.max_frame()).min(self.data.end);
        let mut crc = Crc16Ansi::new(0);
        let mut at = start;
        while at < limit {
            let end = (at + BLOCK).min(limit);
            let block = bytes.slice(at, end + MAX_HEADER)?;
            let own = usize::try_from(end - at).unwrap_or(usize::MAX).min(block.len());
            let mut done = 0;
            let mut next = if at == start { usize::try_from(header.len).unwrap_or(0) + 2 } else { 0 };
            while let Some(found) = block.get(next..own).and_then(|rest| rest.iter().position(may_follow)) {
                let candidate = next + found;
                next = candidate + 1;
                // Another recording may have been put behind this one.
                let joined = block[candidate..].starts_with(MARKER);
                let frame = || block.get(next).is_some_and(|second| may_begin(0xff, *second, &self.stream));
                if !joined && (block[candidate] != 0xff || !frame()) {
                    continue;
                }
                crc.process_buf_bytes(&block[done..candidate]);
                done = candidate;
                if crc.crc() == 0 && (joined || parse_header(&block[candidate..], &self.stream).is_some()) {
                    return Ok(End::At(at + candidate as u64));
                }
            }
            crc.process_buf_bytes(&block[done..own]);
            at = end;
        }
        Ok(match limit == self.data.end {
            true if crc.crc() == 0 => End::At(limit),
            true => End::Open,
            false => End::Nowhere,
        })
    }

    /// The first frame that begins in `range`.
    fn search(
        &self,
        bytes: &mut Span<'_>,
        range: Range<u64>,
        budget: &mut Budget,
    ) -> Result<Option<Found>, MediaError> {
        const BLOCK: u64 = 16 * 1024;
        let mut at = range.start;
        while at < range.end {
            let end = (at + BLOCK).min(range.end);
            let candidates: Vec<u64> = bytes
                .slice(at, end + 1)?
                .windows(2)
                .zip(at..)
                .filter(|(pair, _)| may_begin(pair[0], pair[1], &self.stream))
                .map(|(_, offset)| offset)
                .collect();
            for offset in candidates {
                if let Some(found) = self.frame_at(bytes, offset, budget)? {
                    return Ok(Some(found));
                }
            }
            at = end;
        }
        Ok(None)
    }

    /// Frames lost between the expected sample and the next good frame; 0 where the numbers make no sense.
    fn lost(&self, expected: u64, found: &Found, at: u64) -> u64 {
        // No frame is shorter than 10 bytes, so a damaged stretch cannot have held more than this.
        let most =
            (found.offset - at) / 10 * u64::from(self.stream.max_block) + u64::from(self.stream.max_block);
        found.header.first_sample.checked_sub(expected).filter(|lost| *lost <= most).unwrap_or(0)
    }

    /// Frames lost where no good one follows: what the recording says it has, unless so many bytes cannot have held as much;
    /// then it is cut off, and only what is there was lost.
    fn lost_at_end(&self, bytes: &mut Span<'_>, expected: u64, at: u64) -> Result<u64, MediaError> {
        /// Loud sound takes so many times as many bytes as the average.
        const MOST: u64 = 4;
        let (played, read) = (expected.saturating_sub(self.first_sample), at - self.data.start);
        let left = u128::from(trailing_bytes(bytes, at..self.data.end)?);
        let held = left * u128::from(played) / u128::from(read.max(1));
        let held = u64::try_from(held).unwrap_or(u64::MAX);
        let missing = self.stream.total.map(|total| total.saturating_sub(played));
        Ok(missing.filter(|missing| *missing <= held.saturating_mul(MOST)).unwrap_or(held))
    }

    fn packet(&self, bytes: &mut Span<'_>, found: &Found) -> Result<Packet, MediaError> {
        // The number in the header and the CRCs count where the frame stands, not how it sounds.
        let body = found.offset + found.header.len..found.end.saturating_sub(2);
        Ok(Packet {
            offset: found.offset,
            hash: content_hash(bytes.slice(body.start, body.end.max(body.start))?),
            len: u32::try_from(found.end - found.offset).unwrap_or(u32::MAX),
            frames: u32::try_from(found.header.block).unwrap_or(u32::MAX),
            lead: 0,
            tail: 0,
            carry: 0,
            damaged: false,
        })
    }
}

impl Scanner for FlacScanner {
    fn cell_len(&self) -> u64 {
        CELL
    }

    fn scan(&mut self, bytes: &mut Span<'_>, cell: Range<u64>) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        // The frame that reaches into the cell begins before it, and tells what should come next.
        let mut at = cell.start.saturating_sub(self.max_frame()).max(self.data.start);
        let mut budget = Budget { origin: at, spent: 0 };
        // The sample that should come next; unknown until the first frame in the middle of a recording.
        let mut expected = (at == self.data.start).then_some(self.first_sample);
        while at < cell.end {
            let limit = if expected.is_some() { self.data.end } else { cell.end };
            let found = self.search_or_here(bytes, at..limit, &mut budget)?;
            let ends = found.as_ref().map_or(self.data.end, |found| found.offset);
            if let Some(expected) = expected.filter(|_| ends > at) {
                let lost = match &found {
                    Some(found) => self.lost(expected, found, at),
                    None => self.lost_at_end(bytes, expected, at)?,
                };
                if at >= cell.start && (found.is_some() || lost > 0) {
                    packets.push(Packet::gap(at, ends - at, lost));
                }
            }
            let Some(found) = found else { break };
            if (cell.start..cell.end).contains(&found.offset) {
                packets.push(self.packet(bytes, &found)?);
            }
            at = found.end;
            expected = Some(found.header.first_sample + found.header.block);
        }
        Ok(packets)
    }

    fn absolute_start(&mut self, bytes: &mut Span<'_>, packet: &Packet) -> Result<Option<u64>, MediaError> {
        let header = parse_header(bytes.slice(packet.offset, packet.offset + MAX_HEADER)?, &self.stream);
        Ok(header.filter(|_| !packet.damaged).map(|h| h.first_sample.saturating_sub(self.first_sample)))
    }
}

impl FlacScanner {
    /// The frame at the start of `range`, else the first one after it.
    fn search_or_here(
        &self,
        bytes: &mut Span<'_>,
        range: Range<u64>,
        budget: &mut Budget,
    ) -> Result<Option<Found>, MediaError> {
        match self.frame_at(bytes, range.start, budget)? {
            Some(found) => Ok(Some(found)),
            None => self.search(bytes, range.start + 1..range.end, budget),
        }
    }
}
