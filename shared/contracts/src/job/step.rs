//! The one door into job state: [`create`] and [`step`]. Nothing else in the program assigns a state.

use super::change::Change;
use super::{ChunkRecord, ChunkSet, JobHeader, JobOptions, JobState, Layout, Limits, TranscriptSummary};
use super::{delete, finish, parts, processing, redo, source, timing, upload, webhook};
use crate::event::{Event, EventRecord};
use crate::message::{ChunkTask, VERSION, Work};
use crate::source::{FetchEnd, Source};
use crate::tenant::TenantName;
use crate::webhook::WebhookTry;
use crate::{failure::Failure, ids::JobId, ids::Timestamp, media::MediaInfo, transcript::ChunkResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// What a client asked for, already checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    pub id: JobId,
    pub filename: String,
    pub layout: Layout,
    pub options: JobOptions,
    pub metadata: BTreeMap<String, String>,
    pub webhook_url: Option<String>,
    /// Since when that receiver has been known to take nothing.
    pub webhook_disabled_since: Option<Timestamp>,
    /// Whose job it is to be.
    pub tenant: Option<TenantName>,
    pub limits: Limits,
    /// Where the recording is to be fetched from; `None`: its client uploads it.
    pub source: Option<Source>,
}

/// What can happen to a job. Repeated, late and contradicting inputs are harmless.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The chunk's object is there and has the right size.
    Uploaded {
        chunk: u32,
    },
    /// A worker took up the task, or gives a sign of life.
    Started {
        chunk: u32,
        part: Option<u32>,
        epoch: u32,
    },
    /// The recording has been recognised.
    Probed {
        media: MediaInfo,
    },
    /// The chunk can't go on before `needed` is uploaded.
    NeedsChunk {
        chunk: u32,
        epoch: u32,
        needed: u32,
    },
    /// The chunk is to be divided; `parts` tells how many passages each part has.
    Planned {
        chunk: u32,
        epoch: u32,
        parts: Vec<u32>,
    },
    Completed {
        chunk: u32,
        epoch: u32,
        result: Box<ChunkResult>,
    },
    PartCompleted {
        chunk: u32,
        part: u32,
        epoch: u32,
    },
    /// Of the chunk, or of one part of it.
    Failed {
        chunk: u32,
        part: Option<u32>,
        epoch: u32,
        failure: Failure,
    },
    /// The task with this fencing token is lost: queue the chunk, or the part, again.
    TaskLost {
        chunk: u32,
        part: Option<u32>,
        epoch: u32,
        /// Processes that died of it.
        deaths: u32,
    },
    /// A user wants a failed chunk tried again.
    Retry {
        chunk: u32,
    },
    Cancel {
        reason: String,
    },
    /// A user wants nothing of the job to be left. `late_ms`: for so long somebody may still store something, with a signed
    /// URL that was given out before.
    Delete {
        late_ms: u64,
    },
    /// What a worker says at the end of a task, with where its time went.
    Measured {
        work: Work,
        of: Box<Input>,
    },
    /// Passages of these chunks are to be done again in the recording's language, before the transcript is put together.
    Redo {
        epoch: u32,
        language: String,
        chunks: ChunkSet,
    },
    /// A worker took up passages that are to be done again.
    RedoStarted {
        chunk: u32,
        epoch: u32,
    },
    /// What was to be done from this frame on is done, up to `next` ([`crate::message::Report::Redone`]).
    Redone {
        chunk: u32,
        epoch: u32,
        from: Option<i64>,
        next: Option<i64>,
    },
    RedoFailed {
        chunk: u32,
        epoch: u32,
        failure: Failure,
    },
    Assembled {
        epoch: u32,
        text: String,
        summary: TranscriptSummary,
    },
    AssemblyFailed {
        epoch: u32,
        failure: Failure,
    },
    /// The assembled text is being corrected by a language model; said again and again, as a sign of life.
    Correcting {
        epoch: u32,
    },
    /// A user wants an edit of the language model taken back.
    RevertEdit {
        edit: u32,
    },
    /// A live stream has sent events up to this one. If the log does not reach so far, the store has lost its end; what comes
    /// now must not get the ids of what was seen.
    EventsSeen {
        last: u64,
    },
    /// Someone is about to try to deliver a message to the webhook, and nobody else may. Whether it was he tells the number
    /// that he has chosen.
    WebhookTaken {
        webhook: u32,
        token: u32,
        by: u64,
    },
    /// What came of it, and the milliseconds that the receiver asks us to wait.
    WebhookTried {
        webhook: u32,
        token: u32,
        outcome: WebhookTry,
        retry_after_ms: Option<u64>,
        /// The receiver is known to take nothing: if it did not this time either, it is not tried again.
        last: bool,
    },
    /// A user wants a message to the webhook sent now.
    RedeliverWebhook {
        webhook: u32,
    },
    /// Someone is about to fetch the recording, or gives a sign of life while he does, and nobody else may. Whether it is he tells
    /// the number that he has chosen.
    SourceTaken {
        token: u32,
        by: u64,
    },
    /// A try to fetch it has ended before it was whole.
    SourceTried {
        token: u32,
        end: FetchEnd,
    },
    /// Time has passed: deadlines are looked at.
    Tick,
}

