//! From the recording's rate to the engine's 16 kHz, without drift and without delay.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use crate::error::MediaError;

/// Rate of the samples that the engine takes, Hz.
pub const ENGINE_RATE: u32 = 16_000;

/// Frames at the recording's rate that are transformed at once, at least.
const BLOCK: usize = 1024;

/// A streaming resampler for one passage: sample k of its output stands at frame k · rate / 16 000 of its input.
pub(crate) struct Resampler {
    fft: Option<Fft<f32>>,
    rate: u64,
    block: usize,
    pending: Vec<f32>,
    output: Vec<f32>,
    /// Samples still to be dropped: the filter's delay.
    delay: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    pub(crate) fn new(rate: u32) -> Result<Self, MediaError> {
        let fft = if rate == ENGINE_RATE { None } else { Some(make(rate)?) };
        let (block, out, delay) = match &fft {
            Some(fft) => (fft.input_frames_next(), fft.output_frames_max(), fft.output_delay()),
            None => (BLOCK, 0, 0),
        };
        Ok(Self {
            fft,
            rate: u64::from(rate.max(1)),
            block,
            pending: Vec::with_capacity(2 * block),
            output: vec![0.0; out],
            delay,
            taken: 0,
            given: 0,
        })
    }

    /// Takes mono samples, appends what they make to `out`.
    pub(crate) fn push(&mut self, mono: &[f32], out: &mut Vec<f32>) -> Result<(), MediaError> {
        self.taken += mono.len() as u64;
        if self.fft.is_none() {
            self.given += mono.len() as u64;
            out.extend_from_slice(mono);
            return Ok(());
        }
        self.pending.extend_from_slice(mono);
        let mut used = 0;
        while self.pending.len() - used >= self.block {
            self.transform(used, self.block, out)?;
            used += self.block;
        }
        self.pending.drain(..used);
        Ok(())
    }

    /// Ends the passage: appends the rest, so that the whole is `round(frames · 16 000 / rate)` samples.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), MediaError> {
        let expected = samples_of(self.taken, self.rate);
        if self.fft.is_some() {
            let start = out.len();
            let before = self.given;
            let mut rest = self.pending.len();
            while self.given < expected {
                self.transform(0, rest, out)?;
                rest = 0;
            }
            out.truncate(start + usize::try_from(expected - before.min(expected)).unwrap_or(usize::MAX));
            self.pending.clear();
        }
        self.given = expected;
        Ok(())
    }

    /// Transforms `len` pending samples from `from` on, silence in the place of those that are missing to a block.
    fn transform(&mut self, from: usize, len: usize, out: &mut Vec<f32>) -> Result<(), MediaError> {
        let Some(fft) = &mut self.fft else {
            return Ok(());
        };
        let input = &self.pending[from..from + len];
        let capacity = self.output.len();
        let wrong =
            |what: String| MediaError::Limit { what: format!("the resampler refused a block: {what}") };
        let source = InterleavedSlice::new(input, 1, len).map_err(|error| wrong(error.to_string()))?;
        let mut target = InterleavedSlice::new_mut(&mut self.output, 1, capacity)
            .map_err(|error| wrong(error.to_string()))?;
        let indexing = Indexing::new().partial_len(len);
        let (_, made) = fft
            .process_into_buffer(&source, &mut target, Some(&indexing))
            .map_err(|error| wrong(error.to_string()))?;
        let dropped = self.delay.min(made);
        self.delay -= dropped;
        out.extend_from_slice(&self.output[dropped..made]);
        self.given += (made - dropped) as u64;
        Ok(())
    }
}

/// Samples at 16 kHz that `frames` frames make.
pub(crate) fn samples_of(frames: u64, rate: u64) -> u64 {
    let scaled = u128::from(frames) * u128::from(ENGINE_RATE) + u128::from(rate / 2);
    u64::try_from(scaled / u128::from(rate)).unwrap_or(u64::MAX)
}

fn make(rate: u32) -> Result<Fft<f32>, MediaError> {
    let refused = || MediaError::Limit { what: format!("a sample rate of {rate} Hz") };
    let input = usize::try_from(rate).map_err(|_| refused())?;
    let output = usize::try_from(ENGINE_RATE).map_err(|_| refused())?;
    // An even number of the smallest blocks, so that the filter's delay is a whole number of samples.
    let smallest = input / gcd(input, output);
    let blocks = BLOCK.div_ceil(smallest).next_multiple_of(2);
    Fft::new_custom(input, output, blocks * smallest, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Both)
        .map_err(|_| refused())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn tone(rate: u32, hertz: f64, frames: usize) -> Vec<f32> {
        (0..frames).map(|i| (TAU * hertz * i as f64 / f64::from(rate)).sin() as f32).collect()
    }

    fn resample(rate: u32, input: &[f32], block: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate).unwrap();
        let mut out = Vec::new();
        for part in input.chunks(block) {
            resampler.push(part, &mut out).unwrap();
        }
        resampler.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn tones_keep_their_place_and_length() {
        for rate in [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 44_101] {
            let frames = rate as usize * 3 + 17;
            let out = resample(rate, &tone(rate, 440.0, frames), 1000);
            assert_eq!(out.len() as u64, samples_of(frames as u64, u64::from(rate)), "{rate}");
            let expected = tone(ENGINE_RATE, 440.0, out.len());
            // Away from the hard edges of the tone.
            let worst = (4000..out.len() - 4000).map(|i| (out[i] - expected[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-3, "{rate} Hz: off by {worst}");
        }
    }

    #[test]
    fn the_blocks_do_not_matter() {
        let input = tone(44_100, 1234.5, 50_000);
        let whole = resample(44_100, &input, usize::MAX);
        assert_eq!(whole, resample(44_100, &input, 1152));
        assert_eq!(whole, resample(44_100, &input, 7));
    }

    #[test]
    fn what_the_engine_cannot_hear_is_removed() {
        let out = resample(48_000, &tone(48_000, 11_000.0, 96_000), 4096);
        let power: f32 = out[2000..30_000].iter().map(|s| s * s).sum::<f32>() / 28_000.0;
        assert!(power < 1e-6, "{power}");
    }

    #[test]
    fn short_passages_have_their_length_too() {
        for frames in [0usize, 1, 2, 100, 441] {
            let out = resample(44_100, &tone(44_100, 100.0, frames), 64);
            assert_eq!(out.len() as u64, samples_of(frames as u64, 44_100));
        }
    }
}
