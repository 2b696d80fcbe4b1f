//! The start: waiting for a Redis that is not up yet, and a look at how it is set up.

use super::link::{Link, Request, pauses};
use super::{RedisConfig, RedisError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The log repeats itself after so many attempts, about half a minute.
const REMIND_AFTER: u32 = 30;

/// A link to a Redis that has answered. Waits for one that is not up yet, until `shutdown`
/// ([`RedisError::Closed`]); what a person must mend is an error at once.
pub(crate) async fn connect(config: &RedisConfig, shutdown: &CancellationToken) -> Result<Link, RedisError> {
    let link = Link::new(config.nodes()?);
    let ping = redis::cmd("PING");
    let mut waiting = Waiting::new(link.address().to_owned());
    loop {
        let answer = shutdown.run_until_cancelled(link.call::<redis::Value>(Request::Command(&ping))).await;
        match answer.unwrap_or(Err(RedisError::Closed)) {
            Ok(_) => return Ok(link),
            Err(error) => waiting.after(error, shutdown).await?,
        }
    }
}

/// Pauses between attempts, with a line in the log for the first and now and then.
pub(crate) struct Waiting {
    address: String,
    attempts: u32,
    pauses: backon::ExponentialBackoff,
}

impl Waiting {
    pub fn new(address: String) -> Self {
        Self { address, attempts: 0, pauses: pauses() }
    }

    /// Returns when it is time for another attempt; an error ends the waiting.
    pub async fn after(&mut self, error: RedisError, shutdown: &CancellationToken) -> Result<(), RedisError> {
        if !error.retryable() {
            return Err(error);
        }
        shutdown.run_until_cancelled(self.pause(&error)).await.ok_or(RedisError::Closed)
    }

    pub async fn pause(&mut self, error: &RedisError) {
        if self.attempts.is_multiple_of(REMIND_AFTER) {
            tracing::warn!(address = self.address, %error, "waiting for Redis");
        }
        self.attempts = self.attempts.saturating_add(1);
        tokio::time::sleep(self.pauses.next().unwrap_or(Duration::from_secs(1))).await;
    }
}

/// Says in the log what would lose jobs. Managed services may not tell how they are set up, or tell it otherwise:
/// then nothing is said.
pub(crate) async fn warn_of_settings(link: &Link) {
    let told =
        async { Ok::<_, RedisError>([link.info("persistence").await?, link.info("memory").await?].concat()) };
    let told = match told.await {
        Ok(told) => told.concat(),
        Err(error) => return tracing::debug!(%error, "Redis does not tell how it is set up"),
    };
    // Of each node.
    let settings = |name: &'static str| {
        let lines = told.lines().filter_map(|line| line.split_once(':'));
        lines.filter(move |(found, _)| *found == name).map(|(_, value)| value)
    };
    let address = link.address();
    if settings("aof_enabled").any(|enabled| enabled == "0") {
        tracing::warn!(address, "Redis keeps no append-only file: a restart loses jobs; set appendonly yes");
    }
    if let Some(policy) = settings("maxmemory_policy").find(|policy| *policy != "noeviction") {
        tracing::warn!(
            address,
            policy,
            "Redis may throw away jobs when it is full; set maxmemory-policy noeviction"
        );
    }
}
