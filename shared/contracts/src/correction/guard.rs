//! Whether a reply is a correction of what was heard.
//!
//! The text goes through a model that reads whatever was said as if it were written to it, so nothing of its reply is trusted: it
//! passes only if it is the raw text with some words spelt otherwise. What is doubtful stays raw; that costs a correction, and
//! the other way round would put words into somebody's mouth.

use super::diff::{self, Run};
use super::kept;
use super::sense;
use super::spelling::distance;
use crate::transcript::written_without_spaces;
use std::collections::{BTreeMap, BTreeSet};

/// Why a reply is no correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Nothing is left of the text, or nothing was there.
    Empty,
    /// Much longer or shorter.
    Length,
    /// Characters that no spoken text has and this one had not.
    Character,
    /// Other numbers.
    Number,
    /// Yes in place of no, or the other way round.
    Polarity,
    /// Other names, or names that were not there.
    Name,
    /// Other words.
    Distance,
}

/// Words of the whole recording: a name at the beginning of a sentence looks like any other word there.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Seen with a capital inside of a sentence.
    names: BTreeSet<String>,
    /// Seen in small letters.
    common: BTreeSet<String>,
}

impl Known {
    /// Of raw texts with their languages.
    pub fn of<'a>(texts: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let mut known = Self::default();
        for (text, language) in texts {
            for word in words(text, language) {
                match (word.capital, word.starts) {
                    (true, false) => known.names.insert(word.letters),
                    (false, _) => known.common.insert(word.letters),
                    (true, true) => false,
                };
            }
        }
        known
    }
}

/// A word as it is compared.
#[derive(Clone, Debug)]
struct Word {
    /// Small letters and digits, with apostrophes inside.
    letters: String,
    capital: bool,
    /// It begins a sentence.
    starts: bool,
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.letters == other.letters
    }
}

/// Of a language that is written without spaces each character is a word, but for Latin letters and digits.
fn words(text: &str, language: Option<&str>) -> Vec<Word> {
    let spaceless = written_without_spaces(language);
    let mut words: Vec<Word> = Vec::new();
    let (mut open, mut starts) = (false, true);
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        let digits_around = before.is_numeric() && next.is_numeric();
        let inside = open
            && ((matches!(letter, '\'' | '’') && next.is_alphabetic())
                || (matches!(letter, '.' | ',' | ':' | '/') && digits_around));
        before = letter;
        if !letter.is_alphanumeric() && !inside && !is_mark(letter) {
            open = false;
            starts |= ".!?…:;。！？¿¡\"“„«".contains(letter) || letter == '\n';
            continue;
        }
        let alone = spaceless && letter.is_alphabetic() && !letter.is_ascii();
        let joins = is_mark(letter) && !words.is_empty();
        if (!open && !joins) || alone {
            words.push(Word { letters: String::new(), capital: letter.is_uppercase(), starts });
            starts = false;
        }
        open = !alone;
        if let Some(word) = words.last_mut() {
            let letter = if letter == '’' { '\'' } else { letter };
            word.letters.extend(letter.to_lowercase());
        }
    }
    words
}

/// Signs that belong to the letter before them, as far as Unicode does not count them among the letters: accents, points of
/// Hebrew and Arabic, viramas and tones of Indian and South-East Asian scripts.
fn is_mark(letter: char) -> bool {
    matches!(letter,
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{64b}'..='\u{652}' | '\u{93c}' | '\u{94d}' | '\u{9bc}'
        | '\u{9cd}' | '\u{a3c}' | '\u{a4d}' | '\u{acd}' | '\u{b4d}' | '\u{bcd}' | '\u{c4d}' | '\u{ccd}' | '\u{d4d}'
        | '\u{dca}' | '\u{e47}'..='\u{e4e}' | '\u{ec8}'..='\u{ecd}' | '\u{1037}'..='\u{103a}' | '\u{17c9}'..='\u{17d3}'
        | '\u{3099}' | '\u{309a}')
}

