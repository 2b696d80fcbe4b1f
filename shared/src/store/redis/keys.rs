//! The names of the keys, and the members of the indexes.
//!
//! ```text
//! <prefix>:layout                          version of all this
//! <prefix>:idem:<sha256 of the key>        string: job id and hash of the request's body
//! <prefix>:{3f}:job:<id>:header            hash: r revision, t token of the last commit, o open, n chunks, h header
//! <prefix>:{3f}:job:<id>:chunks            hash: chunk → record
//! <prefix>:{3f}:job:<id>:results           hash: chunk → result
//! <prefix>:{3f}:job:<id>:events            stream: <event id>-0 → e event
//! <prefix>:{3f}:job:<id>:effects           hash: number → member in the index of due effects, effect
//! <prefix>:{3f}:job:<id>:barred            string: the job must not be made
//! <prefix>:{3f}:open                       sorted set: jobs to sweep
//! <prefix>:{3f}:due                        sorted set: due effects
//! <prefix>:{3f}:created                    sorted set: jobs without a tenant, by the time of their creation
//! <prefix>:{3f}:ends                       sorted set: the same of those that expire, scored by when they do
//! <prefix>:{3f}:created:<tenant>           and the same two of each tenant
//! <prefix>:{3f}:ends:<tenant>
//! <prefix>:wakes                           channel: job ids
//! ```
//!
//! `3f` is the shard: the first six bits of the job's id, in braces, which make it the part that decides on the slot in
//! a Redis Cluster. So one script can write all keys of a job together with the indexes of its shard, and jobs
//! spread over the slots. Members of the indexes have the score 0 and a fixed length, so their order is that of their
//! bytes: it is the order in which they are asked for.

use super::super::{EffectKey, JobKey};
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, Timestamp};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// Jobs and indexes are spread over so many hash tags.
pub(super) const SHARDS: u8 = 64;
/// Length of a member of the index of due effects: 16 digits of time, 32 of the job's id, 16 of the number.
pub(super) const DUE_MEMBER: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

/// The keys of one job.
pub(super) struct JobKeys {
    pub header: String,
    pub chunks: String,
    pub results: String,
    pub events: String,
    pub effects: String,
    pub barred: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Which run of Redis was seen last, after its jobs were looked through.
    pub fn healed_run(&self) -> String {
        format!("{}:healed-run", self.prefix)
    }

    pub fn layout(&self) -> String {
        format!("{}:layout", self.prefix)
    }

    /// A client's key may be of any length and hold any characters.
    pub fn idempotency(&self, key: &str) -> String {
        format!("{}:idem:{}", self.prefix, hex::encode(Sha256::digest(key)))
    }

    pub fn job(&self, job: JobId) -> JobKeys {
        let key = |what: &str| format!("{}:{{{:02x}}}:job:{job}:{what}", self.prefix, shard(job));
        JobKeys {
            header: key("header"),
            chunks: key("chunks"),
            results: key("results"),
            events: key("events"),
            effects: key("effects"),
            barred: key("barred"),
        }
    }

    pub fn open(&self, shard: u8) -> String {
        format!("{}:{{{shard:02x}}}:open", self.prefix)
    }

    pub fn due(&self, shard: u8) -> String {
        format!("{}:{{{shard:02x}}}:due", self.prefix)
    }

    pub fn created(&self, shard: u8, tenant: Option<&TenantName>) -> String {
        self.list("created", shard, tenant)
    }

    fn list(&self, what: &str, shard: u8, tenant: Option<&TenantName>) -> String {
        let list = format!("{}:{{{shard:02x}}}:{what}", self.prefix);
        tenant.map_or_else(|| list.clone(), |tenant| format!("{list}:{tenant}"))
    }

    /// The lists are those of the tenant, or of the jobs that have none.
    pub fn shard(&self, shard: u8, tenant: Option<&TenantName>) -> ShardKeys {
        ShardKeys {
            open: self.open(shard),
            due: self.due(shard),
            created: self.created(shard, tenant),
            ends: self.list("ends", shard, tenant),
        }
    }
}

/// The indexes of one shard.
pub(super) struct ShardKeys {
    pub open: String,
    pub due: String,
    pub created: String,
    pub ends: String,
}

/// Shards are in the order of the ids.
pub(super) fn shard(job: JobId) -> u8 {
    job.as_uuid().as_bytes()[0] >> 2
}

pub(super) fn open_member(job: JobId) -> String {
    job.as_uuid().simple().to_string()
}

pub(super) fn parse_open_member(member: &str) -> Option<JobId> {
    Uuid::try_parse(member).ok().map(JobId::new)
}

