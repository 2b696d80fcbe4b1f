//! The directory in Redis, for all gateways together.
//!
//! ```text
//! <prefix>:{access}:keys                  hash: id → record
//! <prefix>:{access}:revoked               hash: id → when
//! <prefix>:{access}:tenants               hash: name → its own limits
//! <prefix>:{access}:signing               hash: name → its own signing secrets
//! <prefix>:{receiver:<hash>}               since when it takes no webhooks; it ends by itself
//! <prefix>:{tenant:<name>}:jobs           hash: job → open, bytes, audio, when it was entered
//! <prefix>:{tenant:<name>}:looked         sorted set: the same jobs, by when they were looked at
//! <prefix>:{tenant:<name>}:sums           hash: open, bytes of all entries
//! <prefix>:{tenant:<name>}:audio          hash: day → milliseconds
//! ```
//!
//! Names in braces decide on the slot in a Redis Cluster, so each script finds its keys in one. Keys are asked for by id, and
//! a tenant's ledger is written by scripts, each of which does the same when it is run twice.

use super::{
    Added, Bounds, Entry, KeyState, Ledger, Look, MAX_KEYS, MAX_TENANTS, Quota, RECEIVER_MEMORY_MS, Receiver,
    Reserved, StaleEntry, Swapped, day_of, decode, encode,
};
use crate::redis::{Link, RedisConfig, Request, connect};
use crate::store::StoreError;
use futures::future::BoxFuture;
use redis::{Cmd, FromRedisValue, Script};
use scriptorium_contracts::tenant::{KeyRecord, TenantLimits, TenantName};
use scriptorium_contracts::{JobId, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use tokio_util::sync::CancellationToken;

static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reserve.lua")));
static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("look.lua")));
static SIGNING: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("signing.lua")));

/// Days for which the sums of audio are kept.
const AUDIO_DAYS: u64 = 2;
/// Entries of one page.
const MAX_PAGE: u32 = 1_024;

/// See the promises of [`super`]. Clones share the connection.
#[derive(Clone, Debug)]
pub struct RedisDirectory {
    link: Link,
    prefix: Arc<str>,
}

struct TenantKeys {
    jobs: String,
    looked: String,
    sums: String,
    audio: String,
}

impl RedisDirectory {
    /// Waits for a Redis that is not up yet, until `shutdown`; what a person must mend is an error at once.
    pub fn connect<'a>(
        config: &'a RedisConfig,
        shutdown: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Self, StoreError>> {
        Box::pin(async move {
            let link = connect(config, shutdown).await?;
            Ok(Self { link, prefix: config.prefix.as_str().into() })
        })
    }

    fn access(&self, what: &str) -> String {
        format!("{}:{{access}}:{what}", self.prefix)
    }

    fn of_tenant(&self, tenant: &TenantName) -> TenantKeys {
        let key = |what: &str| format!("{}:{{tenant:{tenant}}}:{what}", self.prefix);
        TenantKeys { jobs: key("jobs"), looked: key("looked"), sums: key("sums"), audio: key("audio") }
    }

    async fn ask<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, StoreError> {
        Ok(self.link.call(request).await?)
    }

    /// Whether a hash has no room for a further field of this name.
    async fn is_full(&self, key: &str, field: &str, most: u32) -> Result<bool, StoreError> {
        let mut asking = redis::pipe();
        asking.cmd("HLEN").arg(key).cmd("HEXISTS").arg(key).arg(field);
        let (count, there): (u32, bool) = self.ask(Request::Pipeline(&asking)).await?;
        Ok(count >= most && !there)
    }

    pub(super) async fn add_key(&self, record: &KeyRecord) -> Result<Added, StoreError> {
        let key = self.access("keys");
        if self.is_full(&key, &record.id, MAX_KEYS).await? {
            return Ok(Added::Full);
        }
        let mut adding = redis::cmd("HSETNX");
        adding.arg(key).arg(&record.id).arg(encode(record)?);
        self.ask::<u8>(Request::Command(&adding)).await?;
        Ok(Added::Done)
    }

