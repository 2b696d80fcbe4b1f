//! Packets to samples: one decoder a codec, behind one function that always keeps the count of frames.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP3, CODEC_ID_OPUS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::RegisterableAudioDecoder;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia_adapter_libopus::OpusDecoder;

use crate::codec;
use crate::error::MediaError;
use crate::init::{Codec, InitSection, PcmFormat};
use crate::packet::Packet;

/// Turns packets into interleaved samples in −1…1, as many frames as the packet claims.
pub(crate) struct Decoder {
    channels: usize,
    /// Factor on all samples, where the header asks for one.
    gain: Option<f32>,
    /// Whether nothing was decoded yet.
    fresh: bool,
    inner: Inner,
    scratch: Vec<f32>,
}

enum Inner {
    Pcm(PcmFormat),
    Symphonia { params: Box<AudioCodecParameters>, decoder: Box<dyn AudioDecoder>, mono: Option<bool> },
}

impl Decoder {
    pub(crate) fn new(init: &InitSection) -> Result<Self, MediaError> {
        let inner = match (&init.codec, codec::parameters(init)) {
            (Codec::Pcm(format), _) => Inner::Pcm(*format),
            (_, Some(params)) => Inner::symphonia(params)?,
            (_, None) => return Err(MediaError::unsupported("a codec without a decoder")),
        };
        let gain = match init.codec {
            Codec::OpusGain { gain } => Some(10f32.powf(f32::from(gain) / (20.0 * 256.0))),
            Codec::Pcm(_)
            | Codec::Flac { .. }
            | Codec::Mp3 { .. }
            | Codec::Aac { .. }
            | Codec::Alac { .. }
            | Codec::Vorbis { .. }
            | Codec::Opus => None,
        };
        Ok(Self { channels: init.channels(), gain, fresh: true, inner, scratch: Vec::new() })
    }

    /// Appends exactly `packet.frames` frames to `out`. A packet that fails to decode is silence, and told by `false`.
    pub(crate) fn decode(&mut self, packet: &Packet, bytes: &[u8], out: &mut Vec<f32>) -> bool {
        let frames = usize::try_from(packet.frames).unwrap_or(0);
        let start = out.len();
        let want = start + frames * self.channels;
        self.fresh = false;
        match &mut self.inner {
            Inner::Pcm(format) => pcm(*format, bytes, out),
            Inner::Symphonia { params, decoder, mono } => {
                // A decoder is made for one number of channels only.
                let is_mono = params.codec == CODEC_ID_MP3 && bytes.get(3).is_some_and(|b| b >> 6 == 3);
                if mono.replace(is_mono).is_some_and(|before| before != is_mono) {
                    renew(params, decoder);
                }
                match guarded(decoder.as_mut(), bytes, &mut self.scratch) {
                    Outcome::Done { channels } => append_mapped(&self.scratch, channels, self.channels, out),
                    Outcome::Refused => {}
                    Outcome::Panicked => renew(params, decoder),
                }
            }
        }
        let whole = out.len() == want;
        out.resize(want, 0.0);
        if let Some(gain) = self.gain {
            out[start..].iter_mut().for_each(|sample| *sample *= gain);
        }
        whole
    }

    /// Forgets what came before: after a damaged stretch nothing of it may be used.
    pub(crate) fn reset(&mut self) {
        if let Inner::Symphonia { params, decoder, .. } = &mut self.inner
            && !self.fresh
        {
            renew(params, decoder);
            self.fresh = true;
        }
    }
}

impl Inner {
    fn symphonia(params: AudioCodecParameters) -> Result<Self, MediaError> {
        let decoder = make(&params)
            .ok_or_else(|| MediaError::damaged("its stream information, which the decoder refuses"))?;
        Ok(Self::Symphonia { params: Box::new(params), decoder, mono: None })
    }
}

fn make(params: &AudioCodecParameters) -> Option<Box<dyn AudioDecoder>> {
    // Trimming is done once, by packet (FINDINGS A): `gapless` off.
    let options = AudioDecoderOptions::default().gapless(false);
    catch_unwind(AssertUnwindSafe(|| {
        if params.codec == CODEC_ID_OPUS {
            return OpusDecoder::try_registry_new(params, &options);
        }
        symphonia::default::get_codecs().make_audio_decoder(params, &options)
    }))
    .ok()?
    .ok()
}

fn renew(params: &AudioCodecParameters, decoder: &mut Box<dyn AudioDecoder>) {
    if let Some(fresh) = make(params) {
        *decoder = fresh;
    }
}

enum Outcome {
    Done { channels: usize },
    Refused,
    Panicked,
}

/// Decodes with a net below: a panic inside a decoder is that packet's failure, not the worker's.
fn guarded(decoder: &mut dyn AudioDecoder, bytes: &[u8], samples: &mut Vec<f32>) -> Outcome {
    let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, bytes);
    catch_unwind(AssertUnwindSafe(|| match decoder.decode_ref(&packet) {
        Ok(buffer) => {
            buffer.copy_to_vec_interleaved(samples);
            Outcome::Done { channels: buffer.num_planes() }
        }
        Err(_) => Outcome::Refused,
    }))
    .unwrap_or(Outcome::Panicked)
}

/// Appends samples of `from` channels as samples of `to` channels.
fn append_mapped(samples: &[f32], from: usize, to: usize, out: &mut Vec<f32>) {
    if from == to {
        out.extend_from_slice(samples);
        return;
    }
    for frame in samples.chunks_exact(from.max(1)) {
        let mean = frame.iter().sum::<f32>() / frame.len() as f32;
        out.extend(std::iter::repeat_n(mean, to));
    }
}

fn pcm(format: PcmFormat, bytes: &[u8], out: &mut Vec<f32>) {
    const I32_SCALE: f32 = 1.0 / 2_147_483_648.0;
    match format {
        PcmFormat::U8 => out.extend(bytes.iter().map(|b| (f32::from(*b) - 128.0) / 128.0)),
        PcmFormat::S16 => each(bytes, out, |b: [u8; 2]| f32::from(i16::from_le_bytes(b)) / 32_768.0),
        PcmFormat::S24 => {
            each(bytes, out, |b: [u8; 3]| i32::from_le_bytes([0, b[0], b[1], b[2]]) as f32 * I32_SCALE)
        }
        PcmFormat::S32 => each(bytes, out, |b: [u8; 4]| i32::from_le_bytes(b) as f32 * I32_SCALE),
        PcmFormat::F32 => each(bytes, out, f32::from_le_bytes),
        PcmFormat::F64 => each(bytes, out, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, convert: impl Fn([u8; N]) -> f32) {
    let (samples, _) = bytes.as_chunks::<N>();
    out.extend(samples.iter().map(|sample| convert(*sample)));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
        assert_eq!(value(PcmFormat::F32, &0.25f32.to_le_bytes()), 0.25);
        assert_eq!(value(PcmFormat::F64, &0.25f64.to_le_bytes()), 0.25);
    }

    #[test]
    fn channels_are_mapped_when_they_change() {
        let mut out = Vec::new();
        append_mapped(&[0.5, -0.5, 1.0, 0.0], 2, 1, &mut out);
        append_mapped(&[0.25], 1, 2, &mut out);
        assert_eq!(out, [0.0, 0.5, 0.25, 0.25]);
    }
}
