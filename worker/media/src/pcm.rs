//! Samples of interleaved PCM, linear and companded, as floats.

use crate::init::PcmFormat;

/// Appends all whole samples of `bytes` to `out`, in −1…1.
pub(crate) fn pcm(format: PcmFormat, bytes: &[u8], out: &mut Vec<f32>) {
    const I32_SCALE: f32 = 1.0 / 2_147_483_648.0;
    let s16 = |sample: i16| f32::from(sample) / 32_768.0;
    let s32 = |sample: i32| sample as f32 * I32_SCALE;
    match format {
        PcmFormat::U8 => each(bytes, out, |[b]| (f32::from(b) - 128.0) / 128.0),
        PcmFormat::S8 => each(bytes, out, |b| f32::from(i8::from_le_bytes(b)) / 128.0),
        PcmFormat::S16 => each(bytes, out, |b| s16(i16::from_le_bytes(b))),
        PcmFormat::S16Be => each(bytes, out, |b| s16(i16::from_be_bytes(b))),
        PcmFormat::S24 => each(bytes, out, |[a, b, c]| s32(i32::from_le_bytes([0, a, b, c]))),
        PcmFormat::S24Be => each(bytes, out, |[a, b, c]| s32(i32::from_be_bytes([a, b, c, 0]))),
        PcmFormat::S32 => each(bytes, out, |b| s32(i32::from_le_bytes(b))),
        PcmFormat::S32Be => each(bytes, out, |b| s32(i32::from_be_bytes(b))),
        PcmFormat::F32 => each(bytes, out, f32::from_le_bytes),
        PcmFormat::F32Be => each(bytes, out, f32::from_be_bytes),
        PcmFormat::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
        PcmFormat::F64Be => each(bytes, out, |b| f64::from_be_bytes(b) as f32),
        PcmFormat::ALaw => each(bytes, out, |[b]| s16(a_law(b))),
        PcmFormat::MuLaw => each(bytes, out, |[b]| s16(mu_law(b))),
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, convert: impl Fn([u8; N]) -> f32) {
    let (samples, _) = bytes.as_chunks::<N>();
    out.extend(samples.iter().map(|sample| convert(*sample)));
}

/// ITU-T G.711, table 1: sign (set: positive), segment of 3 bits, step of 4 bits, every other bit inverted; 13 bits,
/// here in the upper bits of 16.
fn a_law(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (segment, step) = (code >> 4 & 7, i16::from(code & 15));
    let size = match segment {
        0 => step << 4 | 8,
        _ => (step << 4 | 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 { size } else { -size }
}

/// ITU-T G.711, table 2: sign (set: negative), segment, step, all bits inverted; 14 bits, here in the upper bits of 16.
fn mu_law(code: u8) -> i16 {
    const BIAS: i16 = 0x84;
    let code = !code;
    let (segment, step) = (code >> 4 & 7, i16::from(code & 15));
    let size = ((step << 3 | BIAS) << segment) - BIAS;
    if code & 0x80 != 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcm_of_all_kinds_has_the_same_scale() {
        let value = |format, bytes: &[u8]| {
            let mut out = Vec::new();
            pcm(format, bytes, &mut out);
            out[0]
        };
        assert_eq!(value(PcmFormat::U8, &[0]), -1.0);
        assert_eq!(value(PcmFormat::U8, &[192]), 0.5);
        assert_eq!(value(PcmFormat::S16, &[0, 0xc0]), -0.5);
        assert_eq!(value(PcmFormat::S24, &[0, 0, 0x40]), 0.5);
        assert_eq!(value(PcmFormat::S32, &[0, 0, 0, 0x80]), -1.0);
        assert_eq!(value(PcmFormat::S8, &[0xc0]), -0.5);
        assert_eq!(value(PcmFormat::S16Be, &[0xc0, 0]), -0.5);
        assert_eq!(value(PcmFormat::S24Be, &[0x40, 0, 0]), 0.5);
        assert_eq!(value(PcmFormat::S32Be, &[0x80, 0, 0, 0]), -1.0);
        assert_eq!(value(PcmFormat::F32, &0.25f32.to_le_bytes()), 0.25);
        assert_eq!(value(PcmFormat::F64, &0.25f64.to_le_bytes()), 0.25);
        assert_eq!(value(PcmFormat::F32Be, &0.25f32.to_be_bytes()), 0.25);
        assert_eq!(value(PcmFormat::F64Be, &0.25f64.to_be_bytes()), 0.25);
    }

    #[test]
    fn companded_codes_have_the_values_of_the_recommendation() {
        assert_eq!([0xd5, 0x55, 0xaa, 0x2a, 0x80].map(a_law), [8, -8, 32_256, -32_256, 5504]);
        assert_eq!([0xff, 0x7f, 0x80, 0x00, 0xdf].map(mu_law), [0, 0, 32_124, -32_124, 396]);
        // Both laws are monotonous along their codes.
        let rising = |values: Vec<i16>| values.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(rising((0x80..=0xff).map(|code: u8| a_law(code ^ 0x55)).collect()));
        assert!(rising((0x80..=0xff).rev().map(mu_law).collect()));
    }
}
