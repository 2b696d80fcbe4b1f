//! `GET /chunked-upload-status` (R7) and `GET /jobs/{id}` (R61): how far a job is. One reply under two addresses.

use crate::access::Caller;
use crate::estimate;
use crate::problem::{Code, Problem};
use crate::request::address::{self, JobInPath, Parameters};
use crate::spec::Operation;
use crate::state::App;
use crate::timings::Timings;
use crate::uploads;
use crate::view::JobView;
use axum::extract::State;
use schemars::JsonSchema;
use scriptorium_contracts::correction::CorrectionSummary;
use scriptorium_contracts::failure::Failure;
use scriptorium_contracts::job::{ChunkRecord, ChunkState, JobHeader, JobState, TranscriptSummary};
use scriptorium_contracts::media::MediaInfo;
use scriptorium_contracts::transcript::{Coverage, Gap};
use scriptorium_contracts::{JobId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub struct StatusRequest {
    #[schemars(with = "JobId")]
    parent_job_id: String,
    /// Of the chunks, above 1 000 of them; counts from 1.
    #[serde(default)]
    #[schemars(range(min = 1))]
    page: Option<u32>,
}

/// A page of the chunks.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PageRequest {
    /// Of the chunks, above 1 000 of them; counts from 1.
    #[serde(default)]
    #[schemars(range(min = 1))]
    page: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusReply {
    #[serde(flatten)]
    job: JobView,
    /// Relative; with a fresh token, if a key is needed.
    stream_url: String,
    /// Percent of the chunks that are uploaded.
    upload_progress: f64,
    /// Percent of the chunks whose processing has ended.
    processing_progress: f64,
    /// Completed chunks / all chunks, from 0 to 1.
    success_rate: f64,
    /// By the speed until now; absent before anything can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_seconds_remaining: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_time_remaining: Option<String>,
    /// Where the time went; absent before a chunk has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
    /// Stretches without text, once the job has ended.
    gaps: Vec<Gap>,
    /// Seconds by what became of them, once the job has ended; their sum is the duration, of a cancelled job as far as it
    /// was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Coverage>,
    /// What came of asking a language model, once the job has ended, if it asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<CorrectionSummary>,
    chunks: Vec<ChunkStatus>,
    /// The next page of chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChunkStatus {
    chunk_index: u32,
    status: ChunkState,
    /// Tries that ended in failure.
    attempts: u32,
    /// All of its text was known from earlier work on the same sound.
    from_cache: bool,
    /// Of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    /// The chunk whose upload this one waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<u32>,
}

pub fn describe(operation: &mut Operation<'_>) {
    operation
        .says("upload_status", "uploads", "How far an upload and its job are")
        .problems(&[Code::InvalidJobId, Code::JobNotFound]);
}

pub fn describe_of_job(operation: &mut Operation<'_>) {
    operation.says("job", "jobs", "How far a job is");
}

pub async fn status(
    State(app): State<App>,
    caller: Caller,
    Parameters(request): Parameters<StatusRequest>,
) -> Result<axum::Json<StatusReply>, Problem> {
    let job = address::job_id(&request.parent_job_id)?;
    read(&app, &caller, job, request.page, |job, page| {
        format!("/chunked-upload-status?parent_job_id={job}&page={page}")
    })
    .await
}

/// `GET /jobs/{id}`: the same, by the job's own address.
pub async fn of_job(
    State(app): State<App>,
    caller: Caller,
    JobInPath(job): JobInPath,
    Parameters(request): Parameters<PageRequest>,
) -> Result<axum::Json<StatusReply>, Problem> {
    read(&app, &caller, job, request.page, |job, page| format!("/jobs/{job}?page={page}")).await
}

async fn read(
    app: &App,
    caller: &Caller,
    job: JobId,
    page: Option<u32>,
    link: impl Fn(JobId, u32) -> String,
) -> Result<axum::Json<StatusReply>, Problem> {
    let page = page.unwrap_or(1);
    if page == 0 {
        return Err(Problem::new(Code::MalformedQuery, "Pages count from 1."));
    }
    let header = app.header(caller, job).await?;
    let first = (page - 1).saturating_mul(uploads::PAGE).min(header.total_chunks());
    let records = app.jobs.store.chunk_records(job, first, uploads::PAGE).await?;
    let more = header.total_chunks() - first > uploads::PAGE;
    let next = more.then(|| link(job, page + 1));
    let stream_url = caller.stream_url(&app.config, job);
    let job = reply(header, records, next, scriptorium_shared::clock::now());
    Ok(axum::Json(StatusReply { stream_url, ..job }))
}

fn reply(header: JobHeader, records: Vec<ChunkRecord>, next: Option<String>, now: Timestamp) -> StatusReply {
    let total = header.total_chunks();
    let (uploaded, completed, failed) = (header.uploaded.len(), header.completed.len(), header.failed.len());
    let remaining = estimate::remaining_seconds(&header, now);
    let summary = header.summary.as_ref();
    StatusReply {
        upload_progress: share(uploaded, total, 100.0),
        processing_progress: share(completed + failed, total, 100.0),
        success_rate: share(completed, total, 1.0),
        estimated_seconds_remaining: remaining,
        estimated_time_remaining: remaining.filter(|seconds| *seconds > 0).map(estimate::in_words),
        timings: Timings::of(&header, now),
        gaps: summary.map(|summary| summary.gaps.clone()).unwrap_or_default(),
        coverage: coverage(header.state, summary, header.media.as_ref()),
        correction: summary.and_then(|summary| summary.correction),
        job: JobView::from(header),
        stream_url: String::new(),
        chunks: records.into_iter().map(chunk_status).collect(),
        next,
    }
}

fn coverage(
    state: JobState,
    summary: Option<&TranscriptSummary>,
    media: Option<&MediaInfo>,
) -> Option<Coverage> {
    if state != JobState::Cancelled {
        return summary?.coverage;
    }
    Some(Coverage { cancelled: media?.duration_seconds?, ..Coverage::default() })
}

fn chunk_status(record: ChunkRecord) -> ChunkStatus {
    ChunkStatus {
        chunk_index: record.index,
        status: record.state,
        attempts: record.attempts,
        from_cache: record.state == ChunkState::Completed && record.work.is_from_cache(),
        error: record.error,
        waiting_for: record.waiting_for,
    }
}

/// `part / all · scale`, to two digits more than the scale has.
fn share(part: u32, all: u32, scale: f64) -> f64 {
    let digits = 10_000.0 / scale;
    (f64::from(part) / f64::from(all.max(1)) * scale * digits).floor() / digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use scriptorium_contracts::transcript::GapReason;

    #[test]
    fn counts_and_shares() {
        let mut header = testing::header(3);
        header.uploaded = (0..3).collect();
        header.completed = (0..1).collect();
        header.failed = (1..2).collect();
        let reply = reply(header, vec![ChunkRecord::pending(0)], None, Timestamp(0));
        assert_eq!((reply.upload_progress, reply.processing_progress), (100.0, 66.66));
        assert_eq!((reply.success_rate, reply.job.progress), (0.3333, 66));
        let json = serde_json::to_value(&reply).unwrap();
        assert_eq!(json["chunks"][0]["status"], "pending");
        assert_eq!(json["chunks"][0]["from_cache"], false);
        assert_eq!(json["gaps"], serde_json::json!([]));
        assert!(json.get("coverage").is_none(), "the job has not ended");
    }

    #[test]
    fn the_gaps_of_a_transcript_are_told() {
        let mut header = testing::header(3);
        header.state = JobState::CompletedWithErrors;
        let gap = |start, end, reason| Gap { start, end, reason };
        let gaps = vec![gap(1.5, 4.0, GapReason::Damaged), gap(60.0, 90.25, GapReason::Failed)];
        let language = "en".to_owned();
        header.summary = Some(TranscriptSummary {
            language,
            duration: 100.0,
            segments: 7,
            gaps,
            coverage: None,
            correction: None,
        });
        let json = serde_json::to_value(reply(header, vec![], None, Timestamp(0))).unwrap();
        let expected = serde_json::json!([
            { "start": 1.5, "end": 4.0, "reason": "damaged" },
            { "start": 60.0, "end": 90.25, "reason": "failed" },
        ]);
        assert_eq!(json["gaps"], expected);
    }

    #[test]
    fn a_chunk_is_from_the_cache_if_all_of_its_windows_are() {
        let told = |state: ChunkState, windows: u32, cache_hits: u32| {
            let mut record = ChunkRecord { state, ..ChunkRecord::pending(0) };
            (record.work.windows, record.work.cache_hits) = (windows, cache_hits);
            chunk_status(record).from_cache
        };
        assert!(told(ChunkState::Completed, 3, 3));
        assert!(!told(ChunkState::Completed, 3, 2));
        assert!(!told(ChunkState::Completed, 0, 0), "it has no speech");
        assert!(!told(ChunkState::Processing, 3, 3), "of some of its parts");
        let mut header = testing::header(3);
        (header.work.windows, header.work.cache_hits) = (7, 5);
        let json = serde_json::to_value(reply(header, vec![], None, Timestamp(0))).unwrap();
        assert_eq!((&json["windows"], &json["cache_hits"]), (&7.into(), &5.into()));
    }

    #[test]
    fn a_cancelled_job_has_its_whole_recording_in_the_ledger() {
        let mut header = testing::header(3);
        header.state = JobState::Cancelled;
        let ledger = |header: &JobHeader| {
            let reply = reply(header.clone(), vec![], None, Timestamp(0));
            serde_json::to_value(reply.coverage).unwrap()
        };
        assert_eq!(ledger(&header), serde_json::Value::Null, "nobody has seen the recording's beginning");
        header.media = Some(MediaInfo {
            container: "wav".into(),
            codec: "pcm_s16le".into(),
            sample_rate: 16_000,
            channels: 1,
            bitrate: None,
            duration_seconds: Some(12.5),
            title: None,
        });
        let expected = serde_json::json!({
            "transcribed": 0.0, "no_speech": 0.0, "damaged": 0.0, "failed": 0.0, "cancelled": 12.5,
        });
        assert_eq!(ledger(&header), expected);
    }
}
