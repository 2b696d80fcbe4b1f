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
use crate::pcm::pcm;

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
            Codec::Opus { gain } if gain != 0 => Some(10f32.powf(f32::from(gain) / (20.0 * 256.0))),
            Codec::Pcm(_)
            | Codec::Flac { .. }
            | Codec::Mp3 { .. }
            | Codec::Aac { .. }
            | Codec::Alac { .. }
            | Codec::Vorbis { .. }
            | Codec::Opus { .. } => None,
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
    // Trimming is done once, by packet, and not here too: `gapless` off.
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

#[cfg(test)]
mod tests {
    use symphonia::core::audio::{Channels, GenericAudioBufferRef, Position};
    use symphonia::core::codecs::CodecInfo;
    use symphonia::core::codecs::audio::FinalizeResult;
    use symphonia::core::errors::Result;

    use super::*;

    /// A decoder with a defect.
    struct Defect;

    impl AudioDecoder for Defect {
        fn reset(&mut self) {}

        fn codec_info(&self) -> &CodecInfo {
            panic!("a defect")
        }

        fn codec_params(&self) -> &AudioCodecParameters {
            panic!("a defect")
        }

        fn decode_ref(&mut self, _: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
            panic!("a defect")
        }

        fn finalize(&mut self) -> FinalizeResult {
            FinalizeResult::default()
        }

        fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
            panic!("a defect")
        }
    }

    /// The packet is silence, and the next one is decoded by a new decoder.
    #[test]
    fn a_panic_inside_of_a_decoder_costs_its_packet() {
        let mut params = AudioCodecParameters::new();
        params.for_codec(CODEC_ID_OPUS).with_sample_rate(48_000);
        params.with_channels(Channels::Positioned(Position::FRONT_LEFT));
        let inner = Inner::Symphonia { params: Box::new(params), decoder: Box::new(Defect), mono: None };
        let mut decoder = Decoder { channels: 1, gain: None, fresh: true, inner, scratch: Vec::new() };
        // 20 ms of Opus that say nothing: one frame without bytes.
        let (packet, bytes) = (Packet { damaged: false, ..Packet::gap(0, 1, 960) }, [0x78]);
        let mut out = Vec::new();
        assert!(!decoder.decode(&packet, &bytes, &mut out));
        assert_eq!(out, [0.0; 960]);
        assert!(decoder.decode(&packet, &bytes, &mut out), "the new one decodes");
        assert_eq!(out.len(), 2 * 960);
    }

    #[test]
    fn channels_are_mapped_when_they_change() {
        let mut out = Vec::new();
        append_mapped(&[0.5, -0.5, 1.0, 0.0], 2, 1, &mut out);
        append_mapped(&[0.25], 1, 2, &mut out);
        assert_eq!(out, [0.0, 0.5, 0.25, 0.25]);
    }
}
