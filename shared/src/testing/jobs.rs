//! Jobs for the suites, and a loop around any store.

use crate::bus::{Bus, EmbeddedBus};
use crate::jobs::Jobs;
use crate::objects::{Access, Objects, ObjectsConfig};
use crate::queue::{EmbeddedQueue, Queue};
use crate::store::{EmbeddedStore, Store, StoreError};
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobOptions, Layout, Limits, NewJob};
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::transcript::{ChunkResult, PassageResult, PassageSegment};
use std::path::Path;
use std::time::Duration;

/// A job of `chunks` chunks of 100 bytes, the last one shorter; its progress events come without a pause.
pub fn new_job(id: JobId, chunks: u32) -> NewJob {
    NewJob {
        id,
        filename: "recording.wav".to_owned(),
        layout: Layout::new(u64::from(chunks) * 100 - 50, 100).unwrap(),
        options: JobOptions::default(),
        metadata: [("room".to_owned(), "blue".to_owned())].into(),
        webhook_url: None,
        webhook_disabled_since: None,
        tenant: None,
        source: None,
        limits: Limits { progress_interval_ms: 0, release_delay_ms: 0, ..Limits::default() },
    }
}

/// A random id.
pub fn new_id() -> JobId {
    JobId::new(uuid::Uuid::new_v4())
}

/// What the probe of [`new_job`]'s recording might find.
pub fn media() -> MediaInfo {
    MediaInfo {
        container: "wav".to_owned(),
        codec: "pcm_s16le".to_owned(),
        sample_rate: 16_000,
        channels: 1,
        bitrate: Some(256_000),
        duration_seconds: Some(12.5),
        title: None,
    }
}

/// A result whose text names the chunk.
pub fn result_of(chunk: u32) -> ChunkResult {
    let segment = PassageSegment {
        start_ms: 0,
        end_ms: 900,
        text: format!("words of chunk {chunk}"),
        avg_logprob: -0.25,
        no_speech_prob: 0.5,
        words: Vec::new(),
        corrected: None,
    };
    let passage = PassageResult {
        start: 0,
        end: 16_000,
        language: Some("en".to_owned()),
        language_probability: None,
        segments: vec![segment],
        failed: false,
    };
    ChunkResult {
        frames: 16_000,
        absolute_start: Some(u64::from(chunk) * 16_000),
        passages: vec![passage],
        damaged: Vec::new(),
        engine: "whisper".to_owned(),
        model: "tiny.en".to_owned(),
        word_timestamps: None,
        llm: None,
    }
}

/// As [`result_of`], with half a minute of speech.
pub fn half_minute_of(chunk: u32) -> ChunkResult {
    let mut result = result_of(chunk);
    let segment = |at: u64| PassageSegment {
        start_ms: at * 5_000,
        end_ms: at * 5_000 + 4_800,
        text: " and so it went on, as he had said it would, until the last of them had gone home".to_owned(),
        avg_logprob: -0.231_045,
        no_speech_prob: 0.012_345,
        words: Vec::new(),
        corrected: None,
    };
    result.passages[0].segments = (0..6).map(segment).collect();
    result
}

/// An object store that nobody answers for.
pub fn no_objects() -> Objects {
    Objects::new(ObjectsConfig {
        endpoint: "http://127.0.0.1:1".to_owned(),
        public_endpoint: None,
        bucket: "scriptorium".to_owned(),
        region: "local".to_owned(),
        access: Access::Keys { access_key: "access".to_owned(), secret_key: "secret".to_owned() },
    })
    .unwrap()
}

/// The loop around a store, with an empty queue and bus of its own and no object store.
pub fn jobs_on(store: Store) -> Jobs {
    let queue = Queue::Embedded(EmbeddedQueue::new());
    Jobs::new(store, queue, Bus::Embedded(EmbeddedBus::new()), no_objects())
}

/// Opens the embedded store. Where all tests run in one process, one that is just starting a program holds for a moment
/// whatever others have open, also a lock that was let go of: that moment is waited for.
pub fn embedded_store(file: &Path) -> Store {
    let mut tries = 250;
    loop {
        match EmbeddedStore::open(file) {
            Err(StoreError::InUse { .. }) if tries > 0 => tries -= 1,
            opened => return Store::Embedded(opened.unwrap()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
