//! Where the time of a task goes, and what was known already.

use scriptorium_contracts::message::Work;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Of one task.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Milliseconds in which windows were with the engine.
    engine_ms: AtomicU64,
    /// Milliseconds in which text was with a language model.
    llm_ms: AtomicU64,
    windows: AtomicU32,
    /// Of the windows.
    cache_hits: AtomicU32,
}

impl Meter {
    /// The time until this is dropped is the engine's.
    pub fn engine(&self) -> Busy<'_> {
        Busy { milliseconds: &self.engine_ms, since: Instant::now() }
    }

    /// Likewise the language model's.
    pub fn llm(&self) -> Busy<'_> {
        Busy { milliseconds: &self.llm_ms, since: Instant::now() }
    }

    /// A window has its text; `known`: from the cache.
    pub fn window(&self, known: bool) {
        self.windows.fetch_add(1, Ordering::Relaxed);
        self.cache_hits.fetch_add(u32::from(known), Ordering::Relaxed);
    }

    /// Of a task that has taken so long.
    pub fn work(&self, took: Duration) -> Work {
        let whole = milliseconds(took);
        let engine_ms = self.engine_ms.load(Ordering::Relaxed).min(whole);
        let llm_ms = self.llm_ms.load(Ordering::Relaxed).min(whole - engine_ms);
        Work {
            decode_ms: whole - engine_ms - llm_ms,
            engine_ms,
            llm_ms,
            windows: self.windows.load(Ordering::Relaxed),
            cache_hits: self.cache_hits.load(Ordering::Relaxed),
        }
    }
}

pub(crate) struct Busy<'a> {
    milliseconds: &'a AtomicU64,
    since: Instant,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.milliseconds.fetch_add(milliseconds(self.since.elapsed()), Ordering::Relaxed);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_engine_s_is_the_decoder_s() {
        let meter = Meter::default();
        let begun = Instant::now();
        for _ in 0..2 {
            let busy = meter.engine();
            std::thread::sleep(Duration::from_millis(20));
            drop(busy);
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = begun.elapsed();
        let work = meter.work(took);
        assert!(work.engine_ms >= 40 && work.decode_ms >= 38, "{work:?}");
        assert_eq!(u128::from(work.engine_ms + work.decode_ms), took.as_millis());
        let busy = meter.llm();
        std::thread::sleep(Duration::from_millis(20));
        drop(busy);
        let took = begun.elapsed();
        let work = meter.work(took);
        assert!(work.llm_ms >= 20 && work.llm_ms < work.engine_ms, "{work:?}");
        assert_eq!(u128::from(work.engine_ms + work.decode_ms + work.llm_ms), took.as_millis());
        for known in [true, false, true] {
            meter.window(known);
        }
        let work = meter.work(took);
        assert_eq!((work.windows, work.cache_hits), (3, 2));
        // A clock that goes on while nobody looks does not make the sum longer than the whole.
        assert_eq!(meter.work(Duration::ZERO), Work { windows: 3, cache_hits: 2, ..Work::default() });
    }
}
