//! What must hold for any bytes at all. Used by the fuzz targets and by the tests of `scriptorium-media`.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use scriptorium_media::{
    ByteSource, ChunkPlan, InitSection, MediaError, MemorySource, ReadError, decode_passage, engine_samples,
    plan_chunk, probe,
};

/// Samples of a passage that are decoded at most: 5 seconds.
const SAMPLES: u64 = 5 * 16_000;
/// Passages of which the beginning is decoded.
const PASSAGES: usize = 2;

/// A recording that counts what is read, and stops whoever reads without end.
struct Metered {
    whole: MemorySource,
    read: AtomicU64,
}

impl Metered {
    /// Bytes that one call may read: all of them, a hundred times. Reading ahead is counted too.
    fn limit(&self) -> u64 {
        100 * (self.whole.len() + 64 * 1024)
    }
}

impl ByteSource for Metered {
    fn len(&self) -> u64 {
        self.whole.len()
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let bytes = self.whole.read(offset, len)?;
        let read = self.read.fetch_add(bytes.len() as u64 + 1, Ordering::Relaxed);
        assert!(read < self.limit(), "reads without end");
        Ok(bytes)
    }
}

fn metered(whole: &MemorySource) -> Metered {
    Metered { whole: whole.clone(), read: AtomicU64::new(0) }
}

/// Probes, plans in chunks of two sizes, and decodes a little. True if the bytes were a recording.
///
/// # Panics
/// If anything does not hold.
pub fn check(bytes: &[u8]) -> bool {
    let source = MemorySource::new(bytes.to_vec());
    let Some(init) = accepted(probe(&metered(&source))) else {
        return false;
    };
    assert!(init.data_start <= init.data_end && init.data_end <= source.len(), "audio outside of the file");
    let Some(whole) = plans(&source, &init, source.len()) else {
        return false;
    };
    let expected = tiled(&whole);
    for parts in [2, 7] {
        // A limit may be met in one division and not in another; passages may not differ.
        if let Some(plans) = plans(&source, &init, source.len() / parts + 1) {
            assert_eq!(tiled(&plans), expected, "in {parts} chunks");
        }
    }
    for passage in whole[0].passages.iter().take(PASSAGES) {
        let metered = metered(&source);
        let Some(mut reader) = accepted(decode_passage(&metered, &init, passage)) else { continue };
        let (mut samples, mut ended) = (0, false);
        while samples < SAMPLES && !ended {
            let block = accepted(reader.next_block()).flatten();
            ended = block.is_none();
            let block = block.unwrap_or_default();
            assert!(block.iter().all(|sample| sample.is_finite()));
            samples += block.len() as u64;
        }
        let all = engine_samples(passage, init.media.sample_rate);
        assert!(samples <= all && (!ended || samples == all), "{samples} samples of {all}");
    }
    true
}

/// The plans of all chunks of `size` bytes; `None` if a limit was met.
fn plans(source: &MemorySource, init: &InitSection, size: u64) -> Option<Vec<ChunkPlan>> {
    let chunks = (0..source.len().div_ceil(size)).map(|index| index * size..(index + 1) * size);
    chunks
        .map(|chunk| accepted(plan_chunk(&metered(source), init, chunk.start..chunk.end.min(source.len()))))
        .collect()
}

/// What was found; `None` if it was refused for a reason that bytes can have.
fn accepted<T>(result: Result<T, MediaError>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(MediaError::Stale { .. } | MediaError::Read(_)) => {
            panic!("not the fault of the bytes: {:?}", result.err())
        }
        Err(_) => None,
    }
}

/// All passages, in frames of the recording; checks that they tile it.
fn tiled(plans: &[ChunkPlan]) -> Vec<(i64, i64, u64, u64)> {
    let (mut base, mut end, mut passages) = (0i64, 0i64, Vec::new());
    for plan in plans {
        for passage in &plan.passages {
            assert_eq!(base + passage.start, end, "a hole or an overlap");
            end = base + passage.end;
            passages.push((base + passage.start, end, passage.restart, passage.skip));
        }
        base += i64::try_from(plan.frames).expect("frames fit");
    }
    assert_eq!(end, base, "the passages end where the audio ends");
    passages
}
