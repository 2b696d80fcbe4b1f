use super::*;
use proptest::prelude::*;
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::transcript::{Gap, GapReason, TimedWord};

fn segment(start: f64, end: f64, text: &str) -> Segment {
    Segment {
        id: 0,
        start,
        end,
        text: text.to_owned(),
        avg_logprob: -0.2,
        no_speech_prob: 0.1,
        language: None,
        words: Vec::new(),
        raw_text: None,
    }
}

fn transcript(language: &str, segments: Vec<Segment>, gaps: Vec<Gap>) -> Transcript {
    Transcript {
        version: 1,
        text: String::new(),
        language: language.to_owned(),
        duration: 4_000.0,
        segments,
        gaps,
        coverage: None,
        media: MediaInfo {
            container: "wav".into(),
            codec: "pcm_s16le".into(),
            sample_rate: 16_000,
            channels: 1,
            bitrate: None,
            duration_seconds: None,
            title: None,
        },
        engine: "whisper".into(),
        model: "tiny.en".into(),
        word_timestamps: None,
        raw_text: None,
        correction: None,
    }
}

fn shaped(
    transcript: &Transcript,
    width: Option<u32>,
    lines: Option<u32>,
    duration: Option<f64>,
) -> Vec<Cue> {
    cues(transcript, &Shape::new(width, lines, duration).unwrap())
}

fn cue(start: u64, end: u64, text: &str) -> Cue {
    Cue { start, end, text: text.to_owned() }
}

#[test]
fn lines_are_filled_and_cues_follow_in_proportion() {
    let text = "one two three four five six seven eight";
    let one = transcript("en", vec![segment(10.0, 20.0, text)], Vec::new());
    assert_eq!(
        shaped(&one, Some(10), Some(2), None),
        // 32 letters without the spaces, 10 s: what comes before a cue decides on its beginning.
        [
            cue(10_000, 14_687, "one two\nthree four"),
            cue(14_687, 18_437, "five six\nseven"),
            cue(18_437, 20_000, "eight"),
        ]
    );
    // Lines of the usual width, and lines alone.
    assert_eq!(shaped(&one, None, Some(1), None).len(), 1);
    assert_eq!(shaped(&one, Some(42), None, None)[0].text, text);
}

#[test]
fn words_keep_the_times_at_which_they_are_said() {
    let mut said = segment(10.0, 20.0, " It is late, very late.");
    let word = |word: &str, start, end| TimedWord { word: word.to_owned(), start, end, probability: 0.9 };
    said.words = vec![
        word(" It", 10.0, 10.2),
        word(" is", 10.2, 10.4),
        word(" late,", 10.4, 11.0),
        word(" very", 17.0, 17.5),
        word(" late.", 17.5, 20.0),
    ];
    let one = transcript("en", vec![said.clone()], Vec::new());
    let expected = [cue(10_000, 11_000, "It is late,"), cue(17_000, 20_000, "very late.")];
    assert_eq!(shaped(&one, None, None, Some(5.0)), expected);
    assert_eq!(shaped(&one, Some(11), Some(1), None), expected);
    // Words of another text are not believed.
    said.words.pop();
    let cues = shaped(&transcript("en", vec![said], Vec::new()), None, None, Some(5.0));
    assert_eq!((cues[0].start, cues.last().unwrap().end), (10_000, 20_000));
    assert!(cues.iter().all(|cue| cue.end - cue.start <= 5_000));
}

#[test]
fn japanese_is_broken_between_letters_but_not_before_a_full_stop() {
    let one = transcript(
        "ja",
        vec![segment(0.0, 5.0, "今日はとてもいい天気です。散歩に行きましょう。")],
        Vec::new(),
    );
    let texts: Vec<String> = shaped(&one, Some(12), Some(1), None).into_iter().map(|cue| cue.text).collect();
    assert_eq!(texts, ["今日はとてもいい天気で", "す。散歩に行きましょう。"]);
    assert_eq!(clusters("ก็ดี"), ["ก็", "ดี"]);
    assert_eq!(clusters("เก่า"), ["เก่", "า"]);
}

