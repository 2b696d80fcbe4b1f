//! What a sample of each codec decodes to, as far as its own first bytes tell.

use super::array;
use super::{aac_config, flac_frame, mp3_frame, opus_packet};
use crate::init::{Codec, FlacStream};
use crate::packet::{Packet, content_hash};

/// How the samples of a track tell how many frames they hold.
#[derive(Clone, Debug)]
pub(crate) enum Framing {
    /// PCM: a sample is a frame.
    Pcm,
    Aac,
    /// At most this many; the last one says how many less.
    Alac(u32),
    /// 1152 or 576.
    Mp3(u32),
    Opus,
    Flac(FlacStream),
}

impl Framing {
    pub(crate) fn of(codec: &Codec) -> Option<Self> {
        match codec {
            Codec::Pcm(_) => Some(Self::Pcm),
            Codec::Aac { .. } => Some(Self::Aac),
            Codec::Alac { cookie } => array(cookie, 0).map(u32::from_be_bytes).map(Self::Alac),
            Codec::Mp3 { mpeg1 } => Some(Self::Mp3(if *mpeg1 { 1152 } else { 576 })),
            Codec::Opus { .. } => Some(Self::Opus),
            Codec::Flac { stream_info } => flac_frame::parse_stream(stream_info).map(Self::Flac),
            Codec::Vorbis { .. } => None,
        }
    }

    /// Frames of a sample, as a rule.
    pub(crate) fn usual(&self) -> u32 {
        match self {
            Self::Pcm => 1,
            Self::Aac => aac_config::FRAMES,
            Self::Alac(frames) | Self::Mp3(frames) => *frames,
            // 20 ms, what all encoders make unless told otherwise.
            Self::Opus => 960,
            Self::Flac(stream) => u32::from(stream.max_block),
        }
    }

    /// Samples before the wanted one that are kept of a track that was cut, so that its decoder runs warm.
    pub(crate) fn warm_up(&self) -> u64 {
        match self {
            Self::Pcm | Self::Alac(_) | Self::Flac(_) => 0,
            Self::Aac => 2,
            Self::Mp3(_) => 10,
            Self::Opus => 50,
        }
    }

    /// Whether all samples but the last hold as many frames, so that counting samples counts frames.
    pub(crate) fn steady(&self) -> bool {
        match self {
            Self::Pcm | Self::Aac | Self::Alac(_) | Self::Mp3(_) => true,
            Self::Opus => false,
            Self::Flac(stream) => !stream.variable,
        }
    }

    /// The packet whose payload is given, which holds `samples` samples.
    pub(crate) fn packet(&self, offset: u64, samples: u32, payload: &[u8]) -> Packet {
        let (mut frames, mut carry, mut heard) = (self.usual(), 0, payload);
        match self {
            Self::Pcm => frames = samples,
            Self::Aac => {}
            Self::Alac(most) => frames = alac_frames(payload).filter(|n| n <= most).unwrap_or(*most),
            Self::Mp3(_) => {
                if let Some(header) = mp3_frame::parse_header(payload) {
                    carry = u16::try_from(header.main_data()).unwrap_or(u16::MAX);
                    heard = payload.get(4..).unwrap_or_default();
                }
            }
            Self::Opus => frames = opus_packet::frames(payload).unwrap_or(frames),
            Self::Flac(stream) => {
                if let Some(header) = flac_frame::parse_header(payload, stream) {
                    frames = u32::try_from(header.block).unwrap_or(frames);
                    let from = usize::try_from(header.len).unwrap_or(0);
                    // Its number and its checksums count where the frame stands, not how it sounds.
                    heard = payload.get(from..payload.len().saturating_sub(2)).unwrap_or_default();
                }
            }
        }
        Packet {
            offset,
            hash: content_hash(heard),
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            frames,
            lead: 0,
            tail: 0,
            carry,
            damaged: false,
        }
    }
}

/// Frames of an ALAC packet whose first element says that it is not full (ALACDecoder of the reference: 3 bits of tag, 4
/// of instance, 12 unused, the flag, 2 of shift, 1 of escape, and then 32 bits of frames).
fn alac_frames(payload: &[u8]) -> Option<u32> {
    let head = u64::from_be_bytes(array(payload, 0)?);
    let (single_pair_or_lfe, partial) = (matches!(head >> 61, 0 | 1 | 3), head >> 44 & 1 == 1);
    (single_pair_or_lfe && partial).then_some((head >> 9) as u32).filter(|frames| *frames > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alac_packets_tell_if_they_are_short() {
        let head = |flag: u64, frames: u64| (1u64 << 61 | flag << 44 | frames << 9).to_be_bytes();
        assert_eq!(alac_frames(&head(1, 0xf9d)), Some(0xf9d));
        assert_eq!(alac_frames(&head(0, 0xf9d)), None);
        assert_eq!(alac_frames(&[0x20]), None);
    }
}
