//! How long calls of a service elsewhere waited for leave.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time in which at least one call waited: for a limit of calls, or because the service had asked for a pause. Of calls side
/// by side no moment counts twice.
#[derive(Debug, Default)]
pub struct Waits(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    waiting: u32,
    /// When the first of those that wait began to.
    since: Option<Instant>,
    before: Duration,
}

impl Waits {
    /// A call waits until this is dropped.
    pub fn begin(&self) -> Waiting<'_> {
        let mut counted = self.counted();
        counted.waiting += 1;
        counted.since.get_or_insert_with(Instant::now);
        Waiting(self)
    }

    /// So far.
    pub fn total(&self) -> Duration {
        let counted = self.counted();
        counted.before + counted.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits.
#[must_use]
pub struct Waiting<'a>(&'a Waits);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut counted = self.0.counted();
        counted.waiting = counted.waiting.saturating_sub(1);
        if counted.waiting == 0 {
            let waited = counted.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            counted.before += waited;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_moment_counts_twice() {
        let (waits, begun) = (Waits::default(), Instant::now());
        assert_eq!(waits.total(), Duration::ZERO);
        let first = waits.begin();
        let second = waits.begin();
        std::thread::sleep(Duration::from_millis(20));
        drop(first);
        std::thread::sleep(Duration::from_millis(20));
        let under_way = waits.total();
        drop(second);
        assert!(under_way >= Duration::from_millis(40) && under_way <= begun.elapsed());
        let waited = waits.total();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(waits.total(), waited, "nobody waits");
        drop(waits.begin());
        assert!(waits.total() >= waited && waits.total() < begun.elapsed());
    }
}
