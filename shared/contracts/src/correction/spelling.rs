//! How far two words are apart.

/// Letters to change, add, take away, or swap with their neighbour (optimal string alignment; Damerau 1964).
pub(super) fn distance(left: &[char], right: &[char]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = Vec::with_capacity(right.len() + 1);
        row.push(i + 1);
        for (j, b) in right.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let replaced = get(&last, j) + usize::from(a != b);
            let mut least = replaced.min(get(&last, j + 1) + 1).min(get(&row, j) + 1);
            let swapped = i > 0 && j > 0 && left.get(i - 1) == Some(b) && right.get(j - 1) == Some(a);
            if swapped {
                least = least.min(get(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        let of = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("teh", "the", 1),
            ("there", "their", 2),
            ("recieve", "receive", 1),
            ("kitten", "sitting", 3),
            ("straße", "strasse", 2),
        ] {
            assert_eq!(of(a, b), expected, "{a} {b}");
            assert_eq!(of(b, a), expected, "{b} {a}");
        }
    }
}
