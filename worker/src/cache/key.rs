//! Under which name an answer of the engine is kept, and the secret that opens it.
//!
//! Everything on which an answer depends goes in: the sound itself, all that is asked about it, the engine's identity. Two
//! questions whose answers may differ have different keys; two with the same answer may have them too, which costs no more than
//! computing it twice.

use crate::engine::{Identity, Window};
use scriptorium_shared::cache::CacheKey;
use sha2::{Digest, Sha256};

/// What is asked of the engine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question<'a> {
    /// The text of a window.
    Text(&'a Window),
    /// The language of some samples.
    Language(&'a [f32]),
}

/// Of one question.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Tells nothing of the question.
    pub name: CacheKey,
    /// Known only to those who have the sound. It can't be told from the name.
    pub secret: [u8; 32],
}

impl Key {
    /// `tenant`: whose sound it is. What is kept for one is not found by another, who so can't learn from the time that an
    /// answer takes what others have uploaded. `None` where there are no tenants.
    pub(super) fn of(identity: &Identity, tenant: Option<&str>, question: Question<'_>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(identity.bytes());
        optional(&mut hasher, tenant);
        match question {
            Question::Text(Window { samples, language, detected, prompt, word_timestamps }) => {
                hasher.update([1, u8::from(*word_timestamps), u8::from(*detected)]);
                optional(&mut hasher, language.as_deref());
                optional(&mut hasher, prompt.as_deref());
                sound(&mut hasher, samples);
            }
            Question::Language(samples) => {
                hasher.update([2]);
                sound(&mut hasher, samples);
            }
        }
        let all = hasher.finalize();
        let derived = |purpose: &str| Sha256::new().chain_update(purpose).chain_update(all).finalize().into();
        Self { name: derived("name"), secret: derived("secret") }
    }
}

/// With its length, and otherwise than one that is not there.
fn optional(hasher: &mut Sha256, text: Option<&str>) {
    match text {
        None => hasher.update([0]),
        Some(text) => {
            hasher.update([1]);
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
    }
}

fn sound(hasher: &mut Sha256, samples: &[f32]) {
    /// Samples whose bytes are written down at once.
    const BLOCK: usize = 1_024;
    hasher.update((samples.len() as u64).to_le_bytes());
    let mut bytes = Vec::with_capacity(4 * BLOCK);
    for block in samples.chunks(BLOCK) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|sample| sample.to_bits().to_le_bytes()));
        hasher.update(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn window() -> Window {
        Window {
            samples: (0..3_000).map(|sample| (sample as f32 * 0.1).sin()).collect(),
            language: None,
            detected: false,
            prompt: None,
            word_timestamps: false,
        }
    }

    #[test]
    fn whatever_may_change_an_answer_changes_the_key() {
        let identity = Identity::new("whisper", &[b"model"]);
        let some = |text: &str| Some(text.to_owned());
        let mut later = window();
        later.samples[2_999] += 1e-7;
        let mut shorter = window();
        shorter.samples.pop();
        let mut longer = window();
        longer.samples.push(0.0);
        let windows = [
            window(),
            later,
            shorter,
            longer,
            Window { language: some(""), ..window() },
            Window { language: some("en"), ..window() },
            Window { language: some("de"), ..window() },
            Window { language: some("en"), detected: true, ..window() },
            Window { prompt: some(""), ..window() },
            Window { prompt: some("en"), ..window() },
            Window { prompt: some("en"), language: some("en"), ..window() },
            Window { word_timestamps: true, ..window() },
        ];
        let other = Identity::new("whisper", &[b"another"]);
        let (mut names, mut asked) = (BTreeSet::new(), 0);
        for identity in [&identity, &other] {
            for tenant in [None, Some(""), Some("a"), Some("b")] {
                for window in &windows {
                    asked += 1;
                    names.insert(Key::of(identity, tenant, Question::Text(window)).name);
                }
                for window in &windows[..4] {
                    asked += 1;
                    names.insert(Key::of(identity, tenant, Question::Language(&window.samples)).name);
                }
            }
        }
        assert_eq!(names.len(), asked);
    }

    #[test]
    fn the_same_question_has_the_same_key_and_the_secret_is_another_thing() {
        let identity = Identity::new("whisper", &[b"model"]);
        let key = || Key::of(&identity, Some("a"), Question::Text(&window()));
        assert!(key() == key());
        assert_ne!(key().name, key().secret);
    }
}
