//! The limiter in Redis, for all processes together: one script a step.

use super::{CallLimits, MINUTE_MS, POLL_MS, Permit, Rate, milliseconds};
use crate::redis::{Link, RedisConfig, RedisError, Request, connect};
use futures::future::BoxFuture;
use redis::{Cmd, Script};
use scriptorium_contracts::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("acquire.lua")));
static SPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("spend.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));

/// Lua's numbers are exact up to here, and no lease is meant to be longer.
const MAX_LEASE_MS: u64 = 366 * 86_400_000;

/// Clones share the connection.
#[derive(Clone, Debug)]
pub struct RedisLimiter {
    link: Link,
    prefix: Arc<str>,
}

/// In braces, so that both keys are in one slot of a Redis Cluster; hashed, because names may be of any length.
struct Keys {
    calls: String,
    permits: String,
}

impl RedisLimiter {
    /// Waits for a Redis that is not up yet, until `shutdown`; what a person must mend is an error at once.
    pub fn connect<'a>(
        config: &'a RedisConfig,
        shutdown: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Self, RedisError>> {
        Box::pin(async move {
            let link = connect(config, shutdown).await?;
            Ok(Self { link, prefix: config.prefix.as_str().into() })
        })
    }

    fn keys(&self, name: &str) -> Keys {
        let name = hex::encode(Sha256::digest(name));
        let key = |what: &str| format!("{}:limit:{{{name}}}:{what}", self.prefix);
        Keys { calls: key("calls"), permits: key("permits") }
    }

    /// Milliseconds to wait; 0: granted.
    pub(super) async fn acquire(
        &self,
        permit: &Permit,
        limits: CallLimits,
        now: Timestamp,
        lease: Duration,
    ) -> Result<u64, RedisError> {
        let Keys { calls, permits } = self.keys(&permit.name);
        let limit = |limit: Option<u32>| limit.map(|limit| limit.to_string()).unwrap_or_default();
        let mut command = evalsha(&ACQUIRE, &[&calls, &permits], permit, now, lease);
        command.arg(limit(limits.per_minute)).arg(limit(limits.concurrent)).arg(MINUTE_MS).arg(POLL_MS);
        self.link.call(Request::Script(&ACQUIRE, &command)).await
    }

    /// Whether it is granted, and when the bucket will have run empty.
    pub(super) async fn spend(&self, name: &str, rate: Rate, now_us: u64) -> Result<(bool, u64), RedisError> {
        let name = hex::encode(Sha256::digest(name));
        let mut command = redis::cmd("EVALSHA");
        command.arg(SPEND.get_hash()).arg(1).arg(format!("{}:limit:{{{name}}}:bucket", self.prefix));
        command.arg(now_us).arg(rate.window_us()).arg(rate.each_us()).arg(u8::from(rate.quota > 0));
        self.link.call(Request::Script(&SPEND, &command)).await
    }

    pub(super) async fn renew(
        &self,
        permit: &Permit,
        now: Timestamp,
        lease: Duration,
    ) -> Result<bool, RedisError> {
        let Keys { permits, .. } = self.keys(&permit.name);
        let mut command = evalsha(&RENEW, &[&permits], permit, now, lease);
        command.arg(MINUTE_MS);
        self.link.call(Request::Script(&RENEW, &command)).await
    }

    pub(super) async fn release(&self, permit: &Permit) -> Result<(), RedisError> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys(&permit.name).permits).arg(permit.id.simple().to_string());
        self.link.call(Request::Command(&command)).await
    }
}

fn evalsha(script: &Script, keys: &[&str], permit: &Permit, now: Timestamp, lease: Duration) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len()).arg(keys).arg(permit.id.simple().to_string());
    command.arg(now.0).arg(milliseconds(lease).min(MAX_LEASE_MS));
    command
}

#[cfg(test)]
mod tests {
    use super::super::{Granted, Limiter};
    use super::*;
    use crate::testing::RedisCorner;

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_a_limiter() {
        let Some(corner) = RedisCorner::new() else { return };
        let shutdown = CancellationToken::new();
        let make = async || Limiter::Redis(RedisLimiter::connect(&corner.part(), &shutdown).await.unwrap());
        crate::testing::limiter_contract(make).await;
        corner.clean().await;
    }

    #[tokio::test]
    async fn two_processes_share_the_limits_and_nothing_stays_for_ever() {
        let Some(corner) = RedisCorner::new() else { return };
        let shutdown = CancellationToken::new();
        let limits = CallLimits { per_minute: Some(2), concurrent: Some(2) };
        let (now, lease) = (Timestamp(1_800_000_000_000), Duration::from_secs(1));
        for granted in [true, true, false] {
            let limiter = Limiter::Redis(RedisLimiter::connect(&corner.config(), &shutdown).await.unwrap());
            let got = limiter.acquire("name", limits, now, lease).await.unwrap();
            assert_eq!(matches!(got, Granted::Permit(_)), granted);
        }
        let mut connection = corner.connection().await;
        let keys = corner.keys().await;
        assert_eq!(keys.len(), 2);
        for key in keys {
            let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.unwrap();
            assert!(left > 0 && left <= 120_000, "{left}");
        }
        corner.clean().await;
    }
}
