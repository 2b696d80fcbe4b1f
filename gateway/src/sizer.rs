//! How large chunks should be when the client leaves it to us (R50). Pure.

use scriptorium_contracts::job::MEGABYTE;

/// The speech-to-text APIs that chunks may be sent to take no more than this.
const API_LIMIT_MB: u32 = 25;
/// kbit/s that are assumed where the duration is not known.
const USUAL_BITRATE: f64 = 128.0;

/// Bounds of the sizer, in megabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizerLimits {
    pub min_mb: u32,
    pub max_mb: u32,
}

impl Default for SizerLimits {
    fn default() -> Self {
        Self { min_mb: 10, max_mb: 25 }
    }
}

/// Megabytes of a chunk: by the file's size, five more for a high bitrate (above 320 kbit/s), five fewer for a low one
/// (below 128), within the limits and never above what the APIs take. `duration_seconds` is `None` when unknown.
pub fn chunk_megabytes(bytes: u64, duration_seconds: Option<f64>, limits: SizerLimits) -> u32 {
    let base = match bytes / MEGABYTE {
        0..50 => 15,
        50..100 => 20,
        _ => 25,
    };
    let kilobits = duration_seconds
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        .map_or(USUAL_BITRATE, |seconds| bytes as f64 * 8.0 / seconds / 1_000.0);
    let size = if kilobits > 320.0 {
        base + 5
    } else if kilobits < 128.0 {
        base - 5
    } else {
        base
    };
    size.max(limits.min_mb).min(limits.max_mb).clamp(1, API_LIMIT_MB)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Megabytes and kbit/s (0 = unknown) → megabytes of a chunk.
    const TABLE: [(u64, u32, u32); 18] = [
        (5, 0, 15),
        (49, 0, 15),
        (50, 0, 20),
        (99, 0, 20),
        (100, 0, 25),
        (10_240, 0, 25),
        (30, 321, 20),
        (30, 320, 15),
        (30, 128, 15),
        (30, 127, 10),
        (60, 1_411, 25),
        (60, 320, 20),
        (60, 64, 15),
        (10, 64, 10),
        (10, 1_411, 20),
        (500, 1_411, 25),
        (500, 64, 20),
        (500, 128, 25),
    ];

    #[test]
    fn the_table_of_the_rule() {
        for (megabytes, kilobits, expected) in TABLE {
            let bytes = megabytes * MEGABYTE;
            let duration = (kilobits > 0).then(|| bytes as f64 * 8.0 / 1_000.0 / f64::from(kilobits));
            assert_eq!(
                chunk_megabytes(bytes, duration, SizerLimits::default()),
                expected,
                "{megabytes} MB at {kilobits} kbit/s"
            );
        }
    }

    /// The steps lie at these very bytes, and at these very bitrates, however long the recording is.
    #[test]
    fn the_steps_are_exact() {
        let usual = |bytes| chunk_megabytes(bytes, None, SizerLimits::default());
        assert_eq!((usual(1), usual(50 * MEGABYTE - 1), usual(50 * MEGABYTE)), (15, 15, 20));
        assert_eq!((usual(100 * MEGABYTE - 1), usual(100 * MEGABYTE)), (20, 25));
        for seconds in [61_u32, 977, 3_600, 86_399] {
            let of = |bytes: u64| chunk_megabytes(bytes, Some(f64::from(seconds)), SizerLimits::default());
            // 128 and 320 kbit/s are 16 000 and 40 000 bytes a second.
            let (low, high) = (u64::from(seconds) * 16_000, u64::from(seconds) * 40_000);
            assert_eq!((of(low), of(low - 1)), (usual(low), usual(low - 1) - 5));
            assert_eq!((of(high), of(high + 1)), (usual(high), (usual(high + 1) + 5).min(25)));
        }
    }

    #[test]
    fn never_leaves_the_limits() {
        let narrow = SizerLimits { min_mb: 12, max_mb: 18 };
        assert_eq!(chunk_megabytes(30 * MEGABYTE, Some(1e6), narrow), 12);
        assert_eq!(chunk_megabytes(900 * MEGABYTE, None, narrow), 18);
        let wide = SizerLimits { min_mb: 1, max_mb: 1_000 };
        assert_eq!(chunk_megabytes(900 * MEGABYTE, Some(1.0), wide), 25);
        assert_eq!(chunk_megabytes(MEGABYTE, None, SizerLimits { min_mb: 0, max_mb: 0 }), 1);
    }

    #[test]
    fn a_senseless_duration_counts_as_unknown() {
        for duration in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(chunk_megabytes(30 * MEGABYTE, Some(duration), SizerLimits::default()), 15);
        }
    }
}
