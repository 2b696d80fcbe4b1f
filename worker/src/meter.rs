//! Where the time of a task goes, and what was known already.

use scriptorium_contracts::message::Work;
use scriptorium_shared::waits::Waits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Of one task.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Milliseconds in which windows were with the engine.
    engine_ms: AtomicU64,
    /// Milliseconds in which text was with a language model.
    llm_ms: AtomicU64,
    /// Of the engine's calls, if it is a service elsewhere.
    engine_waits: Arc<Waits>,
    /// Of the language model's.
    llm_waits: Waits,
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

    pub fn engine_waits(&self) -> Arc<Waits> {
        Arc::clone(&self.engine_waits)
    }

    pub fn llm_waits(&self) -> &Waits {
        &self.llm_waits
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
        let engine_waited = milliseconds(self.engine_waits.total()).min(engine_ms);
        let llm_waited = milliseconds(self.llm_waits.total()).min(llm_ms);
        Work {
            decode_ms: whole - engine_ms - llm_ms,
            engine_ms: engine_ms - engine_waited,
            llm_ms: llm_ms - llm_waited,
            limit_ms: engine_waited + llm_waited,
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
        // What calls waited for leave is neither the engine's nor the model's.
        let (waits, busy) = (meter.engine_waits(), meter.engine());
        let (engine, llm, waiting) = (waits.begin(), meter.llm_waits().begin(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        drop((engine, llm));
        drop(busy);
        let waited = milliseconds(waiting.elapsed());
        let took = begun.elapsed();
        let limited = meter.work(took);
        assert!(limited.limit_ms >= 40 && limited.limit_ms <= 2 * waited, "{limited:?}");
        assert!(limited.engine_ms >= 40 && limited.llm_ms <= work.llm_ms, "{limited:?}");
        let all = limited.engine_ms + limited.decode_ms + limited.llm_ms + limited.limit_ms;
        assert_eq!(u128::from(all), took.as_millis());
        for known in [true, false, true] {
            meter.window(known);
        }
        let work = meter.work(took);
        assert_eq!((work.windows, work.cache_hits), (3, 2));
        // A clock that goes on while nobody looks does not make the sum longer than the whole.
        assert_eq!(meter.work(Duration::ZERO), Work { windows: 3, cache_hits: 2, ..Work::default() });
    }
}
