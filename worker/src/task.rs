//! One chunk, or a part of one: from its task to the report.

use crate::answers::Answers;
use crate::cache::WindowCache;
use crate::chunk_source::ChunkSource;
use crate::consume::{PublishError, WorkerConfig, publish};
use crate::correct::correct;
use crate::engine::{Engine, EngineError};
use crate::meter::Meter;
use crate::parts;
use crate::passage::{self, Piece};
use crate::redo;
use crate::slots::Slots;
use bytes::Bytes;
use scriptorium_contracts::correction::LlmOutcome;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::message::{ChunkTask, Report};
use scriptorium_contracts::transcript::{ChunkResult, DamagedFrames, PassageResult};
use scriptorium_contracts::{JobId, job::Layout, objects};
use scriptorium_media::{self as media, ByteSource, InitSection, MediaError, PassagePlan, ReadError};
use scriptorium_shared::objects::{Objects, ObjectsError};
use scriptorium_shared::queue::Queue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// Init sections kept by a worker; they are small.
const INIT_SECTIONS_KEPT: usize = 64;
/// An init section larger than this is not ours.
const MAX_INIT_SECTION: usize = 16 << 20;
/// Pieces between the decoder and the engine: the decoder stays a little ahead, and memory stays bounded.
const PIECES_AHEAD: usize = 4;

/// What all tasks of a worker share.
pub(crate) struct TaskContext {
    pub config: WorkerConfig,
    pub engine: Arc<dyn Engine>,
    pub cache: WindowCache,
    pub queue: Queue,
    pub objects: Objects,
    pub shutdown: CancellationToken,
    pub slots: Slots,
    init_sections: Mutex<VecDeque<(JobId, Arc<InitSection>)>>,
    answers: Answers,
}

impl TaskContext {
    pub fn new(
        config: WorkerConfig,
        (engine, cache): (Arc<dyn Engine>, WindowCache),
        queue: Queue,
        objects: Objects,
        shutdown: CancellationToken,
    ) -> Self {
        let slots = Slots::new(config.slots);
        let (init_sections, answers) = (Mutex::default(), Answers::default());
        Self { config, engine, cache, queue, objects, shutdown, slots, init_sections, answers }
    }

    fn known_init_section(&self, job: JobId) -> Option<Arc<InitSection>> {
        let kept = self.init_sections.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(id, _)| *id == job).map(|(_, init)| Arc::clone(init))
    }

    fn keep_init_section(&self, job: JobId, init: &Arc<InitSection>) {
        let mut kept = self.init_sections.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= INIT_SECTIONS_KEPT {
            kept.pop_front();
        }
        kept.push_back((job, Arc::clone(init)));
    }
}

