//! What each codec needs: parameters for its decoder, and packets before the wanted one.

use symphonia::core::audio::layouts::{CHANNEL_LAYOUT_MONO, CHANNEL_LAYOUT_STEREO};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3, CODEC_ID_OPUS, CODEC_ID_VORBIS,
};

use crate::init::{Codec, InitSection};
use crate::packet::Packet;

/// The decoder's parameters; `None` for what needs no decoder.
pub(crate) fn parameters(init: &InitSection) -> Option<AudioCodecParameters> {
    let (id, extra) = match &init.codec {
        Codec::Pcm(_) => return None,
        Codec::Flac { stream_info } => (CODEC_ID_FLAC, stream_info.as_slice()),
        Codec::Mp3 { .. } => (CODEC_ID_MP3, [].as_slice()),
        Codec::Aac { config } => (CODEC_ID_AAC, config.as_slice()),
        Codec::Alac { cookie } => (CODEC_ID_ALAC, cookie.as_slice()),
        Codec::Vorbis { headers } => (CODEC_ID_VORBIS, headers.as_slice()),
        Codec::Opus { .. } => (CODEC_ID_OPUS, [].as_slice()),
    };
    let mut params = AudioCodecParameters::new();
    params.for_codec(id);
    if !extra.is_empty() {
        params.with_extra_data(extra.to_vec().into_boxed_slice());
    }
    if id == CODEC_ID_OPUS {
        let layout = if init.channels() == 1 { CHANNEL_LAYOUT_MONO } else { CHANNEL_LAYOUT_STEREO };
        params.with_sample_rate(init.rate()).with_channels(layout);
    }
    Some(params)
}

/// How many packets before `packets.last()` a fresh decoder has to be fed so that this one comes out exactly
/// (measured against decoding in one go). Counted in packets, so that it is the same for every worker.
///
/// `packets` ends with the packet that is wanted and begins early enough, or where the recording begins.
pub(crate) fn preroll(codec: &Codec, packets: &[Packet]) -> usize {
    match codec {
        // Each packet for itself.
        Codec::Pcm(_) | Codec::Flac { .. } | Codec::Alac { .. } => 0,
        Codec::Mp3 { mpeg1: true } => mp3_preroll(511, packets),
        Codec::Mp3 { mpeg1: false } => mp3_preroll(255, packets),
        // The overlap of the transform.
        Codec::Aac { .. } | Codec::Vorbis { .. } => undamaged(packets).take(1).count(),
        Codec::Opus { .. } => opus_preroll(packets),
    }
}

/// The packets before the last one, backwards, as far as nothing is damaged: nothing before a damaged stretch helps,
/// because the decoder starts afresh after it.
fn undamaged(packets: &[Packet]) -> impl Iterator<Item = &Packet> {
    packets.iter().rev().skip(1).take_while(|packet| !packet.damaged)
}

/// Frames that fill the reservoir of `reservoir` bytes, and the ones that overlap.
fn mp3_preroll(reservoir: u64, packets: &[Packet]) -> usize {
    /// Frames whose overlap and filter memory reach into the wanted one.
    const OVERLAP: usize = 2;
    /// Most frames: some 20 times what an honest stream needs.
    const MOST: usize = 200;
    let (mut count, mut main_data) = (0, 0u64);
    for packet in undamaged(packets).take(MOST) {
        if count >= OVERLAP && main_data >= reservoir {
            break;
        }
        count += 1;
        if count > OVERLAP {
            main_data += u64::from(packet.carry);
        }
    }
    count
}

/// One second: more than the 80 ms of RFC 7845, section 4.6, because only then the fine energies of CELT agree exactly.
fn opus_preroll(packets: &[Packet]) -> usize {
    const ENOUGH: u64 = 48_000;
    let mut frames = 0;
    undamaged(packets)
        .take_while(|packet| {
            let more = frames < ENOUGH;
            frames += u64::from(packet.frames);
            more
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::PcmFormat;

    fn packet(carry: u16, damaged: bool) -> Packet {
        Packet { offset: 0, hash: 0, len: 0, frames: 1152, lead: 0, tail: 0, carry, damaged }
    }

    #[test]
    fn the_reservoir_is_filled_before_the_overlap() {
        let list = vec![packet(381, false); 20];
        assert_eq!(preroll(&Codec::Mp3 { mpeg1: true }, &list), 4);
        assert_eq!(preroll(&Codec::Mp3 { mpeg1: false }, &list), 3);
        assert_eq!(preroll(&Codec::Mp3 { mpeg1: true }, &list[..2]), 1);
        assert_eq!(preroll(&Codec::Pcm(PcmFormat::S16), &list), 0);
    }

    #[test]
    fn a_damaged_stretch_ends_the_pre_roll() {
        let mut list = vec![packet(100, false); 20];
        list[16] = packet(0, true);
        assert_eq!(preroll(&Codec::Mp3 { mpeg1: true }, &list), 2);
    }
}
