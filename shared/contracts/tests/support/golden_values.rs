//! One value of everything that is written to a queue or an object, with the name of its golden file. What a job store holds of
//! a job is in `golden_records`.

use super::samples::{job, media, options, passage, result_of};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::correction::{LlmOutcome, LlmUsage};
use scriptorium_contracts::event::Event;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::{ChunkState, Effect, JobState, LlmMode};
use scriptorium_contracts::message::{
    ChunkTask, CoordinatorMessage, PartTask, RedoTask, Report, Work, WorkerReport,
};
use scriptorium_contracts::plan::{ChunkPlan, PassagePlan, RedoChunk, RedoList};
use scriptorium_contracts::transcript::{
    ChunkResult, Coverage, DamagedFrames, Gap, GapReason, PartResult, PassageResult, Segment, TimedWord,
    Transcript, Word,
};

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub fn failure() -> Failure {
    Failure::new(FailureCode::DamagedMedia, "The bytes from 5242880 on can't be decoded.")
}

pub fn task() -> ChunkTask {
    ChunkTask {
        version: 1,
        job: job(),
        chunk: 3,
        epoch: 2,
        total_size: 524_288_000,
        chunk_size: 5_242_880,
        options: options(),
        lease_ms: 15_000,
        part: None,
        divide: false,
        redo: None,
        tenant: None,
        alone: false,
    }
}

pub fn part_task() -> ChunkTask {
    ChunkTask { part: Some(PartTask { index: 2, first: 20, count: 10 }), ..task() }
}

pub fn redo_task() -> ChunkTask {
    redo_task_from(None)
}

pub fn redo_task_from(from: Option<i64>) -> ChunkTask {
    ChunkTask { redo: Some(RedoTask { language: "en".to_owned(), from }), ..task() }
}

pub fn tenant_task() -> ChunkTask {
    ChunkTask { tenant: Some("acme".to_owned().try_into().unwrap()), ..task() }
}

pub fn task_alone() -> ChunkTask {
    ChunkTask { alone: true, ..part_task() }
}

pub fn redo_list() -> RedoList {
    let chunks = vec![RedoChunk { chunk: 3, passages: vec![-4_410, 441_000] }];
    RedoList { language: "en".to_owned(), chunks }
}

pub fn plan() -> ChunkPlan {
    ChunkPlan {
        frames: 4_410_000,
        absolute_start: Some(44_100),
        passages: vec![PassagePlan { start: -4_410, end: 1_323_000, restart: 5_242_111, skip: 417 }],
        damaged: vec![DamagedFrames { start: 12, end: 4_096 }],
    }
}

pub fn part_result() -> PartResult {
    let ChunkResult { mut passages, damaged, engine, model, .. } = full_result();
    passages.push(PassageResult { failed: true, ..passage(None, &[]) });
    PartResult { version: 1, passages, damaged, engine, model, word_timestamps: Some(true), llm: None }
}

/// Of a job whose chunks are corrected one by one.
pub fn corrected_result() -> ChunkResult {
    let mut result = result_of(0);
    result.passages[0].segments[1].corrected = Some("It's end.".to_owned());
    result.llm = Some(llm_outcome());
    result
}

pub fn corrected_part() -> PartResult {
    PartResult { llm: Some(llm_outcome()), ..part_result() }
}

pub fn llm_outcome() -> LlmOutcome {
    let usage = LlmUsage { calls: 3, failed_calls: 1, prompt_tokens: 1_205, completion_tokens: 987 };
    LlmOutcome { model: "small-chat".to_owned(), usage, refused: 2, unanswered: 4 }
}

pub fn corrected_transcript() -> Transcript {
    let texts = [(0, "Good morning!".to_owned())].into_iter().collect();
    let made = transcript().corrected(LlmMode::PostProcess, &texts, llm_outcome());
    made.reverted(&[0].into_iter().collect())
}

pub fn corrected_report() -> WorkerReport {
    WorkerReport {
        work: Some(Work { llm_ms: 1_250, ..work() }),
        ..report(Report::Redone { from: None, next: None })
    }
}

/// With every field that may be absent, and text that JSON has to escape.
pub fn full_result() -> ChunkResult {
    let mut result = result_of(3);
    result.passages.push(passage(Some("ja"), &["\"こんにちは\"\n", "世界"]));
    result.passages.push(passage(None, &[]));
    result.damaged.push(DamagedFrames { start: -12, end: 4_096 });
    result
}

/// Of a job that asked for times of words, in a language that the model found.
pub fn result_with_words() -> ChunkResult {
    let mut result = result_of(3);
    result.word_timestamps = Some(true);
    for passage in &mut result.passages {
        passage.language_probability = Some(0.9375);
        for segment in &mut passage.segments {
            let word = |start_ms, end_ms, text: &str, probability| Word {
                start_ms,
                end_ms,
                text: text.to_owned(),
                probability,
            };
            segment.words = match segment.text.as_str() {
                "Its end." => vec![word(120, 1_340, "Its", 0.987), word(1_340, 1_340, " end.", 0.5)],
                // One that could not be aligned.
                _ => Vec::new(),
            };
        }
    }
    result
}