/// Why a chunk has no result.
#[derive(Debug, Error)]
pub(crate) enum TaskError {
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The recording is damaged where it tells what it is.
    #[error("{0}")]
    Header(MediaError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What the task is about is deleted, or lost.
    #[error("{0} is not in the object store")]
    Gone(&'static str),
    #[error("a part of the program failed: {0}")]
    Internal(String),
}

/// `None` if the task is to be handed back: the worker is stopping, or the queue takes no reports, for which the chunk is not
/// to blame.
pub(crate) async fn run(context: &TaskContext, task: &ChunkTask, meter: &Meter) -> Option<Report> {
    let stop = context.shutdown.child_token();
    // Dropped with this future: the decoder's thread then stops at its next read.
    let _guard = stop.clone().drop_guard();
    let outcome = tokio::select! {
        () = context.shutdown.cancelled() => return None,
        outcome = answer(context, task, meter, stop) => outcome,
    };
    match outcome {
        Ok(report) => Some(report),
        Err(TaskError::Publish(PublishError::Queue(problem))) => {
            debug!(%problem, "a report can't be delivered; the task is handed back");
            None
        }
        Err(TaskError::Media(MediaError::Read(ReadError::Missing { chunk }))) => {
            Some(Report::NeedsChunk { needed: chunk })
        }
        Err(TaskError::Media(MediaError::Read(ReadError::Cancelled))) => None,
        Err(problem) => Some(Report::Failed { failure: failure_of(&problem) }),
    }
}

/// The answer of before, or a new one.
async fn answer(
    context: &TaskContext,
    task: &ChunkTask,
    meter: &Meter,
    stop: CancellationToken,
) -> Result<Report, TaskError> {
    if let Some(report) = context.answers.find(task) {
        match context.known_init_section(task.job) {
            // Whoever has forgotten the chunk may have forgotten what the recording is.
            Some(init) if task.chunk == 0 => {
                publish(context, task, Report::Probed { media: init.media.clone() }).await?;
                return Ok(report);
            }
            None if task.chunk == 0 => {}
            Some(_) | None => return Ok(report),
        }
    }
    let report = perform(context, task, meter, stop).await?;
    context.answers.keep(task, &report);
    Ok(report)
}

async fn perform(
    context: &TaskContext,
    task: &ChunkTask,
    meter: &Meter,
    stop: CancellationToken,
) -> Result<Report, TaskError> {
    let layout = Layout::new(task.total_size, task.chunk_size)
        .map_err(|problem| TaskError::Internal(problem.to_string()))?;
    let range = layout.range(task.chunk).ok_or_else(|| TaskError::Internal("no such chunk".to_owned()))?;
    let source: Arc<dyn ByteSource> =
        Arc::new(ChunkSource::new(context.objects.clone(), task.job, layout, Handle::current(), stop));
    let init = init_section(context, task, &source).await?;
    if let Some(part) = &task.part {
        return parts::perform(context, task, part, meter, source, init).await;
    }
    if let Some(redo) = &task.redo {
        let range = range.first..range.last + 1;
        return redo::perform(context, (task, redo), meter, range, source, init).await;
    }
    let plan = {
        let (source, init) = (Arc::clone(&source), Arc::clone(&init));
        blocking(move || media::plan_chunk(&*source, &init, range.first..range.last + 1)).await??
    };
    let parts = plan.parts(parts::longest(context, &init));
    if parts.len() > 1 || (task.divide && !parts.is_empty()) {
        return parts::divide(context, task, &plan, parts).await;
    }
    let transcribed = transcribe(context, task, meter, source, init, &plan.passages).await?;
    let mut damaged = transcribed.damaged;
    damaged.extend(plan.damaged.iter().copied());
    damaged.sort_by_key(|gap| gap.start);
    let info = context.engine.info();
    let result = ChunkResult {
        frames: plan.frames,
        absolute_start: plan.absolute_start,
        passages: transcribed.passages,
        damaged,
        engine: info.engine.to_owned(),
        model: info.model,
        word_timestamps: word_timestamps(context, task),
        llm: transcribed.llm,
    };
    Ok(Report::Completed { result: Box::new(result) })
}

/// Whether times of words are given, if they were asked for.
pub(crate) fn word_timestamps(context: &TaskContext, task: &ChunkTask) -> Option<bool> {
    task.options.word_timestamps.then(|| context.engine.info().word_timestamps)
}

/// Passages with their text, and the packets in them that could not be decoded.
pub(crate) struct Transcribed {
    pub passages: Vec<PassageResult>,
    pub damaged: Vec<DamagedFrames>,
    /// What came of asking for corrections.
    pub llm: Option<LlmOutcome>,
}

/// Decodes and transcribes passages, one after the other, and has their text corrected if the job asks for it.
pub(crate) async fn transcribe(
    context: &TaskContext,
    task: &ChunkTask,
    meter: &Meter,
    source: Arc<dyn ByteSource>,
    init: Arc<InitSection>,
    plans: &[PassagePlan],
) -> Result<Transcribed, TaskError> {
    let (send, pieces) = mpsc::channel::<Piece>(PIECES_AHEAD);
    let own = plans.to_vec();
    let decode = blocking(move || passage::decode(&*source, &init, &own, &send));
    let engine = context.cache.before(&context.engine, task, meter.engine_waits());
    let write = passage::transcribe(&engine, &task.options, plans, pieces, meter);
    let (decoded, written) = tokio::join!(decode, write);
    // The decoder's error is the cause where both failed.
    let damaged = decoded??;
    let mut passages = written?;
    let llm = correct(context, task, &mut passages, meter).await;
    Ok(Transcribed { passages, damaged, llm })
}

/// The job's init section: from this worker's memory, from the object store, or by looking at the recording.
async fn init_section(
    context: &TaskContext,
    task: &ChunkTask,
    source: &Arc<dyn ByteSource>,
) -> Result<Arc<InitSection>, TaskError> {
    let init = match context.known_init_section(task.job) {
        Some(init) => init,
        None => load_init_section(context, task, source).await?,
    };
    // The worker that looked at the recording may have died before its report: the first chunk always tells.
    if task.chunk == 0 {
        publish(context, task, Report::Probed { media: init.media.clone() }).await?;
    }
    Ok(init)
}

async fn load_init_section(
    context: &TaskContext,
    task: &ChunkTask,
    source: &Arc<dyn ByteSource>,
) -> Result<Arc<InitSection>, TaskError> {
    let key = objects::init_section_key(task.job);
    let stored = context.objects.read(&key, 0, MAX_INIT_SECTION).await?;
    let init = match stored.map(|bytes| serde_json::from_slice::<InitSection>(&bytes)) {
        Some(Ok(init)) => init,
        unreadable => {
            if let Some(Err(problem)) = unreadable {
                warn!(%problem, "an init section can't be read; the recording is looked at again");
            }
            let source = Arc::clone(source);
            let init = blocking(move || media::probe(&*source)).await?.map_err(unreadable_header)?;
            let body =
                serde_json::to_vec(&init).map_err(|problem| TaskError::Internal(problem.to_string()))?;
            context.objects.write(&key, Bytes::from(body), "application/json").await?;
            init
        }
    };
    let init = Arc::new(init);
    context.keep_init_section(task.job, &init);
    Ok(init)
}

/// What a probe finds damaged concerns the whole recording.
fn unreadable_header(problem: MediaError) -> TaskError {
    match problem {
        MediaError::Damaged { .. } | MediaError::Limit { .. } => TaskError::Header(problem),
        MediaError::NotAudio { .. }
        | MediaError::Unsupported { .. }
        | MediaError::Stale { .. }
        | MediaError::Read(_) => TaskError::Media(problem),
    }
}

/// Runs what computes or blocks on a thread for that; a panic there is this chunk's failure, not the worker's.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TaskError> {
    tokio::task::spawn_blocking(work).await.map_err(|problem| TaskError::Internal(problem.to_string()))
}

/// What the user gets to know. Internal text stays in the log.
fn failure_of(problem: &TaskError) -> Failure {
    match problem {
        TaskError::Media(media) => media_failure(media),
        TaskError::Header(media) => Failure::new(FailureCode::DamagedHeader, media.to_string()),
        TaskError::Engine(EngineError::Language { language, .. }) => Failure::new(
            FailureCode::UnsupportedMedia,
            format!("The model does not know the language {language:?}."),
        ),
        TaskError::Engine(EngineError::Unavailable(what)) => {
            warn!(%what, "the speech-to-text service does not answer");
            Failure::new(FailureCode::EngineUnavailable, "The speech-to-text service does not answer.")
        }
        TaskError::Engine(engine) => {
            error!(problem = %engine, "the engine failed");
            Failure::new(FailureCode::EngineFailed, "The speech-to-text engine failed on this chunk.")
        }
        TaskError::Objects(_) | TaskError::Publish(_) => {
            Failure::new(FailureCode::StorageUnavailable, "The object store or the queue did not answer.")
        }
        TaskError::Gone(what) => {
            warn!(what, "an object that a task needs is not there; the job may have been deleted");
            Failure::new(FailureCode::StorageUnavailable, "An object of the job is not in the object store.")
        }
        TaskError::Internal(what) => {
            error!(%what, "a task failed by a defect of the program");
            Failure::new(FailureCode::Internal, "An internal error; the operator's log has the details.")
        }
    }
}

fn media_failure(problem: &MediaError) -> Failure {
    let code = match problem {
        MediaError::NotAudio { .. } => FailureCode::NotAudio,
        MediaError::Unsupported { .. } => FailureCode::UnsupportedMedia,
        MediaError::Damaged { .. } | MediaError::Limit { .. } => FailureCode::DamagedMedia,
        MediaError::Stale { .. } => FailureCode::Internal,
        MediaError::Read(ReadError::Io { retryable, .. }) => {
            let detail = "A chunk could not be read from the object store.";
            let code = if *retryable { FailureCode::StorageUnavailable } else { FailureCode::DamagedMedia };
            return Failure::new(code, detail);
        }
        MediaError::Read(ReadError::Missing { .. } | ReadError::Cancelled) => FailureCode::Internal,
    };
    Failure::new(code, problem.to_string())
}
