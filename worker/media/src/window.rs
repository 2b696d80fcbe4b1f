//! The engine's windows, laid greedily over a passage: at most 30 s, as full as possible, cut at quiet points.

use crate::resample::ENGINE_RATE;

const SECOND: usize = ENGINE_RATE as usize;
/// Most samples of a window: 30 s, what Whisper looks at.
const LONGEST: usize = 30 * SECOND;
/// From here on a pause between two stretches of speech ends a window: it is full enough.
const FULL_ENOUGH: usize = 20 * SECOND;
/// Where no pause is, the quietest point between here and the end of the window is taken.
const QUIET_FROM: usize = 24 * SECOND;
/// A pause of this length always ends a window: the engine tends to invent text in long silences.
const LONG_PAUSE: usize = 5 * SECOND;
/// What is kept of sound without speech: the beginning of a word may not be recognised yet.
const KEEP: usize = SECOND;
/// Steps and width in which quiet points are sought: 10 ms and 200 ms.
const HOP: usize = SECOND / 100;
const SMOOTH: usize = 20;

/// A window for the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct LaidWindow {
    /// First sample at 16 kHz, from the start of the passage.
    pub start: u64,
    /// 16 kHz mono samples, at most 30 s.
    pub samples: Vec<f32>,
}

/// Lays windows over the samples of one passage. Memory: 30 s and a block.
///
/// Windows begin where speech begins and never overlap; sound without speech lies in none. They are a pure function of
/// the passage's samples, however these are divided into blocks.
pub struct WindowLayer<F> {
    speech: F,
    /// Samples that are not laid yet; the first is the passage's sample `base`.
    pending: Vec<f32>,
    base: u64,
    /// Whether `pending` begins where speech was found to begin.
    at_speech: bool,
}

impl<F: FnMut(&[f32]) -> Vec<(usize, usize)>> WindowLayer<F> {
    /// `speech` gives the stretches of speech in up to 30 s of samples: ranges in order that do not touch, padded.
    pub fn new(speech: F) -> Self {
        Self { speech, pending: Vec::new(), base: 0, at_speech: false }
    }

    /// Takes the next samples; returns the windows that are complete.
    pub fn push(&mut self, samples: &[f32]) -> Vec<LaidWindow> {
        let mut windows = Vec::new();
        let mut rest = samples;
        while !rest.is_empty() {
            let (taken, left) = rest.split_at(rest.len().min(LONGEST - self.pending.len()));
            self.pending.extend_from_slice(taken);
            rest = left;
            while self.pending.len() >= LONGEST {
                windows.extend(self.lay());
            }
        }
        windows
    }

    /// Ends the passage; returns the windows left.
    pub fn finish(mut self) -> Vec<LaidWindow> {
        let mut windows = Vec::new();
        while !self.pending.is_empty() {
            let regions = self.regions();
            let Some((start, _)) = regions.first().copied() else { break };
            // A long pause may divide even what is left.
            let (end, next) = match long_pause(&regions) {
                Some((end, next)) => (end, next),
                None => (regions.last().map_or(start, |last| last.1), self.pending.len()),
            };
            windows.extend(self.window(start, end));
            self.drop_front(next);
        }
        windows
    }

    /// One step with 30 s pending: a window, or sound without speech dropped.
    fn lay(&mut self) -> Option<LaidWindow> {
        let regions = self.regions();
        let Some((start, _)) = regions.first().copied() else {
            self.drop_front(LONGEST - KEEP);
            self.at_speech = false;
            return None;
        };
        if start > 0 && !self.at_speech {
            self.drop_front(start);
            self.at_speech = true;
            return None;
        }
        let pause = long_pause(&regions).or_else(|| late_pause(&regions));
        let trailing = regions.last().filter(|last| last.1 >= FULL_ENOUGH && last.1 < LONGEST);
        let (end, next) = match (pause, trailing) {
            (Some(pause), _) => pause,
            (None, Some(last)) => (last.1, last.1),
            (None, None) => {
                let cut = quietest(&self.pending, QUIET_FROM);
                (cut, cut)
            }
        };
        let window = self.window(start, end);
        self.drop_front(next);
        self.at_speech = false;
        window
    }

    /// Stretches of speech in what is pending, made safe to index with.
    fn regions(&mut self) -> Vec<(usize, usize)> {
        let len = self.pending.len();
        let mut from = 0;
        let mut regions = (self.speech)(&self.pending);
        regions.retain_mut(|region| {
            *region = (region.0.max(from), region.1.min(len));
            from = from.max(region.1);
            region.0 < region.1
        });
        regions
    }

    fn window(&self, start: usize, end: usize) -> Option<LaidWindow> {
        let samples = self.pending.get(start..end).filter(|samples| !samples.is_empty())?;
        Some(LaidWindow { start: self.base + start as u64, samples: samples.to_vec() })
    }

    fn drop_front(&mut self, count: usize) {
        let count = count.clamp(1, self.pending.len().max(1)).min(self.pending.len());
        self.pending.drain(..count);
        self.base += count as u64;
    }
}

/// The first pause that is too long to be kept in a window: where speech ends before it, and begins after it.
fn long_pause(regions: &[(usize, usize)]) -> Option<(usize, usize)> {
    regions.windows(2).map(|pair| (pair[0].1, pair[1].0)).find(|(end, next)| next - end >= LONG_PAUSE)
}

/// The last pause that leaves the window full enough.
fn late_pause(regions: &[(usize, usize)]) -> Option<(usize, usize)> {
    regions.windows(2).map(|pair| (pair[0].1, pair[1].0)).rfind(|(end, _)| *end >= FULL_ENOUGH)
}

