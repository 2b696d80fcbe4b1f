//! MPEG audio layer III: frame headers (ISO 11172-3 and 13818-3, section 2.4.1) and the encoder's tags.

use super::array;

/// Bits that never change within a stream: sync, version, layer, sample rate.
const FIXED_BITS: u32 = 0xfffe_0c00;
/// Bytes of a frame header.
pub(crate) const HEADER: u64 = 4;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the whole frame.
    pub len: u32,
    /// Frames (samples per channel): 1152 or 576.
    pub samples: u32,
    /// Hz.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Bits a second.
    pub bitrate: u32,
    /// Bytes of side information.
    pub side: u32,
    /// Bytes of the CRC after the header.
    pub crc: u32,
    /// MPEG-1; otherwise MPEG-2 or 2.5.
    pub mpeg1: bool,
    /// Those bits that are the same in every header of a stream.
    pub fixed_bits: u32,
}

impl FrameHeader {
    /// Bytes that the frame adds to the bit reservoir.
    pub(crate) fn main_data(&self) -> u32 {
        self.len.saturating_sub(4 + self.crc + self.side)
    }
}

/// Parses the header at the start of `bytes`; `None` where it is none of layer III (or of free format).
pub(crate) fn parse_header(bytes: &[u8]) -> Option<FrameHeader> {
    const KBPS_1: [u32; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
    const KBPS_2: [u32; 16] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0];
    let word = u32::from_be_bytes(array(bytes, 0)?);
    // Eleven bits of sync, layer III.
    if word >> 21 != 0x7ff || word >> 17 & 3 != 1 {
        return None;
    }
    let (mpeg1, divisor) = match word >> 19 & 3 {
        3 => (true, 1),
        2 => (false, 2),
        0 => (false, 4),
        _ => return None,
    };
    let index = usize::try_from(word >> 12 & 15).ok()?;
    let bitrate = 1000 * if mpeg1 { KBPS_1[index] } else { KBPS_2[index] };
    let rate = match word >> 10 & 3 {
        0 => 44_100,
        1 => 48_000,
        2 => 32_000,
        _ => return None,
    } / divisor;
    // Emphasis 2 is reserved.
    if bitrate == 0 || word & 3 == 2 {
        return None;
    }
    let channels = if word >> 6 & 3 == 3 { 1 } else { 2 };
    let samples = if mpeg1 { 1152 } else { 576 };
    Some(FrameHeader {
        len: samples / 8 * bitrate / rate + (word >> 9 & 1),
        samples,
        rate,
        channels,
        bitrate,
        side: match (mpeg1, channels) {
            (true, 1) | (false, 2) => 17,
            (true, _) => 32,
            (false, _) => 9,
        },
        crc: if word >> 16 & 1 == 0 { 2 } else { 0 },
        mpeg1,
        fixed_bits: word & FIXED_BITS,
    })
}

/// What the tag in the first frame says (Xing, Info, LAME, VBRI).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EncoderTag {
    /// Audio frames that follow the tag's frame.
    pub frames: Option<u32>,
    /// Bytes from the tag's frame to the end of the audio.
    pub bytes: Option<u32>,
    /// Frames (samples) of encoder delay and padding, as the encoder counts them.
    pub delay_and_padding: Option<(u32, u32)>,
}

/// Reads the encoder's tag out of a frame; `None` if the frame is audio.
pub(crate) fn encoder_tag(frame: &[u8], header: &FrameHeader) -> Option<EncoderTag> {
    let at = 4 + usize::try_from(header.side).ok()?;
    let tag = if matches!(&array::<4>(frame, at)?, b"Xing" | b"Info") {
        xing(frame.get(at + 4..)?)?
    } else if &array::<4>(frame, 36)? == b"VBRI" {
        EncoderTag {
            frames: array(frame, 50).map(u32::from_be_bytes),
            bytes: array(frame, 46).map(u32::from_be_bytes),
            delay_and_padding: None,
        }
    } else {
        return None;
    };
    // Without either count it may be anything: other players take it for audio, and so do we.
    (tag.frames.is_some_and(|n| n > 0) || tag.bytes.is_some_and(|n| n > 0)).then_some(tag)
}

fn xing(body: &[u8]) -> Option<EncoderTag> {
    let flags = u32::from_be_bytes(array(body, 0)?);
    let mut at = 4;
    let mut number = |present: bool, size: usize| {
        let value = present.then(|| array(body, at).map(u32::from_be_bytes)).flatten();
        at += if present { size } else { 0 };
        value
    };
    let frames = number(flags & 1 != 0, 4);
    let bytes = number(flags & 2 != 0, 4);
    number(flags & 4 != 0, 100);
    number(flags & 8 != 0, 4);
    let encoder = array::<4>(body, at);
    // Delay and padding are the three bytes from 21 on, 12 bits each: the low bits of the word from 20 on.
    let packed = array::<4>(body, at + 20).map(u32::from_be_bytes);
    let lame = matches!(encoder.as_ref(), Some(b"LAME" | b"Lavf" | b"Lavc"));
    let delay_and_padding = packed.filter(|_| lame).map(|word| (word >> 12 & 0xfff, word & 0xfff));
    Some(EncoderTag { frames, bytes, delay_and_padding })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_all_versions() {
        let mpeg1 = parse_header(&[0xff, 0xfb, 0x90, 0x64]).unwrap();
        assert_eq!((mpeg1.len, mpeg1.samples, mpeg1.rate, mpeg1.channels), (417, 1152, 44_100, 2));
        assert_eq!((mpeg1.side, mpeg1.main_data()), (32, 381));
        let mpeg2 = parse_header(&[0xff, 0xf3, 0x40, 0xc0]).unwrap();
        assert_eq!((mpeg2.samples, mpeg2.rate, mpeg2.channels, mpeg2.side), (576, 22_050, 1, 9));
        let mpeg25 = parse_header(&[0xff, 0xe3, 0x48, 0xc0]).unwrap();
        assert_eq!(mpeg25.rate, 8_000);
        assert!(!mpeg25.mpeg1);
    }

    #[test]
    fn what_is_no_layer_three_is_refused() {
        for bytes in [
            [0xff, 0xf1, 0x50, 0x80], // ADTS
            [0xff, 0xfd, 0x90, 0x64], // layer II
            [0xff, 0xfb, 0x00, 0x64], // free format
            [0xff, 0xfb, 0xf0, 0x64], // no such bit rate
            [0xff, 0xfb, 0x9c, 0x64], // no such sample rate
            [0xff, 0xeb, 0x90, 0x64], // no such version
        ] {
            assert_eq!(parse_header(&bytes), None, "{bytes:02x?}");
        }
    }
}
