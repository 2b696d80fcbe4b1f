//! PCM in any container: the init section of a file whose audio is one stretch, and packets by arithmetic.

use std::ops::Range;

use scriptorium_contracts::media::MediaInfo;

use super::Scanner;
use crate::error::MediaError;
use crate::init::{Codec, InitSection, Layout, MAX_CHANNELS, MAX_RATE, MIN_RATE, PcmFormat, Trim};
use crate::packet::{Packet, content_hash};
use crate::source::Span;

/// Blocks a second: a packet is 20 ms.
const BLOCKS_PER_SECOND: u32 = 50;

/// What the samples of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PcmStream {
    /// Layout of a sample.
    pub format: PcmFormat,
    /// Hz.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
}

impl PcmStream {
    /// Bytes of one frame over all channels.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.format.bytes() as u64 * u64::from(self.channels)
    }

    /// The section of a file of `file_len` bytes whose samples are the `size` bytes from `start` on, as far as they are
    /// there. `container` is its short name, `kind` its name with an article.
    pub(crate) fn section(
        &self,
        (container, kind): (&str, &str),
        file_len: u64,
        start: u64,
        size: u64,
        title: Option<String>,
    ) -> Result<InitSection, MediaError> {
        let frame_bytes = self.frame_bytes();
        let frames = size.min(file_len.saturating_sub(start)) / frame_bytes.max(1);
        if frames == 0 {
            return Err(MediaError::not_audio(format!("{kind} without any audio")));
        }
        Ok(InitSection {
            version: InitSection::VERSION,
            media: MediaInfo {
                container: container.to_owned(),
                codec: self.format.name().to_owned(),
                sample_rate: self.rate,
                channels: u32::from(self.channels),
                bitrate: Some(frame_bytes * 8 * u64::from(self.rate)),
                duration_seconds: Some(frames as f64 / f64::from(self.rate)),
                title,
            },
            file_len,
            data_start: start,
            data_end: start + frames * frame_bytes,
            layout: Layout::Pcm {
                frame_bytes: u32::try_from(frame_bytes).unwrap_or(u32::MAX),
                block_frames: (self.rate / BLOCKS_PER_SECOND).max(1),
            },
            codec: Codec::Pcm(self.format),
            trim: Trim::default(),
        })
    }
}

/// Refuses what no recording has. `kind` is the file's name with an article.
pub(crate) fn check_sound(kind: &str, channels: u32, rate: u32) -> Result<u16, MediaError> {
    u16::try_from(channels)
        .ok()
        .filter(|channels| (1..=MAX_CHANNELS).contains(channels) && (MIN_RATE..=MAX_RATE).contains(&rate))
        .ok_or_else(|| MediaError::damaged(format!("{kind} of {channels} channels at {rate} Hz")))
}

/// A size as it is written in a field that holds at most `largest`, or `available` where it was never filled in:
/// recorders that were killed, or that wrote to a pipe, leave 0 or the largest number.
pub(crate) fn written_size(size: u64, largest: u64, available: u64) -> u64 {
    if size == 0 || size >= largest - 1 { available } else { size.min(available) }
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
