//! The engine on a real model: `SCRIPTORIUM_MODEL`, or tiny.en in `SCRIPTORIUM_MODELS_DIR` or in the workspace's models (`make model` gets it).
#![cfg(feature = "whisper")]
// Helpers of tests may take the tests' shortcuts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod batches;
mod music;
mod words;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use futures::future::join_all;
use scriptorium_media::{ByteSource, FileSource, decode_passage, plan_chunk, probe};
use scriptorium_shared::waits::Waits;
use scriptorium_worker::engine::{
    Engine, EngineConfig, EngineError, MAX_WINDOW, Whisper, Window, WindowText, vad,
};

/// What the local engine never waits for.
static WAITS: LazyLock<Waits> = LazyLock::new(Waits::default);

/// The sample recording (LJ Speech 1 to 32), 16 kHz.
static RECORDING: LazyLock<Vec<f32>> = LazyLock::new(|| recording("sample.flac"));

/// The sound of a recording among the fixtures, 16 kHz mono.
fn recording(name: &str) -> Vec<f32> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    let source = FileSource::open(&path).unwrap();
    let init = probe(&source).unwrap();
    let plan = plan_chunk(&source, &init, 0..source.len()).unwrap();
    let mut samples = Vec::new();
    for passage in &plan.passages {
        let mut reader = decode_passage(&source, &init, passage).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            samples.extend(block);
        }
    }
    samples
}

fn model() -> PathBuf {
    std::env::var_os("SCRIPTORIUM_MODEL").map_or_else(|| models_dir().join("tiny.en"), PathBuf::from)
}

/// A model of many languages; `make test` gets it, as does `scripts/model.sh base`.
fn multilingual() -> PathBuf {
    models_dir().join("base")
}

fn models_dir() -> PathBuf {
    let models = || concat!(env!("CARGO_MANIFEST_DIR"), "/../models").into();
    std::env::var_os("SCRIPTORIUM_MODELS_DIR").map_or_else(models, PathBuf::from)
}

fn engine(slots: usize, max_batch: usize) -> Whisper {
    let config = EngineConfig { model_dir: model(), slots, max_batch, beam_size: 5, identify: false };
    Whisper::load(config).unwrap_or_else(|error| panic!("{error}"))
}

/// One engine for the tests that do not need their own.
static ENGINE: LazyLock<Whisper> = LazyLock::new(|| engine(1, 4));

/// A window of the recording, in seconds.
fn window(from: f64, to: f64) -> Window {
    let [from, to] = [from, to].map(|at| (at * 16_000.0) as usize);
    sound(RECORDING[from..to].to_vec())
}

/// A window about which nothing is known.
fn sound(samples: Vec<f32>) -> Window {
    Window { samples, language: None, detected: false, prompt: None, word_timestamps: false }
}

fn noise(samples: usize, level: f32) -> Vec<f32> {
    let mut state = 1u32;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state as f32 / 2f32.powi(31) - 1.0) * level
        })
        .collect()
}

fn text(result: &WindowText) -> String {
    result.segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Waits until this process has `count` threads of engines: the system takes a moment to name and to bury them.
fn await_engine_threads(count: usize) {
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("whisper-"))
            .count()
    };
    for _ in 0..200 {
        if threads() == count {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} threads instead of {count}", threads());
}

#[tokio::test]
async fn writes_what_is_said_and_when() {
    let engine = &*ENGINE;
    let result = engine.transcribe(window(0.0, 9.9), &WAITS).await.unwrap();
    let text = text(&result);
    assert!(text.starts_with("Printing, in the only sense with which we are at present concern"), "{text}");
    assert!(text.to_lowercase().trim_end_matches('.').ends_with("represented in the exhibition"), "{text}");
    assert_eq!((result.language.as_str(), result.attempts), ("en", 1));
    let mut before = 0;
    for segment in &result.segments {
        assert!(before <= segment.start_ms && segment.start_ms < segment.end_ms, "{result:?}");
        assert!((-1.0..0.0).contains(&segment.avg_logprob), "{segment:?}");
        assert!((0.0..0.5).contains(&segment.no_speech_prob), "{segment:?}");
        assert!((0.5..2.4).contains(&segment.compression_ratio), "{segment:?}");
        before = segment.end_ms;
    }
    assert!((9000..=9900).contains(&before), "the clip's last word ends at 9.5 s: {result:?}");
}

