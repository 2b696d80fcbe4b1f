//! Where the text of a pass is cut into segments, once it is known when each word is said: at pauses, at the ends of
//! sentences, and, where a sentence is long, inside it.

use std::ops::Range;

use super::WindowWord;

/// A silence this long between two words is a border whatever they say.
const PAUSE_MS: u32 = 1000;
/// A segment longer than this is cut again, at a comma, or else where the pause between two words is longest: 8 s are two
/// long lines of subtitles.
const LONG_MS: u32 = 8_000;
/// What ends a sentence, …
const ENDS: &str = ".。!！?？…";
/// … what may stand after that and belongs to it, …
const CLOSING: &str = "\"'”’»)]}」』";
/// … and what divides a sentence.
const COMMAS: &str = ",，、;；:：—";
/// Words that end with a full stop and are followed by a name.
const TITLES: [&str; 12] = ["Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Rev", "Hon", "Gen", "Col", "Capt", "Lt"];

/// Which words each segment has, in order; each word is in one. Every segment has a length, unless there is only one.
pub fn cut(words: &[WindowWord]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut from = 0;
    for to in 1..=words.len() {
        let (before, after) = words.split_at(to);
        let border = match (before.last(), after.first()) {
            (Some(last), Some(next)) => {
                next.start_ms.saturating_sub(last.end_ms) >= PAUSE_MS || ends_sentence(&last.text, &next.text)
            }
            (_, None) => true,
            (None, _) => false,
        };
        if border {
            shorten(words, from..to, &mut ranges);
            from = to;
        }
    }
    with_lengths(words, ranges)
}

/// Whether a sentence ends between two words.
fn ends_sentence(word: &str, next: &str) -> bool {
    let bare = word.trim().trim_end_matches(|mark| CLOSING.contains(mark));
    let Some(rest) = bare.strip_suffix(|mark| ENDS.contains(mark)) else { return false };
    if next.trim_start().starts_with(char::is_lowercase) {
        return false;
    }
    let name = rest.trim_start_matches(|first: char| !first.is_alphanumeric());
    let initial = name.chars().count() == 1 && name.starts_with(char::is_uppercase);
    !bare.ends_with('.') || !(initial || TITLES.contains(&name))
}

/// Adds the range, in pieces of at most [`LONG_MS`] as far as words allow.
fn shorten(words: &[WindowWord], range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let mut waiting = vec![range];
    while let Some(range) = waiting.pop() {
        match inner_border(words, range.clone()) {
            // The first half comes off the stack first.
            Some(border) => waiting.extend([border..range.end, range.start..border]),
            None => out.push(range),
        }
    }
}

/// Where to cut a range that is too long: in its middle half (by time), after a comma if there is one, at the longest
/// pause, the one nearest to the middle of equals. `None` if it is not too long or has no border there.
fn inner_border(words: &[WindowWord], range: Range<usize>) -> Option<usize> {
    let (first, last) = (words.get(range.start)?, words.get(range.end.checked_sub(1)?)?);
    let length = last.end_ms.saturating_sub(first.start_ms);
    if length <= LONG_MS {
        return None;
    }
    let middle = first.start_ms + length / 2;
    let rank = |border: usize| {
        let (before, after) = (words.get(border - 1)?, words.get(border)?);
        let away = before.end_ms.abs_diff(middle);
        let comma = before.text.ends_with(|mark| COMMAS.contains(mark));
        let pause = after.start_ms.saturating_sub(before.end_ms);
        (away <= length / 4).then_some((comma, pause, std::cmp::Reverse(away)))
    };
    let borders = (range.start + 1..range.end).filter_map(|border| Some((rank(border)?, border)));
    borders.max_by_key(|&(rank, border)| (rank, std::cmp::Reverse(border))).map(|(_, border)| border)
}

