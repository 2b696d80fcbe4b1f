//! How an answer is kept: with the time at which it was given, sealed with its key's secret.
//!
//! The secret is made of the sound. So whoever can read the cache, but does not have the recording, learns nothing from it, also
//! after the job was deleted; and what somebody has changed, cut or put under another name does not open.

use super::key::Key;
use crate::engine::{Detected, MAX_WINDOW, SAMPLE_RATE, WindowSegment, WindowText, WindowWord};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use bytes::Bytes;
use scriptorium_contracts::{Timestamp, language};
use scriptorium_shared::cache::MAX_VALUE;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The last segment may end a little after the window.
const LATEST_MS: u32 = (MAX_WINDOW as u64 * 1_000 / SAMPLE_RATE as u64) as u32 + 1_000;
/// Segments of a window, and words of a segment.
const MOST: usize = 4_096;

#[derive(Debug, Serialize, Deserialize)]
struct Kept<T> {
    /// Milliseconds since 1970.
    at: u64,
    answer: T,
}

/// What an engine can answer.
pub(super) trait Answer: Serialize + DeserializeOwned + PartialEq {
    /// Whether an engine may have said so.
    fn is_plausible(&self) -> bool;
}

/// `None` if it can't be kept: it would be too long, or not the same when it is read.
pub(super) fn seal<T: Answer>(key: &Key, answer: T, now: Timestamp) -> Option<Bytes> {
    let kept = Kept { at: now.0, answer };
    let mut sealed = serde_json::to_vec(&kept).ok()?;
    let read: Kept<T> = serde_json::from_slice(&sealed).ok()?;
    if read.answer != kept.answer || !read.answer.is_plausible() {
        return None;
    }
    let nonce = cipher(key)?.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
    sealed.extend_from_slice(nonce.as_ref());
    (sealed.len() <= MAX_VALUE).then(|| sealed.into())
}

/// `None` if it is older than `ttl`, or not what [`seal`] made under this key.
pub(super) fn open<T: Answer>(key: &Key, sealed: &[u8], ttl: Duration, now: Timestamp) -> Option<T> {
    if sealed.len() > MAX_VALUE {
        return None;
    }
    let (sealed, nonce) = sealed.split_at_checked(sealed.len().checked_sub(NONCE_LEN)?)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = sealed.to_vec();
    let opened = cipher(key)?.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
    let Kept { at, answer } = serde_json::from_slice::<Kept<T>>(opened).ok()?;
    // One from the future would never end.
    let age = Duration::from_millis(now.0.checked_sub(at)?);
    (age < ttl && answer.is_plausible()).then_some(answer)
}

fn cipher(key: &Key) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, &key.secret).ok()
}

impl Answer for WindowText {
    fn is_plausible(&self) -> bool {
        let Self { language, segments, attempts: _ } = self;
        let in_order = segments.windows(2).all(|pair| pair[0].start_ms <= pair[1].start_ms);
        is_language(language) && segments.len() <= MOST && in_order && segments.iter().all(is_segment)
    }
}

fn is_segment(segment: &WindowSegment) -> bool {
    let WindowSegment { start_ms, end_ms, text, words, .. } = segment;
    let numbers = [segment.avg_logprob, segment.no_speech_prob, segment.compression_ratio];
    let within = |word: &WindowWord| {
        start_ms <= &word.start_ms && word.start_ms <= word.end_ms && word.end_ms <= *end_ms
    };
    start_ms <= end_ms
        && *end_ms <= LATEST_MS
        && !text.trim().is_empty()
        && numbers.iter().all(|number| number.is_finite())
        && words.len() <= MOST
        && words.iter().all(|word| within(word) && (0.0..=1.0).contains(&word.probability))
}

impl Answer for Detected {
    fn is_plausible(&self) -> bool {
        is_language(&self.language) && (0.0..=1.0).contains(&self.probability)
    }
}