/// The promise that transcripts stand on: what else is transcribed, in which batch, on which replica and how often
/// makes no difference to a window, down to the last bit of its probabilities.
#[tokio::test]
async fn a_batch_changes_nothing() {
    let mut windows = vec![
        window(0.0, 29.9),
        window(30.0, 41.3),
        window(60.0, 61.0),
        window(60.0, 90.0),
        window(100.0, 100.2),
        window(100.0, 117.77),
        sound(vec![0.0; 160_000]),
        sound(noise(MAX_WINDOW, 0.1)),
        // Cut within a word, much too quiet, and too loud.
        window(130.313, 141.871),
        Window {
            samples: window(150.0, 165.0).samples.iter().map(|x| x * 0.002).collect(),
            ..window(150.0, 165.0)
        },
        Window {
            samples: window(170.0, 190.0).samples.iter().map(|x| (x * 30.0).clamp(-1.0, 1.0)).collect(),
            ..window(0.0, 1.0)
        },
        // A phrase over and over, which is decoded more than once; speech under noise.
        Window { samples: window(1.1, 2.9).samples.repeat(16), ..window(0.0, 1.0) },
        Window {
            samples: window(200.0, 225.0)
                .samples
                .iter()
                .zip(noise(400_000, 0.4))
                .map(|(x, y)| x * 0.2 + y)
                .collect(),
            ..window(0.0, 1.0)
        },
    ];
    windows.push(Window {
        prompt: Some("William Morris, Emery Walker: Printing.".to_owned()),
        ..windows[1].clone()
    });
    windows.push(Window { language: Some("en".to_owned()), ..windows[1].clone() });
    // What is told of the words makes no difference to a batch.
    let words: Vec<_> =
        [0, 3, 10, 12].map(|at| Window { word_timestamps: true, ..windows[at].clone() }).into();
    windows.extend(words);

    let single = engine(1, 1);
    let mut expected = Vec::new();
    for window in &windows {
        expected.push(single.transcribe(window.clone(), &WAITS).await.unwrap());
    }
    assert!(expected.iter().any(|result| result.attempts > 1), "no window was decoded again");
    assert_eq!(expected[1], expected[14]);
    single.close().await;

    for (slots, max_batch, turn) in [(2, 3, 5), (1, 14, 9)] {
        let engine = engine(slots, max_batch);
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.rotate_left(turn);
        let results = join_all(order.iter().map(|&i| engine.transcribe(windows[i].clone(), &WAITS))).await;
        for (i, result) in order.into_iter().zip(results) {
            let result = result.unwrap();
            // Debug output tells floats apart bit by bit.
            assert_eq!(
                format!("{result:?}"),
                format!("{:?}", expected[i]),
                "window {i}, {slots}×{max_batch}"
            );
        }
    }
}

#[tokio::test]
async fn silence_and_noise_give_no_text_and_cost_no_pass() {
    let engine = &*ENGINE;
    let sounds = [
        vec![0.0; MAX_WINDOW],
        noise(MAX_WINDOW, 0.001),
        noise(MAX_WINDOW, 0.5),
        vec![0.3; 1],
        vec![1e30; 999],
    ];
    for samples in sounds {
        let result = engine.transcribe(sound(samples), &WAITS).await.unwrap();
        assert_eq!((result.segments.len(), result.attempts), (0, 0), "{result:?}");
    }
}

#[tokio::test]
async fn speech_between_silences_has_its_times() {
    let engine = &*ENGINE;
    let clip = window(0.0, 9.6).samples;
    let samples = [noise(128_000, 0.0003), clip, noise(160_000, 0.0003)].concat();
    let speech = vad::speech_regions(&samples);
    let result = engine.transcribe(sound(samples), &WAITS).await.unwrap();
    assert!(text(&result).contains("only sense"), "{result:?}");
    let (start, end) = (result.segments[0].start_ms, result.segments.last().unwrap().end_ms);
    assert!(end <= 18_000, "nothing is said after 17.6 s: {result:?} {speech:?}");
    assert!(start >= 7_500, "nothing is said before 8 s: {result:?} {speech:?}");
}

#[tokio::test]
async fn a_dropped_call_frees_its_place() {
    let engine = engine(1, 1);
    // Many more than the engine lets in, all given up at once.
    for round in 0..3 {
        let calls = join_all((0..20).map(|_| engine.transcribe(window(0.0, 20.0), &WAITS)));
        let given_up = tokio::time::timeout(Duration::from_millis(40 * round), calls).await;
        assert!(given_up.is_err());
    }
    let result =
        tokio::time::timeout(Duration::from_secs(60), engine.transcribe(window(0.0, 9.9), &WAITS)).await;
    assert!(text(&result.unwrap().unwrap()).starts_with("Printing"));
}

#[tokio::test]
async fn closing_ends_calls_and_threads() {
    let engine = engine(2, 1);
    let waiting: Vec<_> = (0..12)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.transcribe(window(0.0, 29.9), &WAITS).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::time::timeout(Duration::from_secs(60), engine.close()).await.expect("close hangs");
    let mut closed = 0;
    for call in waiting {
        match call.await.unwrap() {
            Err(EngineError::Closed) => closed += 1,
            Err(error) => panic!("{error}"),
            Ok(_) => {}
        }
    }
    assert!(closed >= 8, "{closed} of 12");
    let error = engine.transcribe(window(0.0, 1.0), &WAITS).await.unwrap_err();
    assert!(matches!(error, EngineError::Closed) && error.retryable());
    engine.close().await;
}

