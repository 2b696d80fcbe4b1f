//! What is read. No reply grows with the number of chunks, events or jobs beyond what was asked for.

use super::super::rows::decode;
use super::super::{DueEffect, EffectKey, StoreError};
use super::keys::{SHARDS, due_member, open_member, parse_due_member, parse_open_member, shard};
use super::{MAX_PAGE, RedisStore, script};
use crate::redis::{RedisError, Request};
use redis::{Pipeline, RedisResult};
use scriptorium_contracts::event::EventRecord;
use scriptorium_contracts::job::{ChunkRecord, JobHeader};
use scriptorium_contracts::transcript::ChunkResult;
use scriptorium_contracts::{JobId, Timestamp};
use std::collections::BTreeMap;

/// Chunk records of one reply.
const RECORDS_AT_ONCE: u32 = 512;
/// Effects of one page: as many may come from each shard.
const MAX_DUE: u32 = 512;

/// A text as it was stored, if it is there.
type Text = Option<Vec<u8>>;

impl RedisStore {
    pub(in super::super) async fn load(
        &self,
        job: JobId,
        chunks: &[u32],
    ) -> Result<Option<(JobHeader, BTreeMap<u32, ChunkRecord>)>, StoreError> {
        let keys = self.keys.job(job);
        // A transaction: both are of one revision.
        let mut asking = redis::pipe();
        asking.atomic().cmd("HGET").arg(&keys.header).arg("h");
        if !chunks.is_empty() {
            asking.cmd("HMGET").arg(&keys.chunks).arg(chunks);
        }
        let failed = |error| StoreError::of_job(error, "header or chunk record", job);
        let (header, records): (Text, Vec<Text>) = if chunks.is_empty() {
            let (header,) = self.link.call(Request::Pipeline(&asking)).await.map_err(failed)?;
            (header, Vec::new())
        } else {
            self.link.call(Request::Pipeline(&asking)).await.map_err(failed)?
        };
        let Some(header) = header else { return Ok(None) };
        let header = decode("header", job, &header)?;
        let records = chunks
            .iter()
            .zip(records)
            .filter_map(|(chunk, record)| Some((*chunk, record?)))
            .map(|(chunk, record)| Ok((chunk, decode("chunk record", job, &record)?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Some((header, records)))
    }

    pub(in super::super) async fn chunk_records(
        &self,
        job: JobId,
        from: u32,
        limit: u32,
    ) -> Result<Vec<ChunkRecord>, StoreError> {
        let keys = self.keys.job(job);
        let failed = |error| StoreError::of_job(error, "chunk record", job);
        let mut asking = redis::cmd("HGET");
        asking.arg(&keys.header).arg("n");
        let count: Option<u32> = self.link.call(Request::Command(&asking)).await.map_err(failed)?;
        let (mut records, limit) = (Vec::new(), limit.min(MAX_PAGE) as usize);
        let (mut next, end) = (from, count.unwrap_or(0));
        while next < end && records.len() < limit {
            let wanted = u32::try_from(limit - records.len()).unwrap_or(u32::MAX).min(RECORDS_AT_ONCE);
            let until = next.saturating_add(wanted).min(end);
            let mut asking = redis::cmd("HMGET");
            asking.arg(&keys.chunks);
            for chunk in next..until {
                asking.arg(chunk);
            }
            let texts: Vec<Text> = self.link.call(Request::Command(&asking)).await.map_err(failed)?;
            for text in texts.into_iter().flatten() {
                records.push(decode("chunk record", job, &text)?);
            }
            next = until;
        }
        Ok(records)
    }

    pub(in super::super) async fn result(
        &self,
        job: JobId,
        chunk: u32,
    ) -> Result<Option<ChunkResult>, StoreError> {
        let mut asking = redis::cmd("HGET");
        asking.arg(self.keys.job(job).results).arg(chunk);
        let result: Result<Text, RedisError> = self.link.call(Request::Command(&asking)).await;
        let result = result.map_err(|error| StoreError::of_job(error, "chunk result", job))?;
        result.map(|result| decode("chunk result", job, &result)).transpose()
    }

    pub(in super::super) async fn events(
        &self,
        job: JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let asking = script::events(&self.keys, job, after, limit.min(MAX_PAGE));
        let events: Result<Vec<Vec<u8>>, RedisError> =
            self.link.call(Request::Script(&script::EVENTS, &asking)).await;
        let events = events.map_err(|error| StoreError::of_job(error, "event log", job))?;
        events.iter().map(|event| decode("event", job, event)).collect()
    }

    /// The shards are asked at once, each for a whole page, because all of it may be in one of them.
    pub(in super::super) async fn due_effects(
        &self,
        now: Timestamp,
        after: Option<EffectKey>,
        limit: u32,
    ) -> Result<Vec<DueEffect>, StoreError> {
        let limit = limit.min(MAX_DUE);
        let mut from = after.map_or_else(|| "-".to_owned(), |key| format!("({}", due_member(key)));
        let until = now.0.checked_add(1).map_or_else(|| "+".to_owned(), |end| format!("({end:016x}"));
        loop {
            let mut members = self
                .of_all_shards(|asking, shard| {
                    let asking = asking.cmd("ZRANGEBYLEX").arg(self.keys.due(shard)).arg(&from);
                    asking.arg(&until).arg("LIMIT").arg(0).arg(limit);
                })
                .await?;
            members.sort_unstable();
            members.truncate(limit as usize);
            let Some(last) = members.last() else { return Ok(Vec::new()) };
            from = format!("({last}");
            let found = self.effects(&members).await?;
            // Only an empty page means the end: if others have done all of this one, the next one is looked at.
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// What the members of the index stand for.
    async fn effects(&self, members: &[String]) -> Result<Vec<DueEffect>, StoreError> {
        let known: Vec<(&String, EffectKey)> =
            members.iter().filter_map(|member| Some((member, parse_due_member(member)?))).collect();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let mut asking = redis::pipe();
        // One job's damage is not to hide the effects of the others.
        asking.ignore_errors();
        for (_, key) in &known {
            asking.cmd("HGET").arg(self.keys.job(key.job).effects).arg(key.number);
        }
        let texts: Vec<RedisResult<Text>> = self.ask(Request::Pipeline(&asking)).await?;
        let (mut effects, mut gone) = (Vec::with_capacity(known.len()), Vec::new());
        for ((member, key), text) in known.into_iter().zip(texts) {
            let effect = match text {
                Ok(Some(text)) => decode("effect", key.job, text.get(member.len()..).unwrap_or_default()),
                Ok(None) => {
                    gone.push((member, key));
                    continue;
                }
                Err(error) => Err(StoreError::of_job(RedisError::of(&error), "effect", key.job)),
            };
            effects.push(DueEffect { key, effect });
        }
        self.forget_members(&gone).await?;
        Ok(effects)
    }

    /// Takes members out of the index whose effects are not there: done since the index was read, or lost by damage.
    /// Numbers are never used again, so nothing that is still to be done is forgotten.
    async fn forget_members(&self, gone: &[(&String, EffectKey)]) -> Result<(), StoreError> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut forgetting = redis::pipe();
        for (member, key) in gone {
            forgetting.cmd("ZREM").arg(self.keys.due(shard(key.job))).arg(member);
        }
        let removed: Vec<u32> = self.ask(Request::Pipeline(&forgetting)).await?;
        let removed: u32 = removed.iter().sum();
        if removed > 0 {
            tracing::error!(
                removed,
                "effects are gone without having been done; the sweep must make up for them"
            );
        }
        Ok(())
    }

    pub(in super::super) async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let Some(from) = after.0.checked_add(1) else { return Ok(None) };
        let from = format!("[{from:016x}");
        let members = self
            .of_all_shards(|asking, shard| {
                let asking = asking.cmd("ZRANGEBYLEX").arg(self.keys.due(shard)).arg(&from);
                asking.arg("+").arg("LIMIT").arg(0).arg(1);
            })
            .await?;
        Ok(members.iter().filter_map(|member| parse_due_member(member)).map(|key| key.due).min())
    }

    /// The shards are in the order of the ids, so they are read one after the other: first how many jobs each has,
    /// then those that fill the page.
    pub(in super::super) async fn jobs_to_sweep(
        &self,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        let limit = limit.min(MAX_PAGE);
        let from = after.map_or_else(|| "-".to_owned(), |job| format!("({}", open_member(job)));
        let (mut jobs, mut next) = (Vec::new(), after.map_or(0, shard));
        while next < SHARDS && jobs.len() < limit as usize {
            let mut counting = redis::pipe();
            for shard in next..SHARDS {
                counting.cmd("ZLEXCOUNT").arg(self.keys.open(shard)).arg(&from).arg("+");
            }
            let counts: Vec<u32> = self.ask(Request::Pipeline(&counting)).await?;
            let mut reading = redis::pipe();
            let mut left = limit - u32::try_from(jobs.len()).unwrap_or(limit);
            for (shard, count) in (next..SHARDS).zip(counts) {
                if left == 0 {
                    break;
                }
                next = shard + 1;
                if count > 0 {
                    let reading = reading.cmd("ZRANGEBYLEX").arg(self.keys.open(shard)).arg(&from);
                    reading.arg("+").arg("LIMIT").arg(0).arg(left);
                    left -= count.min(left);
                }
            }
            if reading.is_empty() {
                break;
            }
            let members: Vec<Vec<String>> = self.ask(Request::Pipeline(&reading)).await?;
            jobs.extend(members.iter().flatten().filter_map(|member| parse_open_member(member)));
        }
        jobs.truncate(limit as usize);
        Ok(jobs)
    }

    /// The members that a command to each shard gives.
    pub(super) async fn of_all_shards(
        &self,
        ask: impl Fn(&mut Pipeline, u8),
    ) -> Result<Vec<String>, StoreError> {
        let mut asking = redis::pipe();
        for shard in 0..SHARDS {
            ask(&mut asking, shard);
        }
        let members: Vec<Vec<String>> = self.ask(Request::Pipeline(&asking)).await?;
        Ok(members.into_iter().flatten().collect())
    }
}
