//! Which codec a logical stream of Ogg holds, by its first packet.

use super::array;
use super::flac_frame::parse_stream;
use crate::error::MediaError;
use crate::init::{Codec, MAX_RATE, MIN_RATE, PacketTiming};

/// A stream that can be decoded, as its first packet tells it.
pub(crate) struct Ident {
    /// Vorbis: the identification header alone, which the setup header has to follow.
    pub codec: Codec,
    /// Vorbis: without the modes, which the setup header tells.
    pub timing: PacketTiming,
    /// Hz.
    pub rate: u32,
    pub channels: u32,
    /// Bits a second, where the header says so.
    pub bitrate: Option<u64>,
}

impl Ident {
    /// Whether a packet after the first one is a header and no audio.
    pub(crate) fn is_header(&self, packet: &[u8]) -> bool {
        match self.timing {
            PacketTiming::Opus { .. } => packet.starts_with(b"OpusTags"),
            PacketTiming::Vorbis { .. } => packet.first().is_some_and(|first| first & 1 == 1),
            PacketTiming::Flac { .. } => packet.first().is_some_and(|first| *first != 0xff),
        }
    }
}

/// Looks at a stream's first packet; `None` for streams of other codecs.
///
/// # Errors
/// Where the codec is known, but not what its header asks for.
pub(crate) fn identify(packet: &[u8]) -> Result<Option<Ident>, MediaError> {
    if packet.starts_with(b"OpusHead") {
        return opus(packet).map(Some);
    }
    if packet.starts_with(b"\x01vorbis") {
        return vorbis(packet).map(Some);
    }
    if packet.starts_with(b"\x7fFLAC") {
        return flac(packet).map(Some);
    }
    Ok(None)
}

/// The name of a stream by its first packet, for people.
pub(crate) fn name_of(packet: &[u8]) -> &'static str {
    const NAMES: &[(&[u8], &str)] = &[
        (b"OpusHead", "Opus"),
        (b"\x01vorbis", "Vorbis"),
        (b"\x7fFLAC", "FLAC"),
        (b"fLaC", "FLAC of an early draft"),
        (b"Speex   ", "Speex"),
        (b"\x80theora", "Theora video"),
        (b"BBCD", "Dirac video"),
        (b"\x80daala", "Daala video"),
        (b"OVP80", "VP8 video"),
        (b"CELT    ", "CELT"),
        (b"PCM     ", "PCM"),
        (b"fishead", "an index"),
        (b"\x80kate", "Kate subtitles"),
        (b"CMML", "annotations"),
        (b"\x01video", "OGM video"),
        (b"\x01audio", "OGM audio"),
    ];
    NAMES.iter().find(|(marker, _)| packet.starts_with(marker)).map_or("an unknown codec", |(_, name)| name)
}

/// RFC 7845, section 5.1.
fn opus(packet: &[u8]) -> Result<Ident, MediaError> {
    let fields = || {
        let [version, channels] = array(packet, 8)?;
        let pre_skip = u16::from_le_bytes(array(packet, 10)?);
        let gain = i16::from_le_bytes(array(packet, 16)?);
        let family = *packet.get(18)?;
        Some((version, channels, pre_skip, gain, family))
    };
    let (version, channels, pre_skip, gain, family) =
        fields().ok_or_else(|| MediaError::damaged("an Opus header that is too short"))?;
    if version >> 4 != 0 || channels == 0 {
        return Err(MediaError::damaged("an impossible Opus header"));
    }
    // One stream of one or two channels is the same in all families.
    let one_stream = packet.get(19) == Some(&1) && packet.get(20).copied() == channels.checked_sub(1);
    if channels > 2 || !(family == 0 || one_stream) {
        return Err(MediaError::unsupported(format!(
            "an Ogg container with Opus of {channels} channels in mapping family {family}, where only mono and \
             stereo are decoded"
        )));
    }
    Ok(Ident {
        codec: Codec::Opus { gain },
        timing: PacketTiming::Opus { pre_skip },
        rate: 48_000,
        channels: u32::from(channels),
        bitrate: None,
    })
}

/// Vorbis I, section 4.2.2.
fn vorbis(packet: &[u8]) -> Result<Ident, MediaError> {
    let fields = || {
        let version = u32::from_le_bytes(array(packet, 7)?);
        let channels = *packet.get(11)?;
        let rate = u32::from_le_bytes(array(packet, 12)?);
        let nominal = i32::from_le_bytes(array(packet, 20)?);
        let blocks = *packet.get(28)?;
        let (short, long) = (blocks & 15, blocks >> 4);
        let possible = version == 0
            && (1..=32).contains(&channels)
            && (MIN_RATE..=MAX_RATE).contains(&rate)
            && 6 <= short
            && short <= long
            && long <= 13;
        possible.then_some((channels, rate, nominal, 1u16 << short, 1u16 << long))
    };
    let (channels, rate, nominal, short, long) =
        fields().ok_or_else(|| MediaError::damaged("an impossible Vorbis header"))?;
    Ok(Ident {
        codec: Codec::Vorbis { headers: packet.get(..30).unwrap_or(packet).to_vec() },
        timing: PacketTiming::Vorbis { short, long, modes: 0, long_modes: 0 },
        rate,
        channels: u32::from(channels),
        bitrate: u64::try_from(nominal).ok().filter(|nominal| *nominal > 0),
    })
}

/// RFC 9639, section 10.1.
fn flac(packet: &[u8]) -> Result<Ident, MediaError> {
    let info = packet.get(17..51).filter(|_| packet.get(9..13) == Some(b"fLaC"));
    let stream = info
        .and_then(parse_stream)
        .ok_or_else(|| MediaError::damaged("an Ogg container with impossible FLAC stream information"))?;
    if stream.bits == 32 && stream.channels == 2 {
        // As in plain FLAC.
        return Err(MediaError::unsupported("an Ogg container with FLAC in 32-bit stereo"));
    }
    let mut stream_info = info.unwrap_or_default().to_vec();
    stream_info.iter_mut().skip(4).take(6).for_each(|byte| *byte = 0);
    Ok(Ident {
        rate: stream.sample_rate,
        channels: u32::from(stream.channels),
        codec: Codec::Flac { stream_info },
        timing: PacketTiming::Flac { stream },
        bitrate: None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn opus_head(channels: u8, gain: i16, family: &[u8]) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend(312u16.to_le_bytes());
        head.extend(48_000u32.to_le_bytes());
        head.extend(gain.to_le_bytes());
        head.extend(family);
        head
    }

    #[test]
    fn opus_of_more_channels_is_refused_with_the_reason() {
        let error = |bytes: &[u8]| identify(bytes).err().unwrap().to_string();
        assert!(identify(&opus_head(2, 0, &[0])).unwrap().is_some());
        assert!(identify(&opus_head(2, 0, &[1, 1, 1, 0, 1])).unwrap().is_some());
        let surround = error(&opus_head(6, 0, &[1, 4, 2, 0, 4, 1, 2, 3, 5]));
        assert!(surround.contains("Opus of 6 channels in mapping family 1"), "{surround}");
        assert!(error(&opus_head(2, 0, &[255, 2, 0, 0, 1])).contains("family 255"));
        assert!(error(b"OpusHead\x01").contains("too short"));
        let ident = identify(&opus_head(1, -512, &[0])).unwrap().unwrap();
        assert_eq!(ident.codec, Codec::Opus { gain: -512 });
    }
}
