//! The roles as tasks of one process: started in order, watched, ended in order.

use super::{ServeConfig, ServeError};
use scriptorium_coordinator::CoordinatorConfig;
use scriptorium_gateway::Tenancy;
use scriptorium_shared::jobs::Jobs;
use scriptorium_shared::llm::Llm;
use scriptorium_shared::objects::embedded::S3Service;
use scriptorium_shared::source::{self, Fetcher};
use scriptorium_shared::webhook::{self, Sender};
use scriptorium_worker::engine::Engine;
use scriptorium_worker::{WindowCache, WorkerConfig};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Gateway,
    Worker,
    Coordinator,
    Sweeper,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Coordinator => "coordinator",
            Self::Sweeper => "sweeper",
        })
    }
}

/// A role at work. It is aborted if this is dropped.
struct Running {
    role: Role,
    stop: CancellationToken,
    /// `None` once it has ended.
    task: Option<AbortOnDropHandle<Result<(), String>>>,
}

impl Running {
    fn start<E: fmt::Display + Send + 'static>(
        role: Role,
        work: impl FnOnce(CancellationToken) -> WorkOf<E>,
    ) -> Self {
        let stop = CancellationToken::new();
        let work = work(stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the handle aborts the task when it is dropped")]
        let task = tokio::spawn(async move { work.await.map_err(|error| error.to_string()) });
        Self { role, stop, task: Some(AbortOnDropHandle::new(task)) }
    }

    /// Waits for the end; at once if it has been seen before. Cancel-safe.
    async fn join(&mut self) -> Result<(), String> {
        let Some(task) = self.task.as_mut() else { return Ok(()) };
        let ended = task.await;
        self.task = None;
        ended.map_err(|error| error.to_string())?
    }

    /// Waits for a role that should not end: its end is a failure, whatever it says.
    async fn ended(&mut self) -> ServeError {
        let reason = self.join().await.err().unwrap_or_else(|| "without being asked to".to_owned());
        ServeError::Role { role: self.role, reason }
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        if let Err(reason) = self.join().await {
            tracing::warn!(role = %self.role, reason, "did not end in order");
        }
    }
}

type WorkOf<E> = futures::future::BoxFuture<'static, Result<(), E>>;

/// Runs all roles until `shutdown` or until one of them ends.
pub(super) async fn run(
    config: &ServeConfig,
    (engine, cache, llm): (Arc<dyn Engine>, WindowCache, Option<Arc<Llm>>),
    jobs: Jobs,
    (s3, access): (S3Service, Tenancy),
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let sender = Sender::new(&config.webhooks, access.directory.clone()).map_err(ServeError::Webhooks)?;
    let fetcher = Fetcher::new(config.sources, None).map_err(ServeError::Sources)?;
    // Before anybody can queue a chunk: what this process finds in flight, the one before left there.
    jobs.recover().await.map_err(ServeError::Recovery)?;
    // Before the other roles, because they reach the objects through its port.
    let mut gateway = Running::start(Role::Gateway, |stop| {
        let (mut config, jobs) = (config.gateway.clone(), jobs.clone());
        config.sources = fetcher.clone();
        scriptorium_gateway::run(config, jobs, access, Some(s3.router()), listener, stop)
    });
    let mut coordinator = Running::start(Role::Coordinator, |stop| {
        let config = CoordinatorConfig { llm: llm.clone(), ..CoordinatorConfig::default() };
        scriptorium_coordinator::run(config, jobs.clone(), stop)
    });
    let mut worker = Running::start(Role::Worker, |stop| {
        let (slots, part_length) = (config.slots, config.part_length);
        let config = WorkerConfig { slots, part_length, llm };
        let (engine, queue, objects) = (Arc::clone(&engine), jobs.queue.clone(), jobs.objects.clone());
        scriptorium_worker::run(config, engine, cache, queue, objects, stop)
    });
    let mut sweeper = Running::start(Role::Sweeper, |stop| {
        let (jobs, every) = (jobs.clone(), config.sweep_interval);
        Box::pin(async move {
            let webhooks = webhook::run(jobs.clone(), sender, stop.clone());
            let fetches = source::run(jobs.clone(), fetcher, stop.clone());
            tokio::join!(jobs.run_sweeper(every, stop), webhooks, fetches);
            Ok::<(), std::convert::Infallible>(())
        })
    });
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        error = gateway.ended() => Err(error),
        error = coordinator.ended() => Err(error),
        error = worker.ended() => Err(error),
        error = sweeper.ended() => Err(error),
    };
    // Each before those that it needs: a worker hands its tasks back, the coordinator records what was reported, and both
    // read and write objects through the gateway's port.
    let in_order = async {
        worker.stop().await;
        engine.close().await;
        sweeper.stop().await;
        coordinator.stop().await;
        gateway.stop().await;
    };
    if !within(config.drain, in_order).await {
        tracing::warn!(
            seconds = config.drain.as_secs_f64(),
            "not all work ended in time; it goes on at the next start"
        );
    }
    outcome
}

async fn within(time: std::time::Duration, work: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(time, work).await.is_ok()
}
