//! Quotas of tenants: jobs at once, bytes in storage, minutes of audio a day.
//!
//! The ledger of the directory is asked before a job is made. It may hold jobs that have ended since: each request for a job looks
//! at some of the oldest entries, and one that would be refused at many, before it is.

use super::Caller;
use crate::problem::{Code, Problem};
use crate::state::App;
use futures::{StreamExt, TryStreamExt, stream};
use scriptorium_contracts::job::JobHeader;
use scriptorium_contracts::tenant::TenantName;
use scriptorium_contracts::{JobId, Timestamp};
use scriptorium_shared::clock;
use scriptorium_shared::tenants::{Bounds, Entry, Ledger, Look, Quota, Reserved, StaleEntry, day_of};
use std::time::Duration;

/// Entries that are looked at for each new job, and for one that would be refused. More than one that comes in, so that the
/// ledger grows no faster than it is cleared.
const SOME: u32 = 16;
const MANY: u32 = 256;
/// Of these at the same time.
const AT_ONCE: usize = 16;
/// Milliseconds for which an entry may be there before its job is.
const MAKING_MS: u64 = 120_000;
/// When a tenant with too many jobs may try again.
const JOB_PAUSE: Duration = Duration::from_secs(10);
/// Milliseconds. Longer ones are a mistake of their container.
const LONGEST_AUDIO_MS: f64 = 1e12;

/// Enters a job into its tenant's ledger, or tells which quota is used up.
pub async fn reserve(app: &App, caller: &Caller, job: JobId, bytes: u64) -> Result<(), Problem> {
    let Some(tenant) = caller.tenant() else { return Ok(()) };
    let (bounds, entry) = (caller.bounds(), Entry { job, bytes, at: clock::now() });
    settle(app, tenant, SOME).await?;
    if let Reserved::Done = app.access.directory.reserve(tenant, entry, bounds).await? {
        return Ok(());
    }
    settle(app, tenant, MANY).await?;
    match app.access.directory.reserve(tenant, entry, bounds).await? {
        Reserved::Done => Ok(()),
        Reserved::Refused(quota, ledger) => {
            tracing::info!(%tenant, ?quota, "a job was refused: a quota is used up");
            Err(refusal(quota, &ledger, &bounds, bytes, entry.at))
        }
    }
}

/// There will be no such job, or is none any more. What fails here is found out later.
pub async fn release(app: &App, caller: &Caller, job: JobId) {
    let Some(tenant) = caller.tenant() else { return };
    if let Err(error) = app.access.directory.look(tenant, job, Look::Gone, clock::now()).await {
        tracing::warn!(%job, %error, "a job could not be taken out of its tenant's ledger; that is done later");
    }
}

/// Tells the ledger how a job is.
pub async fn note(app: &App, caller: &Caller, header: &JobHeader) -> Result<(), Problem> {
    let Some(tenant) = caller.tenant() else { return Ok(()) };
    Ok(app.access.directory.look(tenant, header.id, look(header), clock::now()).await?)
}

/// Looks at the entries that nobody has looked at for longest.
async fn settle(app: &App, tenant: &TenantName, entries: u32) -> Result<(), Problem> {
    let stale = app.access.directory.stale(tenant, entries).await?;
    stream::iter(stale)
        .map(Ok::<_, Problem>)
        .try_for_each_concurrent(AT_ONCE, |entry| async move {
            let header = app.jobs.header(entry.job).await?;
            let now = clock::now();
            match found(&entry, header.as_ref(), now) {
                Some(look) => Ok(app.access.directory.look(tenant, entry.job, look, now).await?),
                None => Ok(()),
            }
        })
        .await
}

/// `None`: the job may just be being made.
fn found(entry: &StaleEntry, header: Option<&JobHeader>, now: Timestamp) -> Option<Look> {
    match header {
        Some(header) => Some(look(header)),
        None => (now.since(entry.at) > MAKING_MS).then_some(Look::Gone),
    }
}

fn look(header: &JobHeader) -> Look {
    Look::There { open: !header.state.is_final(), kept: !header.objects_released, audio_ms: audio_ms(header) }
}