pub fn report(report: Report) -> WorkerReport {
    WorkerReport { version: 1, job: job(), chunk: 3, epoch: 2, part: None, redo: false, work: None, report }
}

/// At the end of a task.
pub fn measured_report() -> WorkerReport {
    WorkerReport { part: Some(2), work: Some(work()), ..report(Report::PartCompleted {}) }
}

pub fn work() -> Work {
    Work { decode_ms: 310, engine_ms: 4_750, ..Work::default() }
}

/// At the end of a task of which some was known.
pub fn cached_report() -> WorkerReport {
    WorkerReport {
        work: Some(Work { windows: 9, cache_hits: 7, ..work() }),
        ..report(Report::Redone { from: None, next: None })
    }
}

/// Of a task whose calls waited for leave.
pub fn limited_report() -> WorkerReport {
    WorkerReport {
        work: Some(Work { limit_ms: 2_000, ..work() }),
        ..report(Report::Redone { from: None, next: None })
    }
}

pub fn chunk_from_cache() -> Event {
    Event::ChunkComplete { chunk_index: 7, text: "Yes.".to_owned(), language: None, from_cache: true }
}

pub fn reports() -> Vec<Report> {
    vec![
        Report::Started {},
        Report::Probed { media: media() },
        Report::NeedsChunk { needed: 4 },
        Report::Planned { parts: vec![10, 10, 4] },
        Report::Completed { result: Box::new(full_result()) },
        Report::PartCompleted {},
        Report::Redone { from: None, next: None },
        Report::Lost { deaths: 3 },
        Report::Failed { failure: failure() },
    ]
}

/// A new kind does not compile until it has a name here, and has no file until it has a value above.
pub const fn report_name(report: &Report) -> &'static str {
    match report {
        Report::Started {} => "report_started",
        Report::Probed { .. } => "report_probed",
        Report::NeedsChunk { .. } => "report_needs_chunk",
        Report::Planned { .. } => "report_planned",
        Report::Completed { .. } => "report_completed",
        Report::PartCompleted {} => "report_part_completed",
        Report::Redone { .. } => "report_redone",
        Report::Lost { .. } => "report_lost",
        Report::Failed { .. } => "report_failed",
    }
}

pub fn messages() -> Vec<CoordinatorMessage> {
    vec![
        CoordinatorMessage::Report(report(Report::Completed { result: Box::new(full_result()) })),
        CoordinatorMessage::Merge { version: 1, job: job(), chunk: 3, epoch: 9 },
        CoordinatorMessage::Assemble { version: 1, job: job(), epoch: 2 },
    ]
}

pub const fn message_name(message: &CoordinatorMessage) -> &'static str {
    match message {
        CoordinatorMessage::Report(_) => "message_report",
        CoordinatorMessage::Merge { .. } => "message_merge",
        CoordinatorMessage::Assemble { .. } => "message_assemble",
    }
}

pub fn events() -> Vec<Event> {
    let final_transcript = "All of it.".to_owned();
    vec![
        Event::Initialized { parent_job_id: job(), total_chunks: 100 },
        Event::WebhookDisabled { since_ms: Timestamp(1_795_349_368_123) },
        Event::MediaInfo { media: media() },
        Event::ProgressUpdate { progress: 41, uploaded_chunks: 60, completed_chunks: 22 },
        Event::ChunkComplete {
            chunk_index: 7,
            text: "\"Yes\", she said.".to_owned(),
            language: Some("en".to_owned()),
            from_cache: false,
        },
        Event::TextGrew { chunks: 8 },
        Event::ChunkFailed { chunk_index: 9, error: failure(), attempts: 1, will_retry: false },
        Event::FinalResult { final_transcript, status: JobState::CompletedWithErrors },
        Event::JobFailed { error: failure() },
        Event::Cancelled { reason: "The wrong file.".to_owned() },
        Event::Expired {},
        Event::Lost {},
        Event::Reopened {},
    ]
}

pub const fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Initialized { .. } => "event_initialized",
        Event::WebhookDisabled { .. } => "event_webhook_disabled",
        Event::MediaInfo { .. } => "event_media_info",
        Event::ProgressUpdate { .. } => "event_progress_update",
        Event::ChunkComplete { .. } => "event_chunk_complete",
        Event::TextGrew { .. } => "event_text_grew",
        Event::ChunkFailed { .. } => "event_chunk_failed",
        Event::FinalResult { .. } => "event_final_result",
        Event::JobFailed { .. } => "event_job_failed",
        Event::Cancelled { .. } => "event_cancelled",
        Event::Expired {} => "event_expired",
        Event::Lost {} => "event_lost",
        Event::Reopened {} => "event_reopened",
    }
}