/// Whether `reply` is a correction of `raw`.
///
/// # Errors
/// Why it is not.
pub fn judge(raw: &str, reply: &str, language: Option<&str>, known: &Known) -> Result<(), Refusal> {
    if raw.trim().is_empty() || reply.trim().is_empty() {
        return Err(Refusal::Empty);
    }
    check_characters(raw, reply)?;
    if sense::signs(raw) != sense::signs(reply) {
        return Err(Refusal::Number);
    }
    check_length(raw, reply)?;
    let spoken = |text| -> Vec<Word> {
        let all = words(text, language);
        let mut starts = false;
        let mut kept: Vec<Word> = Vec::with_capacity(all.len());
        // Where a filler goes, the word behind it begins the sentence.
        for mut word in all {
            word.starts |= std::mem::take(&mut starts);
            if kept::is_filler(&word.letters) {
                starts = word.starts;
                continue;
            }
            // A number may be written in letters or digits.
            if let Some(digits) = kept::number(&word.letters, language) {
                digits.clone_into(&mut word.letters);
            }
            kept.push(word);
        }
        kept
    };
    let (old, new) = (spoken(raw), spoken(reply));
    if numbers(&old, language) != numbers(&new, language) {
        return Err(Refusal::Number);
    }
    if polarity(&old, language) != polarity(&new, language) {
        return Err(Refusal::Polarity);
    }
    check_names(&old, &new, known)?;
    check_distance(&old, &new, written_without_spaces(language))?;
    if written_without_spaces(language) { Ok(()) } else { check_sense(&old, &new, language) }
}

fn check_characters(raw: &str, reply: &str) -> Result<(), Refusal> {
    const PUNCTUATION: &str = ".,;:!?…'’\"“”„«»()-–—¿¡%€$£°&、。，？！：；「」『』（）・،؟।";
    let allowed = |letter: char| {
        (letter.is_alphanumeric() && !sense::is_foreign(letter, raw))
            || letter == ' '
            || is_mark(letter)
            || PUNCTUATION.contains(letter)
            || raw.contains(letter)
    };
    if reply.trim().chars().all(allowed) { Ok(()) } else { Err(Refusal::Character) }
}

fn check_length(raw: &str, reply: &str) -> Result<(), Refusal> {
    let (old, new) = (raw.trim().chars().count(), reply.trim().chars().count());
    let near = old.abs_diff(new) <= 12;
    if near || (new * 10 >= old * 6 && new * 10 <= old * 14) { Ok(()) } else { Err(Refusal::Length) }
}

fn numbers(words: &[Word], language: Option<&str>) -> Vec<String> {
    let mut numbers = Vec::new();
    for Word { letters, .. } in words {
        if let Some(digits) = kept::number(letters, language) {
            numbers.push(digits.to_owned());
        } else if letters.chars().any(char::is_numeric)
            || (is_single(letters) && letters.chars().all(kept::is_numeral))
        {
            numbers.push(letters.clone());
        }
    }
    numbers
}

fn is_single(letters: &str) -> bool {
    letters.chars().nth(1).is_none()
}

fn polarity(words: &[Word], language: Option<&str>) -> Vec<&'static str> {
    words.iter().filter_map(|word| kept::polarity(&word.letters, language)).collect()
}

/// "I" has a capital, and is no name.
fn is_i(word: &str) -> bool {
    matches!(word, "i" | "i'm" | "i'd" | "i'll" | "i've")
}

fn count(words: &[Word]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.letters.as_str()).or_default() += 1;
    }
    counts
}