/// Joins ranges whose words have no length to the one before, or to the one after the first.
fn with_lengths(words: &[WindowWord], ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let length = |range: &Range<usize>| match (words.get(range.start), words.get(range.end.wrapping_sub(1))) {
        (Some(first), Some(last)) => last.end_ms.saturating_sub(first.start_ms),
        _ => 0,
    };
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(before) if length(before) == 0 || length(&range) == 0 => before.end = range.end,
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &[(&str, u32, u32)]) -> Vec<WindowWord> {
        let word = |&(text, start_ms, end_ms): &(&str, u32, u32)| WindowWord {
            start_ms,
            end_ms,
            text: text.to_owned(),
            probability: 0.5,
        };
        text.iter().map(word).collect()
    }

    /// Words of 300 ms, one after the other.
    fn steady(text: &str) -> Vec<WindowWord> {
        let at = |index: usize| u32::try_from(index).unwrap() * 300;
        let told: Vec<_> =
            text.split(' ').enumerate().map(|(index, word)| (word, at(index), at(index + 1))).collect();
        words(&told)
    }

    fn texts(words: &[WindowWord]) -> Vec<String> {
        let join = |range: Range<usize>| {
            words[range].iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        cut(words).into_iter().map(join).collect()
    }

    #[test]
    fn sentences_are_segments() {
        let found = texts(&steady("He said: \"No!\" Why not? He was 1.75 m… so what. It is. 7 of 9."));
        assert_eq!(found, ["He said: \"No!\"", "Why not?", "He was 1.75 m… so what.", "It is.", "7 of 9."]);
        assert_eq!(texts(&steady("今日 は 。 いい ？ は い")), ["今日 は 。", "いい ？", "は い"]);
    }

    #[test]
    fn initials_and_titles_end_nothing() {
        let text = "Then Mr. J. R. Smith met Dr. Who at St. Paul's. \"Mrs. May\" came. Was it I? Yes.";
        let found = texts(&steady(text));
        assert_eq!(
            found,
            ["Then Mr. J. R. Smith met Dr. Who at St. Paul's.", "\"Mrs. May\" came.", "Was it I?", "Yes."]
        );
    }

    #[test]
    fn a_pause_is_a_border() {
        let told = words(&[("one", 0, 500), ("two", 1499, 1600), ("three", 2600, 3000)]);
        assert_eq!(cut(&told), [0..2, 2..3]);
    }

    #[test]
    fn long_sentences_are_cut_at_commas_or_pauses() {
        let plain = "a ".repeat(40) + "b";
        let halves = cut(&steady(&plain));
        assert_eq!(halves.len(), 2, "12.3 s without a comma or a pause: {halves:?}");
        assert!(halves[0].end.abs_diff(20) <= 1, "in the middle: {halves:?}");
        let comma = "a ".repeat(14) + "b, " + &"c ".repeat(25) + "d";
        assert_eq!(cut(&steady(&comma)), [0..15, 15..41]);
        let mut paused = steady(&plain);
        paused[25].start_ms += 200;
        assert_eq!(cut(&paused), [0..25, 25..41]);
        assert_eq!(cut(&steady(&plain.repeat(3))).len(), 8, "halved as often as needed");
        // One word as long as the whole window has no border.
        assert_eq!(cut(&words(&[("mmmm", 0, 30_000)])).len(), 1);
    }

    #[test]
    fn a_sentence_without_length_joins_its_neighbour() {
        let told = words(&[("Oh.", 0, 0), ("Yes.", 0, 400), ("No.", 400, 400), ("So.", 400, 900)]);
        assert_eq!(cut(&told), [0..3, 3..4]);
        assert_eq!(cut(&words(&[("Oh.", 3, 3), ("Yes.", 3, 3)])).len(), 1);
        assert_eq!(cut(&[]).len(), 0);
    }

    proptest! {
        #[test]
        fn each_word_is_in_one_segment(
            told in prop::collection::vec((0u32..3000, 0u32..4000, prop::sample::select(vec!["a", "b.", "C,", "D.", "。"])), 0..60)
        ) {
            let mut now = 0;
            let told: Vec<_> = told
                .into_iter()
                .map(|(pause, length, text)| {
                    let start = now + pause;
                    now = start + length;
                    (text, start, now)
                })
                .collect();
            let words = words(&told);
            let ranges = cut(&words);
            let mut next = 0;
            for range in &ranges {
                prop_assert_eq!(range.start, next);
                prop_assert!(range.end > range.start);
                let length = words[range.end - 1].end_ms - words[range.start].start_ms;
                prop_assert!(length > 0 || ranges.len() == 1);
                next = range.end;
            }
            prop_assert_eq!(next, words.len());
        }
    }
}
