//! Where somebody speaks: voice activity detection with the small network of the crate `earshot`.
//!
//! The detector gives a score for every 16 ms. It depends on loudness: quiet speech scores too low, and loud steady
//! noise too high. So the sound is brought to one loudness first, at which (measured on 170 clips of speech and on
//! white, pink and brown noise) every clip of speech has at least 28 % of its frames above 0.7, and no noise has a
//! frame above 0.6.
//!
//! Scores become regions by a threshold with hysteresis; bursts are dropped, each region is padded, and regions
//! that then touch are merged. The aim is to keep noise and silence away from the speech model, not to trim speech.

use earshot::Detector;

/// Samples the detector takes at a time (16 ms at 16 kHz).
const FRAME: usize = 256;
/// Loudness that the sound is brought to: root mean square of its loudest 0.1 s.
const LOUDNESS: f32 = 0.06;
/// Samples of those 0.1 s.
const LOUDNESS_BLOCK: usize = 1600;
/// What is not louder than this is digital silence (one step of 16 bits is 0.00003).
const SILENCE: f32 = 1e-5;
/// Score of a frame that is speech.
const ONSET: f32 = 0.6;
/// Score below which a frame no longer belongs to speech that has begun.
const OFFSET: f32 = 0.35;
/// Frames of speech that a region needs: 80 ms. Clicks are shorter, the shortest word is not.
const MIN_SPEECH: usize = 5;
/// Frames of silence that end a region: 320 ms.
const MAX_PAUSE: usize = 20;
/// Padding before and after a region, in samples (300 ms): soft consonants score low.
const PADDING: usize = 4800;

/// The ranges of samples (16 kHz mono, about -1 to 1) that hold speech: in order, not touching one another, padded
/// by 0.3 s. Meant for a window of some seconds, whose loudest part sets the level for all of it.
///
/// A pure function of the samples: the detector starts anew with each call.
pub fn speech_regions(samples: &[f32]) -> Vec<(usize, usize)> {
    let loudness = loudness(samples);
    if loudness <= SILENCE {
        return Vec::new();
    }
    let mut detector = Detector::default_boxed();
    let mut regions = Regions::default();
    let mut block = [0.0f32; FRAME];
    for (frame, samples) in samples.chunks(FRAME).enumerate() {
        block.fill(0.0);
        for (to, sample) in block.iter_mut().zip(samples) {
            // The detector's contract: -1 to 1.
            *to = (finite(*sample) * LOUDNESS / loudness).clamp(-1.0, 1.0);
        }
        regions.step(frame, detector.predict_f32(&block));
    }
    regions.finish(samples.len())
}

/// How many samples of `[from, to)` lie in `regions`.
pub fn overlap(regions: &[(usize, usize)], from: usize, to: usize) -> usize {
    regions.iter().map(|&(start, end)| end.min(to).saturating_sub(start.max(from))).sum()
}

/// Root mean square of the loudest 0.1 s.
fn loudness(samples: &[f32]) -> f32 {
    let loudest = samples
        .chunks(LOUDNESS_BLOCK)
        .map(|block| block.iter().map(|&sample| finite(sample) * finite(sample)).sum::<f32>())
        .fold(0.0, f32::max);
    (loudest / LOUDNESS_BLOCK as f32).sqrt()
}

/// The sample, if it is a sound at all; sums of squares must stay finite too.
fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1e3, 1e3) } else { 0.0 }
}

/// A run of frames that belong together.
struct Run {
    first: usize,
    /// The frame behind the last one above [`OFFSET`].
    end: usize,
    /// Frames above [`ONSET`].
    speech: usize,
}

/// Collects scores, frame by frame, into regions.
#[derive(Default)]
struct Regions {
    run: Option<Run>,
    done: Vec<(usize, usize)>,
}

impl Regions {
    fn step(&mut self, frame: usize, score: f32) {
        match &mut self.run {
            Some(run) if score >= OFFSET => {
                run.end = frame + 1;
                run.speech += usize::from(score >= ONSET);
            }
            Some(run) if frame - run.end >= MAX_PAUSE => self.close(),
            None if score >= ONSET => self.run = Some(Run { first: frame, end: frame + 1, speech: 1 }),
            Some(_) | None => {}
        }
    }