pub fn effects() -> Vec<Effect> {
    vec![
        Effect::PublishTask { task: task() },
        Effect::PublishMerge { job: job(), chunk: 3, epoch: 9 },
        Effect::PublishAssembly { job: job(), epoch: 2 },
        Effect::DeleteTemporaryObjects { job: job() },
        Effect::DeliverWebhook { job: job(), webhook: 2, token: 3, receiver: "example.org:8443".to_owned() },
        Effect::FetchSource { job: job(), token: 3, server: "example.org:8443".to_owned() },
        Effect::EraseJob { job: job() },
    ]
}

pub const fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::PublishTask { .. } => "effect_publish_task",
        Effect::PublishMerge { .. } => "effect_publish_merge",
        Effect::PublishAssembly { .. } => "effect_publish_assembly",
        Effect::DeleteTemporaryObjects { .. } => "effect_delete_temporary_objects",
        Effect::DeliverWebhook { .. } => "effect_deliver_webhook",
        Effect::FetchSource { .. } => "effect_fetch_source",
        Effect::EraseJob { .. } => "effect_erase_job",
    }
}

/// Those that came after the file of the first ones: each has its own.
pub fn later_failure_codes() -> Vec<FailureCode> {
    vec![
        FailureCode::ObjectMissing,
        FailureCode::EngineUnavailable,
        FailureCode::SourceUnavailable,
        FailureCode::SourceRefused,
        FailureCode::SourceChanged,
        FailureCode::DamagedHeader,
    ]
}

pub fn first_failure_codes() -> Vec<FailureCode> {
    use FailureCode::{
        AssemblyFailed, DamagedMedia, EngineFailed, Internal, NotAudio, StorageUnavailable, TimedOut,
        UnsupportedMedia, WorkerLost,
    };
    vec![
        NotAudio,
        UnsupportedMedia,
        DamagedMedia,
        StorageUnavailable,
        EngineFailed,
        WorkerLost,
        TimedOut,
        AssemblyFailed,
        Internal,
    ]
}

pub fn all_job_states() -> Vec<JobState> {
    use JobState::{
        Assembling, Cancelled, Completed, CompletedWithErrors, Created, Expired, Failed, Processing,
        Uploading,
    };
    vec![
        Created,
        Uploading,
        Processing,
        Assembling,
        Completed,
        CompletedWithErrors,
        Failed,
        Cancelled,
        Expired,
    ]
}

pub fn all_chunk_states() -> Vec<ChunkState> {
    use ChunkState::{Completed, Failed, Pending, Processing, Queued, Uploaded};
    vec![Pending, Uploaded, Queued, Processing, Completed, Failed]
}

pub fn all_gap_reasons() -> Vec<GapReason> {
    vec![GapReason::Failed, GapReason::Damaged]
}

pub fn all_llm_modes() -> Vec<LlmMode> {
    vec![LlmMode::PerChunk, LlmMode::PostProcess]
}

pub fn transcript() -> Transcript {
    let segment = |id: u32, text: &str, language: Option<&str>| Segment {
        id,
        start: 0.12 + f64::from(id),
        end: 2.48 + f64::from(id),
        text: text.to_owned(),
        avg_logprob: -0.271,
        no_speech_prob: 0.015,
        language: language.map(str::to_owned),
        words: Vec::new(),
        raw_text: None,
    };
    Transcript {
        version: 1,
        text: "Good morning. おはよう".to_owned(),
        language: "en".to_owned(),
        duration: 31.245270191439438,
        segments: vec![segment(0, "Good morning.", None), segment(1, "おはよう", Some("ja"))],
        gaps: vec![
            Gap { start: 10.0, end: 12.5, reason: GapReason::Damaged },
            Gap { start: 20.0, end: 25.0, reason: GapReason::Failed },
        ],
        coverage: None,
        media: media(),
        engine: "whisper".to_owned(),
        model: "tiny.en".to_owned(),
        word_timestamps: None,
        raw_text: None,
        correction: None,
    }
}

pub fn transcript_with_coverage() -> Transcript {
    let coverage =
        Coverage { transcribed: 4.72, no_speech: 19.025, damaged: 2.5, failed: 5.0, cancelled: 0.0 };
    Transcript { coverage: Some(coverage), ..transcript() }
}

pub fn transcript_with_words() -> Transcript {
    let mut transcript = transcript();
    transcript.word_timestamps = Some(true);
    let word =
        |word: &str, start, end, probability| TimedWord { word: word.to_owned(), start, end, probability };
    transcript.segments[0].words = vec![word("Good", 0.12, 0.9, 0.987), word(" morning.", 0.9, 2.48, 0.75)];
    transcript
}

/// Of a model that cannot tell times of words.
pub fn transcript_without_words() -> Transcript {
    Transcript { word_timestamps: Some(false), ..transcript() }
}
