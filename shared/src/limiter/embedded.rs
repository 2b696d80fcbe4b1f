//! The limiter inside one process.

use super::{CallLimits, MINUTE_MS, POLL_MS, Permit, Rate, milliseconds};
use scriptorium_contracts::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Buckets from which on empty ones are looked for.
const MANY_BUCKETS: usize = 1_024;

/// Clones share what they count.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedLimiter {
    names: Arc<Mutex<HashMap<String, Book>>>,
    /// When the buckets of names will have run empty, in microseconds.
    buckets: Arc<Mutex<HashMap<String, u64>>>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Book {
    /// When calls were granted in the last minute, the earliest first. As many as the limit at most.
    calls: VecDeque<Timestamp>,
    /// The permits that are out, and when their leases end.
    permits: HashMap<Uuid, Timestamp>,
}

impl EmbeddedLimiter {
    pub fn new() -> Self {
        Self::default()
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Book>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds to wait; 0: granted.
    pub(super) fn acquire(
        &self,
        permit: &Permit,
        limits: CallLimits,
        now: Timestamp,
        lease: Duration,
    ) -> u64 {
        let mut names = self.names();
        // Names that nobody uses any more are forgotten.
        names.retain(|_, book| book.forget(now));
        let book = names.entry(permit.name.clone()).or_default();
        let wait = book.wait(limits, now);
        if wait == 0 {
            if limits.per_minute.is_some() {
                book.calls.push_back(now);
            }
            book.permits.insert(permit.id, now.plus(milliseconds(lease)));
        }
        wait
    }

    /// Whether it is granted, and when the bucket will have run empty.
    pub(super) fn spend(&self, name: &str, rate: Rate, now_us: u64) -> (bool, u64) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that nobody uses any more are forgotten.
        if buckets.len() >= MANY_BUCKETS {
            buckets.retain(|_, empty| *empty > now_us);
        }
        let (empty, granted) = rate.spend(buckets.get(name).copied().unwrap_or(0), now_us);
        buckets.insert(name.to_owned(), empty);
        (granted, empty)
    }

    pub(super) fn renew(&self, permit: &Permit, now: Timestamp, lease: Duration) -> bool {
        let mut names = self.names();
        let ends = names.get_mut(&permit.name).and_then(|book| book.permits.get_mut(&permit.id));
        match ends {
            Some(ends) if *ends > now => {
                *ends = now.plus(milliseconds(lease));
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn release(&self, permit: &Permit) {
        if let Some(book) = self.names().get_mut(&permit.name) {
            book.permits.remove(&permit.id);
        }
    }
}

impl Book {
    /// Forgets what is over. False: there is nothing else.
    fn forget(&mut self, now: Timestamp) -> bool {
        while self.calls.front().is_some_and(|call| call.plus(MINUTE_MS) <= now) {
            self.calls.pop_front();
        }
        self.permits.retain(|_, ends| *ends > now);
        !self.calls.is_empty() || !self.permits.is_empty()
    }

    fn wait(&self, limits: CallLimits, now: Timestamp) -> u64 {
        let mut wait = 0;
        if let Some(most) = limits.per_minute
            && self.calls.len() >= most as usize
        {
            let first = self.calls.get(self.calls.len() - most as usize);
            let free = first.map_or(MINUTE_MS, |first| first.plus(MINUTE_MS).since(now));
            wait = free.clamp(1, MINUTE_MS);
        }
        if let Some(most) = limits.concurrent
            && self.permits.len() >= most as usize
        {
            let ends = self.permits.values().min().map_or(POLL_MS, |ends| ends.since(now));
            wait = wait.max(ends.clamp(1, POLL_MS));
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limiter;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_a_limiter() {
        crate::testing::limiter_contract(async || Limiter::Embedded(EmbeddedLimiter::new())).await;
    }

    #[test]
    fn names_that_are_over_are_forgotten() {
        let limiter = EmbeddedLimiter::new();
        let limits = CallLimits { per_minute: Some(1), concurrent: None };
        for at in 0..100 {
            let permit = Permit { name: at.to_string(), id: Uuid::new_v4() };
            let now = Timestamp(at * MINUTE_MS);
            assert_eq!(limiter.acquire(&permit, limits, now, Duration::from_secs(1)), 0);
            assert_eq!(limiter.names().len(), 1);
        }
    }
}
