//! `scriptorium gateway`.

use super::{Frame, RoleError, listen, services};
use crate::args::GatewayArgs;
use scriptorium_gateway::UploadBase;
use scriptorium_shared::ops::Needs;
use scriptorium_shared::source::Fetcher;
use scriptorium_shared::tls::Tls;
use scriptorium_shared::webhook::WebhookConfig;
use tokio::net::TcpListener;

/// Runs until SIGTERM.
///
/// # Errors
/// The settings are wrong, or a service refuses us.
pub async fn gateway(args: &GatewayArgs) -> Result<(), RoleError> {
    args.broker.check()?;
    args.store.check()?;
    args.bucket.check()?;
    args.imports.check(&args.bucket)?;
    let (webhooks, tls) = (args.webhooks.settings()?, args.tls.read()?);
    let addresses = args.network.addresses(!args.network.allow_unauthenticated).await?;
    let listener = listen(&addresses[..], &args.network.listen).await?;
    let frame = Frame::begin(&args.ops).await?;
    let outcome =
        Box::pin(frame.run(args.drain.drain_seconds, work(args, &frame, listener, &webhooks, &tls))).await;
    frame.end().await;
    outcome
}

async fn work(
    args: &GatewayArgs,
    frame: &Frame,
    listener: TcpListener,
    webhooks: &WebhookConfig,
    tls: &Tls,
) -> Result<(), RoleError> {
    let (broker, stop) = (&args.broker, &frame.shutdown);
    let jobs = match services::jobs(broker, &args.store, &args.bucket, tls, "gateway", stop).await {
        Err(_) if frame.shutdown.is_cancelled() => return Ok(()),
        jobs => jobs?,
    };
    let access = match services::access(&args.store, tls, &frame.shutdown).await {
        Err(_) if frame.shutdown.is_cancelled() => return Ok(()),
        access => access?,
    };
    frame.health.started(Needs {
        store: Some(jobs.store.clone()),
        queue: jobs.queue.clone(),
        objects: jobs.objects.clone(),
    });
    // How many slots the workers have is not known here: the default of the limits holds.
    let mut config = args.limits.gateway(0, UploadBase::PublicEndpoint, webhooks);
    let imports = args.imports.open(&jobs.objects);
    config.sources = Fetcher::new(args.sources.settings(), imports).map_err(RoleError::Sources)?;
    config.require_keys = !args.network.allow_unauthenticated;
    config.tenant_limits = args.tenants.limits();
    config.llm = args.llm.allow_llm;
    scriptorium_gateway::run(config, jobs.clone(), access.clone(), None, listener, frame.shutdown.clone())
        .await?;
    access.directory.close().await;
    jobs.queue.close().await;
    jobs.store.close().await;
    if frame.shutdown.is_cancelled() { Ok(()) } else { Err(RoleError::Ended) }
}
