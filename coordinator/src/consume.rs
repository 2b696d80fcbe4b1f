//! Takes messages from the coordinator's queue.

use crate::assembly::{Handled, assemble};
use crate::correct::Desk;
use crate::merge::merge;
use futures::future::BoxFuture;
use scriptorium_contracts::JobId;
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::Input;
use scriptorium_contracts::message::{CoordinatorMessage, Report, WorkerReport};
use scriptorium_shared::jobs::{Jobs, JobsError};
use scriptorium_shared::llm::Llm;
use scriptorium_shared::queue::{Delivery, QueueError, Topic};
use std::sync::Arc;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// Transcripts that are with a language model at once, besides the messages of [`CoordinatorConfig::parallel`].
const CORRECTED_AT_ONCE: usize = 8;

#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// Messages handled at once.
    pub parallel: usize,
    /// Corrects transcripts of jobs that ask for it.
    pub llm: Option<Arc<Llm>>,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self { parallel: 16, llm: None }
    }
}

#[derive(Debug, Error)]
pub enum CoordinatorError {
    #[error("the queue can't be read: {0}")]
    Queue(#[from] QueueError),
}

/// Handles messages until `shutdown`; what has begun is finished first.
pub fn run(
    config: CoordinatorConfig,
    jobs: Jobs,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), CoordinatorError>> {
    Box::pin(async move {
        let parallel = config.parallel.max(1) + CORRECTED_AT_ONCE;
        let desk = Desk::new(config.llm, CORRECTED_AT_ONCE, shutdown.clone());
        let mut messages = jobs.queue.consume(Topic::Coordinator, parallel).await?;
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = running.join_next() => log_panic(ended),
                delivery = messages.next(), if running.len() < parallel => match delivery {
                    Some(delivery) => { running.spawn(handle(jobs.clone(), desk.clone(), delivery)); }
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
        error!(%problem, "handling a message ended abnormally; it will be delivered again");
    }
}

async fn handle(jobs: Jobs, desk: Desk, delivery: Delivery) {
    let message: CoordinatorMessage = match serde_json::from_slice(&delivery.payload) {
        Ok(message) => message,
        Err(problem) => {
            settle(delivery.dead_letter(&format!("the message can't be read: {problem}")).await);
            return;
        }
    };
    let outcome = match message {
        CoordinatorMessage::Report(report) => {
            let (job, last) = (report.job, ends_task(&report.report));
            match advance(&jobs, job, input_of(report), last).await {
                Err(JobsError::NoSuchJob(job)) if last => clear(&jobs, job, false).await,
                Err(JobsError::NoSuchJob(_)) => Ok(()),
                outcome => outcome,
            }
        }
        CoordinatorMessage::Merge { job, chunk, epoch, .. } => match merge(&jobs, job, chunk, epoch).await {
            // It stores nothing outside of the job.
            Err(JobsError::NoSuchJob(_)) => Ok(()),
            outcome => outcome,
        },
        CoordinatorMessage::Assemble { job, epoch, .. } => match assemble(&jobs, &desk, job, epoch).await {
            Err(JobsError::NoSuchJob(job)) => clear(&jobs, job, true).await,
            Ok(Handled::PutOff) => return settle(delivery.retry_later().await),
            Ok(Handled::Done) => Ok(()),
            Err(problem) => Err(problem),
        },
    };
    match outcome {
        Ok(()) => settle(delivery.ack().await),
        Err(problem) if problem.retryable() => {
            // Put off, so that a store that is down is not hammered.
            warn!(%problem, "a message can't be handled now and is put off");
            settle(delivery.retry_later().await);
        }
        Err(problem) => {
            settle(delivery.dead_letter(&format!("the message can't be handled: {problem}")).await);
        }
    }
}

async fn advance(jobs: &Jobs, job: JobId, input: Input, last: bool) -> Result<(), JobsError> {
    let header = jobs.advance(job, input).await?;
    if !last {
        return Ok(());
    }
    or_leave(job, jobs.delete_late_objects(&header).await)
}

/// The job was deleted in the meantime: nobody waits for this any more, and what was stored for it has to go.
async fn clear(jobs: &Jobs, job: JobId, all: bool) -> Result<(), JobsError> {
    or_leave(job, jobs.delete_objects_of_gone(job, all).await)
}

fn or_leave(job: JobId, outcome: Result<(), JobsError>) -> Result<(), JobsError> {
    match outcome {
        Err(problem) if !problem.retryable() => {
            warn!(%job, %problem, "what was stored too late stays; the bucket's own rules delete it");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Whether the worker is done with the task, and stores nothing for it any more.
fn ends_task(report: &Report) -> bool {
    match report {
        Report::Started {} | Report::Probed { .. } => false,
        Report::NeedsChunk { .. }
        | Report::Planned { .. }
        | Report::Completed { .. }
        | Report::PartCompleted {}
        | Report::Redone { .. }
        | Report::Lost { .. }
        | Report::Failed { .. } => true,
    }
}

fn settle(outcome: Result<(), QueueError>) {
    if let Err(problem) = outcome {
        debug!(%problem, "a message could not be settled; it will be delivered again, which is harmless");
    }
}

fn input_of(report: WorkerReport) -> Input {
    let work = report.work;
    let input = plain_input_of(report);
    match work {
        Some(work) => Input::Measured { work, of: Box::new(input) },
        None => input,
    }
}

fn plain_input_of(report: WorkerReport) -> Input {
    let WorkerReport { chunk, epoch, part, redo, report, .. } = report;
    if redo {
        return redo_input(chunk, epoch, report);
    }
    match (report, part) {
        (Report::Redone { from, next }, _) => Input::Redone { chunk, epoch, from, next },
        (Report::Started {}, part) => Input::Started { chunk, part, epoch },
        (Report::Probed { media }, _) => Input::Probed { media },
        (Report::NeedsChunk { needed }, None) => Input::NeedsChunk { chunk, epoch, needed },
        (Report::Planned { parts }, _) => Input::Planned { chunk, epoch, parts },
        (Report::Completed { result }, _) => Input::Completed { chunk, epoch, result },
        (Report::PartCompleted {}, Some(part)) => Input::PartCompleted { chunk, part, epoch },
        (Report::Lost { deaths }, part) => Input::TaskLost { chunk, part, epoch, deaths },
        (Report::Failed { failure }, part) => Input::Failed { chunk, part, epoch, failure },
        // All that a part reads was there when the chunk was divided: it is lost.
        (Report::NeedsChunk { needed }, Some(_)) => {
            let detail = format!("Chunk {needed}, which was uploaded, is not in the object store.");
            let failure = Failure::new(FailureCode::ObjectMissing, detail);
            Input::Failed { chunk, part, epoch, failure }
        }
        (Report::PartCompleted {}, None) => {
            let failure = Failure::new(FailureCode::Internal, "A worker reported a part without its number.");
            Input::Failed { chunk, part, epoch, failure }
        }
    }
}

fn redo_input(chunk: u32, epoch: u32, report: Report) -> Input {
    match report {
        Report::Redone { from, next } => Input::Redone { chunk, epoch, from, next },
        Report::Failed { failure } => Input::RedoFailed { chunk, epoch, failure },
        Report::NeedsChunk { needed } => {
            let detail = format!("Chunk {needed}, which was uploaded, is not in the object store.");
            let failure = Failure::new(FailureCode::ObjectMissing, detail);
            Input::RedoFailed { chunk, epoch, failure }
        }
        Report::Probed { media } => Input::Probed { media },
        Report::Lost { .. } => {
            let failure = Failure::new(
                FailureCode::WorkerLost,
                "Again and again the worker stopped at these passages.",
            );
            Input::RedoFailed { chunk, epoch, failure }
        }
        Report::Started {} => Input::RedoStarted { chunk, epoch },
        Report::Planned { .. } | Report::Completed { .. } | Report::PartCompleted {} => {
            let failure =
                Failure::new(FailureCode::Internal, "A worker answered another task than was asked.");
            Input::RedoFailed { chunk, epoch, failure }
        }
    }
}
