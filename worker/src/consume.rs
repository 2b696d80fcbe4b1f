//! Takes chunks from the queue, as many at once as there are slots.

use crate::cache::WindowCache;
use crate::engine::Engine;
use crate::meter::Meter;
use crate::task::{self, TaskContext};
use futures::future::BoxFuture;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::message::{ChunkTask, CoordinatorMessage, Report, VERSION, Work, WorkerReport};
use scriptorium_shared::llm::Llm;
use scriptorium_shared::objects::Objects;
use scriptorium_shared::queue::{Delivery, Queue, QueueError, Topic};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

/// So many may get lost or late before the lease ends.
const SIGNS_A_LEASE: u64 = 3;

#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Tasks in work at once.
    pub slots: usize,
    /// A chunk with more audio than this is divided into parts of at most this length, which many workers take.
    pub part_length: Duration,
    /// Corrects the text of chunks whose jobs ask for it.
    pub llm: Option<Arc<Llm>>,
}

#[derive(Debug, Error)]
pub enum WorkerError {
    #[error("the queue can't be read: {0}")]
    Queue(#[from] QueueError),
}

/// Works until `shutdown`. Chunks in work are then given up and handed back: they are computed again, to the same bytes.
pub fn run(
    config: WorkerConfig,
    engine: Arc<dyn Engine>,
    cache: WindowCache,
    queue: Queue,
    objects: Objects,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), WorkerError>> {
    Box::pin(async move {
        let slots = config.slots.max(1);
        let mut tasks = queue.consume(Topic::Tasks, slots).await?;
        let context = Arc::new(TaskContext::new(config, (engine, cache), queue, objects, shutdown.clone()));
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = running.join_next() => log_panic(ended),
                delivery = tasks.next(), if running.len() < slots => match delivery {
                    Some(delivery) => { running.spawn(handle(Arc::clone(&context), delivery)); }
                    None => break,
                },
            }
        }
        while let Some(ended) = running.join_next().await {
            log_panic(ended);
        }
        Ok(())
    })
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(problem) = ended {
        error!(%problem, "a task ended abnormally; it will be delivered again");
    }
}

async fn handle(context: Arc<TaskContext>, delivery: Delivery) {
    let task: ChunkTask = match serde_json::from_slice(&delivery.payload) {
        Ok(task) => task,
        Err(problem) => {
            settle(delivery.dead_letter(&format!("the task can't be read: {problem}")).await);
            return;
        }
    };
    let part = task.part.map(|part| part.index);
    let span = info_span!("chunk", job = %task.job, chunk = task.chunk, part, epoch = task.epoch);
    take_up(&context, &task, delivery).instrument(span).await;
}

/// Works on the task when there is room for it, unless too many workers have died with it in a row. Whether those had
/// begun it, or only had it waiting for room, they have told themselves.
async fn take_up(context: &TaskContext, task: &ChunkTask, delivery: Delivery) {
    let deaths = delivery.unanswered;
    if deaths >= task.deaths_before_lost() {
        warn!(deaths, "the task was delivered again and again without an answer");
        return answer(context, task, delivery, Report::Lost { deaths }, Work::default()).await;
    }
    let slot = tokio::select! {
        slot = context.slots.take(task.alone) => slot,
        () = context.shutdown.cancelled() => return settle(delivery.requeue().await),
    };
    match slot {
        Some(_slot) => work(context, task, delivery).await,
        None => settle(delivery.retry_later().await),
    }
}

async fn work(context: &TaskContext, task: &ChunkTask, delivery: Delivery) {
    if publish(context, task, Report::Started {}).await.is_err() {
        settle(delivery.retry_later().await);
        return;
    }
    let (begun, meter) = (Instant::now(), Meter::default());
    let report = tokio::select! {
        report = task::run(context, task, &meter) => report,
        () = give_signs_of_life(context, task) => None,
    };
    let Some(report) = report else {
        // The worker is stopping.
        settle(delivery.requeue().await);
        return;
    };
    let work = meter.work(begun.elapsed());
    log_outcome(&report, begun.elapsed(), work);
    answer(context, task, delivery, report, work).await;
}

