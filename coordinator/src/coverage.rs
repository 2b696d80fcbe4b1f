//! The ledger of a transcript: where each millisecond of the recording went.

use scriptorium_contracts::transcript::Coverage;

/// What a stretch was; where stretches overlap the later one in this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Transcribed,
    Damaged,
    Failed,
}

/// Counts each millisecond of the recording once; what lies in no stretch had no speech.
///
/// `stretches` are (kind, first millisecond, end), in any order.
pub(crate) fn coverage(duration_ms: u64, stretches: &[(Kind, u64, u64)]) -> Coverage {
    let mut edges: Vec<(u64, i32, Kind)> = Vec::with_capacity(2 * stretches.len());
    for (kind, start, end) in stretches {
        let (start, end) = (*start.min(&duration_ms), *end.min(&duration_ms));
        if start < end {
            edges.push((start, 1, *kind));
            edges.push((end, -1, *kind));
        }
    }
    edges.sort_unstable();
    let (mut open, mut sums, mut at) = ([0i32; 3], [0u64; 3], 0u64);
    for (edge, change, kind) in edges {
        if let Some(counts) = (0..3).rev().find(|kind| open[*kind] > 0) {
            sums[counts] += edge - at;
        }
        at = edge;
        open[kind as usize] += change;
    }
    let seconds = |milliseconds: u64| milliseconds as f64 / 1_000.0;
    let [transcribed, damaged, failed] = sums;
    Coverage {
        transcribed: seconds(transcribed),
        no_speech: seconds(duration_ms - transcribed - damaged - failed),
        damaged: seconds(damaged),
        failed: seconds(failed),
        cancelled: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Damaged, Failed, Transcribed};

    #[test]
    fn each_millisecond_counts_once() {
        let covered = coverage(
            10_000,
            &[(Transcribed, 1_000, 4_000), (Transcribed, 3_500, 5_000), (Failed, 4_500, 6_000)],
        );
        assert_eq!(
            covered,
            Coverage { transcribed: 3.5, no_speech: 5.0, failed: 1.5, ..Coverage::default() }
        );
    }

    #[test]
    fn what_reaches_past_the_end_is_cut() {
        let covered = coverage(2_000, &[(Damaged, 1_500, 9_000), (Transcribed, 7_000, 8_000)]);
        assert_eq!(covered, Coverage { no_speech: 1.5, damaged: 0.5, ..Coverage::default() });
        assert_eq!(coverage(0, &[(Failed, 0, 5)]), Coverage::default());
    }

    /// Against counting millisecond by millisecond.
    #[test]
    fn agrees_with_counting() {
        let mut state = 7u64;
        let mut number = |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        for _ in 0..200 {
            let duration = 1 + number(300);
            let stretches: Vec<_> = (0..number(12))
                .map(|_| {
                    let start = number(350);
                    ([Transcribed, Damaged, Failed][number(3) as usize], start, start + number(90))
                })
                .collect();
            let mut sums = [0u64; 4];
            for at in 0..duration {
                let kind = stretches.iter().filter(|one| (one.1..one.2).contains(&at)).map(|one| one.0).max();
                sums[kind.map_or(3, |kind| kind as usize)] += 1;
            }
            let covered = coverage(duration, &stretches);
            let milliseconds = |seconds: f64| (seconds * 1_000.0).round() as u64;
            let found = [covered.transcribed, covered.damaged, covered.failed, covered.no_speech];
            assert_eq!(found.map(milliseconds), sums);
        }
    }
}
