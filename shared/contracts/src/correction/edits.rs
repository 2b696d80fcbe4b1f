//! The edits between a raw text and a corrected one, and their application.

use super::diff;
use crate::transcript::written_without_spaces;

/// An edit within one segment; [`super::Edit`] without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Character of the raw text at which `before` begins.
    pub start: usize,
    pub before: String,
    pub after: String,
}

/// A word, or a character where words are not told apart by spaces.
#[derive(Clone, Copy)]
struct Item<'a> {
    text: &'a str,
    /// Bytes of the text.
    start: usize,
}

impl Item<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Compared by their texts.
impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn items(text: &str, spaceless: bool) -> Vec<Item<'_>> {
    if spaceless {
        let letters = text.char_indices().filter(|(_, letter)| !letter.is_whitespace());
        return letters
            .filter_map(|(start, letter)| {
                text.get(start..start + letter.len_utf8()).map(|text| Item { text, start })
            })
            .collect();
    }
    let begin = text.as_ptr() as usize;
    text.split_whitespace().map(|word| Item { text: word, start: word.as_ptr() as usize - begin }).collect()
}

/// The changes that make `corrected` of `raw`, in order; differences of white space alone are none. `None`: the texts are too
/// long to be compared, or all would be gone.
///
/// No change has an empty side: what is only added or only taken away is told with a word beside it.
pub fn edits(raw: &str, corrected: &str, language: Option<&str>) -> Option<Vec<Change>> {
    let spaceless = written_without_spaces(language);
    let (old, new) = (items(raw, spaceless), items(corrected, spaceless));
    // Items of old, and the texts that come in their place.
    let mut groups: Vec<(std::ops::Range<usize>, Vec<&str>)> = Vec::new();
    for run in diff::runs(&old, &new)? {
        let (mut range, mut after) = (run.old, texts(new.get(run.new)?));
        if range.is_empty() || after.is_empty() {
            if let Some((before, texts)) = groups.last_mut().filter(|(before, _)| before.end == range.start) {
                before.end = range.end;
                texts.append(&mut after);
                continue;
            }
            if let Some(beside) = range.start.checked_sub(1) {
                after.insert(0, old.get(beside)?.text);
                range.start = beside;
            } else {
                // At the very beginning, so the word behind it is common to both; there is none if nothing is left.
                after.push(old.get(range.end)?.text);
                range.end += 1;
            }
        }
        groups.push((range, after));
    }
    let between = if spaceless { "" } else { " " };
    let change = |(range, after): (std::ops::Range<usize>, Vec<&str>)| {
        let (first, last) = (old.get(range.start)?, old.get(range.end.checked_sub(1)?)?);
        Some(Change {
            start: raw.get(..first.start)?.chars().count(),
            before: raw.get(first.start..last.end())?.to_owned(),
            after: after.join(between),
        })
    };
    groups.into_iter().map(change).collect()
}

fn texts<'a>(items: &[Item<'a>]) -> Vec<&'a str> {
    items.iter().map(|item| item.text).collect()
}

/// The raw text with these changes (start, before, after), which are in order and do not overlap. One that does not fit is
/// passed over.
pub fn apply<'a>(raw: &str, changes: impl Iterator<Item = (usize, &'a str, &'a str)>) -> String {
    let mut text = String::with_capacity(raw.len());
    let (mut rest, mut at) = (raw, 0);
    for (start, before, after) in changes {
        let Some(skip) = start.checked_sub(at) else { continue };
        let bytes: usize = rest.chars().take(skip).map(char::len_utf8).sum();
        let (Some(kept), Some(from)) = (rest.get(..bytes), rest.get(bytes..)) else { continue };
        let Some(behind) = from.strip_prefix(before) else { continue };
        text.push_str(kept);
        text.push_str(after);
        at = start + before.chars().count();
        rest = behind;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(raw: &str, corrected: &str, language: &str) -> Vec<(usize, String, String)> {
        let changes = edits(raw, corrected, Some(language)).unwrap();
        changes.into_iter().map(|one| (one.start, one.before, one.after)).collect()
    }

    fn three(start: usize, before: &str, after: &str) -> (usize, String, String) {
        (start, before.to_owned(), after.to_owned())
    }

    #[test]
    fn whole_words_are_told() {
        assert_eq!(
            told("we recieve it tommorow", "We receive it tomorrow.", "en"),
            [three(0, "we recieve", "We receive"), three(14, "tommorow", "tomorrow.")]
        );
        assert_eq!(told("the  same", "the same", "en"), []);
        assert_eq!(told("今日わ晴れ", "今日は晴れ", "ja"), [three(2, "わ", "は")]);
    }

    #[test]
    fn no_side_is_empty() {
        assert_eq!(told("I um think", "I think", "en"), [three(0, "I um", "I")]);
        assert_eq!(told("um I think", "I think", "en"), [three(0, "um I", "I")]);
        assert_eq!(told("I think so", "I do think so", "en"), [three(0, "I", "I do")]);
        assert_eq!(told("a b", "x a y b z", "en"), [three(0, "a", "x a y"), three(2, "b", "b z")]);
        assert_eq!(edits("gone", "", Some("en")), None);
    }

    proptest! {
        #[test]
        fn applied_they_give_the_corrected_text(raw in "[abc é]{0,20}", corrected in "[abc é]{1,20}") {
            for language in ["en", "ja"] {
                let Some(changes) = edits(&raw, &corrected, Some(language)) else {
                    prop_assert!(corrected.trim().is_empty() || raw.trim().is_empty());
                    continue;
                };
                let made = apply(&raw, changes.iter().map(|one| (one.start, &*one.before, &*one.after)));
                let squeezed = |text: &str| {
                    let between = if language == "ja" { "" } else { " " };
                    text.split_whitespace().collect::<Vec<_>>().join(between)
                };
                prop_assert_eq!(squeezed(&made), squeezed(&corrected));
                prop_assert!(changes.iter().all(|one| !one.before.is_empty() && !one.after.is_empty()));
                prop_assert_eq!(apply(&raw, std::iter::empty()), raw.clone());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_passed_over() {
        let changes = [(0, "x", "y"), (2, "b", "B"), (1, "a", "A")];
        assert_eq!(apply("a b", changes.into_iter()), "a B");
    }
}
