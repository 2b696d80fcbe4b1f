//! Values for tests, the same at each call.

use scriptorium_contracts::JobId;
use scriptorium_contracts::job::{JobOptions, Layout, Limits, LlmMode, NewJob, TranscriptSummary};
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::source::{Origin, Source};
use scriptorium_contracts::transcript::{ChunkResult, Gap, GapReason, PassageResult, PassageSegment};
use std::collections::BTreeMap;

pub fn job() -> JobId {
    "018c2f5e-7d3a-7b1c-9f00-0123456789ab".parse().unwrap()
}

pub fn options() -> JobOptions {
    JobOptions {
        language: Some("en".to_owned()),
        prompt: Some("Names: Ada, Grace.".to_owned()),
        word_timestamps: true,
        use_llm: true,
        llm_mode: Some(LlmMode::PerChunk),
        no_cache: false,
    }
}

pub fn new_job() -> NewJob {
    NewJob {
        id: job(),
        filename: "talk.wav".to_owned(),
        layout: Layout::new(47, 10).unwrap(),
        options: options(),
        metadata: BTreeMap::from([("course".to_owned(), "history".to_owned())]),
        webhook_url: Some("https://example.org/hook".to_owned()),
        webhook_disabled_since: None,
        tenant: None,
        limits: Limits::default(),
        source: None,
    }
}

/// A recording that is fetched; its server can go on where it stopped.
pub fn source() -> Source {
    let url = "https://example.org:8443/talk.wav?signature=secret".to_owned();
    Source::new(Origin::Url(url), Some("\"v1\"".to_owned()), true)
}

pub fn media() -> MediaInfo {
    MediaInfo {
        container: "wav".to_owned(),
        codec: "pcm_s16le".to_owned(),
        sample_rate: 44_100,
        channels: 2,
        bitrate: Some(1_411_200),
        // A number that a careless parser does not give back.
        duration_seconds: Some(31.245270191439438),
        title: Some("A talk".to_owned()),
    }
}

pub fn segment(text: &str) -> PassageSegment {
    PassageSegment {
        start_ms: 120,
        end_ms: 2_480,
        text: text.to_owned(),
        avg_logprob: -0.271,
        no_speech_prob: 0.015,
        words: Vec::new(),
        corrected: None,
    }
}

pub fn passage(language: Option<&str>, texts: &[&str]) -> PassageResult {
    PassageResult {
        start: -4_410,
        end: 441_000,
        language: language.map(str::to_owned),
        language_probability: None,
        segments: texts.iter().map(|text| segment(text)).collect(),
        failed: false,
    }
}

/// The result that every worker finds for this chunk.
pub fn result_of(chunk: u32) -> ChunkResult {
    ChunkResult {
        frames: 1_000 + u64::from(chunk),
        absolute_start: Some(1_000 * u64::from(chunk)),
        passages: vec![passage(Some("en"), &[&format!("Chunk {chunk}."), "Its end."])],
        damaged: Vec::new(),
        engine: "whisper".to_owned(),
        model: "tiny.en".to_owned(),
        word_timestamps: None,
        llm: None,
    }
}

pub fn summary() -> TranscriptSummary {
    TranscriptSummary {
        language: "en".to_owned(),
        duration: 31.25,
        segments: 2,
        gaps: vec![Gap { start: 10.0, end: 12.5, reason: GapReason::Damaged }],
        coverage: None,
        correction: None,
    }
}