    /// First the keys themselves, so that none is ever there without its revocation.
    pub(super) async fn forget_keys(&self, ids: Vec<String>) -> Result<(), StoreError> {
        for what in ["keys", "revoked"] {
            let mut forgetting = redis::cmd("HDEL");
            forgetting.arg(self.access(what)).arg(&ids);
            self.ask::<u32>(Request::Command(&forgetting)).await?;
        }
        Ok(())
    }

    pub(super) async fn key(&self, id: &str) -> Result<Option<KeyState>, StoreError> {
        let mut asking = redis::pipe();
        asking.cmd("HGET").arg(self.access("keys")).arg(id);
        asking.cmd("HGET").arg(self.access("revoked")).arg(id);
        let (record, revoked): (Option<String>, Option<u64>) = self.ask(Request::Pipeline(&asking)).await?;
        let state =
            |text: String| Ok(KeyState { record: decode("key", text)?, revoked_at: revoked.map(Timestamp) });
        record.map(state).transpose()
    }

    pub(super) async fn keys(&self) -> Result<Vec<KeyState>, StoreError> {
        let mut asking = redis::pipe();
        asking.cmd("HVALS").arg(self.access("keys")).cmd("HGETALL").arg(self.access("revoked"));
        let (records, revoked): (Vec<String>, HashMap<String, u64>) =
            self.ask(Request::Pipeline(&asking)).await?;
        let state = |text: String| {
            let record: KeyRecord = decode("key", text)?;
            let revoked_at = revoked.get(&record.id).copied().map(Timestamp);
            Ok(KeyState { record, revoked_at })
        };
        records.into_iter().map(state).collect()
    }

    pub(super) async fn revoke(&self, id: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        if self.key(id).await?.is_none() {
            return Ok(None);
        }
        let key = self.access("revoked");
        let mut revoking = redis::pipe();
        revoking.cmd("HSETNX").arg(&key).arg(id).arg(now.0).ignore().cmd("HGET").arg(&key).arg(id);
        let (revoked,): (u64,) = self.ask(Request::Pipeline(&revoking)).await?;
        Ok(Some(Timestamp(revoked)))
    }

    pub(super) async fn set_limits(
        &self,
        tenant: &TenantName,
        limits: TenantLimits,
    ) -> Result<Added, StoreError> {
        let key = self.access("tenants");
        let setting = if limits == TenantLimits::default() {
            let mut forgetting = redis::cmd("HDEL");
            forgetting.arg(key).arg(tenant.as_str());
            forgetting
        } else if self.is_full(&key, tenant.as_str(), MAX_TENANTS).await? {
            return Ok(Added::Full);
        } else {
            let mut setting = redis::cmd("HSET");
            setting.arg(key).arg(tenant.as_str()).arg(encode(&limits)?);
            setting
        };
        self.ask::<u8>(Request::Command(&setting)).await?;
        Ok(Added::Done)
    }

    pub(super) async fn limits(&self, tenant: &TenantName) -> Result<TenantLimits, StoreError> {
        let mut asking = redis::cmd("HGET");
        asking.arg(self.access("tenants")).arg(tenant.as_str());
        let found: Option<String> = self.ask(Request::Command(&asking)).await?;
        found.map_or_else(|| Ok(TenantLimits::default()), |text| decode("tenant", text))
    }

    pub(super) async fn signing(&self, tenant: &TenantName) -> Result<Option<String>, StoreError> {
        let mut asking = redis::cmd("HGET");
        asking.arg(self.access("signing")).arg(tenant.as_str());
        self.ask(Request::Command(&asking)).await
    }

