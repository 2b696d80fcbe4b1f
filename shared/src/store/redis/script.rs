//! The scripts, and how their arguments are put together. Each does the same when it is run twice.

use super::super::rows::Rows;
use super::super::{EffectKey, IDEMPOTENCY_MS, JobKey, MAX_EVENT_PAGE_BYTES};
use super::keys::{DUE_MEMBER, JobKeys, Keys, ShardKeys, created_member, due_member, open_member, shard};
use redis::{Cmd, Script};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, Timestamp};
use std::sync::LazyLock;
use std::time::Duration;
use uuid::Uuid;

pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));
pub(super) static DELETE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("delete.lua")));
pub(super) static EFFECT_DONE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("effect_done.lua")));
pub(super) static EVENTS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("events.lua")));
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
pub(super) static BAR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bar.lua")));

fn evalsha(script: &Script, keys: &[&str]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len()).arg(keys);
    command
}

/// `before`: the revision that must be stored, `None` to make the job.
pub(super) fn commit(keys: &Keys, rows: &Rows, before: Option<u64>, channel: &str, job_ttl: Duration) -> Cmd {
    let JobKeys { header, chunks, results, events, effects, barred } = keys.job(rows.job);
    let ShardKeys { open, due, created, ends } = keys.shard(shard(rows.job), rows.tenant.as_ref());
    let keys = [&header, &chunks, &results, &events, &effects, &barred, &open, &due, &created, &ends];
    let keys = keys.map(String::as_str);
    let mut command = evalsha(&COMMIT, &keys);
    command
        .arg(before.map(|before| before.to_string()).unwrap_or_default())
        .arg(rows.revision)
        // It tells a repetition of this commit from another commit of the same revision.
        .arg(Uuid::new_v4().simple().to_string())
        .arg(u8::from(rows.open))
        .arg(open_member(rows.job))
        .arg(milliseconds(job_ttl))
        .arg(&rows.header)
        .arg(rows.chunks.iter().map(|(chunk, _)| chunk.saturating_add(1)).max().unwrap_or(0))
        .arg(channel)
        .arg(rows.job.to_string())
        .arg(rows.chunks.len())
        .arg(rows.results.len())
        .arg(rows.events.len())
        .arg(rows.effects.len())
        .arg(created_member(JobKey { created: rows.created, job: rows.job }));
    for (chunk, text) in rows.chunks.iter().chain(&rows.results) {
        command.arg(chunk).arg(text);
    }
    for (id, event) in &rows.events {
        command.arg(id).arg(event);
    }
    for row in &rows.effects {
        let key = EffectKey { due: Timestamp(row.due), job: rows.job, number: row.number };
        command.arg(row.number).arg(due_member(key)).arg(&row.effect);
    }
    command
}

/// `key`: where the job stands in the list of its tenant; `None` if its header can't be read.
pub(super) fn delete(
    keys: &Keys,
    job: JobId,
    key: Option<(JobKey, Option<TenantName>)>,
    channel: &str,
) -> Cmd {
    let JobKeys { header, chunks, results, events, barred, .. } = keys.job(job);
    let (key, tenant) = key.map_or((None, None), |(key, tenant)| (Some(key), tenant));
    let ShardKeys { open, created, ends, .. } = keys.shard(shard(job), tenant.as_ref());
    let keys = [&header, &chunks, &results, &events, &barred, &open, &created, &ends];
    let mut command = evalsha(&DELETE, &keys.map(String::as_str));
    command
        .arg(open_member(job))
        .arg(key.map(created_member).unwrap_or_default())
        .arg(IDEMPOTENCY_MS)
        .arg(channel)
        .arg(job.to_string());
    command
}

pub(super) fn effect_done(keys: &Keys, job: JobId, number: u64) -> Cmd {
    let mut command = evalsha(&EFFECT_DONE, &[&keys.job(job).effects, &keys.due(shard(job))]);
    command.arg(number).arg(DUE_MEMBER);
    command
}

pub(super) fn events(keys: &Keys, job: JobId, after: u64, limit: u32) -> Cmd {
    let mut command = evalsha(&EVENTS, &[&keys.job(job).events]);
    command.arg(after).arg(limit).arg(MAX_EVENT_PAGE_BYTES);
    command
}

pub(super) fn claim(key: &str, from: &str, holder: &str) -> Cmd {
    let mut command = evalsha(&CLAIM, &[key]);
    command.arg(from).arg(holder).arg(IDEMPOTENCY_MS);
    command
}

pub(super) fn bar(keys: &Keys, job: JobId, bar: bool) -> Cmd {
    let JobKeys { header, barred, .. } = keys.job(job);
    let mut command = evalsha(&BAR, &[&header, &barred]);
    command.arg(u8::from(bar)).arg(IDEMPOTENCY_MS);
    command
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
