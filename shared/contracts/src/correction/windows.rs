//! Which segments are asked for together: as many as the model's context has room for.

use std::ops::Range;

/// Bytes of UTF-8 a token, at the least: some four letters of English make one, and one or two of other scripts' of two or three
/// bytes.
const BYTES_A_TOKEN: usize = 3;
/// What a segment takes besides its text: its number, names of fields, quotes.
const BESIDES_TEXT: usize = 14;
/// Instructions and the message's frame.
const INSTRUCTIONS: usize = 500;
/// Models grow careless over long texts, and an answer that is refused costs the more.
const MOST_TOKENS: usize = 2_000;
const MOST_SEGMENTS: usize = 80;

/// How much fits into one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    tokens: usize,
}

impl Room {
    /// `context`: tokens of the question and of its answer together, as the model allows. The answer is as long as the text.
    pub const fn in_context(context: u32) -> Self {
        let half = (context as usize).saturating_sub(INSTRUCTIONS) / 2;
        // A correction may be somewhat longer than the text.
        let tokens = half - half / 8;
        Self { tokens: if tokens < MOST_TOKENS { tokens } else { MOST_TOKENS } }
    }
}

/// Tokens of a segment in the question, rather too many than too few.
fn tokens(text: &str) -> usize {
    // Quotes, backslashes and controls are escaped there.
    let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\') || *byte < 0x20).count();
    (text.len() + 5 * escaped).div_ceil(BYTES_A_TOKEN) + BESIDES_TEXT
}

/// Runs of segments, in order. Segments that have no text, or alone have no room, are in none.
pub fn windows<'a>(texts: impl Iterator<Item = &'a str>, room: Room) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut used = 0;
    for (at, text) in texts.enumerate() {
        let needed = tokens(text);
        if text.trim().is_empty() || needed > room.tokens {
            continue;
        }
        match windows.last_mut() {
            Some(last) if last.end == at && last.len() < MOST_SEGMENTS && used + needed <= room.tokens => {
                last.end = at + 1;
                used += needed;
            }
            Some(_) | None => {
                windows.push(at..at + 1);
                used = needed;
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_segment_with_room_is_in_one_window(
            texts in proptest::collection::vec("[a-z \"日]{0,60}", 0..120),
            context in 0_u32..4_000,
        ) {
            let room = Room::in_context(context);
            let windows = windows(texts.iter().map(String::as_str), room);
            let mut end = 0;
            for window in &windows {
                prop_assert!(window.start >= end && window.end > window.start);
                end = window.end;
                let all: usize = texts[window.clone()].iter().map(|text| tokens(text)).sum();
                prop_assert!(all <= room.tokens && window.len() <= MOST_SEGMENTS);
            }
            for (at, text) in texts.iter().enumerate() {
                let fits = !text.trim().is_empty() && tokens(text) <= room.tokens;
                prop_assert_eq!(windows.iter().filter(|window| window.contains(&at)).count(), usize::from(fits));
            }
        }
    }

    #[test]
    fn question_and_answer_fit_into_the_context() {
        for context in [0, 400, 1_000, 4_096, 8_192, 128_000] {
            let room = Room::in_context(context).tokens;
            assert!(room == 0 || 2 * room + INSTRUCTIONS <= context as usize, "{context}: {room}");
        }
        assert_eq!(Room::in_context(128_000).tokens, MOST_TOKENS);
    }

    #[test]
    fn windows_end_where_the_room_does() {
        let sentence = "a".repeat(300);
        let texts = vec![sentence.as_str(); 10];
        let room = Room { tokens: 3 * tokens(&sentence) };
        assert_eq!(windows(texts.into_iter(), room), [0..3, 3..6, 6..9, 9..10]);
        let long = "b".repeat(3_000);
        assert_eq!(windows([&*sentence, &long, "", "c"].into_iter(), room), [0..1, 3..4]);
    }
}
