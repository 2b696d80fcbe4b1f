//! What one other word does to the sense of a sentence: an amount that becomes another, an opposite, a letter that only looks like
//! another one. Where no list of words can be complete, what is alike but for that is taken for it: a correction too few does less
//! harm than one too many.

use super::kept;
use std::collections::BTreeMap;

/// Shortest number word that is looked for inside of others: "ten" is in "often".
const SHORTEST_PART: usize = 4;
/// In languages whose number words and negations are not listed, words up to this length are left alone: most of those are.
const SHORT_WORD: usize = 6;
/// What turns a word into another of the opposite or of another sense.
const PREFIXES: &[&str] = &[
    "un", "in", "im", "il", "ir", "dis", "non", "mis", "de", "re", "ex", "anti", "under", "over", "pre",
    "post",
];
/// English verbs that a "nt" negates, written without its apostrophe.
const AUXILIARIES: &[&str] = &[
    "ca", "could", "did", "do", "does", "had", "has", "have", "is", "are", "must", "need", "should", "was",
    "were", "wo", "would",
];

/// Signs that make an amount another one, and how often each stands there: of currencies and percent, and minus before digits.
pub(super) fn signs(text: &str) -> BTreeMap<char, usize> {
    let mut signs = BTreeMap::new();
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_minus = matches!(letter, '-' | '−')
            && before.is_whitespace()
            && letters.peek().is_some_and(|next| next.is_numeric());
        if is_minus || "%‰$€£¥₹°".contains(letter) {
            *signs.entry(if is_minus { '-' } else { letter }).or_default() += 1;
        }
        before = letter;
    }
    signs
}

/// Whether a letter is of a script that `raw` is not written in. Accents of Latin letters may always be put right.
pub(super) fn is_foreign(letter: char, raw: &str) -> bool {
    letter.is_alphabetic() && !is_latin(letter) && !raw.chars().any(|other| script(other) == script(letter))
}

/// Whether Latin letters stand among Greek or Cyrillic ones, of which some look the same.
pub(super) fn mixes_scripts(word: &str) -> bool {
    word.chars().any(|letter| letter.is_alphabetic() && is_latin(letter))
        && word.chars().any(|letter| matches!(letter, '\u{370}'..='\u{52f}'))
}

fn is_latin(letter: char) -> bool {
    matches!(letter, '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

/// A number for each script, roughly: blocks of Unicode, and one for all of East Asia.
fn script(letter: char) -> u32 {
    match u32::from(letter) {
        0x2e80.. => 0x2e80,
        code => code >> 8,
    }
}

/// Whether a number word stands inside of the word: "zweihundert", "fifteenth", "millions".
pub(super) fn holds_number(word: &str, language: Option<&str>) -> bool {
    let mut numbers = kept::numbers(language).iter();
    numbers.any(|(number, _)| number.chars().count() >= SHORTEST_PART && word.contains(number))
}

/// Whether two words differ in what turns the sense of a word round.
pub(super) fn are_opposite(one: &str, other: &str) -> bool {
    let negated = |word: &str, by: &str| {
        by.strip_suffix("nt").is_some_and(|verb| verb == word && AUXILIARIES.contains(&verb))
    };
    let shared = || stems(one).any(|stem| stems(other).any(|same| stem == same));
    one != other && (negated(one, other) || negated(other, one) || shared())
}

/// The word, and what is left of it without a prefix.
fn stems(word: &str) -> impl Iterator<Item = &str> {
    let without = PREFIXES.iter().filter_map(move |prefix| word.strip_prefix(prefix));
    std::iter::once(word).chain(without.filter(|stem| stem.chars().count() >= 3))
}

/// Whether the word may be a number or a negation that nobody has listed.
pub(super) fn may_be_either(word: &str, language: Option<&str>) -> bool {
    kept::numbers(language).is_empty() && word.chars().count() <= SHORT_WORD
}