/// Each name comes as often as it was said, and none comes that was not said.
fn check_names(old: &[Word], new: &[Word], known: &Known) -> Result<(), Refusal> {
    let (before, after) = (count(old), count(new));
    let times = |counts: &BTreeMap<&str, usize>, word: &str| counts.get(word).copied().unwrap_or(0);
    // Beginnings of sentences that are gone and may have been names, and those that are new and are none.
    let (mut gone, mut come) = (BTreeSet::new(), BTreeSet::new());
    for word in old.iter().filter(|word| word.capital && !is_i(&word.letters)) {
        let letters = word.letters.as_str();
        let is_name = !word.starts || (known.names.contains(letters) && !known.common.contains(letters));
        if is_name && times(&before, letters) != times(&after, letters) {
            return Err(Refusal::Name);
        }
        if times(&after, letters) == 0 && !known.common.contains(letters) {
            gone.insert(letters);
        }
    }
    for word in new {
        let letters = word.letters.as_str();
        let is_beginning = word.capital && word.starts && known.common.contains(letters);
        if is_beginning && times(&after, letters) > times(&before, letters) {
            come.insert(letters);
        }
        if times(&before, letters) > 0 {
            continue;
        }
        if known.names.contains(letters) && !known.common.contains(letters) {
            return Err(Refusal::Name);
        }
        if word.capital && !is_i(letters) && !is_beginning {
            return Err(Refusal::Name);
        }
    }
    if gone.len() > come.len() { Err(Refusal::Name) } else { Ok(()) }
}

/// Words may be spelt otherwise, joined and parted; doubled ones may go. None may be added, and few may change.
///
/// Where each character is a word, a word spelt otherwise is one or two characters in the place of others.
fn check_distance(old: &[Word], new: &[Word], spaceless: bool) -> Result<(), Refusal> {
    let runs = diff::runs(old, new).ok_or(Refusal::Distance)?;
    let (mut changed_words, mut changed_letters) = (0, 0);
    for Run { old: gone, new: come } in runs {
        if come.is_empty() && is_repetition(old, &gone) {
            continue;
        }
        let (before, after) = (letters(old.get(gone.clone())), letters(new.get(come.clone())));
        let apart = distance(&before, &after);
        let longer = before.len().max(after.len());
        if apart > longer / 2 && !(spaceless && longer <= 2) {
            return Err(Refusal::Distance);
        }
        if apart > 0 {
            changed_words += gone.len().max(come.len());
            changed_letters += apart;
        }
    }
    let (all_words, all_letters) = (old.len().max(new.len()), letters(Some(old)).len());
    let few = if spaceless {
        changed_words <= (all_words / 5).max(1) && changed_letters <= (all_letters / 5).max(1)
    } else {
        changed_words <= (all_words * 2 / 5).max(1) && changed_letters <= (all_letters / 4).max(4)
    };
    if few { Ok(()) } else { Err(Refusal::Distance) }
}

/// No word becomes one of another sense, as far as that can be told by its letters.
fn check_sense(old: &[Word], new: &[Word], language: Option<&str>) -> Result<(), Refusal> {
    for Run { old: gone, new: come } in diff::runs(old, new).ok_or(Refusal::Distance)? {
        let (before, after) = (text(old.get(gone.clone())), text(new.get(come.clone())));
        if before == after || (come.is_empty() && is_repetition(old, &gone)) {
            continue;
        }
        let changed = || old.get(gone.clone()).into_iter().chain(new.get(come.clone())).flatten();
        if changed().any(|word| sense::holds_number(&word.letters, language)) {
            return Err(Refusal::Number);
        }
        if sense::are_opposite(&before, &after) {
            return Err(Refusal::Polarity);
        }
        if new.get(come.clone()).into_iter().flatten().any(|word| sense::mixes_scripts(&word.letters)) {
            return Err(Refusal::Character);
        }
        if changed().any(|word| sense::may_be_either(&word.letters, language)) {
            return Err(Refusal::Distance);
        }
    }
    Ok(())
}

/// The words without what is between them, and without apostrophes.
fn text(words: Option<&[Word]>) -> String {
    letters(words).into_iter().collect()
}

/// The same words stand right before or right behind.
fn is_repetition(words: &[Word], gone: &std::ops::Range<usize>) -> bool {
    let Some(same) = words.get(gone.clone()) else { return false };
    let before = gone.start.checked_sub(gone.len()).and_then(|from| words.get(from..gone.start));
    let behind = words.get(gone.end..gone.end + gone.len());
    before == Some(same) || behind == Some(same)
}

/// Without apostrophes, one word after the other.
fn letters(words: Option<&[Word]>) -> Vec<char> {
    let words = words.unwrap_or_default();
    words.iter().flat_map(|word| word.letters.chars()).filter(|letter| *letter != '\'').collect()
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