/// The middle of the quietest 200 ms from `from` on; the latest of equals, so that windows are as full as possible.
fn quietest(samples: &[f32], from: usize) -> usize {
    let Some(tail) = samples.get(from..).filter(|tail| tail.len() >= SMOOTH * HOP) else {
        return samples.len();
    };
    let hops: Vec<f64> = tail
        .chunks_exact(HOP)
        .map(|hop| hop.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum())
        .collect();
    let mut best = (f64::INFINITY, hops.len() - SMOOTH);
    for (index, hops) in hops.windows(SMOOTH).enumerate() {
        let energy = hops.iter().sum();
        if energy <= best.0 {
            best = (energy, index);
        }
    }
    from + (best.1 + SMOOTH / 2) * HOP
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything above a threshold is speech, padded by 0.3 s; stretches that then touch are one.
    fn loud(samples: &[f32]) -> Vec<(usize, usize)> {
        let pad = 3 * SECOND / 10;
        let mut regions: Vec<(usize, usize)> = Vec::new();
        for (index, hop) in samples.chunks(HOP).enumerate() {
            if hop.iter().all(|sample| sample.abs() < 0.01) {
                continue;
            }
            let region = ((index * HOP).saturating_sub(pad), (index * HOP + HOP + pad).min(samples.len()));
            match regions.last_mut() {
                Some(last) if region.0 <= last.1 => last.1 = region.1,
                _ => regions.push(region),
            }
        }
        regions
    }

    /// Sound made of (seconds, loudness).
    fn sound(parts: &[(f64, f32)]) -> Vec<f32> {
        let mut samples = Vec::new();
        for (seconds, loudness) in parts {
            let len = (seconds * SECOND as f64) as usize;
            samples.extend((0..len).map(|i| loudness * (i as f32 * 0.3).sin().abs().max(0.1)));
        }
        samples
    }

    fn lay(samples: &[f32], block: usize) -> Vec<LaidWindow> {
        let mut layer = WindowLayer::new(loud);
        let mut windows: Vec<LaidWindow> = samples.chunks(block).flat_map(|part| layer.push(part)).collect();
        windows.extend(layer.finish());
        windows
    }

    /// Windows are in order, of legal length, hold the samples they say they hold, and miss no speech.
    fn check(samples: &[f32], windows: &[LaidWindow]) {
        let mut covered = 0usize;
        for window in windows {
            let start = usize::try_from(window.start).unwrap_or(usize::MAX);
            assert!(start >= covered && window.samples.len() <= LONGEST && !window.samples.is_empty());
            assert!(
                samples[covered..start].iter().all(|s| s.abs() < 0.2),
                "speech before {start} was missed"
            );
            covered = start + window.samples.len();
            assert_eq!(&samples[start..covered], &window.samples[..]);
        }
        assert!(samples[covered..].iter().all(|s| s.abs() < 0.2), "speech at the end was missed");
    }

    #[test]
    fn silence_has_no_windows() {
        assert!(lay(&sound(&[(95.0, 0.0)]), 8000).is_empty());
        assert!(lay(&[], 8000).is_empty());
    }

    #[test]
    fn windows_start_at_speech_and_end_in_pauses() {
        let samples = sound(&[(40.0, 0.0), (12.0, 0.5), (1.5, 0.0), (11.0, 0.5), (1.5, 0.0), (10.0, 0.5)]);
        let windows = lay(&samples, 8000);
        check(&samples, &windows);
        assert_eq!(windows.len(), 2);
        assert!((39.5..40.0).contains(&(windows[0].start as f64 / SECOND as f64)));
        assert!((24.0..26.0).contains(&(windows[0].samples.len() as f64 / SECOND as f64)));
    }

    #[test]
    fn speech_without_pauses_is_cut_where_it_is_quietest() {
        let samples = sound(&[(27.0, 0.5), (0.3, 0.05), (60.0, 0.5)]);
        let windows = lay(&samples, 8000);
        check(&samples, &windows);
        assert!((27.0..27.3).contains(&(windows[0].samples.len() as f64 / SECOND as f64)));
        assert_eq!(windows.iter().map(|w| w.samples.len()).sum::<usize>(), samples.len());
    }

    #[test]
    fn a_long_pause_parts_windows() {
        let samples = sound(&[(5.0, 0.5), (8.0, 0.0), (5.0, 0.5)]);
        let windows = lay(&samples, 8000);
        check(&samples, &windows);
        assert_eq!(windows.len(), 2);
    }

    #[test]
    fn the_blocks_do_not_matter() {
        let parts: Vec<(f64, f32)> = (0..60)
            .map(|i| (0.7 + f64::from(i * 37 % 50) / 10.0, if i % 2 == 0 { 0.5 } else { 0.0 }))
            .collect();
        let samples = sound(&parts);
        let whole = lay(&samples, samples.len());
        check(&samples, &whole);
        assert_eq!(whole, lay(&samples, 8000));
        assert_eq!(whole, lay(&samples, 12_345));
    }

    #[test]
    fn a_detector_that_lies_does_no_harm() {
        for lie in [vec![(5, 3)], vec![(0, usize::MAX), (1, 2)], vec![(usize::MAX - 1, usize::MAX)]] {
            let mut layer = WindowLayer::new(|_: &[f32]| lie.clone());
            let mut windows = layer.push(&vec![0.5; 2 * LONGEST + 5]);
            windows.extend(layer.finish());
            assert!(windows.iter().all(|window| window.samples.len() <= LONGEST));
        }
    }
}
