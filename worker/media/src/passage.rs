//! A passage as the engine takes it: 16 kHz, mono, block by block.

use scriptorium_contracts::plan::PassagePlan;
use scriptorium_contracts::transcript::DamagedFrames;

use crate::error::MediaError;
use crate::init::InitSection;
use crate::native::NativeReader;
use crate::resample::{Resampler, samples_of};
use crate::source::ByteSource;

/// Samples of a block, at least, but for the last one: half a second.
const BLOCK: usize = 8_000;

/// Streams one passage as blocks of 16 kHz mono samples in −1…1; memory is bounded whatever its length.
pub struct PassageReader<'a> {
    native: NativeReader<'a>,
    resampler: Resampler,
    mono: Vec<f32>,
    done: bool,
}

/// Starts to decode a passage, from its canonical restart with a fresh decoder.
///
/// The samples are a function of the bytes, the init section and the plan alone. Sample k stands at frame
/// `plan.start + k · rate / 16 000`.
///
/// # Errors
/// [`MediaError::Read`] where bytes are missing, [`MediaError::Stale`] where `init` belongs to another file.
pub fn decode_passage<'a>(
    source: &'a dyn ByteSource,
    init: &'a InitSection,
    plan: &PassagePlan,
) -> Result<PassageReader<'a>, MediaError> {
    Ok(PassageReader {
        native: native_passage(source, init, plan)?,
        resampler: Resampler::new(init.rate())?,
        mono: Vec::new(),
        done: false,
    })
}

/// As [`decode_passage`], but all channels at the recording's own rate.
///
/// # Errors
/// As [`decode_passage`].
pub fn native_passage<'a>(
    source: &'a dyn ByteSource,
    init: &'a InitSection,
    plan: &PassagePlan,
) -> Result<NativeReader<'a>, MediaError> {
    NativeReader::of_passage(source, init, plan)
}

impl PassageReader<'_> {
    /// As [`NativeReader::damaged`].
    pub fn damaged(&self) -> &[DamagedFrames] {
        self.native.damaged()
    }

    /// The next samples, half a second or somewhat more; `None` after the last.
    ///
    /// # Errors
    /// Only where bytes cannot be read: what cannot be decoded is silence.
    pub fn next_block(&mut self) -> Result<Option<Vec<f32>>, MediaError> {
        let mut out = Vec::with_capacity(2 * BLOCK);
        while !self.done && out.len() < BLOCK {
            match self.native.next_block()? {
                Some(block) => {
                    mix(&block, self.native.channels(), &mut self.mono);
                    self.resampler.push(&self.mono, &mut out)?;
                }
                None => {
                    self.resampler.finish(&mut out)?;
                    self.done = true;
                }
            }
        }
        Ok((!out.is_empty()).then_some(out))
    }
}

/// Samples at 16 kHz that a passage has, given the recording's rate.
pub fn engine_samples(passage: &PassagePlan, sample_rate: u32) -> u64 {
    samples_of(passage.frames(), u64::from(sample_rate.max(1)))
}

/// Mean of the channels. What is no number (a float file may hold it) becomes silence, what is far too loud is limited.
fn mix(interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
    const LOUDEST: f32 = 8.0;
    let sane = |sample: f32| if sample.is_nan() { 0.0 } else { sample.clamp(-LOUDEST, LOUDEST) };
    mono.clear();
    if channels == 1 {
        mono.extend(interleaved.iter().map(|sample| sane(*sample)));
    } else {
        let scale = 1.0 / channels as f32;
        let mean = |frame: &[f32]| frame.iter().map(|sample| sane(*sample)).sum::<f32>() * scale;
        mono.extend(interleaved.chunks_exact(channels).map(mean));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_the_mean_and_always_finite() {
        let mut mono = Vec::new();
        mix(&[0.5, 0.25, f32::NAN, 1.0, f32::INFINITY, 0.0], 2, &mut mono);
        assert_eq!(mono, [0.375, 0.5, 4.0]);
        mix(&[f32::NEG_INFINITY, 0.1], 1, &mut mono);
        assert_eq!(mono, [-8.0, 0.1]);
    }
}
