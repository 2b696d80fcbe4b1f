//! The cut: the quietest point around an anchor, found in integer arithmetic from the bytes alone.

use crate::anchor::Placed;
use crate::codec::preroll;
use crate::error::MediaError;
use crate::init::InitSection;
use crate::native::NativeReader;
use crate::packet::Packet;
use crate::source::ByteSource;

/// Seconds before and after the anchor in which the quietest point is sought.
pub const CUT_SECONDS: u32 = 3;
/// Steps a second in which energy is measured: 10 ms.
const HOPS_PER_SECOND: u32 = 100;
/// Hops over which the energy is smoothed: 200 ms, the length of a pause between words.
const SMOOTH: usize = 20;

/// A point between two passages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Frame, relative to the chunk's first owned packet.
    pub frame: i64,
    /// First byte of the packet from which decoding restarts.
    pub restart: u64,
    /// Frames from the start of that packet to the cut.
    pub skip: u64,
}

/// The cut of an anchor, given the packets around it (from W before it to W after it).
pub(crate) fn cut_at(
    source: &dyn ByteSource,
    init: &InitSection,
    anchor: &Placed,
    around: &[Placed],
) -> Result<Cut, MediaError> {
    if anchor.packet.offset == init.data_start {
        return Ok(Cut { frame: anchor.start, restart: anchor.packet.offset, skip: 0 });
    }
    let reach = i64::from(CUT_SECONDS) * i64::from(init.rate());
    let (from, to) = (anchor.start - reach, anchor.start + reach);
    let frames = to.abs_diff(from);
    let window = restart_at(init, around, from)?;
    let packets: Vec<Packet> = around
        .iter()
        .filter(|placed| placed.packet.offset >= window.restart && placed.start < to)
        .map(|placed| placed.packet)
        .collect();
    let mut reader = NativeReader::from_packets(source, init, packets, window.skip, frames)?;
    let mut energies = Energies::new(init.rate(), reader.channels());
    while let Some(block) = reader.next_block()? {
        energies.push(&block);
    }
    let quiet = from.saturating_add_unsigned(energies.quietest());
    restart_at(init, around, quiet)
}

/// The canonical restart for decoding from `frame` on: counted in packets from the one that holds the frame.
fn restart_at(init: &InitSection, around: &[Placed], frame: i64) -> Result<Cut, MediaError> {
    let holder = around.partition_point(|placed| placed.start <= frame);
    let packets: Vec<Packet> = around[..holder].iter().map(|placed| placed.packet).collect();
    let first = holder.checked_sub(1 + preroll(&init.codec, &packets)).and_then(|index| around.get(index));
    let Some(first) = first else {
        return Err(MediaError::Stale {
            what: "a cut lies outside the packets around its anchor".to_owned(),
        });
    };
    Ok(Cut { frame, restart: first.packet.offset, skip: frame.abs_diff(first.start) })
}

/// Energy of the mono mix in hops of 10 ms.
struct Energies {
    hop_frames: u64,
    channels: usize,
    hops: Vec<u64>,
    frames: u64,
}

impl Energies {
    fn new(rate: u32, channels: usize) -> Self {
        Self {
            hop_frames: u64::from((rate / HOPS_PER_SECOND).max(1)),
            channels,
            hops: Vec::with_capacity(2 * (CUT_SECONDS * HOPS_PER_SECOND) as usize + 16),
            frames: 0,
        }
    }

    fn push(&mut self, interleaved: &[f32]) {
        for frame in interleaved.chunks_exact(self.channels) {
            if self.frames.is_multiple_of(self.hop_frames) {
                self.hops.push(0);
            }
            self.frames += 1;
            // 16-bit integers: the same on every machine, and no order of summing matters.
            let sum: i64 = frame.iter().map(|sample| quantised(*sample)).sum();
            let mono = sum / self.channels as i64;
            if let Some(hop) = self.hops.last_mut() {
                *hop = hop.saturating_add(mono.unsigned_abs().pow(2));
            }
        }
    }

    /// Frames from the start to the middle of the quietest [`SMOOTH`] hops; the earliest of equals.
    fn quietest(&self) -> u64 {
        let width = SMOOTH.min(self.hops.len());
        let quiet = self
            .hops
            .windows(width.max(1))
            .map(|hops| hops.iter().fold(0u64, |sum, hop| sum.saturating_add(*hop)))
            .enumerate()
            .min_by_key(|(index, energy)| (*energy, *index))
            .map_or(0, |(index, _)| index);
        (quiet + width / 2) as u64 * self.hop_frames
    }
}

fn quantised(sample: f32) -> i64 {
    // A cast from float to integer saturates, and takes NaN for 0.
    i64::from((sample * 32_768.0) as i32).clamp(-32_768, 32_767)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quietest(samples: &[f32], channels: usize) -> u64 {
        let mut energies = Energies::new(1000, channels);
        // Blocks of odd lengths must not matter.
        for block in samples.chunks(channels * 37) {
            energies.push(block);
        }
        energies.quietest()
    }

    #[test]
    fn the_middle_of_the_pause_is_found() {
        let mut samples = vec![0.5; 6000];
        samples[2000..2400].fill(0.001);
        samples[4000..4010].fill(0.0);
        let cut = quietest(&samples, 1);
        assert!((2100..=2300).contains(&cut), "{cut}");
    }

    #[test]
    fn equals_are_decided_for_the_earlier() {
        assert_eq!(quietest(&[0.0; 6000], 1), 100);
        assert_eq!(quietest(&[f32::NAN; 12_000], 2), 100);
        assert_eq!(quietest(&[], 1), 0);
    }

    #[test]
    fn opposite_channels_are_silence() {
        let mut samples = vec![0.5f32; 12_000];
        for frame in samples[6000..7000].chunks_exact_mut(2) {
            frame[1] = -frame[0];
        }
        assert!((3000..=3500).contains(&quietest(&samples, 2)));
    }
}