pub(super) fn due_member(key: EffectKey) -> String {
    format!("{:016x}{}{:016x}", key.due.0, key.job.as_uuid().simple(), key.number)
}

pub(super) fn parse_due_member(member: &str) -> Option<EffectKey> {
    let (due, rest) = member.split_at_checked(16)?;
    let (job, number) = rest.split_at_checked(32)?;
    let number_of = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let job = JobId::new(Uuid::try_parse(job).ok()?);
    Some(EffectKey { due: Timestamp(number_of(due)?), job, number: number_of(number)? })
}

/// 16 digits of time, 32 of the job's id.
pub(super) fn created_member(key: JobKey) -> String {
    format!("{:016x}{}", key.created.0, key.job.as_uuid().simple())
}

pub(super) fn parse_created_member(member: &str) -> Option<JobKey> {
    let (created, job) = member.split_at_checked(16)?;
    let job = (job.len() == 32).then(|| Uuid::try_parse(job).ok()).flatten()?;
    let created = Timestamp(u64::from_str_radix(created, 16).ok()?);
    Some(JobKey { created, job: JobId::new(job) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(due: u64, job: u128, number: u64) -> EffectKey {
        EffectKey { due: Timestamp(due), job: JobId::new(Uuid::from_u128(job)), number }
    }

    proptest! {
        #[test]
        fn members_sort_like_what_they_stand_for(one: (u64, u128, u64), other: (u64, u128, u64)) {
            let (one, other) = (key(one.0, one.1, one.2), key(other.0, other.1, other.2));
            prop_assert_eq!(one.cmp(&other), due_member(one).cmp(&due_member(other)));
            prop_assert_eq!(one.job.cmp(&other.job), open_member(one.job).cmp(&open_member(other.job)));
            prop_assert!(one.job > other.job || shard(one.job) <= shard(other.job));
            prop_assert_eq!(parse_due_member(&due_member(one)), Some(one));
            prop_assert_eq!(parse_open_member(&open_member(one.job)), Some(one.job));
            prop_assert_eq!(due_member(one).len(), DUE_MEMBER);
            prop_assert!(shard(one.job) < SHARDS);
            let listed = |key: EffectKey| JobKey { created: key.due, job: key.job };
            let (first, second) = (listed(one), listed(other));
            prop_assert_eq!(first.cmp(&second), created_member(first).cmp(&created_member(second)));
            prop_assert_eq!(parse_created_member(&created_member(first)), Some(first));
        }

        #[test]
        fn strange_members_are_none(member in "\\PC{0,80}") {
            prop_assume!(member.len() != DUE_MEMBER || !member.bytes().all(|byte| byte.is_ascii_hexdigit()));
            prop_assert_eq!(parse_due_member(&member), None);
        }
    }

    /// Keys outlive the program that wrote them.
    #[test]
    fn names_stay_as_they_are() {
        let keys = Keys::new("scriptorium");
        let job = "fd1c4e3a-0000-4000-8000-00000000002a".parse().unwrap();
        let JobKeys { header, chunks, results, events, effects, barred } = keys.job(job);
        let name = |what: &str| format!("scriptorium:{{3f}}:job:fd1c4e3a-0000-4000-8000-00000000002a:{what}");
        assert_eq!(
            [header, chunks, results, events, effects, barred],
            ["header", "chunks", "results", "events", "effects", "barred"].map(name)
        );
        assert_eq!(keys.open(shard(job)), "scriptorium:{3f}:open");
        assert_eq!(keys.due(1), "scriptorium:{01}:due");
        let ShardKeys { open, due, created, ends } = keys.shard(1, None);
        assert_eq!(
            [open, due, created, ends],
            ["open", "due", "created", "ends"].map(|what| format!("scriptorium:{{01}}:{what}"))
        );
        let tenant = "acme.2".parse().unwrap();
        let ShardKeys { open, due, created, ends } = keys.shard(1, Some(&tenant));
        assert_eq!(
            [open, due, created, ends],
            ["open", "due", "created:acme.2", "ends:acme.2"].map(|what| format!("scriptorium:{{01}}:{what}"))
        );
        let key = JobKey { created: Timestamp(1_800_000_000_000), job };
        assert_eq!(created_member(key), "000001a3185c5000fd1c4e3a00004000800000000000002a");
        assert_eq!(
            keys.idempotency("a"),
            "scriptorium:idem:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
        );
        let member = due_member(EffectKey { due: Timestamp(1_800_000_000_000), job, number: 7 });
        assert_eq!(u64::from_str_radix(&member[..16], 16), Ok(1_800_000_000_000));
        assert_eq!(&member[16..], "fd1c4e3a00004000800000000000002a0000000000000007");
    }
}
