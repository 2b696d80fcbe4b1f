//! Who may call, and what they have taken up: API keys, limits of tenants, and the ledger of their jobs.
//!
//! What a directory promises:
//! - A key that [`Directory::add_key`] has acknowledged is found by every process from then on, a revocation likewise. A key is
//!   never changed but for that, and its id is never given twice.
//! - No key is kept: only hashes go in and come out. A tenant's secrets for signing webhooks are kept as they are, because
//!   signatures are made with them.
//! - Signing secrets are changed as a whole, and only if they are still what was read before.
//! - The *ledger* has an entry for each job of a tenant from [`Directory::reserve`] on, until [`Directory::look`] is told that
//!   nothing is left of it. To reserve is one atomic step, whoever else does so at the same time: the sums of what is in the
//!   ledger never pass the bounds that were given.
//! - The ledger does not look at jobs itself. It may hold more than there is (a process has died, a job has ended since), never
//!   less; who is refused looks at the oldest entries ([`Directory::stale`]) and asks again.
//! - Everything may be repeated, and is then as if it had been done once.
//!
//! It is apart from the job store, because the command that makes keys has to reach it while a server runs: the job store of a
//! server in one process belongs to that process alone.

mod embedded;
mod key;
mod ledger;
mod receiver;
mod redis;

use crate::store::StoreError;
pub use embedded::EmbeddedDirectory;
use futures::future::BoxFuture;
pub use key::{NewKey, PREFIX, PresentedKey, is_id};
pub use ledger::{Bounds, Entry, Ledger, Look, Quota, Reserved, StaleEntry, day_of};
pub use receiver::Receiver;
pub use redis::RedisDirectory;
use scriptorium_contracts::signing::SigningSecrets;
use scriptorium_contracts::tenant::{KeyRecord, TenantLimits, TenantName};
use scriptorium_contracts::{JobId, Timestamp};

/// Keys that there may be at once, revoked ones included; so a list of them is bounded.
pub const MAX_KEYS: u32 = 10_000;
/// Tenants with limits of their own.
pub const MAX_TENANTS: u32 = 10_000;

/// A key as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    pub record: KeyRecord,
    /// From then on it is refused.
    pub revoked_at: Option<Timestamp>,
}

impl KeyState {
    /// Refused for so long that it need not be listed any more.
    fn is_past(&self, now: Timestamp) -> bool {
        let ended = self.revoked_at.into_iter().chain(self.record.expires_at).min();
        ended.is_some_and(|end| end.plus(PAST_KEYS_MS) <= now)
    }

    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.record.expires_at.is_none_or(|end| now < end)
    }
}

/// Milliseconds for which keys that were revoked or have expired keep their places, and are listed: 30 days.
const PAST_KEYS_MS: u64 = 30 * 86_400_000;

/// Outcome of [`Directory::add_key`] and [`Directory::set_limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    Done,
    /// There are [`MAX_KEYS`] or [`MAX_TENANTS`] of them.
    Full,
}

/// Milliseconds for which it is remembered that a receiver of webhooks takes nothing: 30 days.
pub const RECEIVER_MEMORY_MS: u64 = 30 * 86_400_000;

/// Outcome of [`Directory::swap_signing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// Somebody else has changed them since they were read.
    Changed,
    /// There are [`MAX_TENANTS`] with secrets of their own.
    Full,
}

/// The port; see the module's promises.
#[derive(Clone, Debug)]
pub enum Directory {
    Embedded(EmbeddedDirectory),
    Redis(RedisDirectory),
}

impl Directory {
    /// Where there is no room, keys that have been revoked or expired for long are forgotten.
    pub fn add_key<'a>(&'a self, record: &'a KeyRecord) -> BoxFuture<'a, Result<Added, StoreError>> {
        Box::pin(async move {
            match self.add_one(record).await? {
                Added::Done => return Ok(Added::Done),
                Added::Full => {}
            }
            let keys = self.keys().await?;
            let past = keys.into_iter().filter(|key| key.is_past(record.created_at)).map(|key| key.record.id);
            match past.collect::<Vec<_>>() {
                past if past.is_empty() => Ok(Added::Full),
                past => {
                    self.forget_keys(past).await?;
                    self.add_one(record).await
                }
            }
        })
    }

    async fn add_one(&self, record: &KeyRecord) -> Result<Added, StoreError> {
        match self {
            Self::Embedded(directory) => directory.add_key(record).await,
            Self::Redis(directory) => directory.add_key(record).await,
        }
    }

    async fn forget_keys(&self, ids: Vec<String>) -> Result<(), StoreError> {
        match self {
            Self::Embedded(directory) => directory.forget_keys(ids).await,
            Self::Redis(directory) => directory.forget_keys(ids).await,
        }
    }

