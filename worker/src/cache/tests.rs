//! The levels together, before an engine that counts what it is asked.

use super::*;
use crate::engine::{EngineInfo, WindowSegment};
use async_trait::async_trait;
use scriptorium_contracts::job::JobOptions;
use scriptorium_contracts::message::VERSION;
use scriptorium_shared::cache::{EmbeddedCache, RedisCache};
use scriptorium_shared::redis::RedisConfig;
use scriptorium_shared::tls::Tls;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

const SETTINGS: CacheSettings = CacheSettings { ttl: Duration::from_secs(86_400), memory_bytes: 1 << 20 };

/// Says of each window how long it is, and that each sound is German.
struct Counting {
    identity: Identity,
    multilingual: bool,
    asked: AtomicU32,
}

impl Counting {
    fn new(model: &str) -> Arc<Self> {
        let identity = Identity::new("counting", &[model.as_bytes()]);
        Arc::new(Self { identity, multilingual: true, asked: AtomicU32::new(0) })
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Engine for Counting {
    async fn transcribe(&self, window: Window, _: &Waits) -> Result<WindowText, EngineError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if window.samples.is_empty() {
            return Err(EngineError::Inference("nothing to hear".to_owned()));
        }
        let segment = WindowSegment {
            start_ms: 0,
            end_ms: 1_000,
            text: format!("{} samples", window.samples.len()),
            avg_logprob: -0.25,
            no_speech_prob: 0.0,
            compression_ratio: 1.0,
            words: Vec::new(),
        };
        let language = window.language.unwrap_or_else(|| "und".to_owned());
        Ok(WindowText { language, segments: vec![segment], attempts: 1 })
    }

    async fn detect_language(&self, _: Vec<f32>, _: &Waits) -> Result<Detected, EngineError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Detected { language: "de".to_owned(), probability: 0.75 })
    }

    fn info(&self) -> EngineInfo {
        EngineInfo {
            engine: "counting",
            model: String::new(),
            multilingual: self.multilingual,
            languages: vec!["de".to_owned()],
            word_timestamps: false,
        }
    }

    fn identity(&self) -> Option<&Identity> {
        Some(&self.identity)
    }

    async fn close(&self) {}
}

fn task(tenant: Option<&str>, no_cache: bool) -> ChunkTask {
    ChunkTask {
        version: VERSION,
        job: "0190b6a4-7b1c-7000-8000-000000000001".parse().unwrap(),
        chunk: 0,
        epoch: 1,
        total_size: 1_000,
        chunk_size: 10,
        options: JobOptions { no_cache, ..JobOptions::default() },
        lease_ms: 15_000,
        part: None,
        divide: false,
        redo: None,
        alone: false,
        tenant: tenant.map(|name| name.to_owned().try_into().unwrap()),
    }
}

fn window(samples: usize) -> Window {
    Window {
        samples: vec![0.25; samples],
        language: None,
        detected: false,
        prompt: None,
        word_timestamps: false,
    }
}

fn known(cache: &WindowCache, engine: &Arc<Counting>) -> Known {
    known_of(cache, engine, &task(None, false))
}

fn known_of(cache: &WindowCache, engine: &Arc<Counting>, task: &ChunkTask) -> Known {
    let engine: Arc<dyn Engine> = engine.clone();
    cache.before(&engine, task, Arc::default())
}

fn on_disk(folder: &TempDir) -> Cache {
    Cache::Embedded(EmbeddedCache::open(&folder.path().join("cache.sqlite"), 1 << 20).unwrap())
}

/// Whether the text of so many samples is known; it has to be right in any case.
async fn hit(known: &Known, samples: usize) -> bool {
    let (text, hit) = known.transcribe(window(samples)).await.unwrap();
    assert_eq!(text.segments[0].text, format!("{samples} samples"));
    hit
}

#[tokio::test]
async fn what_was_asked_before_is_not_asked_again() {
    let engine = Counting::new("a");
    let known = known(&WindowCache::new(SETTINGS, &*engine, None), &engine);
    assert!(!hit(&known, 10).await && hit(&known, 10).await && !hit(&known, 11).await);
    assert_eq!(engine.asked(), 2);
    for _ in 0..3 {
        let detected = known.detect_language(vec![0.25; 10]).await.unwrap();
        assert_eq!((detected.language.as_str(), detected.probability), ("de", 0.75));
    }
    assert_eq!(engine.asked(), 3);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let engine = Counting::new("a");
    let known = known(&WindowCache::new(SETTINGS, &*engine, None), &engine);
    for asked in 1..3 {
        assert!(known.transcribe(window(0)).await.is_err());
        assert_eq!(engine.asked(), asked);
    }
}

