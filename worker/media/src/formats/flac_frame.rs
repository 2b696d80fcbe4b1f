//! FLAC: stream information and frame headers (RFC 9639, sections 8.2 and 9.1).

use symphonia::core::checksum::Crc8Ccitt;
use symphonia::core::io::Monitor;

use super::array;
use crate::init::FlacStream;

/// Longest frame header: sync and codes 4, coded number 7, block size 2, rate 2, CRC 1.
pub(crate) const MAX_HEADER: u64 = 16;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the header with its CRC-8.
    pub len: u64,
    /// Frames (samples per channel).
    pub block: u64,
    /// Number of the first sample in the stream.
    pub first_sample: u64,
}

/// Parses a STREAMINFO block of 34 bytes; `None` where it contradicts the specification.
pub(crate) fn parse_stream(info: &[u8]) -> Option<FlacStream> {
    let min_block = u16::from_be_bytes(array(info, 0)?);
    let max_block = u16::from_be_bytes(array(info, 2)?);
    let packed = u64::from_be_bytes(array(info, 10)?);
    let sample_rate = u32::try_from(packed >> 44).ok()?;
    let channels = u8::try_from((packed >> 41) & 7).ok()? + 1;
    let bits = u8::try_from((packed >> 36) & 31).ok()? + 1;
    let total = packed & 0xf_ffff_ffff;
    let sane = info.len() == 34 && min_block >= 16 && max_block >= min_block && bits >= 4;
    (sane && (1_000..=655_350).contains(&sample_rate)).then_some(FlacStream {
        sample_rate,
        channels,
        bits,
        max_block,
        variable: min_block != max_block,
        total: (total > 0).then_some(total),
    })
}

/// Whether two bytes may begin a frame of the stream (sync code and blocking strategy).
pub(crate) fn may_begin(first: u8, second: u8, stream: &FlacStream) -> bool {
    first == 0xff && second == 0xf8 | u8::from(stream.variable)
}

/// Parses the frame header at the start of `bytes`; `None` unless its CRC-8 holds and it fits the stream.
pub(crate) fn parse_header(bytes: &[u8], stream: &FlacStream) -> Option<FrameHeader> {
    let [first, second, sizes, shape] = array(bytes, 0)?;
    if !may_begin(first, second, stream) || shape & 1 != 0 || !channels_fit(shape >> 4, stream.channels) {
        return None;
    }
    let bits = [0, 8, 12, 0xff, 16, 20, 24, 32][usize::from((shape >> 1) & 7)];
    if bits != 0 && bits != stream.bits {
        return None;
    }
    let (number, mut at) = coded_number(bytes, 4)?;
    let block = match sizes >> 4 {
        0 => return None,
        1 => 192,
        code @ 2..=5 => 576u64 << (code - 2),
        6 => {
            at += 1;
            u64::from(*bytes.get(at - 1)?) + 1
        }
        7 => {
            at += 2;
            u64::from(u16::from_be_bytes(array(bytes, at - 2)?)) + 1
        }
        code => 256u64 << (code - 8),
    };
    let rate = rate_of(sizes & 15, bytes, &mut at, stream.sample_rate)?;
    if rate != stream.sample_rate || block > u64::from(stream.max_block) {
        return None;
    }
    let mut crc = Crc8Ccitt::new(0);
    crc.process_buf_bytes(bytes.get(..at)?);
    if crc.crc() != *bytes.get(at)? {
        return None;
    }
    let first_sample = if stream.variable { number } else { number * u64::from(stream.max_block) };
    Some(FrameHeader { len: at as u64 + 1, block, first_sample })
}

fn channels_fit(assignment: u8, channels: u8) -> bool {
    match assignment {
        0..=7 => assignment + 1 == channels,
        8..=10 => channels == 2,
        _ => false,
    }
}

fn rate_of(code: u8, bytes: &[u8], at: &mut usize, from_stream: u32) -> Option<u32> {
    let fixed = match code {
        0 => from_stream,
        1 => 88_200,
        2 => 176_400,
        3 => 192_000,
        4 => 8_000,
        5 => 16_000,
        6 => 22_050,
        7 => 24_000,
        8 => 32_000,
        9 => 44_100,
        10 => 48_000,
        11 => 96_000,
        12 => {
            *at += 1;
            u32::from(*bytes.get(*at - 1)?) * 1_000
        }
        13 | 14 => {
            *at += 2;
            let value = u32::from(u16::from_be_bytes(array(bytes, *at - 2)?));
            if code == 13 { value } else { value * 10 }
        }
        _ => return None,
    };
    Some(fixed)
}

/// The coded number: like UTF-8, but of up to 36 bits. Returns it with the index of the byte after it.
fn coded_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let length = match first.leading_ones() {
        0 => return Some((u64::from(first), at + 1)),
        ones @ 2..=7 => usize::try_from(ones).ok()?,
        _ => return None,
    };
    // The length takes `length` ones and a zero; the rest of the byte begins the number.
    let mask = if length >= 7 { 0 } else { 0x7fu8 >> length };
    let mut number = u64::from(first & mask);
    for next in bytes.get(at + 1..at + length)? {
        if next & 0xc0 != 0x80 {
            return None;
        }
        number = number << 6 | u64::from(next & 0x3f);
    }
    Some((number, at + length))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stream() -> FlacStream {
        FlacStream {
            sample_rate: 44_100,
            channels: 2,
            bits: 16,
            max_block: 4096,
            variable: false,
            total: None,
        }
    }

    fn header(number: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xf8, 0xc9, 0xa8];
        bytes.extend_from_slice(number);
        let mut crc = Crc8Ccitt::new(0);
        crc.process_buf_bytes(&bytes);
        bytes.push(crc.crc());
        bytes
    }

    #[test]
    fn headers_are_read_with_their_number() {
        let parsed = parse_header(&header(&[0x05]), &stream()).unwrap();
        assert_eq!(parsed, FrameHeader { len: 6, block: 4096, first_sample: 5 * 4096 });
        let parsed = parse_header(&header(&[0xc2, 0x80]), &stream()).unwrap();
        assert_eq!(parsed.first_sample, 128 * 4096);
    }

    #[test]
    fn a_wrong_crc_or_another_stream_is_no_header() {
        let mut bytes = header(&[0x05]);
        bytes[5] ^= 1;
        assert_eq!(parse_header(&bytes, &stream()), None);
        let other = FlacStream { bits: 24, ..stream() };
        assert_eq!(parse_header(&header(&[0x05]), &other), None);
    }

    #[test]
    fn coded_numbers_have_up_to_seven_bytes() {
        assert_eq!(coded_number(&[0x24], 0), Some((0x24, 1)));
        assert_eq!(coded_number(&[0xe2, 0x82, 0xac], 0), Some((0x20ac, 3)));
        assert_eq!(coded_number(&[0xfe, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf], 0), Some((0xf_ffff_ffff, 7)));
        assert_eq!(coded_number(&[0xff, 0x80], 0), None);
        assert_eq!(coded_number(&[0x80], 0), None);
        assert_eq!(coded_number(&[0xc2, 0x00], 0), None);
    }
}