    /// An empty text stands for no secrets.
    pub(super) async fn swap_signing(
        &self,
        tenant: &TenantName,
        before: String,
        after: String,
    ) -> Result<Swapped, StoreError> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(SIGNING.get_hash()).arg(1).arg(self.access("signing"));
        command.arg(tenant.as_str()).arg(before).arg(after).arg(MAX_TENANTS);
        let said: String = self.ask(Request::Script(&SIGNING, &command)).await?;
        match said.as_str() {
            "done" => Ok(Swapped::Done),
            "changed" => Ok(Swapped::Changed),
            "full" => Ok(Swapped::Full),
            _ => Err(StoreError::Internal { detail: "the secrets' script says nothing known".to_owned() }),
        }
    }

    pub(super) async fn disabled_since(
        &self,
        receiver: &Receiver,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut asking = redis::cmd("GET");
        asking.arg(self.receiver(receiver));
        let found: Option<u64> = self.ask(Request::Command(&asking)).await?;
        Ok(found.filter(|since| now.since(Timestamp(*since)) <= RECEIVER_MEMORY_MS).map(Timestamp))
    }

    pub(super) async fn disable(&self, receiver: &Receiver, now: Timestamp) -> Result<(), StoreError> {
        let mut setting = redis::cmd("SET");
        setting.arg(self.receiver(receiver)).arg(now.0).arg("NX").arg("PX").arg(RECEIVER_MEMORY_MS);
        // Nothing is answered where something was known.
        self.ask::<Option<String>>(Request::Command(&setting)).await.map(drop)
    }

    pub(super) async fn enable(&self, receiver: &Receiver) -> Result<(), StoreError> {
        let mut forgetting = redis::cmd("DEL");
        forgetting.arg(self.receiver(receiver));
        self.ask::<u8>(Request::Command(&forgetting)).await.map(drop)
    }

    fn receiver(&self, receiver: &Receiver) -> String {
        format!("{}:{{receiver:{}}}", self.prefix, receiver.as_str())
    }

    pub(super) async fn reserve(
        &self,
        tenant: &TenantName,
        entry: Entry,
        bounds: Bounds,
    ) -> Result<Reserved, StoreError> {
        let day = day_of(entry.at);
        let most = |bound: Option<u64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        let mut command = self.script(&RESERVE, tenant);
        command.arg(entry.job.to_string()).arg(entry.bytes).arg(entry.at.0).arg(day);
        command.arg(day.saturating_sub(AUDIO_DAYS));
        command.arg(most(bounds.open_jobs.map(u64::from))).arg(most(bounds.bytes));
        command.arg(most(bounds.audio_ms_per_day));
        let (said, open_jobs, bytes, audio_ms): (String, u32, u64, u64) =
            self.ask(Request::Script(&RESERVE, &command)).await?;
        let ledger = Ledger { open_jobs, bytes, audio_ms };
        match said.as_str() {
            "done" => Ok(Reserved::Done),
            "jobs" => Ok(Reserved::Refused(Quota::OpenJobs, ledger)),
            "bytes" => Ok(Reserved::Refused(Quota::Bytes, ledger)),
            "audio" => Ok(Reserved::Refused(Quota::Audio, ledger)),
            _ => Err(StoreError::Internal { detail: "the ledger's script says nothing known".to_owned() }),
        }
    }

    fn script(&self, script: &Script, tenant: &TenantName) -> Cmd {
        let TenantKeys { jobs, looked, sums, audio } = self.of_tenant(tenant);
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(4).arg(jobs).arg(looked).arg(sums).arg(audio);
        command
    }

    pub(super) async fn look(
        &self,
        tenant: &TenantName,
        job: JobId,
        look: Look,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut command = self.script(&LOOK, tenant);
        command.arg(job.to_string()).arg(now.0);
        match look {
            Look::Gone => command.arg("gone"),
            Look::There { open, kept, audio_ms } => {
                command.arg("there").arg(u8::from(open)).arg(u8::from(kept)).arg(audio_ms)
            }
        };
        self.ask::<u8>(Request::Script(&LOOK, &command)).await.map(|_| ())
    }

    pub(super) async fn stale(&self, tenant: &TenantName, limit: u32) -> Result<Vec<StaleEntry>, StoreError> {
        let TenantKeys { jobs, looked, .. } = self.of_tenant(tenant);
        let last = i64::from(limit.min(MAX_PAGE)) - 1;
        if last < 0 {
            return Ok(Vec::new());
        }
        let mut asking = redis::cmd("ZRANGE");
        asking.arg(looked).arg(0).arg(last);
        let oldest: Vec<String> = self.ask(Request::Command(&asking)).await?;
        if oldest.is_empty() {
            return Ok(Vec::new());
        }
        let mut asking = redis::cmd("HMGET");
        asking.arg(jobs).arg(&oldest);
        let entries: Vec<Option<String>> = self.ask(Request::Command(&asking)).await?;
        let stale = oldest.iter().zip(entries).filter_map(|(job, entry)| {
            // When it was entered is the last of an entry's numbers. One that is gone meanwhile is not stale.
            let at = entry?.rsplit(' ').next()?.parse().ok()?;
            Some(StaleEntry { job: job.parse().ok()?, at: Timestamp(at) })
        });
        Ok(stale.collect())
    }

    pub(super) async fn ledger(&self, tenant: &TenantName, day: u64) -> Result<Ledger, StoreError> {
        let TenantKeys { sums, audio, .. } = self.of_tenant(tenant);
        let mut asking = redis::pipe();
        asking.cmd("HMGET").arg(sums).arg("open").arg("bytes").cmd("HGET").arg(audio).arg(day);
        let ((open, bytes), audio): ((Option<u32>, Option<u64>), Option<u64>) =
            self.ask(Request::Pipeline(&asking)).await?;
        Ok(Ledger { open_jobs: open.unwrap_or(0), bytes: bytes.unwrap_or(0), audio_ms: audio.unwrap_or(0) })
    }

    pub(super) async fn close(&self) {
        self.link.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Directory, NewKey};
    use super::*;
    use crate::testing::RedisCorner;

    async fn open(config: &RedisConfig) -> Directory {
        Directory::Redis(RedisDirectory::connect(config, &CancellationToken::new()).await.unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_a_directory() {
        let Some(corner) = RedisCorner::new() else { return };
        crate::testing::directory_contract(async || open(&corner.part()).await).await;
        corner.clean().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_processes_see_what_the_other_does_and_no_secret_is_kept() {
        let Some(corner) = RedisCorner::new() else { return };
        let (one, other) = (open(&corner.config()).await, open(&corner.config()).await);
        let key = NewKey::random("acme".parse().unwrap(), None, Timestamp(1), None);
        assert_eq!(one.add_key(&key.record).await.unwrap(), Added::Done);
        assert_eq!(other.revoke(&key.record.id, Timestamp(9)).await.unwrap(), Some(Timestamp(9)));
        assert_eq!(one.key(&key.record.id).await.unwrap().unwrap().revoked_at, Some(Timestamp(9)));
        let mut connection = corner.connection().await;
        let mut secret_seen = false;
        for name in corner.keys().await {
            let all: Vec<String> =
                redis::cmd("HGETALL").arg(name).query_async(&mut connection).await.unwrap();
            secret_seen |= all.iter().any(|text| text.contains(&key.text[20..]));
        }
        assert!(!secret_seen);
        corner.clean().await;
    }

    /// A tenant without jobs has no entries left, and sums that are nothing.
    #[tokio::test]
    async fn what_has_ended_leaves_only_sums() {
        let Some(corner) = RedisCorner::new() else { return };
        let directory = open(&corner.config()).await;
        let tenant = "acme".parse().unwrap();
        let entry = Entry { job: crate::testing::new_id(), bytes: 7, at: Timestamp(1_800_000_000_000) };
        directory.reserve(&tenant, entry, Bounds::default()).await.unwrap();
        directory.look(&tenant, entry.job, Look::Gone, entry.at).await.unwrap();
        let left = corner.keys().await;
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].ends_with("{tenant:acme}:sums"));
        corner.clean().await;
    }
}
