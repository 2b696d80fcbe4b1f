//! Calls of a service with OpenAI's API. A scripted server stands in for it here, because what is tested are its faults; a
//! real one is in tests/tests/openai_engine.rs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod service;

use scriptorium_media::{ByteSource, FileSource, decode_passage, plan_chunk, probe};
use scriptorium_shared::limiter::{CallLimits, EmbeddedLimiter, Limiter};
use scriptorium_shared::waits::Waits;
use scriptorium_worker::engine::openai::Endpoint;
use scriptorium_worker::engine::{Engine, EngineError, OpenAi, OpenAiConfig, Window};
use service::{Answer, Service};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TEXT: &str = r#"{"language": "english", "duration": 8, "text": "Printing.",
    "segments": [{"start": 0.25, "end": 2.5, "text": " Printing.", "avg_logprob": -0.2, "no_speech_prob": 0.01}]}"#;

fn text() -> Answer {
    Answer::new(200, TEXT)
}

/// 16 kHz mono.
fn decoded(path: &Path) -> Vec<f32> {
    let source = FileSource::open(path).unwrap();
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

fn window() -> Window {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sample.flac");
    let samples = decoded(&path)[..8 * 16_000].to_vec();
    Window { samples, language: Some("en".to_owned()), detected: false, prompt: None, word_timestamps: false }
}

fn engine(services: &[&Service], limits: CallLimits) -> OpenAi {
    let endpoints = services.iter().map(|service| Endpoint {
        base_url: format!("http://{}/v1", service.address),
        api_key: Some("a-secret-key".to_owned()),
    });
    let config = OpenAiConfig {
        endpoints: endpoints.collect(),
        model: "whisper-1".to_owned(),
        limits,
        slots: 4,
        timeout: Duration::from_secs(2),
        first_pause: Duration::from_millis(50),
    };
    OpenAi::new(config, Limiter::Embedded(EmbeddedLimiter::new())).unwrap()
}

#[tokio::test]
async fn a_window_is_a_call_with_its_sound_as_flac() {
    let service = Service::start(vec![text()]).await;
    let engine = engine(&[&service], CallLimits::default());
    let asked = Window { prompt: Some("Subiaco".to_owned()), word_timestamps: true, ..window() };
    let told = engine.transcribe(asked.clone(), &Waits::default()).await.unwrap();
    let [segment] = told.segments.as_slice() else { panic!("{told:?}") };
    assert_eq!((segment.start_ms, segment.end_ms, segment.text.as_str()), (250, 2_500, "Printing."));
    assert_eq!(told.language, "en");

    let calls = service.calls();
    let [call] = calls.as_slice() else { panic!("{} calls", calls.len()) };
    assert_eq!(call.path, "/v1/audio/transcriptions");
    assert_eq!(call.authorization, "Bearer a-secret-key");
    let expected = [
        ("model", "whisper-1"),
        ("response_format", "verbose_json"),
        ("temperature", "0"),
        ("timestamp_granularities[]", "segment"),
        ("timestamp_granularities[]", "word"),
        ("language", "en"),
        ("prompt", "Subiaco"),
    ];
    assert_eq!(call.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let file = tempfile::NamedTempFile::with_suffix(".flac").unwrap();
    std::fs::write(file.path(), &call.sound).unwrap();
    let heard = decoded(file.path());
    assert_eq!(heard.len(), asked.samples.len());
    let far = heard.iter().zip(&asked.samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far <= 1.0 / 32_768.0, "a sample is off by {far}");
    assert!(call.sound.len() < asked.samples.len() * 2, "it is not compressed");
}

#[tokio::test]
async fn a_busy_service_is_left_alone_for_as_long_as_it_says() {
    let service = Service::start(vec![Answer::busy("1"), text()]).await;
    let begun = Instant::now();
    let told =
        engine(&[&service], CallLimits::default()).transcribe(window(), &Waits::default()).await.unwrap();
    assert_eq!((told.segments.len(), service.calls().len()), (1, 2));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

/// A call that fails meanwhile, and would itself be tried again sooner, does not shorten what another one was told.
#[tokio::test]
async fn a_pause_holds_for_all_calls() {
    // So late that both calls are under way.
    let busy = Answer::busy("3").late(Duration::from_millis(800));
    let failed = Answer::new(500, "{}").late(Duration::from_millis(1_200));
    let service = Service::start(vec![busy, failed, text(), text()]).await;
    let engine = engine(&[&service], CallLimits::default());
    let waits = Waits::default();
    let both =
        async { tokio::join!(engine.transcribe(window(), &waits), engine.transcribe(window(), &waits)) };
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(3_000)).await;
        service.calls().len()
    };
    let ((one, other), calls) = tokio::join!(both, meanwhile);
    assert_eq!(calls, 2, "a call was made in the pause");
    assert!(one.is_ok() && other.is_ok());
    assert!(waits.total() >= Duration::from_secs(2), "the pause: {waits:?}");
}

#[tokio::test]
async fn only_so_many_calls_are_made_at_once() {
    let service = Service::start(vec![text().late(Duration::from_millis(600)), text()]).await;
    let engine = engine(&[&service], CallLimits { per_minute: None, concurrent: Some(1) });
    let waits = [Waits::default(), Waits::default()];
    let both = async {
        tokio::join!(engine.transcribe(window(), &waits[0]), engine.transcribe(window(), &waits[1]))
    };
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        service.calls().len()
    };
    let ((one, other), calls) = tokio::join!(both, meanwhile);
    assert_eq!((calls, service.calls().len()), (1, 2));
    assert!(one.is_ok() && other.is_ok());
    let mut waited = waits.map(|waits| waits.total());
    waited.sort_unstable();
    assert!(waited[0] < Duration::from_millis(300) && waited[1] >= Duration::from_millis(500), "{waited:?}");
}

