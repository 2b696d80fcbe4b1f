//! What a CAF file's magic cookie (`kuki` chunk) says of its codec.

use super::{aac_config, array};
use crate::error::MediaError;
use crate::init::Codec;

/// A codec and what it decodes to.
pub(crate) struct Sound {
    pub codec: Codec,
    /// As `MediaInfo::codec` gives it.
    pub name: &'static str,
    /// Hz.
    pub rate: u32,
    pub channels: u32,
}

/// Opus has no cookie: it always decodes to one rate.
pub(crate) fn opus(channels: u32) -> Sound {
    Sound { codec: Codec::Opus { gain: 0 }, name: "opus", rate: 48_000, channels }
}

/// AAC: the cookie is an ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5).
pub(crate) fn aac(cookie: &[u8]) -> Result<Sound, MediaError> {
    let damaged = || MediaError::damaged("a Core Audio Format file without a sound description of its AAC");
    let config = decoder_config(cookie).ok_or_else(damaged)?;
    let core = aac_config::core_of(config)?;
    let (config, rate, channels) = (core.config, core.rate, u32::from(core.channels));
    Ok(Sound { codec: Codec::Aac { config }, name: "aac", rate, channels })
}

/// ALAC: the cookie is an ALACSpecificConfig of 24 bytes, which older files wrap in the atoms `frma` and `alac`.
pub(crate) fn alac(cookie: &[u8], packet_frames: u32) -> Result<Sound, MediaError> {
    const ATOMS: usize = 12 + 12;
    let wrapped = cookie.get(4..8) == Some(b"frma");
    let cookie = cookie
        .get(if wrapped { ATOMS } else { 0 }..)
        .and_then(|rest| rest.get(..24))
        .ok_or_else(|| MediaError::damaged("a Core Audio Format file without a description of its ALAC"))?;
    let word = |at| array(cookie, at).map_or(0, u32::from_be_bytes);
    let (frames, rate) = (word(0), word(20));
    let (bits, channels) = (cookie[5], cookie[9]);
    // The decoder allocates what the cookie says.
    if frames != packet_frames || !matches!(bits, 16 | 20 | 24 | 32) {
        return Err(MediaError::damaged(format!("ALAC of {bits} bits in packets of {frames} frames")));
    }
    let codec = Codec::Alac { cookie: cookie.to_vec() };
    Ok(Sound { codec, name: "alac", rate, channels: u32::from(channels) })
}

/// The DecoderSpecificInfo inside the DecoderConfigDescriptor inside an ES_Descriptor.
fn decoder_config(cookie: &[u8]) -> Option<&[u8]> {
    // Some writers put the version and flags of an `esds` atom before it.
    let stream = descriptor(cookie.strip_prefix(&[0; 4]).unwrap_or(cookie), 3)?;
    // Its number, then flags: depends on another stream, has an address, has a clock of its own.
    let flags = *stream.get(2)?;
    let mut rest = stream.get(3..)?;
    if flags & 0x80 != 0 {
        rest = rest.get(2..)?;
    }
    if flags & 0x40 != 0 {
        rest = rest.get(1 + usize::from(*rest.first()?)..)?;
    }
    if flags & 0x20 != 0 {
        rest = rest.get(2..)?;
    }
    descriptor(descriptor(rest, 4)?.get(13..)?, 5)
}

/// The body of the descriptor with this tag at the start of `bytes`: its size has 7 bits a byte, in up to 4 bytes.
fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, mut rest) = bytes.split_first()?;
    let mut size = 0usize;
    for _ in 0..4 {
        let (byte, after) = rest.split_first()?;
        rest = after;
        size = size << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return rest.get(..size).filter(|_| *found == tag);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn aac_is_read_out_of_its_descriptors() {
        let cookie = |config: &[u8]| {
            let mut bytes =
                b"\x03\x80\x80\x80\x22\0\0\0\x04\x80\x80\x80\x14\x40\x15\0\x18\0\0\0\0\0\0\0\0\0".to_vec();
            bytes.extend([5, 0x80, 0x80, 0x80, config.len() as u8]);
            bytes.extend(config);
            // Sizes of the outer two are right for a config of two bytes, and too large for none of these.
            bytes.extend(b"\x06\x80\x80\x80\x01\x02");
            bytes
        };
        let sound = aac(&cookie(&[0x12, 0x10])).unwrap();
        assert_eq!((sound.rate, sound.channels), (44_100, 2));
        assert!(aac(&cookie(&[0x2b, 0x92])).is_err(), "object type 5");
        assert!(aac(&cookie(&[0x12, 0x00])).is_err(), "layout in a program config element");
        for len in 0..cookie(&[0x12, 0x10]).len() - 6 {
            assert!(aac(&cookie(&[0x12, 0x10])[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn cookies_of_alac_are_unwrapped_and_checked() {
        let plain = b"\0\0\x10\0\0\x10\x28\x0a\x0e\x01\0\0\0\0\x20\x04\0\x05\x62\x20\0\0\x56\x22";
        let wrapped = [b"\0\0\0\x0cfrmaalac\0\0\0\x24alac\0\0\0\0", &plain[..]].concat();
        for cookie in [&plain[..], &wrapped] {
            let sound = alac(cookie, 4096).unwrap();
            assert_eq!((sound.rate, sound.channels), (22_050, 1));
            assert_eq!(sound.codec, Codec::Alac { cookie: plain.to_vec() });
        }
        assert!(alac(plain, 1024).is_err());
        assert!(alac(&plain[..23], 4096).is_err());
    }
}
