//! Takes messages from the coordinator's queue.

use crate::assembly::assemble;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::Input;
use scriptorium_contracts::message::{CoordinatorMessage, Report, WorkerReport};
use scriptorium_shared::jobs::{Jobs, JobsError};
use scriptorium_shared::queue::{Delivery, QueueError, Topic};
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// The pause before a message whose handling failed is given back, so that a store that is down is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// Messages handled at once.
    pub parallel: usize,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self { parallel: 16 }
    }
}

#[derive(Debug, Error)]
pub enum CoordinatorError {
    #[error("the queue can't be read: {0}")]
    Queue(#[from] QueueError),
}

/// Handles messages until `shutdown`; what has begun is finished first.
pub async fn run(
    config: CoordinatorConfig,
    jobs: Jobs,
    shutdown: CancellationToken,
) -> Result<(), CoordinatorError> {
    let parallel = config.parallel.max(1);
    let mut messages = jobs.queue.consume(Topic::Coordinator, parallel).await?;
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = running.join_next() => log_panic(ended),
            delivery = messages.next(), if running.len() < parallel => match delivery {
                Some(delivery) => { running.spawn(handle(jobs.clone(), delivery)); }
                None => break,
            },
        }
    }
    while let Some(ended) = running.join_next().await {
        log_panic(ended);
    }
    Ok(())
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(problem) = ended {
        error!(%problem, "handling a message ended abnormally; it will be delivered again");
    }
}

async fn handle(jobs: Jobs, delivery: Delivery) {
    let message: CoordinatorMessage = match serde_json::from_slice(&delivery.payload) {
        Ok(message) => message,
        Err(problem) => {
            error!(%problem, bytes = delivery.payload.len(), "a message can't be read and is dropped");
            settle(delivery.ack().await);
            return;
        }
    };
    let outcome = match message {
        CoordinatorMessage::Report(report) => {
            let (job, input) = (report.job, input_of(report));
            advance(&jobs, job, input).await
        }
        CoordinatorMessage::Assemble { job, epoch, .. } => assemble(&jobs, job, epoch).await,
    };
    match outcome {
        Ok(()) => settle(delivery.ack().await),
        Err(problem) if problem.retryable() => {
            warn!(%problem, "a message can't be handled now and is given back");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            settle(delivery.requeue().await);
        }
        Err(problem) => {
            error!(%problem, "a message can't be handled and is dropped");
            settle(delivery.ack().await);
        }
    }
}

async fn advance(jobs: &Jobs, job: JobId, input: Input) -> Result<(), JobsError> {
    match jobs.advance(job, input).await {
        Ok(_) => Ok(()),
        // Deleted in the meantime: nobody waits for this report.
        Err(JobsError::NoSuchJob { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

fn settle(outcome: Result<(), QueueError>) {
    if let Err(problem) = outcome {
        debug!(%problem, "a message could not be settled; it will be delivered again, which is harmless");
    }
}

fn input_of(report: WorkerReport) -> Input {
    let WorkerReport { chunk, epoch, report, .. } = report;
    match report {
        Report::Started {} => Input::Started { chunk, epoch },
        Report::Probed { media } => Input::Probed { media },
        Report::NeedsChunk { needed } => Input::NeedsChunk { chunk, epoch, needed },
        Report::Completed { result } => Input::Completed { chunk, epoch, result },
        Report::Failed { failure } => Input::Failed { chunk, epoch, failure },
    }
}
