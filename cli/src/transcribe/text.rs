//! The text as it grows: chunks end in any order, readers want the beginning first.

use scriptorium_contracts::transcript::Joined;
use std::collections::BTreeMap;

/// In place of a part that failed for good.
const GAP: &str = "[…]";

#[derive(Default)]
pub struct GrowingText {
    beginning: Joined,
    /// Chunks that are part of [`Self::beginning`].
    chunks: u32,
    ahead: BTreeMap<u32, (String, Option<String>)>,
}

impl GrowingText {
    /// A chunk's text and its language; `true` if the beginning has grown.
    pub fn add(&mut self, chunk: u32, text: String, language: Option<String>) -> bool {
        if chunk < self.chunks {
            return false;
        }
        self.ahead.insert(chunk, (text, language));
        let before = self.beginning.0.len();
        while let Some((text, language)) = self.ahead.remove(&self.chunks) {
            self.beginning.push(&text, language.as_deref());
            self.chunks += 1;
        }
        self.beginning.0.len() > before
    }

    /// A chunk has failed for good.
    pub fn add_gap(&mut self, chunk: u32) -> bool {
        self.add(chunk, GAP.to_owned(), None)
    }

    /// The text without a gap from the start.
    pub fn beginning(&self) -> &str {
        &self.beginning.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_grows_in_order() {
        let mut text = GrowingText::default();
        assert!(!text.add(1, "two".to_owned(), None));
        assert!(text.add(0, " one ".to_owned(), None));
        assert_eq!(text.beginning(), "one two");
        assert!(!text.add(0, "again".to_owned(), None));
        assert!(!text.add(2, String::new(), None));
        assert!(text.add_gap(3));
        assert!(text.add(4, "five".to_owned(), None));
        assert_eq!(text.beginning(), "one two […] five");
    }
}