/// `und`: nobody speaks.
fn is_language(code: &str) -> bool {
    code == "und" || language::is_code(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: Timestamp = Timestamp(1_800_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn key(secret: u8) -> Key {
        Key { name: [0; 32], secret: [secret; 32] }
    }

    fn text() -> WindowText {
        let word = |start_ms, end_ms, text: &str| WindowWord {
            start_ms,
            end_ms,
            text: text.to_owned(),
            probability: 0.937_512_3,
        };
        WindowText {
            language: "en".to_owned(),
            segments: vec![WindowSegment {
                start_ms: 140,
                end_ms: 2_000,
                text: "Printing, \"in\" the".to_owned(),
                avg_logprob: -0.123_456_79,
                no_speech_prob: 1.175_494_4e-38,
                compression_ratio: 1.1,
                words: vec![word(140, 900, "Printing,"), word(900, 900, " \"in\""), word(950, 2_000, " the")],
            }],
            attempts: 2,
        }
    }

    #[test]
    fn what_is_sealed_opens_to_the_same_and_tells_nothing() {
        let sealed = seal(&key(1), text(), NOON).unwrap();
        assert_eq!(open::<WindowText>(&key(1), &sealed, DAY, NOON.plus(5)), Some(text()));
        assert!(!String::from_utf8_lossy(&sealed).contains("Printing"));
        // Not even whether it is the same as another one.
        assert_ne!(seal(&key(1), text(), NOON).unwrap(), sealed);
        let german = Detected { language: "de".to_owned(), probability: 0.5 };
        let sealed = seal(&key(1), german.clone(), NOON).unwrap();
        assert_eq!(open::<Detected>(&key(1), &sealed, DAY, NOON), Some(german));
        assert_eq!(open::<WindowText>(&key(1), &sealed, DAY, NOON), None, "an answer to another question");
    }

    #[test]
    fn what_was_kept_in_this_form_is_read_in_it() {
        let written = r#"{"at":1800000000000,"answer":{"language":"en","segments":[{"start_ms":140,"end_ms":2000,"text":"Printing, \"in\" the","avg_logprob":-0.12345679,"no_speech_prob":1.1754944e-38,"compression_ratio":1.1,"words":[{"start_ms":140,"end_ms":900,"text":"Printing,","probability":0.9375123},{"start_ms":900,"end_ms":900,"text":" \"in\"","probability":0.9375123},{"start_ms":950,"end_ms":2000,"text":" the","probability":0.9375123}]}],"attempts":2}}"#;
        assert_eq!(
            serde_json::to_string(&Kept { at: NOON.0, answer: text() }).unwrap(),
            written,
            "raise RULES"
        );
        assert_eq!(serde_json::from_str::<Kept<WindowText>>(written).unwrap().answer, text());
    }

    #[test]
    fn nothing_else_opens() {
        let sealed = seal(&key(1), text(), NOON).unwrap();
        let opens = |sealed: &[u8]| open::<WindowText>(&key(1), sealed, DAY, NOON).is_some();
        assert!(opens(&sealed));
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert!(!opens(&changed) && !opens(&sealed[..at]), "{at}");
        }
        assert!(!opens(&[&sealed[..], b"x"].concat()) && !opens(&vec![0; MAX_VALUE + 1]));
        assert_eq!(open::<WindowText>(&key(2), &sealed, DAY, NOON), None, "another key");
        for late in [DAY, 2 * DAY] {
            assert_eq!(open::<WindowText>(&key(1), &sealed, late, NOON.plus(late.as_millis() as u64)), None);
        }
        assert_eq!(open::<WindowText>(&key(1), &sealed, DAY, Timestamp(NOON.0 - 1)), None, "the future");
    }

    /// Of somebody who has the recording, say.
    #[test]
    fn what_no_engine_says_is_not_believed() {
        let changed = |change: &dyn Fn(&mut WindowText)| {
            let mut text = text();
            change(&mut text);
            text.is_plausible()
        };
        assert!(changed(&|_| {}));
        assert!(changed(&|text| text.segments.clear()));
        assert!(!changed(&|text| text.language = "<script>".to_owned()));
        assert!(!changed(&|text| text.segments[0].start_ms = 2_001));
        assert!(!changed(&|text| text.segments[0].end_ms = u32::MAX));
        assert!(!changed(&|text| text.segments[0].text = " ".to_owned()));
        assert!(!changed(&|text| text.segments[0].avg_logprob = f32::NEG_INFINITY));
        assert!(!changed(&|text| text.segments[0].words[2].end_ms = 2_001));
        assert!(!changed(&|text| text.segments[0].words[2].probability = 1.5));
        assert!(!changed(&|text| text.segments = vec![text.segments[0].clone(); MOST + 1]));
        assert!(!Detected { language: "en".to_owned(), probability: f32::NAN }.is_plausible());
    }

    #[test]
    fn what_would_not_be_the_same_or_is_too_long_is_not_kept() {
        let mut strange = text();
        strange.segments[0].avg_logprob = f32::NAN;
        assert_eq!(seal(&key(1), strange, NOON), None);
        let mut long = text();
        long.segments[0].text = "x".repeat(MAX_VALUE);
        assert_eq!(seal(&key(1), long, NOON), None);
    }

    proptest! {
        #[test]
        fn numbers_keep_every_bit(bits in any::<u32>(), probability in 0.0f32..=1.0) {
            let mut said = text();
            said.segments[0].avg_logprob = f32::from_bits(bits);
            said.segments[0].words[0].probability = probability;
            match seal(&key(1), said.clone(), NOON) {
                Some(sealed) => {
                    let read = open::<WindowText>(&key(1), &sealed, DAY, NOON).unwrap();
                    prop_assert_eq!(read.segments[0].avg_logprob.to_bits(), bits);
                    prop_assert_eq!(read.segments[0].words[0].probability.to_bits(), probability.to_bits());
                }
                None => prop_assert!(!f32::from_bits(bits).is_finite()),
            }
        }

        #[test]
        fn bytes_from_elsewhere_never_open(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(open::<WindowText>(&key(1), &bytes, DAY, NOON), None);
        }
    }
}
