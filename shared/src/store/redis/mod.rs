//! The store in Redis: one script a commit, all keys of a job in one slot. Redis 6.2 or newer.
//!
//! What is acknowledged is as safe as Redis's append-only file: with `appendfsync always` it is on the disk; with
//! `everysec` a crash of its *machine* loses up to the last two seconds of commits, each as a whole, because a script is
//! one entry of the file; a failover to a replica loses what had not got there (docs/operations.md). Queue and object
//! store then know more than the job does, which is for the sweep to heal.

mod keys;
mod list;
mod read;
mod script;
mod write;

#[cfg(test)]
mod tests;

use super::StoreError;
use crate::redis::{
    Link, RedisConfig, RedisError, Request, Waiting, connect, wake_channel, warn_of_settings,
};
use futures::future::BoxFuture;
use keys::Keys;
use redis::FromRedisValue;
use scriptorium_contracts::JobId;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Records of one page, whatever the caller asks for.
const MAX_PAGE: u32 = 10_240;
/// Of the keys and what is in them. A program refuses a layout that is newer than its own.
const LAYOUT: i64 = 1;

/// See the promises of [`super`]. Clones share the connection.
#[derive(Clone, Debug)]
pub struct RedisStore {
    link: Link,
    keys: Keys,
    /// Where each commit says which job it was.
    channel: Arc<str>,
    job_ttl: Duration,
}

impl RedisStore {
    /// Waits for a Redis that is not up yet, until `shutdown`. Fails at once if what it says will not change by
    /// itself: wrong password, newer layout.
    pub fn connect<'a>(
        config: &'a RedisConfig,
        shutdown: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Self, StoreError>> {
        Box::pin(async move {
            let link = connect(config, shutdown).await?;
            warn_of_settings(&link).await;
            let keys = Keys::new(&config.prefix);
            let store = Self { link, keys, channel: wake_channel(config).into(), job_ttl: config.job_ttl };
            store.check_layout(shutdown).await?;
            Ok(store)
        })
    }

    /// Of an empty Redis it becomes ours. In a cluster another node has to be up for it than the one that has answered.
    async fn check_layout(&self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        let key = self.keys.layout();
        let mut asking = redis::pipe();
        asking.cmd("SET").arg(&key).arg(LAYOUT).arg("NX").ignore().cmd("GET").arg(&key);
        let mut waiting = Waiting::new(self.link.address().to_owned());
        let found = loop {
            match self.link.call::<(i64,)>(Request::Pipeline(&asking)).await {
                Ok((found,)) => break found,
                Err(error) => waiting.after(error, shutdown).await?,
            }
        };
        if found > LAYOUT {
            return Err(StoreError::NewerSchema { found, known: LAYOUT });
        }
        Ok(())
    }

    /// For what concerns no single job.
    async fn ask<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, StoreError> {
        Ok(self.link.call(request).await?)
    }

    /// The name of Redis's present run, if it is not the one that was healed last; of a cluster the runs of all primaries.
    pub(super) async fn restarted(&self) -> Result<Option<String>, StoreError> {
        let told = match self.link.info("server").await {
            Ok(told) => told,
            // A managed service may not tell.
            Err(RedisError::Refused { .. } | RedisError::WrongType { .. } | RedisError::Internal { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let runs = told.iter().map(|told| told.lines().find_map(|line| line.strip_prefix("run_id:")));
        let Some(mut runs) = runs.collect::<Option<Vec<&str>>>() else { return Ok(None) };
        runs.sort_unstable();
        let run = runs.join("+");
        let mut asking = redis::cmd("GET");
        asking.arg(self.keys.healed_run());
        let healed: Option<String> = self.ask(Request::Command(&asking)).await?;
        match healed {
            Some(healed) if healed == run => Ok(None),
            Some(_) => Ok(Some(run)),
            // Nothing was ever stored here.
            None => self.healed(&run).await.map(|()| None),
        }
    }

    pub(super) async fn healed(&self, run: &str) -> Result<(), StoreError> {
        let mut setting = redis::cmd("SET");
        setting.arg(self.keys.healed_run()).arg(run);
        self.ask(Request::Command(&setting)).await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.ask(Request::Command(&redis::cmd("PING"))).await
    }

    pub(super) async fn close(&self) {
        self.link.close().await;
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let detail = error.to_string();
        match error {
            RedisError::Unavailable { .. } | RedisError::NoWrites { .. } => Self::Unavailable { detail },
            RedisError::Refused { .. } => Self::Refused { detail },
            RedisError::WrongType { .. } => Self::Damaged { what: "index", job: None, detail },
            RedisError::Closed => Self::Closed,
            RedisError::Internal { .. } => Self::Internal { detail },
        }
    }
}

impl StoreError {
    /// `what` names the kind of record that was asked for.
    fn of_job(error: RedisError, what: &'static str, job: JobId) -> Self {
        match error {
            RedisError::WrongType { detail } => Self::Damaged { what, job: Some(job), detail },
            RedisError::Unavailable { .. }
            | RedisError::NoWrites { .. }
            | RedisError::Refused { .. }
            | RedisError::Closed
            | RedisError::Internal { .. } => Self::from(error),
        }
    }
}