/// State first: the task is acknowledged only after its report is safe in the queue.
async fn answer(context: &TaskContext, task: &ChunkTask, delivery: Delivery, report: Report, work: Work) {
    let mut outcome = publish_measured(context, task, report, Some(work)).await;
    if let Err(PublishError::Unfit(problem)) = &outcome {
        error!(%problem, "a report can't be sent as a message; the chunk fails");
        let failure =
            Failure::new(FailureCode::Internal, "The text of this chunk is too long for a message.");
        outcome = publish_measured(context, task, Report::Failed { failure }, Some(work)).await;
    }
    match outcome {
        Ok(()) => settle(delivery.ack().await),
        Err(problem) => {
            warn!(%problem, "a report can't be delivered; the task is put off");
            settle(delivery.retry_later().await);
        }
    }
}

/// Says again and again that the task is in work, so that it is not given to another worker. Never ends.
async fn give_signs_of_life(context: &TaskContext, task: &ChunkTask) {
    let every = Duration::from_millis((task.lease_ms / SIGNS_A_LEASE).clamp(100, 60_000));
    loop {
        tokio::time::sleep(every).await;
        if let Err(problem) = publish(context, task, Report::Started {}).await {
            debug!(%problem, "a sign of life was not delivered; the next one may be");
        }
    }
}

fn log_outcome(report: &Report, took: Duration, work: Work) {
    let (seconds, Work { windows, cache_hits, .. }) = (took.as_secs_f64(), work);
    match report {
        Report::Completed { result } => {
            info!(passages = result.passages.len(), windows, cache_hits, seconds, "chunk done")
        }
        Report::Planned { parts } => info!(parts = parts.len(), seconds, "chunk divided"),
        Report::PartCompleted {} => info!(windows, cache_hits, seconds, "part done"),
        Report::Redone { .. } => info!(windows, cache_hits, seconds, "passages done again"),
        Report::NeedsChunk { needed } => debug!(needed, seconds, "chunk waits for another one"),
        Report::Failed { failure } => {
            warn!(code = ?failure.code, detail = %failure.detail, seconds, "chunk failed")
        }
        Report::Started {} | Report::Probed { .. } | Report::Lost { .. } => {}
    }
}

/// Why a report did not reach the queue.
#[derive(Debug, Error)]
pub(crate) enum PublishError {
    /// Later it may.
    #[error(transparent)]
    Queue(QueueError),
    /// It never will.
    #[error("{0}")]
    Unfit(String),
}

/// Publishes a report about `task`.
pub(crate) async fn publish(
    context: &TaskContext,
    task: &ChunkTask,
    report: Report,
) -> Result<(), PublishError> {
    publish_measured(context, task, report, None).await
}

/// The last report of a task says where its time went.
async fn publish_measured(
    context: &TaskContext,
    task: &ChunkTask,
    report: Report,
    work: Option<Work>,
) -> Result<(), PublishError> {
    let ChunkTask { job, chunk, epoch, .. } = *task;
    let part = task.part.map(|part| part.index);
    let redo = task.redo.is_some();
    let report = WorkerReport { version: VERSION, job, chunk, epoch, part, redo, work, report };
    let payload = serde_json::to_vec(&CoordinatorMessage::Report(report))
        .map_err(|problem| PublishError::Unfit(problem.to_string()))?;
    match context.queue.publish(Topic::Coordinator, payload).await {
        Ok(()) => Ok(()),
        Err(problem @ QueueError::TooLong(_)) => Err(PublishError::Unfit(problem.to_string())),
        Err(problem) => Err(PublishError::Queue(problem)),
    }
}

fn settle(outcome: Result<(), QueueError>) {
    if let Err(problem) = outcome {
        debug!(%problem, "a task could not be settled; it will be delivered again, which is harmless");
    }
}
