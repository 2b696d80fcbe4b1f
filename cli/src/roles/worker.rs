//! `scriptorium worker`.

use super::{Frame, RoleError, services};
use crate::args::WorkerArgs;
use crate::config::{ConfigError, EngineChoice, load_llm};
use crate::engine;
use scriptorium_shared::cache::{Cache, RedisCache};
use scriptorium_shared::limiter::{EmbeddedLimiter, Limiter, RedisLimiter};
use scriptorium_shared::ops::Needs;
use scriptorium_shared::tls::Tls;
use scriptorium_worker::{WindowCache, WorkerConfig};
use std::sync::Arc;
use std::time::Duration;

/// Runs until SIGTERM. Work in hand is then handed back: another worker computes it again, to the same bytes.
///
/// # Errors
/// The settings are wrong, the model is not there, or a service refuses us.
pub async fn worker(args: &WorkerArgs) -> Result<(), RoleError> {
    args.broker.check()?;
    args.bucket.check()?;
    args.limiter.check()?;
    args.cache_service.check()?;
    let tls = args.tls.read()?;
    let frame = Frame::begin(&args.ops).await?;
    let outcome = Box::pin(frame.run(args.drain.drain_seconds, work(args, &frame, &tls))).await;
    frame.end().await;
    outcome
}

async fn work(args: &WorkerArgs, frame: &Frame, tls: &Tls) -> Result<(), RoleError> {
    let (slots, choice) = (args.engine.slots(), args.engine.choice(None)?);
    let Some(limiter) = limiter(args, &choice, frame, tls).await? else { return Ok(()) };
    let llm = load_llm(args.llm.config()?, &limiter)?;
    let settings = args.cache.settings();
    let engine = engine::load(choice, slots, limiter, !settings.ttl.is_zero()).await?;
    let cache = WindowCache::new(settings, &*engine, shared_cache(args, tls)?);
    let objects = services::objects(&args.bucket, tls).await?;
    let queue = match services::queue(&args.broker, tls, "worker", &frame.shutdown).await {
        Err(_) if frame.shutdown.is_cancelled() => return Ok(()),
        queue => queue?,
    };
    frame.health.started(Needs { store: None, queue: queue.clone(), objects: objects.clone() });
    tracing::info!(model = %engine.info().model, slots, "working");
    let config = WorkerConfig { slots, part_length: args.part.part_seconds, llm };
    let stop = frame.shutdown.clone();
    scriptorium_worker::run(config, Arc::clone(&engine), cache, queue.clone(), objects, stop).await?;
    engine.close().await;
    queue.close().await;
    if frame.shutdown.is_cancelled() { Ok(()) } else { Err(RoleError::Ended) }
}

/// Nobody waits for it: a Redis that is away costs time, and no text.
fn shared_cache(args: &WorkerArgs, tls: &Tls) -> Result<Option<Cache>, RoleError> {
    let Some(url) = args.cache_service.url(&args.limiter) else { return Ok(None) };
    // Nothing of a job is kept by this connection.
    let redis = services::redis(url, tls, Duration::from_secs(86_400));
    Ok(Some(Cache::Redis(RedisCache::new(&redis)?)))
}

/// Calls of services are counted in Redis, for all workers; a model on this machine makes none. `None` if the process is to
/// end before Redis is up.
async fn limiter(
    args: &WorkerArgs,
    choice: &EngineChoice,
    frame: &Frame,
    tls: &Tls,
) -> Result<Option<Limiter>, RoleError> {
    let calls = match choice {
        EngineChoice::Whisper { .. } => args.llm.config()?.is_some(),
        EngineChoice::OpenAi(_) => true,
    };
    match (calls, &args.limiter.redis_url) {
        (false, _) => Ok(Some(Limiter::Embedded(EmbeddedLimiter::new()))),
        (true, None) => Err(ConfigError::NoCommonLimits.into()),
        (true, Some(url)) => {
            // Nothing of a job is kept by this connection.
            let redis = services::redis(url, tls, Duration::from_secs(86_400));
            match RedisLimiter::connect(&redis, &frame.shutdown).await {
                Err(_) if frame.shutdown.is_cancelled() => Ok(None),
                limiter => Ok(Some(Limiter::Redis(limiter?))),
            }
        }
    }
}
