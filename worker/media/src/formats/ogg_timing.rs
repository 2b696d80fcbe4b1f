//! How many frames a packet of Opus, Vorbis or FLAC makes, told without decoding it.

use super::flac_frame::parse_header;
use super::opus_packet;
use crate::init::PacketTiming;

impl PacketTiming {
    /// Frames that the decoder makes of `packet`; `None` if it is no audio, or none that a decoder accepts.
    ///
    /// `previous` is the block size of the packet before, where packets overlap (Vorbis).
    pub(crate) fn frames(&self, packet: &[u8], previous: &mut Option<u32>) -> Option<u32> {
        match self {
            Self::Opus { .. } => opus_packet::frames(packet).filter(|_| !packet.starts_with(b"OpusTags")),
            Self::Vorbis { short, long, modes, long_modes } => {
                let mode = vorbis_mode(packet, *modes)?;
                let block = u32::from(if long_modes >> mode & 1 == 1 { *long } else { *short });
                // Vorbis I, section 4.3.8: the first packet only primes the overlap.
                Some(previous.replace(block).map_or(0, |before| (before + block) / 4))
            }
            Self::Flac { stream } => parse_header(packet, stream).and_then(|h| u32::try_from(h.block).ok()),
        }
    }

    /// Most frames that one packet makes.
    pub(crate) fn most_frames(&self) -> u64 {
        match self {
            Self::Opus { .. } => u64::from(opus_packet::MOST_FRAMES),
            Self::Vorbis { long, .. } => u64::from(*long) / 2,
            Self::Flac { stream } => u64::from(stream.max_block),
        }
    }

    /// The part of a packet that tells how it sounds: the number in a FLAC frame's header and the CRCs tell where it
    /// stands.
    pub(crate) fn content<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Opus { .. } | Self::Vorbis { .. } => packet,
            Self::Flac { stream } => {
                let start = parse_header(packet, stream).map_or(0, |header| header.len);
                let body = packet.get(usize::try_from(start).unwrap_or(0)..).unwrap_or_default();
                &body[..body.len().saturating_sub(2)]
            }
        }
    }
}

/// The mode of a Vorbis audio packet (Vorbis I, section 4.3.1).
fn vorbis_mode(packet: &[u8], modes: u8) -> Option<u8> {
    let first = *packet.first()?;
    let bits = u8::BITS - modes.saturating_sub(1).leading_zeros();
    let mode = first >> 1 & ((1u8 << bits) - 1);
    (first & 1 == 0 && mode < modes).then_some(mode)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn vorbis_packets_last_a_quarter_of_two_blocks() {
        let timing = PacketTiming::Vorbis { short: 256, long: 2048, modes: 2, long_modes: 0b10 };
        let mut previous = None;
        let frames: Vec<Option<u32>> =
            [0u8, 2, 2, 1, 0].iter().map(|byte| timing.frames(&[*byte], &mut previous)).collect();
        assert_eq!(frames, [Some(0), Some(576), Some(1024), None, Some(576)]);
        let timing = PacketTiming::Vorbis { short: 256, long: 256, modes: 3, long_modes: 0 };
        assert_eq!(timing.frames(&[6], &mut None), None);
    }
}
