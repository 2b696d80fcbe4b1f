//! When each word is said, against an independent judge.

use serde_json::json;

use super::*;

/// The largest difference to the judge that is no error, in seconds: some words begin softly.
const TOLERANCE: f64 = 0.3;

/// A word, its start and its end in seconds.
type Judged = (&'static str, f64, f64);

/// Words of LJ001-0001.wav with their times in seconds as faster-whisper 1.2.1 gives them (tiny.en, int8, beam 5,
/// word_timestamps, one thread). "differs", to which it gives no length, and "concern", where it understands something else,
/// are left out, and so are the words of less than three letters.
const CLIP: [Judged; 16] = [
    ("Printing,", 0.0, 0.52),
    ("the", 1.1, 1.26),
    ("only", 1.26, 1.64),
    ("sense", 1.64, 2.0),
    ("with", 2.0, 2.22),
    ("which", 2.22, 2.48),
    ("present", 2.98, 3.36),
    ("most", 5.38, 5.68),
    ("not", 5.9, 6.18),
    ("all", 6.48, 6.74),
    ("arts", 6.9, 7.12),
    ("and", 7.12, 7.42),
    ("crafts", 7.42, 7.84),
    ("represented", 7.84, 8.4),
    ("the", 8.8, 9.06),
    ("exhibition.", 9.06, 9.4),
];

/// The same of sample.flac: words that are said once in their window, and times in the recording.
const RECORDED: [(f64, f64, &[Judged]); 3] = [
    (
        12.0,
        29.0,
        &[
            ("Chinese", 13.1, 13.54),
            ("impressions", 13.84, 14.44),
            ("blocks", 15.26, 15.8),
            ("centuries", 17.56, 17.96),
            ("before", 17.96, 18.38),
            ("Netherlands", 19.58, 20.04),
            ("predecessors", 25.22, 25.78),
            ("invention", 28.02, 28.38),
        ],
    ),
    (102.0, 119.2, &[("followed", 117.82, 118.0), ("closely.", 118.58, 118.98)]),
    (
        119.2,
        133.8,
        &[
            ("first", 119.64, 119.96),
            ("printed", 120.58, 120.78),
            ("development", 124.16, 124.72),
            ("ancient", 125.52, 125.88),
            ("satisfactorily", 129.52, 130.32),
            ("capital", 132.86, 133.06),
        ],
    ),
];

fn with_words(window: Window) -> Window {
    Window { word_timestamps: true, ..window }
}

/// What holds for the words of any result.
fn check(result: &WindowText, samples: usize) {
    let mut before = 0;
    for segment in &result.segments {
        let text: String = segment.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(text, segment.text);
        assert!(segment.start_ms < segment.end_ms, "{segment:?}");
        assert!(before <= segment.start_ms && segment.end_ms as usize <= samples / 16, "{result:?}");
        before = segment.start_ms;
        for word in &segment.words {
            assert!(before <= word.start_ms && word.start_ms <= word.end_ms, "{segment:?}");
            assert!(word.end_ms <= segment.end_ms, "{segment:?}");
            assert!((0.0..=1.0).contains(&word.probability), "{word:?}");
            before = word.end_ms;
        }
    }
}

/// Each of `expected` (word, start, end in seconds from the window's start) must be said then.
fn compare(result: &WindowText, expected: impl IntoIterator<Item = Judged>) {
    let words: Vec<_> = result.segments.iter().flat_map(|segment| &segment.words).collect();
    for (text, start, end) in expected {
        let difference = |ms: u32, seconds: f64| (f64::from(ms) / 1000.0 - seconds).abs();
        let near = words
            .iter()
            .filter(|word| word.text.trim() == text)
            .map(|word| difference(word.start_ms, start).max(difference(word.end_ms, end)))
            .fold(f64::INFINITY, f64::min);
        assert!(near <= TOLERANCE, "{text:?} at {start} to {end} s is {near} s off: {words:?}");
    }
}

#[tokio::test]
async fn words_of_the_clip_have_the_judges_times() {
    let samples = recording("LJ001-0001.wav");
    let window = sound(samples);
    let plain = ENGINE.transcribe(window.clone(), &WAITS).await.unwrap();
    assert!(plain.segments.iter().all(|segment| segment.words.is_empty()), "nobody asked for them");
    let count = window.samples.len();
    let result = ENGINE.transcribe(with_words(window), &WAITS).await.unwrap();
    check(&result, count);
    compare(&result, CLIP);
    assert_eq!(text(&result), text(&plain), "words make no difference to the text");
    let unsure =
        result.segments.iter().flat_map(|segment| &segment.words).filter(|word| word.probability < 0.2);
    assert_eq!(unsure.count(), 0, "clear speech: {result:?}");
}

#[tokio::test]
async fn words_of_the_recording_have_the_judges_times() {
    for (from, to, expected) in RECORDED {
        let result = ENGINE.transcribe(with_words(window(from, to)), &WAITS).await.unwrap();
        check(&result, ((to - from) * 16_000.0) as usize);
        compare(&result, expected.iter().map(|&(text, start, end)| (text, start - from, end - from)));
    }
}

/// Windows that end in words, in noise, in silence, and that are decoded more than once.
#[tokio::test]
async fn words_hold_together_in_any_window() {
    let loud = window(200.0, 225.0).samples;
    let noisy = loud.iter().zip(noise(400_000, 0.4)).map(|(x, y)| x * 0.2 + y).collect();
    let silent = [noise(128_000, 0.0003), window(0.0, 9.6).samples, noise(160_000, 0.0003)].concat();
    let mut windows: Vec<_> = (0..8).map(|at| f64::from(at) * 28.3).map(|at| window(at, at + 29.7)).collect();
    windows.extend([noisy, silent].map(|samples| Window { samples, ..window(0.0, 1.0) }));
    windows.push(window(130.313, 133.871));
    windows.push(window(60.0, 60.4));
    let mut aligned = 0;
    for window in windows {
        let (plain, samples) = (window.clone(), window.samples.len());
        let result = ENGINE.transcribe(with_words(window), &WAITS).await.unwrap();
        check(&result, samples);
        assert_eq!(text(&result), text(&ENGINE.transcribe(plain, &WAITS).await.unwrap()));
        aligned += result.segments.len();
    }
    assert!(aligned > 30, "{aligned} segments");
}

#[tokio::test]
async fn words_begin_after_the_silence_before_them() {
    let samples = [noise(128_000, 0.0003), window(0.0, 9.6).samples].concat();
    let result = ENGINE.transcribe(with_words(Window { samples, ..window(0.0, 1.0) }), &WAITS).await.unwrap();
    let first = &result.segments[0].words[0];
    assert!((7_500..8_600).contains(&first.start_ms), "it is said at 8 s: {result:?}");
    assert!(first.end_ms < 9_000, "{result:?}");
}

/// Such models there are: converted without the heads, or made of a larger one whose heads they name.
#[tokio::test]
async fn a_model_that_cannot_tell_times_says_so_and_makes_none_up() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["model.bin", "tokenizer.json", "vocabulary.txt"] {
        std::os::unix::fs::symlink(model().canonicalize().unwrap().join(name), dir.path().join(name))
            .unwrap();
    }
    let config = std::fs::read(model().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert!(ENGINE.info().word_timestamps);
    for heads in [json!(null), json!([]), json!([[0, 1], [31, 0]]), json!([[0, 4000]])] {
        config["alignment_heads"] = heads;
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let engine = Whisper::load(EngineConfig::new(dir.path())).unwrap();
        assert!(!engine.info().word_timestamps, "{}", config["alignment_heads"]);
        let result = engine.transcribe(with_words(window(0.0, 9.9)), &WAITS).await.unwrap();
        // Its segments are those of the timestamps.
        assert!(text(&result).starts_with("Printing, in the only sense"), "{result:?}");
        assert!((9000..=9900).contains(&result.segments.last().unwrap().end_ms), "{result:?}");
        assert!(result.segments.iter().all(|segment| segment.words.is_empty()), "{result:?}");
        assert_eq!(engine.transcribe(window(0.0, 9.9), &WAITS).await.unwrap(), result);
        engine.close().await;
    }
}

#[tokio::test]
async fn a_multilingual_model_tells_times_in_its_languages() {
    let engine = Whisper::load(EngineConfig::new(multilingual())).unwrap();
    for language in [None, Some("en"), Some("de"), Some("ja"), Some("zh")] {
        let language = language.map(str::to_owned);
        let result =
            engine.transcribe(with_words(Window { language, ..window(12.0, 29.0) }), &WAITS).await.unwrap();
        check(&result, 17 * 16_000);
        assert!(!result.segments.is_empty());
        if result.language == "en" {
            let expected = RECORDED[0].2.iter().filter(|(text, ..)| *text != "invention");
            compare(&result, expected.map(|&(text, start, end)| (text, start - 12.0, end - 12.0)));
        }
    }
}
