//! How many frames a packet of Opus, Vorbis or FLAC makes, told without decoding it.

use super::flac_frame::parse_header;
use crate::init::PacketTiming;

impl PacketTiming {
    /// Frames that the decoder makes of `packet`; `None` if it is no audio, or none that a decoder accepts.
    ///
    /// `previous` is the block size of the packet before, where packets overlap (Vorbis).
    pub(crate) fn frames(&self, packet: &[u8], previous: &mut Option<u32>) -> Option<u32> {
        match self {
            Self::Opus { .. } => opus_frames(packet).filter(|_| !packet.starts_with(b"OpusTags")),
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
            Self::Opus { .. } => u64::from(OPUS_MOST),
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

/// 120 ms (RFC 6716, section 3.2.5).
const OPUS_MOST: u32 = 5_760;

/// Duration by the table of contents (RFC 6716, section 3.1), at 48 kHz.
pub(crate) fn opus_frames(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => 120 << (config & 3),
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * count).filter(|frames| (1..=OPUS_MOST).contains(frames))
}

/// The mode of a Vorbis audio packet (Vorbis I, section 4.3.1).
fn vorbis_mode(packet: &[u8], modes: u8) -> Option<u8> {
    let first = *packet.first()?;
    let bits = u8::BITS - modes.saturating_sub(1).leading_zeros();
    let mode = first >> 1 & ((1u8 << bits) - 1);
    (first & 1 == 0 && mode < modes).then_some(mode)
}

/// Number of modes and a bit for each mode of long blocks, from a Vorbis setup header (Vorbis I, section 4.2.4).
///
/// The modes are its last entries, each 41 bits of which 32 are zero, before a framing bit; so they are read from the
/// end, for as long as they are plausible, and the number of them that is noted before them has to agree.
pub(crate) fn vorbis_modes(setup: &[u8]) -> Option<(u8, u64)> {
    const MOST: u8 = 64;
    let last = setup.iter().rposition(|byte| *byte != 0)?;
    let mut at = last * 8 + 7 - usize::try_from(setup[last].leading_zeros()).ok()?;
    let (mut flags, mut found) = (0u64, None);
    for count in 1..=MOST {
        let Some(start) = at.checked_sub(41 + 6) else { break };
        at = start + 6;
        let (window, transform) = (bits(setup, at + 1, 16)?, bits(setup, at + 17, 16)?);
        if window != 0 || transform != 0 || bits(setup, at + 33, 8)? >= u32::from(MOST) {
            break;
        }
        flags = flags << 1 | u64::from(bits(setup, at, 1)?);
        if bits(setup, start, 6)? + 1 == u32::from(count) {
            found = Some((count, flags));
        }
    }
    found
}

/// `count` bits from bit `at` on, the least significant first.
fn bits(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    (0..count).try_fold(0, |value, bit| {
        let place = at + bit;
        let set = bytes.get(place / 8)? >> (place % 8) & 1;
        Some(value | u32::from(set) << bit)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_tell_their_duration() {
        assert_eq!(opus_frames(&[1 << 3]), Some(960));
        assert_eq!(opus_frames(&[3 << 3 | 1]), Some(5_760));
        assert_eq!(opus_frames(&[12 << 3 | 2]), Some(960));
        assert_eq!(opus_frames(&[16 << 3]), Some(120));
        assert_eq!(opus_frames(&[31 << 3 | 3, 0x86]), Some(5_760));
        assert_eq!(opus_frames(&[31 << 3 | 3, 7]), None);
        assert_eq!(opus_frames(&[31 << 3 | 3, 0]), None);
        assert_eq!(opus_frames(&[31 << 3 | 3]), None);
        assert_eq!(opus_frames(&[]), None);
    }

    /// A setup header that ends with the given modes (flag, mapping).
    fn setup(modes: &[(bool, u8)]) -> Vec<u8> {
        let mut list: Vec<bool> = (0..99).map(|i| i % 3 == 0).collect();
        let mut put = |value: u32, count: usize| list.extend((0..count).map(|bit| value >> bit & 1 == 1));
        put(u32::try_from(modes.len()).unwrap() - 1, 6);
        for (long, mapping) in modes {
            put(u32::from(*long), 1);
            put(0, 32);
            put(u32::from(*mapping), 8);
        }
        put(1, 1);
        list.chunks(8)
            .map(|byte| byte.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum())
            .collect()
    }

    #[test]
    fn modes_are_read_from_the_end_of_the_setup_header() {
        assert_eq!(vorbis_modes(&setup(&[(false, 0), (true, 1)])), Some((2, 0b10)));
        assert_eq!(vorbis_modes(&setup(&[(true, 0)])), Some((1, 1)));
        let three = setup(&[(true, 0), (false, 1), (true, 2)]);
        assert_eq!(vorbis_modes(&three), Some((3, 0b101)));
        let padded: Vec<u8> = three.iter().copied().chain([0; 5]).collect();
        assert_eq!(vorbis_modes(&padded), Some((3, 0b101)));
        assert_eq!(vorbis_modes(&[0; 50]), None);
        assert_eq!(vorbis_modes(&[0xff; 50]), None);
        assert_eq!(vorbis_modes(&[]), None);
    }

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
