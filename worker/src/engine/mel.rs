//! The front end: samples to the log-mel spectrogram that Whisper was trained on.
//!
//! The rule is that of OpenAI's `whisper/audio.py` in the form of faster-whisper 1.2.1
//! (`feature_extractor.py`): short-time Fourier transform with a periodic Hann window of 400 samples every 160,
//! centred, edges mirrored; power; Slaney mel filters; log10 not below 1e-10; not more than 8 (80 dB) below the
//! window's peak; `(x + 4) / 4`. What is missing to the model's 30 s is filled with zeros *after* that scaling.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use super::SAMPLE_RATE;

/// Length of one Fourier transform, in samples (25 ms).
const FFT: usize = 400;
/// Samples from one frame to the next (10 ms).
pub const HOP: usize = 160;
/// Frequency bins of one transform.
const BINS: usize = FFT / 2 + 1;
/// Frames the encoder takes: 30 s.
pub const FRAMES: usize = 3000;

/// A window's log-mel spectrogram, not yet padded.
#[derive(Debug, Clone, PartialEq)]
pub struct Mel {
    /// One row for each mel band, `stride` values long; the last of them counts for the peak only.
    rows: Vec<f32>,
    stride: usize,
    frames: usize,
}

impl Mel {
    /// Frames that hold sound, 10 ms each.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Appends the frames `[from, to)` to `out` as the encoder wants them: `n_mels` rows of [`FRAMES`] values,
    /// zeros after the last frame. A range beyond the end is cut to what there is.
    pub fn append_padded(&self, from: usize, to: usize, out: &mut Vec<f32>) {
        let from = from.min(self.frames);
        let to = to.clamp(from, self.frames).min(from.saturating_add(FRAMES));
        for row in self.rows.chunks_exact(self.stride) {
            let end = out.len() + FRAMES;
            out.extend_from_slice(row.get(from..to).unwrap_or_default());
            out.resize(end, 0.0);
        }
    }

    /// The value of mel band `band` at `frame`, for tests.
    #[cfg(test)]
    fn at(&self, band: usize, frame: usize) -> f32 {
        self.rows[band * self.stride + frame]
    }
}

/// Computes spectrograms: the tables that depend on nothing but the number of mel bands.
pub struct FrontEnd {
    n_mels: usize,
    window: Vec<f32>,
    filters: Vec<Filter>,
    fft: Arc<dyn RealToComplex<f32>>,
}

/// One mel filter: its weights, from the frequency bin `first` on.
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

impl std::fmt::Debug for FrontEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontEnd").field("n_mels", &self.n_mels).finish_non_exhaustive()
    }
}

impl FrontEnd {
    /// A front end with `n_mels` bands: 80, or 128 for models of the large-v3 family.
    pub fn new(n_mels: usize) -> Self {
        let window = (0..FFT)
            .map(|i| (0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / FFT as f64).cos()) as f32)
            .collect();
        Self { n_mels, window, filters: filters(n_mels), fft: RealFftPlanner::new().plan_fft_forward(FFT) }
    }

    /// The spectrogram of `samples` (16 kHz mono, about -1 to 1): one frame for every full 160 samples, at
    /// least one.
    pub fn mel(&self, samples: &[f32]) -> Mel {
        let frames = (samples.len() / HOP).clamp(1, FRAMES);
        let stride = frames + 1;
        let padded = mirror(samples);
        let mut rows = vec![(1e-10f32).log10(); self.n_mels * stride];
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0.0f32; BINS];
        for frame in 0..stride {
            let Some(source) = padded.get(frame * HOP..frame * HOP + FFT) else { break };
            for ((to, sample), weight) in input.iter_mut().zip(source).zip(&self.window) {
                *to = sample * weight;
            }
            // It fails only if the buffers' lengths are wrong; they come from the transform itself.
            if self.fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch).is_err() {
                break;
            }
            for (to, bin) in power.iter_mut().zip(&spectrum) {
                *to = bin.norm_sqr();
            }
            for (band, filter) in self.filters.iter().enumerate() {
                let energy: f32 = filter.weights.iter().zip(&power[filter.first..]).map(|(w, p)| w * p).sum();
                rows[band * stride + frame] = energy.max(1e-10).log10();
            }
        }
        let floor = rows.iter().copied().fold(f32::MIN, f32::max) - 8.0;
        for value in &mut rows {
            *value = (value.max(floor) + 4.0) / 4.0;
        }
        Mel { rows, stride, frames }
    }
}