    /// The run is over: pads it, and merges it with the region before if they touch.
    fn close(&mut self) {
        let Some(run) = self.run.take().filter(|run| run.speech >= MIN_SPEECH) else { return };
        let from = (run.first * FRAME).saturating_sub(PADDING);
        let to = run.end * FRAME + PADDING;
        match self.done.last_mut() {
            Some(before) if from <= before.1 => before.1 = to,
            Some(_) | None => self.done.push((from, to)),
        }
    }

    fn finish(mut self, samples: usize) -> Vec<(usize, usize)> {
        self.close();
        if let Some(last) = self.done.last_mut() {
            last.1 = last.1.min(samples);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first clip of LJ Speech at 16 kHz (linear interpolation will do here).
    fn speech() -> Vec<f32> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/LJ001-0001.wav");
        let wav: Vec<f32> = hound::WavReader::open(path)
            .unwrap()
            .into_samples::<i16>()
            .map(|sample| f32::from(sample.unwrap()) / 32768.0)
            .collect();
        let step = 22_050.0 / 16_000.0;
        (0..(wav.len() as f64 / step) as usize - 1)
            .map(|i| {
                let at = i as f64 * step;
                let (whole, part) = (at as usize, at.fract() as f32);
                wav[whole] * (1.0 - part) + wav[whole + 1] * part
            })
            .collect()
    }

    fn noise(samples: usize, level: f32) -> Vec<f32> {
        let mut state = 1u32;
        (0..samples)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state as f32 / 2f32.powi(31) - 1.0) * level
            })
            .collect()
    }

    #[test]
    fn finds_speech_between_silences() {
        let clip = speech();
        let samples = [noise(48_000, 0.002), clip.clone(), noise(48_000, 0.002)].concat();
        let regions = speech_regions(&samples);
        let heard = overlap(&regions, 48_000, 48_000 + clip.len());
        assert!(heard * 10 > clip.len() * 9, "{heard} of {}", clip.len());
        let beyond = overlap(&regions, 0, 40_000) + overlap(&regions, 56_000 + clip.len(), samples.len());
        assert_eq!(beyond, 0, "{regions:?}");
    }

    #[test]
    fn silence_noise_and_tones_are_no_speech() {
        let tone: Vec<f32> = (0..160_000).map(|i| (i as f32 * 0.2).sin() * 0.5).collect();
        for (name, samples) in [
            ("silence", vec![0.0; 160_000]),
            ("hiss", noise(160_000, 0.01)),
            ("noise", noise(160_000, 0.9)),
            ("tone", tone),
        ] {
            assert_eq!(speech_regions(&samples), [], "{name}");
        }
        assert_eq!(speech_regions(&[]), []);
        assert_eq!(speech_regions(&[f32::NAN; 1000]), []);
        assert_eq!(speech_regions(&[f32::INFINITY, f32::MAX, f32::MIN].repeat(1000)), []);
    }

    #[test]
    fn quiet_speech_is_speech() {
        let quiet: Vec<f32> = speech().iter().map(|sample| sample * 0.003).collect();
        let heard = overlap(&speech_regions(&quiet), 0, quiet.len());
        assert!(heard * 10 > quiet.len() * 8, "{heard} of {}", quiet.len());
    }

    #[test]
    fn regions_are_in_order_and_inside() {
        let clip = speech();
        for length in [1, 255, 256, 257, 20_000, clip.len()] {
            for gap in [0, 3000, 9000, 16_000, 64_000] {
                let samples = [&clip[..length], &vec![0.0; gap][..], &clip[..length]].concat();
                let regions = speech_regions(&samples);
                assert!(regions.iter().all(|&(from, to)| from < to && to <= samples.len()), "{regions:?}");
                assert!(regions.windows(2).all(|pair| pair[0].1 < pair[1].0), "{regions:?}");
                assert_eq!(regions, speech_regions(&samples));
            }
        }
    }
}
