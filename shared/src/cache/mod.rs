//! Results that took long to compute, kept for a while so that the same work need not be done again.
//!
//! What a cache promises:
//! - What is found was put there whole, under the same key. What it says is for the caller to check: others may write there too.
//! - Nothing is found after its time to live, and nothing longer than [`MAX_VALUE`], whoever wrote it.
//! - It takes no more room than it was given ([`EmbeddedCache`]), or than comes in within the time to live ([`RedisCache`]).
//! - It may forget anything at any time. Who can't reach it computes: no result depends on it.

mod embedded;
mod redis;

use crate::redis::RedisError;
use crate::store::StoreError;
use bytes::Bytes;
pub use embedded::EmbeddedCache;
use futures::future::BoxFuture;
pub use redis::RedisCache;
use std::time::Duration;
use thiserror::Error;

/// A value with more bytes is not kept: a window of speech with the time of each word takes some 10 kB.
pub const MAX_VALUE: usize = 256 << 10;

/// A digest of all that the value depends on.
pub type CacheKey = [u8; 32];

/// The texts are for logs.
#[derive(Clone, Debug, Error)]
pub enum CacheError {
    #[error("the cache's file can't be used: {detail}")]
    File { detail: String },
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl From<StoreError> for CacheError {
    fn from(error: StoreError) -> Self {
        let detail = match error {
            StoreError::Unavailable { detail }
            | StoreError::Refused { detail }
            | StoreError::Damaged { detail, .. }
            | StoreError::Internal { detail } => detail,
            StoreError::Closed | StoreError::InUse { .. } | StoreError::NewerSchema { .. } => {
                "it is closed".to_owned()
            }
        };
        Self::File { detail }
    }
}

/// The port; see the module's promises.
#[derive(Clone, Debug)]
pub enum Cache {
    Embedded(EmbeddedCache),
    Redis(RedisCache),
}

impl Cache {
    pub fn get<'a>(&'a self, key: &'a CacheKey) -> BoxFuture<'a, Result<Option<Bytes>, CacheError>> {
        Box::pin(async move {
            match self {
                Self::Embedded(cache) => cache.get(key).await,
                Self::Redis(cache) => Ok(cache.get(key).await?),
            }
        })
    }

    /// Keeps `value` for `ttl`, in place of what was there. One that is too long, or empty, is not kept.
    pub fn put<'a>(
        &'a self,
        key: &'a CacheKey,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), CacheError>> {
        Box::pin(async move {
            if value.is_empty() || value.len() > MAX_VALUE || ttl.is_zero() {
                return Ok(());
            }
            match self {
                Self::Embedded(cache) => cache.put(key, value, milliseconds(ttl)).await,
                Self::Redis(cache) => Ok(cache.put(key, &value, milliseconds(ttl)).await?),
            }
        })
    }
}

/// At least one; a year at most.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, 366 * 86_400_000)
}