#[test]
fn a_long_gap_is_marked_at_its_beginning() {
    let gap = Gap { start: 62.0, end: 92.0, reason: GapReason::Failed };
    let one = transcript("en", Vec::new(), vec![gap]);
    assert_eq!(
        shaped(&one, None, None, Some(4.0)),
        [cue(62_000, 66_000, "[no transcript: 00:01:02–00:01:32]")]
    );
}

#[test]
fn senseless_bounds_are_refused() {
    for (width, lines, duration) in [
        (Some(9), None, None),
        (Some(201), None, None),
        (None, Some(0), None),
        (None, Some(11), None),
        (None, None, Some(0.4)),
        (None, None, Some(601.0)),
        (None, None, Some(f64::NAN)),
        (None, None, Some(-1.0)),
    ] {
        assert!(Shape::new(width, lines, duration).is_err(), "{width:?} {lines:?} {duration:?}");
    }
}

/// A segment with words that fit it, words that do not, or none; times may be senseless.
fn any_segment() -> impl Strategy<Value = Segment> {
    let time = || prop_oneof![8 => 0.0..100.0f64, 1 => any::<f64>()];
    let word = prop_oneof![
        5 => "[a-z]{1,12}[.,!?]?",
        2 => "[あ-ん一-龠。、]{1,30}",
        1 => "[ก-๎]{1,30}",
        1 => "\\PC{0,60}",
    ];
    (time(), time(), prop::collection::vec((word, time(), 0.0..3.0f64), 0..25), any::<bool>()).prop_map(
        |(start, end, words, timed)| {
            let text: String = words.iter().map(|(word, ..)| format!(" {word}")).collect();
            let mut segment = segment(start, end, &text);
            if timed {
                segment.words = words
                    .into_iter()
                    .map(|(word, start, length)| TimedWord {
                        word: format!(" {word}"),
                        start,
                        end: start + length,
                        probability: 0.5,
                    })
                    .collect();
            }
            segment
        },
    )
}

fn any_transcript() -> impl Strategy<Value = Transcript> {
    let gap = (0.0..100.0f64, 0.0..40.0f64).prop_map(|(start, length)| Gap {
        start,
        end: start + length,
        reason: GapReason::Damaged,
    });
    let language = prop::sample::select(vec!["en", "ja", "th"]);
    (language, prop::collection::vec(any_segment(), 0..12), prop::collection::vec(gap, 0..3)).prop_map(
        |(language, mut segments, gaps)| {
            segments.sort_by_key(|segment| (milliseconds(segment.start), milliseconds(segment.end)));
            transcript(language, segments, gaps)
        },
    )
}

proptest! {
    #[test]
    fn no_text_is_lost_order_is_kept_and_bounds_hold(
        transcript in any_transcript(),
        width in prop::option::of(10u32..=200),
        lines in prop::option::of(1u32..=10),
        duration in prop::option::of(0.5..=600.0f64),
    ) {
        let shape = Shape::new(width, lines, duration).unwrap();
        let cues = cues(&transcript, &shape);
        let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
        let given: String = sources(&transcript, &shape).iter().map(|source| letters(&source.text)).collect();
        let shown: String = cues.iter().map(|cue| letters(&cue.text)).collect();
        prop_assert_eq!(shown, given);
        let mut free = 0;
        for cue in &cues {
            prop_assert!(!cue.text.trim().is_empty());
            prop_assert!(cue.start >= free && cue.end > cue.start, "{cue:?} after {free}");
            prop_assert!(cue.end - cue.start <= shape.duration, "{cue:?}");
            prop_assert!(cue.text.split('\n').count() <= shape.lines, "{cue:?}");
            prop_assert!(cue.text.split('\n').all(|line| (1..=shape.width).contains(&line.chars().count())), "{cue:?}");
            free = cue.end;
        }
    }
}