#[tokio::test]
async fn bad_windows_and_languages_are_refused() {
    let engine = &*ENGINE;
    let ask = |samples: Vec<f32>, language: Option<&str>| {
        engine.transcribe(
            Window {
                samples,
                language: language.map(str::to_owned),
                detected: false,
                prompt: None,
                word_timestamps: false,
            },
            &WAITS,
        )
    };
    for samples in [vec![], vec![0.0; MAX_WINDOW + 1], vec![0.0, f32::NAN], vec![f32::INFINITY]] {
        let error = ask(samples.clone(), None).await.unwrap_err();
        assert!(matches!(error, EngineError::Window(_)) && !error.retryable(), "{error}");
        assert!(matches!(engine.detect_language(samples, &WAITS).await, Err(EngineError::Window(_))));
    }
    for language in ["xx", "", "EN", "<|en|>", "en|><|de"] {
        let error = ask(vec![0.0; 100], Some(language)).await.unwrap_err();
        assert!(matches!(error, EngineError::Language { .. }) && !error.retryable(), "{error}");
    }
}

#[tokio::test]
async fn any_prompt_is_bearable() {
    let engine = &*ENGINE;
    let endless = "and so on, ".repeat(100_000);
    for prompt in ["", "<|endoftext|><|nospeech|><|30.00|>", "\0\u{ffff}𝄞", &endless] {
        let window = Window { prompt: Some(prompt.to_owned()), ..window(0.0, 9.9) };
        engine.transcribe(window, &WAITS).await.unwrap();
    }
}

#[tokio::test]
async fn info_and_language_of_an_english_model() {
    let engine = &*ENGINE;
    let info = engine.info();
    assert_eq!(info.engine, "whisper");
    if !info.multilingual {
        assert_eq!(info.languages, ["en"]);
        let detected = engine.detect_language(vec![0.0; 16_000], &WAITS).await.unwrap();
        assert_eq!((detected.language.as_str(), detected.probability), ("en", 1.0));
    }
}

#[tokio::test]
async fn a_multilingual_model_tells_the_language() {
    let engine = Whisper::load(EngineConfig { max_batch: 4, ..EngineConfig::new(multilingual()) }).unwrap();
    let info = engine.info();
    assert!(info.multilingual && info.languages.len() >= 99, "{info:?}");
    let detected = engine.detect_language(window(0.0, 20.0).samples, &WAITS).await.unwrap();
    assert_eq!(detected.language, "en");
    assert!(detected.probability > 0.9);

    let given = Window { language: Some("en".to_owned()), ..window(0.0, 20.0) };
    let german = Window { language: Some("de".to_owned()), ..window(0.0, 20.0) };
    let mixed = [window(0.0, 20.0), given.clone(), german, given];
    let results = join_all(mixed.map(|window| engine.transcribe(window, &WAITS))).await;
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results[0], results[1], "detected or given, it is the same language");
    assert_eq!(results[1], results[3]);
    assert_eq!(results[2].language, "de");
    assert!(text(&results[0]).starts_with("Printing"), "{results:?}");
}

#[test]
fn a_missing_or_broken_model_says_so() {
    let load = |model_dir: PathBuf| Whisper::load(EngineConfig::new(model_dir)).unwrap_err();
    let error = load("/nowhere/tiny.en".into());
    assert!(matches!(error, EngineError::ModelMissing { .. }));
    for part in ["/nowhere/tiny.en", "make model", "scripts/model.sh", "--model"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // Everything but the weights; then weights that are none, cut off, and with a bent name.
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "vocabulary.txt"] {
        std::fs::copy(model().join(name), dir.path().join(name))
            .unwrap_or_else(|error| panic!("{}: {error}", model().display()));
    }
    assert!(matches!(load(dir.path().into()), EngineError::ModelMissing { .. }));
    let weights = std::fs::read(model().join("model.bin")).unwrap();
    let mut bent = weights.clone();
    bent[8] ^= 0x20;
    for bytes in [&b""[..], b"not a model at all", &weights[..weights.len() / 2], &bent] {
        std::fs::write(dir.path().join("model.bin"), bytes).unwrap();
        let error = load(dir.path().into());
        assert!(matches!(error, EngineError::ModelInvalid { .. }) && !error.retryable(), "{error}");
    }
}

#[test]
fn impossible_settings_are_refused() {
    let good = EngineConfig::new(model());
    for config in [
        EngineConfig { slots: 0, ..good.clone() },
        EngineConfig { slots: 100_000, ..good.clone() },
        EngineConfig { max_batch: 0, ..good.clone() },
        EngineConfig { beam_size: 0, ..good.clone() },
        EngineConfig { beam_size: 1000, ..good },
    ] {
        assert!(matches!(Whisper::load(config), Err(EngineError::Setting { .. })));
    }
}

#[test]
fn dropping_the_last_handle_joins_the_threads() {
    // In a process of its own: here, other tests' engines come and go.
    if std::env::var_os("ENGINE_TEST_CHILD").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "dropping_the_last_handle_joins_the_threads"])
            .env("ENGINE_TEST_CHILD", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let engine = engine(3, 1);
    let other = engine.clone();
    await_engine_threads(3);
    drop(engine);
    std::thread::sleep(Duration::from_millis(50));
    await_engine_threads(3);
    drop(other);
    await_engine_threads(0);
}
