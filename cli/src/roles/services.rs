//! Connections to the real services. Each waits for a service that is not up yet, until the process is asked to end.

use super::RoleError;
use crate::config::{BrokerArgs, BucketArgs, JobStoreArgs};
use scriptorium_gateway::Tenancy;
use scriptorium_shared::bus::{Bus, RedisBus};
use scriptorium_shared::jobs::Jobs;
use scriptorium_shared::limiter::{Limiter, RedisLimiter};
use scriptorium_shared::objects::Objects;
use scriptorium_shared::queue::{Queue, RabbitMqConfig, RabbitMqQueue};
use scriptorium_shared::redis::RedisConfig;
use scriptorium_shared::store::{RedisStore, Store};
use scriptorium_shared::tenants::{Directory, RedisDirectory};
use scriptorium_shared::tls::Tls;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub async fn queue(
    args: &BrokerArgs,
    tls: &Tls,
    role: &str,
    shutdown: &CancellationToken,
) -> Result<Queue, RoleError> {
    Ok(Queue::RabbitMq(RabbitMqQueue::connect(broker(args, tls, role), shutdown).await?))
}

/// `role` is how RabbitMQ's overview calls this process.
pub fn broker(args: &BrokerArgs, tls: &Tls, role: &str) -> RabbitMqConfig {
    let connection_name = format!("scriptorium {role}, process {}", std::process::id());
    RabbitMqConfig { connection_name, tls: tls.clone(), ..RabbitMqConfig::new(&args.amqp_url) }
}

/// Nothing is asked of the store but its credentials: `/readyz` tells whether it answers.
pub async fn objects(args: &BucketArgs, tls: &Tls) -> Result<Objects, RoleError> {
    Ok(Objects::with_tls(args.objects().await?, tls)?)
}

pub fn redis(url: &str, tls: &Tls, job_ttl: Duration) -> RedisConfig {
    let prefix = RedisConfig::DEFAULT_PREFIX.to_owned();
    RedisConfig { url: url.to_owned(), prefix, job_ttl, tls: tls.clone() }
}

/// What gateways know of their callers.
pub async fn access(
    store: &JobStoreArgs,
    tls: &Tls,
    shutdown: &CancellationToken,
) -> Result<Tenancy, RoleError> {
    let config = redis(&store.redis_url, tls, store.job_ttl_seconds);
    let (directory, limiter) = tokio::try_join!(directory(store, tls, shutdown), async {
        Ok(RedisLimiter::connect(&config, shutdown).await?)
    },)?;
    Ok(Tenancy { directory, limiter: Limiter::Redis(limiter) })
}

pub async fn directory(
    store: &JobStoreArgs,
    tls: &Tls,
    shutdown: &CancellationToken,
) -> Result<Directory, RoleError> {
    let config = redis(&store.redis_url, tls, store.job_ttl_seconds);
    Ok(Directory::Redis(RedisDirectory::connect(&config, shutdown).await?))
}

/// All that advances jobs.
pub async fn jobs(
    broker: &BrokerArgs,
    store: &JobStoreArgs,
    bucket: &BucketArgs,
    tls: &Tls,
    role: &str,
    shutdown: &CancellationToken,
) -> Result<Jobs, RoleError> {
    let config = redis(&store.redis_url, tls, store.job_ttl_seconds);
    let objects = objects(bucket, tls).await?;
    let (store, bus, queue) = tokio::try_join!(
        async { Ok(RedisStore::connect(&config, shutdown).await?) },
        async { Ok(RedisBus::connect(&config, shutdown).await?) },
        queue(broker, tls, role, shutdown),
    )?;
    Ok(Jobs::new(Store::Redis(store), queue, Bus::Redis(bus), objects))
}
