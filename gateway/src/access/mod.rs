//! Who calls, and what he may: keys, tenants, rates, quotas.
//!
//! [`guard`] stands before every route but the open ones. It makes a [`Caller`] of what the request brings, and handlers reach
//! jobs by [`App::header`], [`App::advance`] and [`App::create`], which want one: a job that is not the caller's is not there.

mod guard;
mod keeper;
mod quotas;
mod stream_token;

use crate::config::GatewayConfig;
use crate::problem::{Code, Problem};
use crate::state::App;
use axum::extract::FromRequestParts;
pub use guard::{guard, rate_headers};
use http::request::Parts;
pub use keeper::Keeper;
use scriptorium_contracts::job::{Input, JobHeader, NewJob};
use scriptorium_contracts::tenant::{KeyRecord, TenantLimits, TenantName};
use scriptorium_contracts::{JobId, Timestamp};
use scriptorium_shared::clock;
use scriptorium_shared::jobs::{CreatedJob, Deleted};
use scriptorium_shared::outbound::Reach;
use scriptorium_shared::store::Idempotency;
use scriptorium_shared::tenants::{Bounds, Receiver};
use std::sync::Arc;

/// Who makes a request.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// `None`: no key was asked for, and none was given.
    key: Option<Arc<KeyRecord>>,
    /// The tenant's own where it has some, else the server's.
    limits: TenantLimits,
    /// Whether the tenant has a secret of its own that signs webhooks.
    signs: bool,
}

impl Caller {
    pub fn tenant(&self) -> Option<&TenantName> {
        self.key.as_ref().map(|key| &key.tenant)
    }

    /// Whether a job is there for this caller.
    pub fn owns(&self, header: &JobHeader) -> bool {
        header.tenant.as_ref() == self.tenant()
    }

    /// Where this caller's jobs may have their webhooks; `None`: nowhere, because nothing would sign them.
    pub fn webhooks(&self, config: &GatewayConfig) -> Option<Reach> {
        (self.signs || config.webhooks_signed).then_some(config.webhook_reach)
    }

    /// The address of a job's live stream, as this caller can open it without a header.
    pub fn stream_url(&self, config: &GatewayConfig, job: JobId) -> String {
        stream_token::address(config, self.key.as_deref(), job, clock::now())
    }

    fn bounds(&self) -> Bounds {
        let TenantLimits { requests_per_minute: _, concurrent_jobs, storage_bytes, audio_minutes_per_day } =
            self.limits;
        Bounds {
            open_jobs: concurrent_jobs.filter(|most| *most > 0),
            bytes: storage_bytes.filter(|most| *most > 0),
            audio_ms_per_day: audio_minutes_per_day
                .filter(|most| *most > 0)
                .map(|minutes| u64::from(minutes) * 60_000),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        of(&parts.extensions)
    }
}

/// The caller that [`guard`] has found.
fn of(extensions: &http::Extensions) -> Result<Caller, Problem> {
    extensions.get::<Caller>().cloned().ok_or_else(|| {
        tracing::error!("a route that wants a caller is not guarded");
        Problem::new(Code::Internal, "The service met a defect of its own; its log has the details.")
    })
}

impl App {
    /// The job as it is now, or the problem `job_not_found`, also if it is another's.
    pub async fn header(&self, caller: &Caller, job: JobId) -> Result<JobHeader, Problem> {
        let header = self.jobs.header(job).await?.filter(|header| caller.owns(header));
        header.ok_or_else(|| Problem::job_not_found(job))
    }

    /// Lets something happen to a job of the caller's.
    pub async fn advance(&self, caller: &Caller, job: JobId, input: Input) -> Result<JobHeader, Problem> {
        self.header(caller, job).await?;
        Ok(self.jobs.advance(job, input).await?)
    }

    /// Makes a job for the caller, within his quotas. The key has to be one of [`crate::request::idempotency`], by which tenants'
    /// keys are apart.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewJob,
        key: Option<Idempotency>,
    ) -> Result<CreatedJob, Problem> {
        // A repetition takes nothing of a quota, and is not refused where one is used up.
        if let Some(before) = self.made_before(caller, key.as_ref()).await? {
            return Ok(before);
        }
        let webhook_disabled_since = match &new.webhook_url {
            Some(url) => self.webhook_disabled_since(caller.tenant(), url).await?,
            None => None,
        };
        let new = NewJob { tenant: caller.tenant().cloned(), webhook_disabled_since, ..new };
        let job = new.id;
        quotas::reserve(self, caller, job, new.layout.total_size()).await?;
        // After an error nobody knows whether it was made: the ledger finds out by itself.
        let created = self.jobs.create(new, key).await?;
        match created {
            CreatedJob::New(_) => return Ok(created),
            CreatedJob::Existing(_) | CreatedJob::KeyReused => quotas::release(self, caller, job).await,
        }
        Ok(seen_by(caller, created))
    }

    /// Since when a receiver has been known to take nothing.
    pub async fn webhook_disabled_since(
        &self,
        tenant: Option<&TenantName>,
        url: &str,
    ) -> Result<Option<Timestamp>, Problem> {
        let receiver = Receiver::of(tenant, url);
        Ok(self.access.directory.disabled_since(&receiver, clock::now()).await?)
    }

    /// The job that the caller's key has made before, if it is there.
    pub async fn made_before(
        &self,
        caller: &Caller,
        key: Option<&Idempotency>,
    ) -> Result<Option<CreatedJob>, Problem> {
        let Some(key) = key else { return Ok(None) };
        Ok(self.jobs.made_before(key).await?.map(|created| seen_by(caller, created)))
    }

    /// Deletes a job of the caller's, with all that is stored of it.
    pub async fn delete(&self, caller: &Caller, job: JobId) -> Result<Deleted, Problem> {
        let header = self.header(caller, job).await?;
        // Before it is gone: what was heard of it counts for its day.
        quotas::note(self, caller, &header).await?;
        let deleted = self.jobs.delete(job, self.config.url_expiry).await?;
        quotas::release(self, caller, job).await;
        Ok(deleted)
    }
}

/// A job of somebody else's is none.
fn seen_by(caller: &Caller, created: CreatedJob) -> CreatedJob {
    match created {
        CreatedJob::Existing(header) if !caller.owns(&header) => CreatedJob::KeyReused,
        CreatedJob::New(_) | CreatedJob::Existing(_) | CreatedJob::KeyReused => created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn only_his_own_jobs_are_there_for_a_caller() {
        let caller = |name: &str| {
            let key = scriptorium_shared::tenants::NewKey::random(
                name.parse().unwrap(),
                None,
                scriptorium_contracts::Timestamp(0),
                None,
            );
            Caller { key: Some(Arc::new(key.record)), ..Caller::default() }
        };
        let mut header = testing::header(3);
        assert!(Caller::default().owns(&header) && !caller("acme").owns(&header));
        header.tenant = Some("acme".parse().unwrap());
        assert!(caller("acme").owns(&header));
        assert!(!Caller::default().owns(&header) && !caller("acme2").owns(&header));
    }

    #[test]
    fn a_limit_of_0_is_none() {
        let limits = TenantLimits {
            requests_per_minute: Some(0),
            concurrent_jobs: Some(0),
            storage_bytes: Some(7),
            audio_minutes_per_day: Some(2),
        };
        let bounds = Caller { limits, ..Caller::default() }.bounds();
        assert_eq!(bounds, Bounds { open_jobs: None, bytes: Some(7), audio_ms_per_day: Some(120_000) });
    }
}
