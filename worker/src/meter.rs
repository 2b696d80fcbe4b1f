//! Where the time of a task goes.

use scriptorium_contracts::message::Work;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Of one task.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Milliseconds in which windows were with the engine.
    engine_ms: AtomicU64,
}

impl Meter {
    /// The time until this is dropped is the engine's.
    pub fn engine(&self) -> Busy<'_> {
        Busy { meter: self, since: Instant::now() }
    }

    /// Of a task that has taken so long.
    pub fn work(&self, took: Duration) -> Work {
        let whole = milliseconds(took);
        let engine_ms = self.engine_ms.load(Ordering::Relaxed).min(whole);
        Work { decode_ms: whole - engine_ms, engine_ms }
    }
}

pub(crate) struct Busy<'a> {
    meter: &'a Meter,
    since: Instant,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.meter.engine_ms.fetch_add(milliseconds(self.since.elapsed()), Ordering::Relaxed);
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
        // A clock that goes on while nobody looks does not make the sum longer than the whole.
        assert_eq!(meter.work(Duration::ZERO), Work::default());
    }
}