#[tokio::test]
async fn another_endpoint_takes_over_and_keeps_it() {
    for fault in
        [Answer::new(500, "{}"), Answer::new(200, "no JSON"), Answer::new(401, "{}"), Answer::silent()]
    {
        let (first, second) =
            (Service::start(vec![fault.clone()]).await, Service::start(vec![text(), text()]).await);
        let engine = engine(&[&first, &second], CallLimits::default());
        assert_eq!(
            engine.transcribe(window(), &Waits::default()).await.unwrap().segments.len(),
            1,
            "{fault:?}"
        );
        assert_eq!((first.calls().len(), second.calls().len()), (1, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_away_is_told_apart_from_one_that_refuses() {
    let endless = Answer::new(200, &"x".repeat(2 << 20));
    for fault in [Answer::new(503, "{}"), endless] {
        let service = Service::start(vec![fault; 6]).await;
        let problem = engine(&[&service], CallLimits::default())
            .transcribe(window(), &Waits::default())
            .await
            .unwrap_err();
        assert!(matches!(problem, EngineError::Unavailable(_)), "{problem}");
        assert_eq!(service.calls().len(), 6);
    }
    for (status, calls) in [(400, 1), (401, 1), (404, 1)] {
        let service = Service::start(vec![Answer::new(status, "{}"); 2]).await;
        let problem = engine(&[&service], CallLimits::default())
            .transcribe(window(), &Waits::default())
            .await
            .unwrap_err();
        assert!(matches!(problem, EngineError::Inference(_)), "{problem}");
        assert!(!problem.to_string().contains("a-secret-key"));
        assert_eq!(service.calls().len(), calls, "{status}");
    }
}

#[tokio::test]
async fn calls_wait_for_their_minute() {
    let service = Service::start(vec![text(), text(), text()]).await;
    let engine = engine(&[&service], CallLimits { per_minute: Some(2), concurrent: Some(1) });
    for _ in 0..2 {
        engine.transcribe(window(), &Waits::default()).await.unwrap();
    }
    let third =
        tokio::time::timeout(Duration::from_secs(1), engine.transcribe(window(), &Waits::default())).await;
    assert!(third.is_err(), "a third call in the same minute");
    assert_eq!(service.calls().len(), 2);
}

#[tokio::test]
async fn silence_costs_nothing_and_a_detected_language_brings_its_text() {
    let service = Service::start(vec![text(), text(), text()]).await;
    let engine = engine(&[&service], CallLimits::default());
    let silent = Window { samples: vec![0.0; 160_000], ..window() };
    assert_eq!(engine.transcribe(silent, &Waits::default()).await.unwrap().segments, []);
    assert!(service.calls().is_empty());

    let found = engine.detect_language(window().samples, &Waits::default()).await.unwrap();
    assert_eq!(found.language, "en");
    let detected = || Window { detected: true, ..window() };
    let heard = engine.transcribe(detected(), &Waits::default()).await.unwrap();
    assert_eq!(heard.segments.len(), 1);
    assert_eq!(service.calls().len(), 1, "it was paid for twice");
    // The same question has the same answer when that text is not at hand any more, and another question is another one.
    assert_eq!(engine.transcribe(detected(), &Waits::default()).await.unwrap(), heard);
    engine.transcribe(window(), &Waits::default()).await.unwrap();
    let names_language = |call: &service::Call| call.fields.iter().any(|(name, _)| name == "language");
    let calls: Vec<bool> = service.calls().iter().map(names_language).collect();
    assert_eq!(calls, [false, false, true]);
}

#[tokio::test]
async fn languages_that_nobody_speaks_are_refused_before_a_call() {
    let service = Service::start(vec![]).await;
    let asked = Window { language: Some("tlh".to_owned()), ..window() };
    let problem =
        engine(&[&service], CallLimits::default()).transcribe(asked, &Waits::default()).await.unwrap_err();
    assert!(matches!(problem, EngineError::Language { .. }));
}