/// The length of the recording: of the transcript, if there is one, otherwise as its container tells it.
fn audio_ms(header: &JobHeader) -> u64 {
    let told = || header.media.as_ref().and_then(|media| media.duration_seconds);
    let seconds = header.summary.as_ref().map(|summary| summary.duration).or_else(told).unwrap_or(0.0);
    // Not a number becomes 0.
    (seconds * 1_000.0).clamp(0.0, LONGEST_AUDIO_MS) as u64
}

fn refusal(quota: Quota, ledger: &Ledger, bounds: &Bounds, bytes: u64, now: Timestamp) -> Problem {
    match quota {
        Quota::OpenJobs => {
            let most = bounds.open_jobs.unwrap_or_default();
            let detail = format!("The tenant has {} jobs under way, and may have {most}.", ledger.open_jobs);
            Problem::new(Code::TooManyJobs, detail).with("limit", most).after(JOB_PAUSE)
        }
        Quota::Bytes => {
            let most = bounds.bytes.unwrap_or_default();
            let detail = format!(
                "The tenant's recordings take up {} bytes of its {most}; {bytes} more do not fit.",
                ledger.bytes
            );
            Problem::new(Code::StorageQuotaExceeded, detail).with("limit", most).with("used", ledger.bytes)
        }
        Quota::Audio => {
            let (most, used) =
                (bounds.audio_ms_per_day.unwrap_or_default() / 60_000, ledger.audio_ms / 60_000);
            let detail =
                format!("The tenant's jobs of this day (UTC) have {used} minutes of audio, of {most}.");
            let midnight = Timestamp((day_of(now) + 1).saturating_mul(86_400_000));
            Problem::new(Code::AudioQuotaExceeded, detail)
                .with("limit", most)
                .with("used", used)
                .after(Duration::from_millis(midnight.since(now)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use axum::response::IntoResponse;
    use http::header::RETRY_AFTER;
    use scriptorium_contracts::job::JobState;

    #[test]
    fn a_job_counts_as_what_it_is() {
        let mut header = testing::header(3);
        assert_eq!(look(&header), Look::There { open: true, kept: true, audio_ms: 0 });
        header.media = Some(scriptorium_shared::testing::media());
        header.media.as_mut().unwrap().duration_seconds = Some(12.5);
        assert_eq!(audio_ms(&header), 12_500);
        for (strange, counted) in [(f64::NAN, 0), (-1.0, 0), (f64::INFINITY, 1_000_000_000_000)] {
            header.media.as_mut().unwrap().duration_seconds = Some(strange);
            assert_eq!(audio_ms(&header), counted);
        }
        header.state = JobState::Failed;
        header.objects_released = true;
        header.media = None;
        assert_eq!(look(&header), Look::There { open: false, kept: false, audio_ms: 0 });
    }

    #[test]
    fn a_job_that_is_not_there_yet_is_waited_for() {
        let entry = StaleEntry { job: testing::header(1).id, at: Timestamp(1_000) };
        assert_eq!(found(&entry, None, Timestamp(1_000 + MAKING_MS)), None);
        assert_eq!(found(&entry, None, Timestamp(1_001 + MAKING_MS)), Some(Look::Gone));
    }

    #[test]
    fn who_has_to_wait_is_told_how_long() {
        let bounds = Bounds { open_jobs: Some(2), bytes: Some(10), audio_ms_per_day: Some(600_000) };
        let ledger = Ledger { open_jobs: 2, bytes: 8, audio_ms: 660_000 };
        // Ten seconds before midnight.
        let now = Timestamp(86_400_000 * 20_000 - 10_000);
        let reply = |quota| refusal(quota, &ledger, &bounds, 3, now).into_response();
        assert_eq!(reply(Quota::Audio).headers()[RETRY_AFTER], "10");
        assert_eq!(reply(Quota::OpenJobs).headers()[RETRY_AFTER], "10");
        let storage = reply(Quota::Bytes);
        assert_eq!((storage.status().as_u16(), storage.headers().get(RETRY_AFTER)), (403, None));
    }
}