/// The samples with 160 zeros behind them, then both edges continued by their mirror image, so that the first
/// frame is centred on the first sample. Very short input is filled up with zeros first.
fn mirror(samples: &[f32]) -> Vec<f32> {
    let half = FFT / 2;
    let body = (samples.len() + HOP).max(half + 1);
    let at = |i: usize| samples.get(i).copied().unwrap_or(0.0);
    let mut out = Vec::with_capacity(body + FFT);
    out.extend((1..=half).rev().map(at));
    out.extend_from_slice(samples);
    out.resize(half + body, 0.0);
    out.extend((1..=half).map(|i| at(body - 1 - i)));
    out
}

/// Slaney's mel filters as librosa and Whisper have them: linear to 1 kHz, logarithmic above, each filter with
/// the same area.
fn filters(n_mels: usize) -> Vec<Filter> {
    const LINEAR_STEP: f64 = 200.0 / 3.0;
    const KNEE_HZ: f64 = 1000.0;
    /// 8 kHz on this scale.
    const TOP: f64 = 45.245640471924965;
    let knee = KNEE_HZ / LINEAR_STEP;
    let log_step = 6.4f64.ln() / 27.0;
    let edges: Vec<f64> = (0..n_mels + 2)
        .map(|i| TOP * i as f64 / (n_mels + 1) as f64)
        .map(|mel| if mel >= knee { KNEE_HZ * (log_step * (mel - knee)).exp() } else { LINEAR_STEP * mel })
        .collect();
    let bin_hz = f64::from(SAMPLE_RATE) / FFT as f64;
    edges
        .windows(3)
        .map(|edge| {
            let (low, centre, high) = (edge[0], edge[1], edge[2]);
            let weight = |bin: usize| {
                let hz = bin as f64 * bin_hz;
                let rise = (hz - low) / (centre - low);
                let fall = (high - hz) / (high - centre);
                rise.min(fall).max(0.0) * 2.0 / (high - low)
            };
            let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(weight).take_while(|&w| w > 0.0).map(|w| w as f32).collect();
            Filter { first, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone, a rising tone, and noise that comes and goes: the signal of the golden file.
    fn signal(samples: usize) -> Vec<f32> {
        let mut state = 1u32;
        (0..samples)
            .map(|i| {
                let t = i as f64 / 16_000.0;
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = f64::from(state) / 2f64.powi(31) - 1.0;
                let noise = noise * if (i / 4000) % 2 == 1 { 1.0 } else { 0.01 };
                let tau = std::f64::consts::TAU;
                (0.4 * (tau * 440.0 * t).sin()
                    + 0.2 * (tau * (100.0 * t + 900.0 * t * t)).sin()
                    + 0.05 * noise) as f32
            })
            .collect()
    }

    #[test]
    fn equals_faster_whisper() {
        let golden = include_str!("../../tests/golden/mel.tsv");
        let mut checked = 0;
        for line in golden.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<f64> = line.split('\t').map(|field| field.parse().unwrap()).collect();
            let [n_mels, samples, frames, band, frame] = [0, 1, 2, 3, 4].map(|i| fields[i] as usize);
            let mel = FrontEnd::new(n_mels).mel(&signal(samples));
            assert_eq!(mel.frames(), frames);
            let difference = (f64::from(mel.at(band, frame)) - fields[5]).abs();
            assert!(difference < 5e-5, "{line}: {} instead of {}", mel.at(band, frame), fields[5]);
            checked += 1;
        }
        assert!(checked > 200);
    }

    #[test]
    fn pads_with_zeros_to_thirty_seconds() {
        let mel = FrontEnd::new(80).mel(&signal(16_000));
        let mut out = vec![7.0];
        mel.append_padded(40, 60, &mut out);
        assert_eq!(out.len(), 1 + 80 * FRAMES);
        for band in 0..80 {
            let row = &out[1 + band * FRAMES..][..FRAMES];
            assert_eq!(row[0], mel.at(band, 40));
            assert_eq!(row[19], mel.at(band, 59));
            assert!(row[20..].iter().all(|&value| value == 0.0));
        }
        // Beyond the end there is nothing.
        let mut out = Vec::new();
        mel.append_padded(500, 900, &mut out);
        assert_eq!(out, vec![0.0; 80 * FRAMES]);
    }

    #[test]
    fn any_length_gives_finite_values() {
        let front_end = FrontEnd::new(80);
        for length in [1, 2, 159, 160, 199, 200, 201, 399, 400, 401, 479_999, 480_000] {
            let mel = front_end.mel(&vec![0.1; length]);
            assert_eq!(mel.frames(), (length / HOP).clamp(1, FRAMES), "{length}");
            assert!(mel.rows.iter().all(|value| value.is_finite()), "{length}");
        }
        assert!(front_end.mel(&[0.0; 1600]).rows.iter().all(|&value| value == -1.5), "digital silence");
    }
}
