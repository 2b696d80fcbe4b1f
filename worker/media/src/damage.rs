//! Lists of damaged stretches, bounded.

use scriptorium_contracts::transcript::DamagedFrames;

/// Most damaged stretches that are listed; beyond that the last one grows.
const MOST: usize = 1_000;

/// Adds a stretch at the end of a list in order; stretches that touch become one.
pub(crate) fn note(list: &mut Vec<DamagedFrames>, start: i64, end: i64) {
    let full = list.len() >= MOST;
    match list.last_mut() {
        Some(last) if full || last.end == start => last.end = end,
        _ => list.push(DamagedFrames { start, end }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_touch_are_one_and_the_list_is_bounded() {
        let mut list = Vec::new();
        note(&mut list, 0, 10);
        note(&mut list, 10, 20);
        note(&mut list, 25, 30);
        assert_eq!(list, [DamagedFrames { start: 0, end: 20 }, DamagedFrames { start: 25, end: 30 }]);
        for start in 50..5_000 {
            note(&mut list, 2 * start, 2 * start + 1);
        }
        assert_eq!((list.len(), list[MOST - 1].end), (MOST, 9_999));
    }
}