impl Input {
    /// The chunk whose record this input needs.
    pub fn chunk(&self) -> Option<u32> {
        match self {
            Self::Uploaded { chunk }
            | Self::Started { chunk, .. }
            | Self::NeedsChunk { chunk, .. }
            | Self::Planned { chunk, .. }
            | Self::Completed { chunk, .. }
            | Self::PartCompleted { chunk, .. }
            | Self::Failed { chunk, .. }
            | Self::TaskLost { chunk, .. }
            | Self::Retry { chunk } => Some(*chunk),
            Self::Measured { of, .. } => of.chunk(),
            Self::Probed { .. }
            | Self::Cancel { .. }
            | Self::Delete { .. }
            | Self::Redo { .. }
            | Self::RedoStarted { .. }
            | Self::Redone { .. }
            | Self::RedoFailed { .. }
            | Self::Assembled { .. }
            | Self::AssemblyFailed { .. }
            | Self::Correcting { .. }
            | Self::RevertEdit { .. }
            | Self::EventsSeen { .. }
            | Self::WebhookTaken { .. }
            | Self::WebhookTried { .. }
            | Self::RedeliverWebhook { .. }
            | Self::SourceTaken { .. }
            | Self::SourceTried { .. }
            | Self::Tick => None,
        }
    }
}

/// Something to be done outside, remembered with the state until it is done. Doing it twice is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    PublishTask {
        task: ChunkTask,
    },
    PublishAssembly {
        job: JobId,
        epoch: u32,
    },
    /// Have the results of a chunk's parts put together.
    PublishMerge {
        job: JobId,
        chunk: u32,
        epoch: u32,
    },
    /// Delete the chunks and the init section.
    DeleteTemporaryObjects {
        job: JobId,
    },
    /// Tell the job's webhook how it ended.
    DeliverWebhook {
        job: JobId,
        /// The number of the message.
        webhook: u32,
        /// Fencing token of the message.
        token: u32,
        /// Host and port.
        receiver: String,
    },
    /// Fetch the chunks that are missing.
    FetchSource {
        job: JobId,
        /// Fencing token of the source.
        token: u32,
        /// See [`crate::source::Source::lane`].
        server: String,
    },
    /// Delete everything of the job: its objects, then its records.
    EraseJob {
        job: JobId,
    },
}

/// An effect with its number in the job and the time from which on it may be performed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingEffect {
    pub number: u64,
    pub due: Timestamp,
    pub effect: Effect,
}

/// All that one commit writes. `header.revision` is the new one, one more than the old.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub header: JobHeader,
    /// Only the records that changed.
    pub chunks: Vec<ChunkRecord>,
    pub results: Vec<(u32, ChunkResult)>,
    pub events: Vec<EventRecord>,
    pub effects: Vec<PendingEffect>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StepError {
    /// Load these chunk records too, and call again. Never more than 64.
    #[error("chunk records {0:?} are needed")]
    Missing(Vec<u32>),
    #[error("the job has no chunk {0}")]
    NoSuchChunk(u32),
    #[error("the job's record is damaged")]
    Damaged,
}

/// The first step of a job: its header, all chunk records, and event 1; and its first effect, if the recording is to be fetched.
pub fn create(new: NewJob, now: Timestamp) -> Step {
    let total_chunks = new.layout.chunks();
    let mut header = JobHeader {
        version: VERSION,
        id: new.id,
        revision: 1,
        state: JobState::Created,
        filename: new.filename,
        total_size: new.layout.total_size(),
        chunk_size: new.layout.chunk_size(),
        options: new.options,
        metadata: new.metadata,
        webhook_url: new.webhook_url,
        tenant: new.tenant,
        limits: new.limits,
        source: new.source.map(|source| Source { due: now, ..source }),
        created_at: now,
        updated_at: now,
        last_upload_at: None,
        finished_at: None,
        media: None,
        uploaded: Default::default(),
        wanted: Default::default(),
        ready: Default::default(),
        in_flight: Default::default(),
        completed: Default::default(),
        failed: Default::default(),
        text_chunks: 0,
        progress: 0,
        progress_at: Timestamp(0),
        last_event: 1,
        last_effect: 0,
        assembly_epoch: 0,
        redo: None,
        correcting_until: None,
        reverted_edits: Default::default(),
        failure: None,
        summary: None,
        webhooks: Vec::new(),
        objects_released: false,
        path: None,
        work: Work::default(),
        deleted_at: None,
    };
    let initialized = Event::Initialized { parent_job_id: header.id, total_chunks };
    let disabled = new.webhook_disabled_since.map(|since_ms| Event::WebhookDisabled { since_ms });
    let events: Vec<_> = (1..)
        .zip([initialized].into_iter().chain(disabled))
        .map(|(id, event)| EventRecord { id, at: now, event })
        .collect();
    header.last_event = events.len() as u64;
    let fetch = header.source.as_ref().map(|source| source::effect(header.id, source));
    let effects: Vec<_> =
        fetch.map(|effect| PendingEffect { number: 1, due: now, effect }).into_iter().collect();
    header.last_effect = effects.len() as u64;
    Step {
        chunks: (0..total_chunks).map(ChunkRecord::pending).collect(),
        results: Vec::new(),
        events,
        effects,
        header,
    }
}

