#![allow(clippy::unwrap_used)]

use super::*;
use scriptorium_contracts::transcript::{DamagedFrames, PassageSegment, Word};

const RATE: i64 = 1_000;

fn media() -> MediaInfo {
    serde_json::from_value(serde_json::json!({
        "container": "wav", "codec": "pcm_s16le", "sample_rate": RATE, "channels": 1,
        "bitrate": 16_000, "duration_seconds": null,
    }))
    .unwrap()
}

fn passage(start: i64, end: i64, language: &str, text: &str) -> PassageResult {
    let segment = PassageSegment {
        start_ms: 0,
        end_ms: (end - start) as u64,
        text: text.to_owned(),
        avg_logprob: -0.25,
        no_speech_prob: 0.125,
        words: Vec::new(),
        corrected: None,
    };
    PassageResult {
        start,
        end,
        language: Some(language.to_owned()),
        language_probability: None,
        segments: vec![segment],
        failed: false,
    }
}

fn chunk(frames: u64, passages: Vec<PassageResult>) -> ChunkResult {
    ChunkResult {
        frames,
        absolute_start: None,
        passages,
        damaged: Vec::new(),
        engine: "whisper".to_owned(),
        model: "tiny.en".to_owned(),
        word_timestamps: None,
        llm: None,
    }
}

fn range(bytes: u64) -> ChunkRange {
    ChunkRange { first: 0, last: bytes - 1 }
}

/// The same ten seconds in one chunk and in three: the bytes of the transcript agree.
#[test]
fn chunks_do_not_show() {
    let mut whole = Assembler::new(media()).unwrap();
    let all = vec![passage(0, 4_000, "en", "one"), passage(4_000, 10_000, "en", "two")];
    whole.push(0, range(30), Some(&chunk(10_000, all))).unwrap();

    let mut cut = Assembler::new(media()).unwrap();
    cut.push(0, range(10), Some(&chunk(3_000, vec![passage(0, 4_000, "en", "one")]))).unwrap();
    cut.push(1, range(10), Some(&chunk(3_000, vec![passage(1_000, 7_000, "en", "two")]))).unwrap();
    cut.push(2, range(10), Some(&chunk(4_000, Vec::new()))).unwrap();

    let Assembled { transcript: whole, seams_mended: mended, .. } = whole.finish();
    assert_eq!(mended, 0);
    assert_eq!(whole.text, "one two");
    assert_eq!(whole.duration, 10.0);
    assert_eq!((whole.segments[1].start, whole.segments[1].end), (4.0, 10.0));
    assert!(whole.gaps.is_empty());
    assert_eq!(
        serde_json::to_string(&whole).unwrap(),
        serde_json::to_string(&cut.finish().transcript).unwrap()
    );
}

#[test]
fn a_failed_chunk_leaves_a_gap_and_shifts_nothing() {
    let mut exact = Assembler::new(media()).unwrap();
    let mut estimated = Assembler::new(media()).unwrap();
    for (assembler, start) in [(&mut exact, Some(6_000)), (&mut estimated, None)] {
        assembler.push(0, range(30), Some(&chunk(3_000, vec![passage(0, 3_000, "en", "one")]))).unwrap();
        assembler.push(1, range(30), None).unwrap();
        let mut last = chunk(3_000, vec![passage(0, 3_000, "en", "three")]);
        last.absolute_start = start;
        assembler.push(2, range(30), Some(&last)).unwrap();
    }
    let Assembled { transcript, summary, seams_mended: mended, .. } = exact.finish();
    assert_eq!(mended, 0);
    assert_eq!(transcript.gaps, [Gap { start: 3.0, end: 6.0, reason: GapReason::Failed }]);
    assert_eq!(transcript.segments[1].start, 6.0);
    assert_eq!(transcript.duration, 9.0);
    assert_eq!(summary.gaps, transcript.gaps);
    assert_eq!(estimated.finish().transcript, transcript);
}

