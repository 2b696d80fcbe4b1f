//! `scriptorium admin bucket`.

use super::{RoleError, services};
use crate::args::AdminBucketArgs;
use backon::{ExponentialBuilder, Retryable};
use scriptorium_shared::objects::{BucketSettings, ObjectsError, PreparedBucket};
use std::time::Duration;

/// Sets the bucket up; waits a minute or so for a store that is not up yet. Harmless to repeat.
///
/// # Errors
/// The settings are wrong, or the store does not answer or refuses.
pub async fn admin_bucket(args: &AdminBucketArgs) -> Result<PreparedBucket, RoleError> {
    args.bucket.check()?;
    let objects = services::objects(&args.bucket, &args.tls.read()?).await?;
    let settings = BucketSettings {
        region: args.bucket.s3_region.clone(),
        cors_origins: args.cors_origins.clone(),
        expire_days: Some(args.expire_days).filter(|days| *days > 0),
    };
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(14)
        .with_jitter();
    let prepared = (|| objects.prepare_bucket(&settings))
        .retry(pauses)
        .when(ObjectsError::retryable)
        .notify(|error, pause| {
            tracing::warn!(%error, seconds = pause.as_secs_f64(), "the object store is not there yet");
        })
        .await?;
    Ok(prepared)
}
