//! The text without a gap, as the event log tells it. Pure, and bounded: texts that wait for an earlier chunk are held
//! up to a limit, beyond it only their place in the log is remembered.

use scriptorium_contracts::transcript::written_without_spaces;
use std::collections::BTreeMap;

/// Bytes of text that are held for chunks ahead of the gap-free text.
const HELD: usize = 64 << 10;

/// What is known of a completed chunk that the text has not reached yet.
enum Ahead {
    Held {
        text: String,
        language: Option<String>,
    },
    /// Its event has to be read again.
    InLog(u64),
}

/// What of the text is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The last so many bytes.
    Tail(usize),
    /// What was added since it was last taken.
    Added,
}

/// The gap-free beginning of a job's text.
pub struct GrowingText {
    keep: Keep,
    kept: String,
    /// Characters (Unicode scalar values) before `kept`.
    before: u64,
    /// Characters in all.
    length: u64,
    /// Chunks that are part of the text.
    chunks: u32,
    ahead: BTreeMap<u32, Ahead>,
    held: usize,
}

impl GrowingText {
    pub fn new(keep: Keep) -> Self {
        Self { keep, kept: String::new(), before: 0, length: 0, chunks: 0, ahead: BTreeMap::new(), held: 0 }
    }

    /// A chunk is done; `event` is the id of the log entry that says so.
    pub fn completed(&mut self, event: u64, chunk: u32, text: &str, language: Option<&str>) {
        if chunk < self.chunks {
            return;
        }
        // The next one is taken in with the next event, so it is held in any case.
        if chunk != self.chunks && self.held + text.len() > HELD {
            self.ahead.insert(chunk, Ahead::InLog(event));
            return;
        }
        self.hold(chunk, text, language);
    }

    /// The text of a chunk that [`Self::grow`] asked for.
    pub fn supply(&mut self, chunk: u32, text: &str, language: Option<&str>) {
        if self.ahead.contains_key(&chunk) {
            self.hold(chunk, text, language);
        }
    }

    fn hold(&mut self, chunk: u32, text: &str, language: Option<&str>) {
        let held = Ahead::Held { text: text.to_owned(), language: language.map(str::to_owned) };
        self.held += text.len();
        if let Some(Ahead::Held { text, .. }) = self.ahead.insert(chunk, held) {
            self.held = self.held.saturating_sub(text.len());
        }
    }

    /// Lets the text reach to the end of the first `chunks` chunks. `Err`: the event with this id has to be read and
    /// its text supplied first; what has been joined until then stays joined.
    pub fn grow(&mut self, chunks: u32) -> Result<(), u64> {
        while self.chunks < chunks {
            match self.ahead.remove(&self.chunks) {
                Some(Ahead::InLog(event)) => {
                    self.ahead.insert(self.chunks, Ahead::InLog(event));
                    return Err(event);
                }
                Some(Ahead::Held { text, language }) => {
                    self.held = self.held.saturating_sub(text.len());
                    self.join(text.trim(), language.as_deref());
                }
                // The log says that it is complete but not with what text: nothing to add.
                None => {}
            }
            self.chunks += 1;
        }
        Ok(())
    }

    /// By the rules of `contracts::transcript::Joined`, so that the end result begins with this text.
    fn join(&mut self, piece: &str, language: Option<&str>) {
        if piece.is_empty() {
            return;
        }
        if self.length > 0 && !written_without_spaces(language) {
            self.kept.push(' ');
            self.length += 1;
        }
        self.kept.push_str(piece);
        self.length += count(piece);
        if let Keep::Tail(most) = self.keep {
            self.cut(most);
        }
    }

    /// Keeps the last `most` bytes, at a character border.
    fn cut(&mut self, most: usize) {
        let Some(mut at) = self.kept.len().checked_sub(most).filter(|at| *at > 0) else { return };
        while !self.kept.is_char_boundary(at) {
            at += 1;
        }
        self.before += self.kept.get(..at).map_or(0, count);
        self.kept.drain(..at);
    }

    /// What is kept, and the number of characters before it.
    pub fn kept(&self) -> (u64, &str) {
        (self.before, &self.kept)
    }

    /// Takes what was added, with its offset in characters.
    pub fn take_added(&mut self) -> (u64, String) {
        let offset = self.before;
        self.before = self.length;
        (offset, std::mem::take(&mut self.kept))
    }
}

fn count(text: &str) -> u64 {
    text.chars().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use scriptorium_contracts::transcript::Joined;

    proptest! {
        /// Whatever the order of completion: the text is what the contract's joining gives, tails and additions are
        /// parts of it at the places they name, and memory stays bounded.
        #[test]
        fn grows_to_the_joined_text(
            pieces in proptest::collection::vec(("[a-zé漢 ]{0,12}", proptest::option::of("en|ja")), 1..40),
            seed in any::<u64>(),
            most in 1usize..60,
        ) {
            let mut expected = Joined::default();
            for (text, language) in &pieces {
                expected.push(text, language.as_deref());
            }
            let mut order: Vec<usize> = (0..pieces.len()).collect();
            order.sort_by_key(|at| (*at as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (mut tail, mut added) = (GrowingText::new(Keep::Tail(most)), GrowingText::new(Keep::Added));
            let (mut done, mut whole) = (vec![false; pieces.len()], String::new());
            for at in order {
                let (text, language) = &pieces[at];
                done[at] = true;
                let leading = done.iter().take_while(|done| **done).count() as u32;
                for growing in [&mut tail, &mut added] {
                    growing.completed(at as u64, at as u32, text, language.as_deref());
                    prop_assert_eq!(growing.grow(leading), Ok(()));
                }
                let (offset, text) = added.take_added();
                prop_assert_eq!(offset, count(&whole));
                whole.push_str(&text);
                let (before, kept) = tail.kept();
                prop_assert!(kept.len() <= most && whole.ends_with(kept));
                prop_assert_eq!(before + count(kept), count(&whole));
            }
            prop_assert_eq!(whole, expected.0);
        }
    }

    #[test]
    fn long_texts_ahead_are_not_held_but_asked_for() {
        let mut growing = GrowingText::new(Keep::Added);
        let long = "x".repeat(HELD / 2 + 1);
        growing.completed(10, 1, &long, None);
        growing.completed(11, 2, &long, None);
        growing.completed(12, 0, "first", None);
        assert!(growing.held <= HELD);
        assert_eq!(growing.grow(3), Err(11));
        // What could be joined is joined already.
        growing.supply(2, "third", None);
        assert_eq!(growing.grow(3), Ok(()));
        let (offset, text) = growing.take_added();
        assert_eq!((offset, text), (0, format!("first {long} third")));
        assert_eq!(growing.held, 0);
        growing.supply(2, "late", None);
        assert!(growing.ahead.is_empty());
    }
}
