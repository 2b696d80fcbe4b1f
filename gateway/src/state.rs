//! What all handlers share.

use crate::access::Keeper;
use crate::config::{GatewayConfig, Tenancy};
use crate::looks::Looks;
use crate::routes::docs::Docs;
use crate::stream::hub::Hub;
use scriptorium_shared::jobs::Jobs;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Transcripts that are rendered at once: each may take some hundred megabytes for a moment.
const RENDERS: usize = 2;
/// One upload in one piece takes up to 26 permits.
const MIN_UPLOAD_MEMORY_MB: usize = 26;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub config: Arc<GatewayConfig>,
    /// Handlers reach a job by [`App::header`] and its like, which know whose it is.
    pub jobs: Jobs,
    pub access: Arc<Keeper>,
    pub hub: Arc<Hub>,
    /// One permit a live stream.
    pub streams: Arc<Semaphore>,
    pub renders: Arc<Semaphore>,
    /// One permit a megabyte of recordings that lie in memory on their way into the object store.
    pub upload_memory: Arc<Semaphore>,
    pub looks: Arc<Looks>,
    /// What a request leaves to be done; waited for at the end.
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
    pub docs: Arc<Docs>,
}

impl App {
    pub fn new(
        config: GatewayConfig,
        jobs: Jobs,
        access: Tenancy,
        shutdown: CancellationToken,
        tasks: TaskTracker,
        docs: Docs,
    ) -> Self {
        let Tenancy { directory, limiter } = access;
        let keeper = Keeper::new(directory, limiter, config.require_keys, config.tenant_limits);
        let streams = config.max_streams.min(Semaphore::MAX_PERMITS);
        let upload_memory = config.upload_memory_mb.clamp(MIN_UPLOAD_MEMORY_MB, Semaphore::MAX_PERMITS);
        Self {
            config: Arc::new(config),
            jobs,
            access: Arc::new(keeper),
            hub: Arc::default(),
            streams: Arc::new(Semaphore::new(streams)),
            renders: Arc::new(Semaphore::new(RENDERS)),
            looks: Arc::default(),
            upload_memory: Arc::new(Semaphore::new(upload_memory)),
            tasks,
            shutdown,
            docs: Arc::new(docs),
        }
    }
}