/// Two files joined: the container's count of the second one begins at 0 again.
#[test]
fn a_count_that_begins_anew_takes_nothing_away() {
    for failed in [None, Some(1)] {
        let mut assembler = Assembler::new(media()).unwrap();
        for (number, start) in [(0, 0), (1, 3_000), (2, 0), (3, 3_000)] {
            let mut result = chunk(3_000, vec![passage(0, 3_000, "en", &number.to_string())]);
            result.absolute_start = Some(start);
            let result = Some(&result).filter(|_| failed != Some(number));
            assembler.push(number, range(30), result).unwrap();
        }
        let Assembled { transcript, seams_mended, .. } = assembler.finish();
        assert_eq!(transcript.text, if failed.is_some() { "0 2 3" } else { "0 1 2 3" });
        assert_eq!((transcript.duration, seams_mended), (12.0, 0));
        assert_eq!(transcript.segments.last().unwrap().start, 9.0);
    }
}

#[test]
fn seams_that_do_not_fit_are_counted_and_nothing_is_said_twice() {
    let mut assembler = Assembler::new(media()).unwrap();
    assembler.push(0, range(10), Some(&chunk(3_000, vec![passage(0, 3_000, "en", "one")]))).unwrap();
    let overlapping = vec![passage(-1_000, 0, "en", "one"), passage(500, 3_000, "en", "two")];
    assembler.push(1, range(10), Some(&chunk(3_000, overlapping))).unwrap();
    let Assembled { transcript, seams_mended: mended, .. } = assembler.finish();
    assert_eq!(transcript.text, "one two");
    assert_eq!(mended, 2);
    assert_eq!(transcript.gaps, [Gap { start: 3.0, end: 3.5, reason: GapReason::Damaged }]);
}

#[test]
fn the_language_is_the_one_with_most_seconds() {
    let mut assembler = Assembler::new(media()).unwrap();
    let passages = vec![
        passage(0, 1_000, "de", "eins"),
        passage(1_000, 2_000, "de", "zwei"),
        passage(2_000, 5_000, "en", "three"),
    ];
    assembler.push(0, range(10), Some(&chunk(5_000, passages))).unwrap();
    assert_eq!(assembler.finish().transcript.language, "en");
    let nothing = Assembler::new(media()).unwrap().finish().transcript;
    assert_eq!((nothing.language.as_str(), nothing.text.as_str()), ("auto", ""));
}

/// Silence has no language: of a passage only its segments count.
#[test]
fn the_language_is_that_of_most_speech_not_of_the_longest_passages() {
    let mut assembler = Assembler::new(media()).unwrap();
    let (mut german, mut english) = (passage(0, 10_000, "de", "eins"), passage(10_000, 15_000, "en", "two"));
    german.segments[0].end_ms = 1_000;
    english.segments[0].end_ms = 4_000;
    assembler.push(0, range(10), Some(&chunk(15_000, vec![german, english]))).unwrap();
    assert_eq!(assembler.finish().summary.language, "en");
}

#[test]
fn damage_is_a_gap_and_absurd_positions_are_refused() {
    let mut assembler = Assembler::new(media()).unwrap();
    let mut result = chunk(3_000, vec![passage(0, 3_000, "en", "one")]);
    result.damaged = vec![DamagedFrames { start: 1_000, end: 1_500 }];
    assembler.push(0, range(10), Some(&result)).unwrap();
    assert_eq!(
        assembler.finish().transcript.gaps,
        [Gap { start: 1.0, end: 1.5, reason: GapReason::Damaged }]
    );

    for result in [chunk(u64::MAX, Vec::new()), chunk(0, vec![passage(-5, 0, "en", "x")])] {
        let mut assembler = Assembler::new(media()).unwrap();
        let first = assembler.push(0, range(10), Some(&result));
        let second = assembler.push(1, range(10), Some(&chunk(1, Vec::new())));
        assert!(first.is_err() || second.is_err());
    }
}

fn word(start_ms: u64, end_ms: u64, text: &str) -> Word {
    Word { start_ms, end_ms, text: text.to_owned(), probability: 0.5 }
}