    pub fn key<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<KeyState>, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.key(id)),
            Self::Redis(directory) => Box::pin(directory.key(id)),
        }
    }

    /// All of them, in the order of their creation.
    pub fn keys(&self) -> BoxFuture<'_, Result<Vec<KeyState>, StoreError>> {
        Box::pin(async move {
            let mut keys = match self {
                Self::Embedded(directory) => directory.keys().await?,
                Self::Redis(directory) => directory.keys().await?,
            };
            keys.sort_by(|one, other| {
                let place = |key: &KeyState| (key.record.created_at, key.record.id.clone());
                place(one).cmp(&place(other))
            });
            Ok(keys)
        })
    }

    /// When the key was revoked: now, or before. `None`: there is no such key.
    pub fn revoke<'a>(
        &'a self,
        id: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Timestamp>, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.revoke(id, now)),
            Self::Redis(directory) => Box::pin(directory.revoke(id, now)),
        }
    }

    /// The tenant's own limits. With none of them it is as if it had never had any.
    pub fn set_limits<'a>(
        &'a self,
        tenant: &'a TenantName,
        limits: TenantLimits,
    ) -> BoxFuture<'a, Result<Added, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.set_limits(tenant, limits)),
            Self::Redis(directory) => Box::pin(directory.set_limits(tenant, limits)),
        }
    }

    pub fn limits<'a>(&'a self, tenant: &'a TenantName) -> BoxFuture<'a, Result<TenantLimits, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.limits(tenant)),
            Self::Redis(directory) => Box::pin(directory.limits(tenant)),
        }
    }

    /// The tenant's own secrets for signing webhooks; none if it has never had any.
    pub fn signing<'a>(
        &'a self,
        tenant: &'a TenantName,
    ) -> BoxFuture<'a, Result<SigningSecrets, StoreError>> {
        Box::pin(async move {
            let found = match self {
                Self::Embedded(directory) => directory.signing(tenant).await?,
                Self::Redis(directory) => directory.signing(tenant).await?,
            };
            found.map_or_else(|| Ok(SigningSecrets::default()), |text| decode("signing secrets", text))
        })
    }

    /// Puts `after` in the place of `before`. Without any secret it is as if the tenant had never had one.
    pub fn swap_signing<'a>(
        &'a self,
        tenant: &'a TenantName,
        before: &'a SigningSecrets,
        after: &'a SigningSecrets,
    ) -> BoxFuture<'a, Result<Swapped, StoreError>> {
        Box::pin(async move {
            let (before, after) = (signing_text(before)?, signing_text(after)?);
            match self {
                Self::Embedded(directory) => directory.swap_signing(tenant, before, after).await,
                Self::Redis(directory) => directory.swap_signing(tenant, before, after).await,
            }
        })
    }

    /// Since when a receiver has been known to take nothing, if that was within the last [`RECEIVER_MEMORY_MS`].
    pub fn disabled_since<'a>(
        &'a self,
        receiver: &'a Receiver,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Timestamp>, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.disabled_since(receiver, now)),
            Self::Redis(directory) => Box::pin(directory.disabled_since(receiver, now)),
        }
    }

    /// A receiver has taken nothing for long. What was known before stays.
    pub fn disable<'a>(
        &'a self,
        receiver: &'a Receiver,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.disable(receiver, now)),
            Self::Redis(directory) => Box::pin(directory.disable(receiver, now)),
        }
    }

    /// A receiver has taken something.
    pub fn enable<'a>(&'a self, receiver: &'a Receiver) -> BoxFuture<'a, Result<(), StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.enable(receiver)),
            Self::Redis(directory) => Box::pin(directory.enable(receiver)),
        }
    }

    /// Enters a job, if its tenant stays within the bounds.
    pub fn reserve<'a>(
        &'a self,
        tenant: &'a TenantName,
        entry: Entry,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Reserved, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.reserve(tenant, entry, bounds)),
            Self::Redis(directory) => Box::pin(directory.reserve(tenant, entry, bounds)),
        }
    }

    /// Tells the ledger how a job was found to be. A job that is not in it stays out of it.
    pub fn look<'a>(
        &'a self,
        tenant: &'a TenantName,
        job: JobId,
        look: Look,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.look(tenant, job, look, now)),
            Self::Redis(directory) => Box::pin(directory.look(tenant, job, look, now)),
        }
    }

    /// Entries that have not been looked at for longest.
    pub fn stale<'a>(
        &'a self,
        tenant: &'a TenantName,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StaleEntry>, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.stale(tenant, limit)),
            Self::Redis(directory) => Box::pin(directory.stale(tenant, limit)),
        }
    }

    /// The sums of a tenant; audio is that of `day`.
    pub fn ledger<'a>(
        &'a self,
        tenant: &'a TenantName,
        day: u64,
    ) -> BoxFuture<'a, Result<Ledger, StoreError>> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.ledger(tenant, day)),
            Self::Redis(directory) => Box::pin(directory.ledger(tenant, day)),
        }
    }

    /// Lets go of files and connections. Later calls are refused.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        match self {
            Self::Embedded(directory) => Box::pin(directory.close()),
            Self::Redis(directory) => Box::pin(directory.close()),
        }
    }
}

/// As they are kept; empty: not at all.
fn signing_text(secrets: &SigningSecrets) -> Result<String, StoreError> {
    if secrets.secrets.is_empty() { Ok(String::new()) } else { encode(secrets) }
}

/// A record as text, and back.
fn encode(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal { detail: error.to_string() })
}

fn decode<T: serde::de::DeserializeOwned>(
    what: &'static str,
    text: impl AsRef<[u8]>,
) -> Result<T, StoreError> {
    serde_json::from_slice(text.as_ref()).map_err(|error| StoreError::Damaged {
        what,
        job: None,
        detail: error.to_string(),
    })
}
