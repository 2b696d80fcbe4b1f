//! How many requests of a name go through: a *leaky bucket* (the generic cell rate algorithm). Pure.
//!
//! All that is known of a name is one time: when everything that it was granted will have run out of the bucket. So it costs
//! the same for any rate, and a pause of a whole window earns a whole window's requests at once.

use std::time::Duration;

/// So many in so long. At most a window's worth goes through at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub quota: u32,
    pub window: Duration,
}

/// Outcome of [`super::Limiter::spend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub granted: bool,
    /// How many more would go through now.
    pub remaining: u32,
    /// Until the whole quota is there again.
    pub reset: Duration,
    /// Until one more goes through. Zero if one would.
    pub retry: Duration,
}

impl Rate {
    /// Microseconds. No window is longer than a day, so that all sums are exact in Lua's numbers too.
    pub(super) fn window_us(&self) -> u64 {
        u64::try_from(self.window.min(Duration::from_secs(86_400)).as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Microseconds in which one of them runs out.
    pub(super) fn each_us(&self) -> u64 {
        (self.window_us() / u64::from(self.quota.max(1))).max(1)
    }

    /// What is said when the bucket has run empty at `empty` (microseconds).
    pub(super) fn spent(&self, granted: bool, empty: u64, now: u64) -> Spent {
        let (full, each) = (empty.saturating_sub(now), self.each_us());
        let room = self.window_us().saturating_sub(full);
        Spent {
            granted,
            remaining: u32::try_from(room / each).unwrap_or(u32::MAX).min(self.quota),
            reset: Duration::from_micros(full),
            retry: Duration::from_micros(each.saturating_sub(room)),
        }
    }

    /// Takes one more in, if there is room. `empty`: when the bucket will have run empty, if nothing more comes.
    pub(super) fn spend(&self, empty: u64, now: u64) -> (u64, bool) {
        let empty = empty.max(now);
        let next = empty.saturating_add(self.each_us());
        let granted = self.quota > 0 && next - now <= self.window_us();
        (if granted { next } else { empty }, granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In no window twice the quota, and never less than what is due.
        #[test]
        fn what_is_granted_keeps_the_rate(quota in 1u32..50, gaps in prop::collection::vec(0u64..400_000, 1..300)) {
            let rate = Rate { quota, window: Duration::from_secs(2) };
            let (mut empty, mut now, mut granted) = (0, 1_000_000_000, Vec::new());
            for gap in gaps {
                now += gap;
                let before = rate.spent(true, empty.max(now), now);
                let (next, yes) = rate.spend(empty, now);
                prop_assert_eq!(yes, before.remaining > 0, "what is said to remain goes through");
                prop_assert_eq!(yes, before.retry.is_zero());
                empty = next;
                if yes {
                    granted.push(now);
                }
            }
            for (index, first) in granted.iter().enumerate() {
                let inside = granted[index..].iter().take_while(|at| **at < first + 2_000_000).count();
                prop_assert!(inside <= 2 * quota as usize, "{inside}");
            }
        }
    }

    #[test]
    fn a_quota_comes_back_bit_by_bit() {
        let rate = Rate { quota: 4, window: Duration::from_secs(60) };
        let now = 1_000_000_000;
        let mut empty = 0;
        for left in [3, 2, 1, 0] {
            let (next, granted) = rate.spend(empty, now);
            assert!(granted);
            empty = next;
            assert_eq!(rate.spent(true, empty, now).remaining, left);
        }
        let (same, granted) = rate.spend(empty, now);
        let spent = rate.spent(granted, same, now);
        assert_eq!((granted, same, spent.remaining), (false, empty, 0));
        assert_eq!((spent.retry, spent.reset), (Duration::from_secs(15), Duration::from_secs(60)));
        assert!(rate.spend(empty, now + 15_000_000).1);
        assert!(!Rate { quota: 0, ..rate }.spend(0, now).1, "nothing is allowed");
    }
}
