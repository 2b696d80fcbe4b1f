//! Limits that hold for all workers or gateways together: calls a minute, calls at the same time, requests of a tenant.
//!
//! What a limiter promises:
//! - In any minute no more calls are granted under a name than its limit says, and at no time more permits are out.
//! - A permit ends when it is released, or with its lease: so those of a process that died come back by themselves.
//!   Who needs longer renews in time.
//! - Acquiring is one atomic step, whoever else does it at the same time. Whoever waits is not queued: fairness is not
//!   promised.
//! - [`Limiter::spend`] grants a name at most a quota in a window at once, and in the long run no more than that. It may count
//!   one request twice when its connection breaks.
//! - Limits are given with each call; when they change, the new ones hold from then on.
//!
//! Times come from the callers, whose clocks must agree as well as the limits are to hold.

mod embedded;
mod rate;
mod redis;

use crate::redis::RedisError;
pub use embedded::EmbeddedLimiter;
pub use rate::{Rate, Spent};
pub use redis::RedisLimiter;
use scriptorium_contracts::Timestamp;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// Milliseconds in which calls are counted.
const MINUTE_MS: u64 = 60_000;
/// When all permits are out, one may come back at any time: it is looked for so often.
const POLL_MS: u64 = 250;

/// What is allowed under a name; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallLimits {
    pub per_minute: Option<u32>,
    pub concurrent: Option<u32>,
}

/// Leave to make one call, until its lease ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    name: String,
    id: Uuid,
}

/// Outcome of [`Limiter::acquire`].
#[derive(Debug, PartialEq, Eq)]
pub enum Granted {
    Permit(Permit),
    /// Not now: ask again after this.
    Wait(Duration),
}

/// The texts are for logs.
#[derive(Debug, Error)]
pub enum LimiterError {
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl LimiterError {
    /// Trying the same again later may help.
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Redis(error) => error.retryable(),
        }
    }
}

/// The port; see the module's promises.
#[derive(Clone, Debug)]
pub enum Limiter {
    Embedded(EmbeddedLimiter),
    Redis(RedisLimiter),
}

impl Limiter {
    /// Leave for one call under this name, or how long to wait before asking again (a minute at most).
    pub async fn acquire(
        &self,
        name: &str,
        limits: CallLimits,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Granted, LimiterError> {
        let permit = Permit { name: name.to_owned(), id: Uuid::new_v4() };
        let wait_ms = match self {
            Self::Embedded(limiter) => limiter.acquire(&permit, limits, now, lease),
            Self::Redis(limiter) => limiter.acquire(&permit, limits, now, lease).await?,
        };
        Ok(match wait_ms {
            0 => Granted::Permit(permit),
            wait_ms => Granted::Wait(Duration::from_millis(wait_ms)),
        })
    }

    /// One more request under this name, at this rate.
    pub async fn spend(&self, name: &str, rate: Rate, now: Timestamp) -> Result<Spent, LimiterError> {
        let now_us = now.0.saturating_mul(1_000);
        let (granted, empty) = match self {
            Self::Embedded(limiter) => limiter.spend(name, rate, now_us),
            Self::Redis(limiter) => limiter.spend(name, rate, now_us).await?,
        };
        Ok(rate.spent(granted, empty, now_us))
    }

    /// The lease begins anew. False: it has ended, and another may have the permit.
    pub async fn renew(
        &self,
        permit: &Permit,
        now: Timestamp,
        lease: Duration,
    ) -> Result<bool, LimiterError> {
        match self {
            Self::Embedded(limiter) => Ok(limiter.renew(permit, now, lease)),
            Self::Redis(limiter) => Ok(limiter.renew(permit, now, lease).await?),
        }
    }

    /// Gives a permit back. The call has been made and goes on counting for its minute. An error does no harm: the
    /// lease ends by itself.
    pub async fn release(&self, permit: Permit) -> Result<(), LimiterError> {
        match self {
            Self::Embedded(limiter) => limiter.release(&permit),
            Self::Redis(limiter) => limiter.release(&permit).await?,
        }
        Ok(())
    }
}

fn milliseconds(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}
