//! Looks keys up, and counts requests.

use super::{Caller, stream_token};
use crate::problem::{Code, Problem};
use http::{HeaderMap, Method, Uri, header};
use scriptorium_contracts::tenant::TenantLimits;
use scriptorium_shared::clock;
use scriptorium_shared::limiter::{Limiter, LimiterError, Rate, Spent};
use scriptorium_shared::store::StoreError;
use scriptorium_shared::tenants::{Directory, KeyState, PresentedKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For so long a key that was found is not looked up again; so a revocation holds everywhere after it.
const TRUST: Duration = Duration::from_secs(5);
/// Keys that are remembered at once.
const MAX_REMEMBERED: usize = 4_096;
/// In which requests are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// What a gateway knows of its callers.
pub struct Keeper {
    pub directory: Directory,
    limiter: Limiter,
    /// Whoever has no key is sent away.
    required: bool,
    /// Of tenants that have none of their own.
    limits: TenantLimits,
    remembered: Mutex<HashMap<String, Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    key: KeyState,
    limits: TenantLimits,
    signs: bool,
    since: Instant,
}

impl Keeper {
    pub fn new(directory: Directory, limiter: Limiter, required: bool, limits: TenantLimits) -> Self {
        Self { directory, limiter, required, limits, remembered: Mutex::default() }
    }

    /// Who makes the request, and what is left of his rate.
    pub async fn admit(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(Caller, Option<(Rate, Spent)>), Problem> {
        let caller = self.caller(method, uri, headers).await?;
        let per_minute = caller.limits.requests_per_minute.filter(|most| *most > 0);
        let (Some(tenant), Some(quota)) = (caller.tenant(), per_minute) else { return Ok((caller, None)) };
        let rate = Rate { quota, window: MINUTE };
        let spent = self.limiter.spend(&format!("tenant {tenant}"), rate, clock::now()).await?;
        if !spent.granted {
            let detail =
                format!("More than {quota} requests a minute are not allowed for this key's tenant.");
            return Err(Problem::new(Code::RateLimited, detail).after(spent.retry).rated(rate, spent));
        }
        Ok((caller, Some((rate, spent))))
    }

    async fn caller(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Problem> {
        if let Some(shown) = bearer(headers) {
            match PresentedKey::parse(shown) {
                Some(key) => return self.of_key(&key).await,
                // Many programs send some key to any server that they are made for.
                None if !self.required => return Ok(Caller::default()),
                None => return Err(unauthorized("The Authorization header holds no key of this service.")),
            }
        }
        if let Some(token) = stream_token::of_request(method, uri) {
            let found = self.look_up(&token.key).await?;
            let now = clock::now();
            return match found.filter(|found| found.key.is_valid(now) && token.is(&found.key.record, now)) {
                Some(found) => Ok(self.known(found)),
                None => Err(unauthorized(
                    "The token in the address is not valid (any more). GET /jobs/{id} tells a fresh \"stream_url\".",
                )),
            };
        }
        if self.required {
            return Err(unauthorized("Send the header \"Authorization: Bearer\" with your API key."));
        }
        Ok(Caller::default())
    }

    async fn of_key(&self, shown: &PresentedKey) -> Result<Caller, Problem> {
        let found = self.look_up(&shown.id).await?;
        let found = found.filter(|found| shown.is(&found.key.record) && found.key.is_valid(clock::now()));
        // One answer for all, so that it tells nothing of keys that are not the caller's.
        let found = found.ok_or_else(|| unauthorized("The API key is unknown, expired or revoked."))?;
        Ok(self.known(found))
    }

    /// Whether a caller who was let in would be let in still: his key may have been revoked, or its time may be over. Costs as
    /// little as a request does. Where nobody can say, he stays.
    pub async fn still_knows(&self, caller: &Caller) -> bool {
        let Some(key) = &caller.key else { return true };
        match self.look_up(&key.id).await {
            Ok(found) => found.is_some_and(|found| found.key.is_valid(clock::now())),
            Err(_) => true,
        }
    }

    fn known(&self, found: Remembered) -> Caller {
        let (own, default) = (found.limits, self.limits);
        Caller {
            key: Some(Arc::new(found.key.record)),
            signs: found.signs,
            limits: TenantLimits {
                requests_per_minute: own.requests_per_minute.or(default.requests_per_minute),
                concurrent_jobs: own.concurrent_jobs.or(default.concurrent_jobs),
                storage_bytes: own.storage_bytes.or(default.storage_bytes),
                audio_minutes_per_day: own.audio_minutes_per_day.or(default.audio_minutes_per_day),
            },
        }
    }

    /// What is not found is not remembered: a new key is good at once.
    async fn look_up(&self, id: &str) -> Result<Option<Remembered>, Problem> {
        let remembered = self.remembered().get(id).filter(|known| known.since.elapsed() < TRUST).cloned();
        if remembered.is_some() {
            return Ok(remembered);
        }
        // Before it is asked for: what is revoked meanwhile is not trusted for longer.
        let since = Instant::now();
        let Some(key) = self.directory.key(id).await? else { return Ok(None) };
        let tenant = &key.record.tenant;
        let limits = self.directory.limits(tenant).await?;
        let signs = self.directory.signing(tenant).await?.signing(clock::now()).next().is_some();
        let found = Remembered { key, limits, signs, since };
        let mut remembered = self.remembered();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, known| known.since.elapsed() < TRUST);
        }
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(id.to_owned(), found.clone());
        }
        Ok(Some(found))
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The credentials of `Authorization: Bearer`; an empty text for those of another scheme.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, rest) = value.split_once(' ').unwrap_or_default();
    Some(if scheme.eq_ignore_ascii_case("bearer") { rest.trim() } else { "" })
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
}

impl From<LimiterError> for Problem {
    fn from(error: LimiterError) -> Self {
        match error {
            LimiterError::Redis(error) => StoreError::from(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearers_are_told_from_others() {
        for (value, found) in [
            ("Bearer sk_1", Some("sk_1")),
            ("bearer   sk_1 ", Some("sk_1")),
            ("Basic c2s=", Some("")),
            ("sk_1", Some("")),
            ("", Some("")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), found, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