#[tokio::test]
async fn another_model_or_tenant_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (Counting::new("a"), Counting::new("b"));
    let second = on_disk(&folder);
    let cache = WindowCache::new(SETTINGS, &*a, Some(second.clone()));
    let other = WindowCache::new(SETTINGS, &*b, Some(second));
    assert!(!hit(&known(&cache, &a), 10).await);
    assert!(!hit(&known(&other, &b), 10).await, "another model");
    for tenant in ["acme", "umbrella"] {
        let known = known_of(&cache, &a, &task(Some(tenant), false));
        assert!(!hit(&known, 10).await && hit(&known, 10).await, "{tenant}");
    }
    assert!(hit(&known(&cache, &a), 10).await && hit(&known(&other, &b), 10).await);
}

#[tokio::test]
async fn switched_off_it_finds_nothing_and_keeps_nothing() {
    let engine = Counting::new("a");
    let cache = WindowCache::new(SETTINGS, &*engine, None);
    let without = known_of(&cache, &engine, &task(None, true));
    let with = known(&cache, &engine);
    assert!(!hit(&without, 10).await && !hit(&without, 10).await);
    assert!(!hit(&with, 10).await && hit(&with, 10).await && !hit(&without, 10).await);
    for cache in [
        WindowCache::off(),
        WindowCache::new(CacheSettings { ttl: Duration::ZERO, ..SETTINGS }, &*engine, None),
    ] {
        let known = known(&cache, &engine);
        assert!(!hit(&known, 10).await && !hit(&known, 10).await);
    }
}

#[tokio::test]
async fn one_language_is_not_looked_up() {
    let engine = Arc::new(Counting { multilingual: false, ..Arc::into_inner(Counting::new("a")).unwrap() });
    let known = known(&WindowCache::new(SETTINGS, &*engine, None), &engine);
    for asked in 1..3 {
        known.detect_language(vec![0.25; 10]).await.unwrap();
        assert_eq!(engine.asked(), asked);
    }
}

#[tokio::test]
async fn the_second_level_outlives_the_process_and_fills_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Counting::new("a");
    let start = || known(&WindowCache::new(SETTINGS, &*engine, Some(on_disk(&folder))), &engine);
    assert!(!hit(&start(), 10).await);
    let known = start();
    assert!(hit(&known, 10).await);
    // What is gone from the second level is in memory by now.
    std::fs::remove_file(folder.path().join("cache.sqlite")).unwrap();
    assert!(hit(&known, 10).await);
    // Without memory there is the second level alone.
    let folder = tempfile::tempdir().unwrap();
    let settings = CacheSettings { memory_bytes: 0, ..SETTINGS };
    let known = self::known(&WindowCache::new(settings, &*engine, Some(on_disk(&folder))), &engine);
    assert!(!hit(&known, 10).await && hit(&known, 10).await);
}

#[tokio::test]
async fn a_poisoned_value_is_a_miss_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Counting::new("a");
    let second = on_disk(&folder);
    let settings = CacheSettings { memory_bytes: 0, ..SETTINGS };
    let known = known(&WindowCache::new(settings, &*engine, Some(second.clone())), &engine);
    assert!(!hit(&known, 10).await && !hit(&known, 11).await);
    let name = |samples: usize| Key::of(&engine.identity, None, Question::Text(&window(samples))).name;
    let other = second.get(&name(11)).await.unwrap().unwrap();
    for poison in [other, Bytes::from_static(b"{}"), Bytes::from(vec![b'x'; 200_000])] {
        second.put(&name(10), poison, Duration::from_secs(60)).await.unwrap();
        assert!(!hit(&known, 10).await);
        assert!(hit(&known, 10).await, "it was replaced");
    }
}

#[tokio::test]
async fn nothing_is_found_after_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Counting::new("a");
    let settings = CacheSettings { ttl: Duration::from_millis(300), ..SETTINGS };
    let known = known(&WindowCache::new(settings, &*engine, Some(on_disk(&folder))), &engine);
    assert!(!hit(&known, 10).await);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!hit(&known, 10).await);
}

/// A Redis that is not there costs one wait, and no text.
#[tokio::test]
async fn a_second_level_that_fails_is_left_alone_for_a_while() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = RedisConfig {
        url: format!("redis://{gone}"),
        prefix: "test".to_owned(),
        job_ttl: Duration::from_secs(60),
        tls: Tls::default(),
    };
    let engine = Counting::new("a");
    let second = Cache::Redis(RedisCache::new(&config).unwrap());
    let cache = WindowCache::new(SETTINGS, &*engine, Some(second));
    let known = known(&cache, &engine);
    assert!(!hit(&known, 10).await);
    assert!(cache.0.as_ref().unwrap().second().is_none(), "it rests");
    for samples in 11..200 {
        // Each would wait three seconds otherwise.
        assert!(!hit(&known, samples).await);
    }
    assert!(hit(&known, 10).await, "the memory serves all the same");
    *cache.0.as_ref().unwrap().resting.lock().unwrap() = Some(Instant::now() - Duration::from_secs(1));
    assert!(cache.0.as_ref().unwrap().second().is_some(), "and it is asked again");
}
