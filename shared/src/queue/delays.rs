//! How long a message waits before it is delivered again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The pauses after the first, second, … failure of a message; after the last one it stays with that. Ascending, and
/// never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryDelays(Vec<Duration>);

impl Default for RetryDelays {
    /// What usually ends by itself (a service that restarts) ends within a minute; more would only be waited for.
    fn default() -> Self {
        Self([5, 10, 20, 40, 60].map(Duration::from_secs).to_vec())
    }
}

impl RetryDelays {
    /// At most 16 steps, each between 1 ms and an hour; without any, the usual ones.
    pub fn new(steps: impl IntoIterator<Item = Duration>) -> Self {
        let bounded = |step: Duration| step.clamp(Duration::from_millis(1), Duration::from_secs(3_600));
        let mut steps: Vec<_> = steps.into_iter().take(16).map(bounded).collect();
        steps.sort_unstable();
        steps.dedup();
        if steps.is_empty() { Self::default() } else { Self(steps) }
    }

    pub fn steps(&self) -> &[Duration] {
        &self.0
    }

    /// The pause of a message that has been put off `retries` times before. One message in four waits a step less, one
    /// in four a step more, so that messages which failed together do not all come back together.
    pub(super) fn choose(&self, retries: u32) -> Duration {
        // Every RandomState has other keys, so this needs no generator of its own.
        self.pick(retries, RandomState::new().hash_one(0_u8))
    }

    fn pick(&self, retries: u32, random: u64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let step = usize::try_from(retries).unwrap_or(last).min(last);
        let step = match random % 4 {
            0 => step.saturating_sub(1),
            1 => (step + 1).min(last),
            _ => step,
        };
        self.0.get(step).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn grow_to_the_last_and_stay() {
        let delays = RetryDelays::default();
        let seconds: Vec<_> = (0..8).map(|retries| delays.pick(retries, 2).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60, 60]);
        let chosen: BTreeSet<_> = (0..1_000).map(|_| delays.choose(1).as_secs()).collect();
        assert_eq!(chosen, BTreeSet::from([5, 10, 20]));
        for random in 0..4 {
            assert!((40..=60).contains(&delays.pick(u32::MAX, random).as_secs()));
        }
    }

    #[test]
    fn are_put_right() {
        assert_eq!(RetryDelays::new([]), RetryDelays::default());
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let delays = RetryDelays::new([day, second, second, Duration::ZERO]);
        assert_eq!(delays.steps(), [Duration::from_millis(1), second, Duration::from_secs(3_600)]);
    }
}