/// What `input` makes of a job. `chunks` are the records at hand; if more are needed, [`StepError::Missing`] names
/// them. `None`: nothing changes, nothing need be written.
pub fn step(
    header: &JobHeader,
    chunks: &BTreeMap<u32, ChunkRecord>,
    input: Input,
    now: Timestamp,
) -> Result<Option<Step>, StepError> {
    if let Some(chunk) = input.chunk()
        && chunk >= header.total_chunks()
    {
        return Err(StepError::NoSuchChunk(chunk));
    }
    if header.deleted_at.is_some() {
        return Ok(None);
    }
    let mut change = Change::new(header, chunks, now);
    apply(&mut change, input)?;
    processing::dispatch(&mut change)?;
    finish::assemble_if_all_ended(&mut change);
    Ok(change.finish())
}

fn apply(change: &mut Change<'_>, input: Input) -> Result<(), StepError> {
    match input {
        Input::Uploaded { chunk } => upload::uploaded(change, chunk)?,
        Input::Retry { chunk } => upload::retry(change, chunk)?,
        Input::Started { chunk, part: None, epoch } => processing::started(change, chunk, epoch)?,
        Input::Started { chunk, part: Some(part), epoch } => {
            parts::started(change, chunk, part, epoch)?;
        }
        Input::Probed { media } => processing::probed(change, media),
        Input::NeedsChunk { chunk, epoch, needed } => {
            processing::needs_chunk(change, chunk, epoch, needed)?;
        }
        Input::Completed { chunk, epoch, result } => {
            processing::completed(change, chunk, epoch, *result)?;
        }
        Input::Planned { chunk, epoch, parts } => parts::planned(change, chunk, epoch, &parts)?,
        Input::PartCompleted { chunk, part, epoch } => {
            parts::completed(change, chunk, part, epoch)?;
        }
        Input::Failed { chunk, part: None, epoch, failure } => {
            processing::failed(change, chunk, epoch, failure)?;
        }
        Input::Failed { chunk, part: Some(part), epoch, failure } => {
            parts::failed(change, chunk, part, epoch, failure)?;
        }
        Input::TaskLost { chunk, part: None, epoch, deaths } => {
            processing::task_lost(change, chunk, epoch, deaths)?;
        }
        Input::TaskLost { chunk, part: Some(part), epoch, deaths } => {
            parts::task_lost(change, chunk, part, epoch, deaths)?;
        }
        Input::Cancel { reason } => finish::cancel(change, reason),
        Input::Delete { late_ms } => delete::delete(change, late_ms),
        Input::Measured { work, of } => {
            timing::worked(change, &of, work)?;
            apply(change, *of)?;
        }
        Input::Redo { epoch, language, chunks } => redo::begin(change, epoch, language, chunks),
        Input::RedoStarted { chunk, epoch } => redo::started(change, chunk, epoch),
        Input::Redone { chunk, epoch, from, next } => redo::done(change, chunk, epoch, (from, next)),
        Input::RedoFailed { chunk, epoch, failure } => redo::failed(change, chunk, epoch, &failure),
        Input::Assembled { epoch, text, summary } => finish::assembled(change, epoch, text, summary),
        Input::AssemblyFailed { epoch, failure } => finish::assembly_failed(change, epoch, failure),
        Input::Correcting { epoch } => finish::correcting(change, epoch),
        Input::RevertEdit { edit } => finish::revert_edit(change, edit),
        Input::EventsSeen { last } => change.fill_events(last),
        Input::WebhookTaken { webhook, token, by } => webhook::taken(change, webhook, token, by),
        Input::WebhookTried { webhook, token, outcome, retry_after_ms, last } => {
            let outcome = webhook::Outcome { tried: outcome, retry_after_ms, last };
            webhook::tried(change, webhook, token, outcome);
        }
        Input::RedeliverWebhook { webhook } => webhook::redeliver(change, webhook),
        Input::SourceTaken { token, by } => source::taken(change, token, by),
        Input::SourceTried { token, end } => source::tried(change, token, end),
        Input::Tick => finish::tick(change)?,
    }
    Ok(())
}
