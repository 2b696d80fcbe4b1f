//! Work that may be what its workers die of.
//!
//! A queue tells that a worker died with a task, not of what: a node fails, everything is killed and started again, a
//! passage next to this one ends the process. So deaths alone condemn nothing. After [`SUSPECTED`] of them the work is a
//! suspect: it is narrowed down to one passage, and each of its tries is made by a worker that does nothing else at the
//! time, after a pause that grows, so that a row of restarts is over by then. Only what has killed its worker
//! [`TRIES_ALONE`] times in such tries is given up.

use super::retry::{Limits, retry_delay_ms};

/// Deaths that make a suspect.
pub(super) const SUSPECTED: u32 = 3;
const TRIES_ALONE: u32 = 3;

/// The sum after further deaths. However many a queue tells of at once (nobody may have come to say so before), they make
/// a suspect at most, and a try alone is one.
pub(super) fn plus(deaths: u32, further: u32) -> u32 {
    if is_suspected(deaths) {
        deaths.saturating_add(further.min(1))
    } else {
        deaths.saturating_add(further).min(SUSPECTED)
    }
}

pub(super) const fn is_suspected(deaths: u32) -> bool {
    deaths >= SUSPECTED
}

pub(super) const fn is_given_up(deaths: u32) -> bool {
    deaths >= SUSPECTED + TRIES_ALONE
}

/// Milliseconds before the next try: none for what is no suspect, then each four times as long as the one before.
pub(super) fn pause_ms(limits: &Limits, deaths: u32, seed: u64) -> u64 {
    let tried = deaths.checked_sub(SUSPECTED);
    tried.map_or(0, |tried| retry_delay_ms(limits, tried.saturating_mul(2).saturating_add(1), seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_restarts_is_over_before_a_suspect_is_given_up() {
        let limits = Limits::default();
        let pauses: Vec<u64> = (0..)
            .take_while(|deaths| !is_given_up(*deaths))
            .map(|deaths| pause_ms(&limits, deaths, 1))
            .collect();
        assert_eq!(pauses.len(), 6);
        assert_eq!(pauses[..3], [0; 3], "a worker's death delays nothing");
        let within = [5_000..=6_000, 20_000..=24_000, 80_000..=96_000];
        assert!(pauses[3..].iter().zip(within).all(|(pause, within)| within.contains(pause)), "{pauses:?}");
        assert!(pause_ms(&limits, u32::MAX, 1) <= 3_600_000 * 6 / 5);
    }
}
