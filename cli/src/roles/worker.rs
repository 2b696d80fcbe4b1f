//! `scriptorium worker`.

use super::{Frame, RoleError, services};
use crate::args::WorkerArgs;
use scriptorium_shared::ops::Needs;
use scriptorium_worker::WorkerConfig;
use scriptorium_worker::engine::{Engine, EngineConfig, Whisper};
use std::sync::Arc;

/// Runs until SIGTERM. Work in hand is then handed back: another worker computes it again, to the same bytes.
///
/// # Errors
/// The settings are wrong, the model is not there, or a service refuses us.
pub async fn worker(args: &WorkerArgs) -> Result<(), RoleError> {
    args.broker.check()?;
    args.bucket.check()?;
    let frame = Frame::begin(&args.ops).await?;
    let outcome = Box::pin(frame.run(args.drain.drain_seconds, work(args, &frame))).await;
    frame.end().await;
    outcome
}

async fn work(args: &WorkerArgs, frame: &Frame) -> Result<(), RoleError> {
    let slots = args.engine.slots();
    let engine = EngineConfig { slots, ..EngineConfig::new(args.engine.model_dir(None)) };
    // Loading blocks its thread for a second or more.
    let engine = tokio::task::spawn_blocking(move || Whisper::load(engine)).await??;
    let objects = services::objects(&args.bucket).await?;
    let queue = match services::queue(&args.broker, "worker", &frame.shutdown).await {
        Err(_) if frame.shutdown.is_cancelled() => return Ok(()),
        queue => queue?,
    };
    frame.health.started(Needs { store: None, queue: queue.clone(), objects: objects.clone() });
    tracing::info!(model = %engine.info().model, slots, "working");
    let config = WorkerConfig { slots, part_length: args.part.part_seconds };
    let stop = frame.shutdown.clone();
    scriptorium_worker::run(config, Arc::new(engine.clone()), queue.clone(), objects, stop).await?;
    engine.close().await;
    queue.close().await;
    if frame.shutdown.is_cancelled() { Ok(()) } else { Err(RoleError::Ended) }
}
