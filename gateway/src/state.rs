//! What all handlers share.

use crate::config::GatewayConfig;
use crate::problem::Problem;
use crate::stream::hub::Hub;
use scriptorium_contracts::JobId;
use scriptorium_contracts::job::JobHeader;
use scriptorium_shared::jobs::Jobs;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Transcripts that are rendered at once: each may take some hundred megabytes for a moment.
const RENDERS: usize = 2;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub config: Arc<GatewayConfig>,
    pub jobs: Jobs,
    pub hub: Arc<Hub>,
    /// One permit a live stream.
    pub streams: Arc<Semaphore>,
    pub renders: Arc<Semaphore>,
    pub shutdown: CancellationToken,
}

impl App {
    pub fn new(config: GatewayConfig, jobs: Jobs, shutdown: CancellationToken) -> Self {
        let streams = config.max_streams.min(Semaphore::MAX_PERMITS);
        Self {
            config: Arc::new(config),
            jobs,
            hub: Arc::default(),
            streams: Arc::new(Semaphore::new(streams)),
            renders: Arc::new(Semaphore::new(RENDERS)),
            shutdown,
        }
    }
}

impl App {
    /// The job as it is now, or the problem `job_not_found`.
    pub async fn header(&self, job: JobId) -> Result<JobHeader, Problem> {
        self.jobs.header(job).await?.ok_or_else(|| Problem::job_not_found(job))
    }
}
