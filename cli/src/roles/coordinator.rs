//! `scriptorium coordinator`.

use super::{Frame, RoleError, services};
use crate::args::CoordinatorArgs;
use crate::config::load_llm;
use scriptorium_coordinator::CoordinatorConfig;
use scriptorium_shared::limiter::{Limiter, RedisLimiter};
use scriptorium_shared::llm::Llm;
use scriptorium_shared::ops::Needs;
use scriptorium_shared::source::{self, Fetcher};
use scriptorium_shared::tls::Tls;
use scriptorium_shared::webhook::{self, Sender, WebhookConfig};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs until SIGTERM; messages that it has begun to handle are finished first.
///
/// # Errors
/// The settings are wrong, or a service refuses us.
pub async fn coordinator(args: &CoordinatorArgs) -> Result<(), RoleError> {
    args.broker.check()?;
    args.store.check()?;
    args.bucket.check()?;
    args.imports.check(&args.bucket)?;
    args.llm.config()?;
    let tls = args.tls.read()?;
    let webhooks = args.webhooks.settings()?;
    let frame = Frame::begin(&args.ops).await?;
    let work = work(args, &frame, &webhooks, &tls);
    let outcome = Box::pin(frame.run(args.drain.drain_seconds, work)).await;
    frame.end().await;
    outcome
}

async fn work(
    args: &CoordinatorArgs,
    frame: &Frame,
    webhooks: &WebhookConfig,
    tls: &Tls,
) -> Result<(), RoleError> {
    let (broker, stop) = (&args.broker, &frame.shutdown);
    let jobs = match services::jobs(broker, &args.store, &args.bucket, tls, "coordinator", stop).await {
        Err(_) if stop.is_cancelled() => return Ok(()),
        jobs => jobs?,
    };
    let directory = match services::directory(&args.store, tls, stop).await {
        Err(_) if stop.is_cancelled() => return Ok(()),
        directory => directory?,
    };
    let sender = Sender::new(webhooks, directory.clone()).map_err(RoleError::Webhooks)?;
    let imports = args.imports.open(&jobs.objects);
    let fetcher = Fetcher::new(args.sources.settings(), imports).map_err(RoleError::Sources)?;
    let llm = match llm(args, tls, stop).await {
        Err(_) if stop.is_cancelled() => return Ok(()),
        llm => llm?,
    };
    frame.health.started(Needs {
        store: Some(jobs.store.clone()),
        queue: jobs.queue.clone(),
        objects: jobs.objects.clone(),
    });
    tracing::info!("working");
    let sweeper = jobs.clone().run_sweeper(args.sweep.sweep_interval_seconds, stop.clone());
    let config = CoordinatorConfig { llm, ..CoordinatorConfig::default() };
    let messages = scriptorium_coordinator::run(config, jobs.clone(), stop.clone());
    let webhooks = webhook::run(jobs.clone(), sender, stop.clone());
    let fetches = source::run(jobs.clone(), fetcher, stop.clone());
    let (handled, (), (), ()) = tokio::join!(messages, sweeper, webhooks, fetches);
    directory.close().await;
    jobs.queue.close().await;
    jobs.store.close().await;
    handled?;
    if stop.is_cancelled() { Ok(()) } else { Err(RoleError::Ended) }
}

/// The language model, if there is one. Its calls are counted in Redis, with those of the workers and of other coordinators.
async fn llm(
    args: &CoordinatorArgs,
    tls: &Tls,
    stop: &CancellationToken,
) -> Result<Option<Arc<Llm>>, RoleError> {
    let Some(config) = args.llm.config()? else { return Ok(None) };
    let redis = services::redis(&args.store.redis_url, tls, args.store.job_ttl_seconds);
    let limiter = Limiter::Redis(RedisLimiter::connect(&redis, stop).await?);
    Ok(load_llm(Some(config), &limiter)?)
}
