//! The jobs of a tenant, in the order of their creation.

use super::super::rows::decode;
use super::super::{JobKey, JobRange, ListedJob, Order, StoreError};
use super::RedisStore;
use super::keys::{created_member, parse_created_member, shard};
use crate::redis::{RedisError, Request};
use redis::RedisResult;
use scriptorium_contracts::tenant::TenantName;

/// Jobs of one page: as many may come from each shard.
const MAX_JOBS: u32 = 256;

impl RedisStore {
    /// The shards are asked at once, each for a whole page, because all of it may be in one of them.
    pub(in super::super) async fn jobs(
        &self,
        tenant: Option<&TenantName>,
        range: JobRange,
        limit: u32,
    ) -> Result<Vec<ListedJob>, StoreError> {
        let limit = limit.min(MAX_JOBS);
        let (command, mut first, last) = bounds(&range);
        loop {
            let mut members = self
                .of_all_shards(|asking, shard| {
                    let asking =
                        asking.cmd(command).arg(self.keys.created(shard, tenant)).arg(&first).arg(&last);
                    asking.arg("LIMIT").arg(0).arg(limit);
                })
                .await?;
            members.sort_unstable();
            if range.order == Order::NewestFirst {
                members.reverse();
            }
            members.truncate(limit as usize);
            let Some(end) = members.last() else { return Ok(Vec::new()) };
            first = format!("({end}");
            let keys: Vec<JobKey> =
                members.iter().filter_map(|member| parse_created_member(member)).collect();
            let found = self.listed(tenant, keys).await?;
            // Only an empty page means the end: if all of this one are gone, the next one is looked at.
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn listed(
        &self,
        tenant: Option<&TenantName>,
        keys: Vec<JobKey>,
    ) -> Result<Vec<ListedJob>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut asking = redis::pipe();
        // One job's damage is not to hide the others.
        asking.ignore_errors();
        for key in &keys {
            asking.cmd("HGET").arg(self.keys.job(key.job).header).arg("h");
        }
        let texts: Vec<RedisResult<Option<Vec<u8>>>> = self.ask(Request::Pipeline(&asking)).await?;
        let (mut jobs, mut gone) = (Vec::with_capacity(keys.len()), Vec::new());
        for (key, text) in keys.into_iter().zip(texts) {
            let header = match text {
                Ok(Some(text)) => decode("header", key.job, &text),
                Ok(None) => {
                    gone.push(key);
                    continue;
                }
                Err(error) => Err(StoreError::of_job(RedisError::of(&error), "header", key.job)),
            };
            jobs.push(ListedJob { key, header });
        }
        self.unlist(tenant, &gone).await?;
        Ok(jobs)
    }

    /// Takes jobs out of the index that have expired or were deleted since it was read. An id is never used again, so none
    /// that is there is forgotten.
    async fn unlist(&self, tenant: Option<&TenantName>, gone: &[JobKey]) -> Result<(), StoreError> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut forgetting = redis::pipe();
        for key in gone {
            let (keys, member) = (self.keys.shard(shard(key.job), tenant), created_member(*key));
            forgetting.cmd("ZREM").arg(keys.created).arg(&member).ignore();
            forgetting.cmd("ZREM").arg(keys.ends).arg(&member).ignore();
        }
        self.ask(Request::Pipeline(&forgetting)).await
    }
}

/// The command, where it begins, and where it ends.
fn bounds(range: &JobRange) -> (&'static str, String, String) {
    let from = format!("[{:016x}", range.from.0);
    let until = format!("({:016x}", range.until.0);
    // A page goes on within the range: a position from elsewhere does not widen it.
    let behind = |inside: fn(&JobRange, JobKey) -> bool| {
        range.after.filter(|key| inside(range, *key)).map(|key| format!("({}", created_member(key)))
    };
    match range.order {
        Order::NewestFirst => {
            let first = behind(|range, key| key.created < range.until);
            ("ZREVRANGEBYLEX", first.unwrap_or(until), from)
        }
        Order::OldestFirst => {
            let first = behind(|range, key| key.created >= range.from);
            ("ZRANGEBYLEX", first.unwrap_or(from), until)
        }
    }
}
