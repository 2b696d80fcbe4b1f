//! What two rows of words have in common, and where they differ.

use std::ops::Range;

/// Words (or characters) of one segment; longer ones are not compared, so that the work stays small.
pub(super) const MAX_ITEMS: usize = 1_500;

/// A stretch where the rows differ; one of the two may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub old: Range<usize>,
    pub new: Range<usize>,
}

/// The stretches outside of a longest common subsequence, in order. `None`: a row is too long.
pub(super) fn runs<T: PartialEq>(old: &[T], new: &[T]) -> Option<Vec<Run>> {
    if old.len() > MAX_ITEMS || new.len() > MAX_ITEMS {
        return None;
    }
    let width = new.len() + 1;
    // `common[i * width + j]`: the length for what follows `old[i]` and `new[j]`.
    let mut common = vec![0_u16; (old.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for (i, left) in old.iter().enumerate().rev() {
        for (j, right) in new.iter().enumerate().rev() {
            let value = if left == right {
                get(&common, at(i + 1, j + 1)) + 1
            } else {
                get(&common, at(i + 1, j)).max(get(&common, at(i, j + 1)))
            };
            if let Some(cell) = common.get_mut(at(i, j)) {
                *cell = value;
            }
        }
    }
    let (mut runs, mut i, mut j, mut from) = (Vec::new(), 0, 0, (0, 0));
    while i < old.len() && j < new.len() {
        if old.get(i) == new.get(j) {
            push(&mut runs, from, (i, j));
            (i, j) = (i + 1, j + 1);
            from = (i, j);
        } else if get(&common, at(i + 1, j)) >= get(&common, at(i, j + 1)) {
            i += 1;
        } else {
            j += 1;
        }
    }
    push(&mut runs, from, (old.len(), new.len()));
    Some(runs)
}

fn get(common: &[u16], at: usize) -> u16 {
    common.get(at).copied().unwrap_or(0)
}

fn push(runs: &mut Vec<Run>, from: (usize, usize), to: (usize, usize)) {
    if from != to {
        runs.push(Run { old: from.0..to.0, new: from.1..to.1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_outside_of_the_runs_is_the_same(
            old in proptest::collection::vec(0_u8..4, 0..30),
            new in proptest::collection::vec(0_u8..4, 0..30),
        ) {
            let mut made = Vec::new();
            let mut at = 0;
            for run in runs(&old, &new).unwrap() {
                made.extend_from_slice(&old[at..run.old.start]);
                made.extend_from_slice(&new[run.new]);
                at = run.old.end;
            }
            made.extend_from_slice(&old[at..]);
            prop_assert_eq!(made, new);
        }
    }

    #[test]
    fn finds_the_least() {
        let runs_of = |old: &str, new: &str| {
            let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
            runs(&words(old), &words(new)).unwrap()
        };
        assert_eq!(runs_of("a b c", "a b c"), []);
        assert_eq!(runs_of("a b c", "a x c"), [Run { old: 1..2, new: 1..2 }]);
        assert_eq!(runs_of("a b c", "b c d"), [Run { old: 0..1, new: 0..0 }, Run { old: 3..3, new: 2..3 }]);
        assert_eq!(runs::<u8>(&[0; MAX_ITEMS + 1], &[]), None);
    }
}