#[test]
fn words_get_absolute_times() {
    let mut spoken = passage(1_000, 7_000, "en", "two words");
    spoken.segments[0].words = vec![word(250, 900, "two"), word(900, 6_000, " words")];
    let mut assembler = Assembler::new(media()).unwrap();
    assembler.push(0, range(10), Some(&chunk(3_000, vec![passage(0, 4_000, "en", "one")]))).unwrap();
    assembler
        .push(1, range(10), Some(&ChunkResult { word_timestamps: Some(true), ..chunk(7_000, vec![spoken]) }))
        .unwrap();
    let Assembled { transcript, seams_mended: mended, .. } = assembler.finish();
    assert_eq!((mended, transcript.word_timestamps), (0, Some(true)));
    assert_eq!(transcript.segments[0].words, []);
    let words = serde_json::to_value(&transcript.segments[1].words).unwrap();
    let expected = serde_json::json!([
        {"word": "two", "start": 4.25, "end": 4.9, "probability": 0.5},
        {"word": " words", "start": 4.9, "end": 10.0, "probability": 0.5},
    ]);
    assert_eq!(words, expected);
}

/// A worker's report is another machine's word: times that make no sense do no harm.
#[test]
fn words_stay_in_order_and_within_their_segment() {
    let mut spoken = passage(0, 5_000, "en", "a b c d");
    spoken.segments[0].start_ms = 1_000;
    spoken.segments[0].words =
        vec![word(0, 2_000, "a"), word(1_500, 1_400, " b"), word(u64::MAX, u64::MAX, " c"), word(0, 0, " d")];
    let mut assembler = Assembler::new(media()).unwrap();
    assembler.push(0, range(10), Some(&chunk(5_000, vec![spoken]))).unwrap();
    let Assembled { transcript, .. } = assembler.finish();
    let times: Vec<_> = transcript.segments[0].words.iter().map(|word| (word.start, word.end)).collect();
    assert_eq!(times, [(1.0, 2.0), (2.0, 2.0), (5.0, 5.0), (5.0, 5.0)]);
}

#[test]
fn one_chunk_without_times_of_words_is_told() {
    let told = |chunks: &[Option<bool>]| {
        let mut assembler = Assembler::new(media()).unwrap();
        for (at, &word_timestamps) in chunks.iter().enumerate() {
            let result = ChunkResult { word_timestamps, ..chunk(1_000, Vec::new()) };
            assembler.push(at as u32, range(10), Some(&result)).unwrap();
        }
        assembler.finish().transcript.word_timestamps
    };
    assert_eq!(told(&[None, None]), None);
    assert_eq!(told(&[Some(true), Some(true)]), Some(true));
    assert_eq!(told(&[Some(true), Some(false), Some(true)]), Some(false));
}

/// Corrections of chunks go their own way: the transcript as it was heard is the same with them and without.
#[test]
fn corrections_are_kept_apart_from_what_was_heard() {
    let assembled = |corrected: Option<&str>| {
        let mut assembler = Assembler::new(media()).unwrap();
        let mut result =
            chunk(2_000, vec![passage(0, 1_000, "en", "one"), passage(1_000, 2_000, "en", " too")]);
        result.passages[1].segments[0].corrected = corrected.map(str::to_owned);
        result.llm =
            corrected.map(|_| LlmOutcome { model: "m".to_owned(), refused: 1, ..LlmOutcome::default() });
        let nothing = chunk(1_000, vec![passage(0, 1_000, "en", " ")]);
        assembler.push(0, range(10), Some(&nothing)).unwrap();
        assembler.push(1, range(10), Some(&result)).unwrap();
        assembler.push(2, range(10), Some(&result)).unwrap();
        assembler.finish()
    };
    let (raw, with) = (assembled(None), assembled(Some("Too.")));
    assert_eq!(with.transcript, raw.transcript);
    assert_eq!(with.corrections.texts, [(1, "Too.".to_owned()), (3, "Too.".to_owned())].into());
    assert_eq!(with.corrections.outcome.refused, 2);
    assert_eq!(raw.corrections, Corrections::default());
}
