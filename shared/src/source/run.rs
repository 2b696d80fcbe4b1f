//! Takes what is due, fetches it, and has it recorded if it was not to be had.

use super::fetch::{Ended, Failed, Fetch};
use super::{DueSource, DueSources, Fetcher};
use crate::due::{AtOnce, Due};
use crate::jobs::{Jobs, JobsError};
use futures::future::BoxFuture;
use scriptorium_contracts::job::{Input, JobHeader, SOURCE_LEASE_MS};
use scriptorium_contracts::source::{FetchEnd, Source};
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// For those that are under way at the end to say that they have stopped; who does not is taken to be dead.
const GRACE: Duration = Duration::from_secs(3);
/// Three signs of life a lease.
const SIGN: Duration = Duration::from_millis(SOURCE_LEASE_MS / 3);

/// Fetches what the sweep of these `jobs` finds due, until `shutdown`.
pub fn run(jobs: Jobs, fetcher: Option<Fetcher>, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        match fetcher {
            Some(fetcher) => fetch_all(&jobs, &fetcher, &shutdown).await,
            None => stand_by(&jobs.due_sources, &shutdown).await,
        }
    })
}

/// Nothing is fetched here. What is due stays remembered.
async fn stand_by(due: &DueSources, shutdown: &CancellationToken) {
    if shutdown.run_until_cancelled(due.changed()).await.is_some() {
        tracing::error!("recordings are to be fetched, and this process may not: see --source-fetches");
        shutdown.cancelled().await;
    }
}

async fn fetch_all(jobs: &Jobs, fetcher: &Fetcher, shutdown: &CancellationToken) {
    let all = fetcher.at_once as usize;
    // One slow server does not keep the others waiting, nor do all those together from which a fetch can't make way.
    let at_once = AtOnce { all, each: all.div_ceil(2) };
    let mut under_way = JoinSet::new();
    loop {
        while let Some((due, place)) = jobs.due_sources.take(at_once) {
            let (jobs, fetcher, shutdown) = (jobs.clone(), fetcher.clone(), shutdown.clone());
            under_way.spawn(async move {
                if let Err(error) = attempt(&jobs, &fetcher, &due, &shutdown).await {
                    let job = due.key.job;
                    tracing::warn!(%job, %error, "a fetch is left to a later sweep");
                }
                drop(place);
            });
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = jobs.due_sources.changed() => {}
            Some(ended) = under_way.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a fetch ended abnormally");
                }
            }
        }
    }
    let ending = async { while under_way.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ending).await.is_err() {
        tracing::info!(cut_off = under_way.len(), "fetches under way go on later");
    }
}

/// One try. It is taken first: if another process has it, or it is outdated, there is nothing to do.
async fn attempt(
    jobs: &Jobs,
    fetcher: &Fetcher,
    due: &Due<DueSource>,
    shutdown: &CancellationToken,
) -> Result<(), JobsError> {
    let (key, DueSource { token }) = (due.key, due.what);
    let by = uuid::Uuid::new_v4().as_u64_pair().1;
    let header = match jobs.advance(key.job, Input::SourceTaken { token, by }).await {
        // Deleted, or its time is over.
        Err(JobsError::NoSuchJob(_)) => return Ok(jobs.store.effect_done(key.job, key.number).await?),
        header => header?,
    };
    // If it is not mine: the sweep drops what is outdated.
    let Some(source) = mine(&header, by).cloned() else { return Ok(()) };
    // A later effect is remembered since, due when this try would be lost.
    jobs.store.effect_done(key.job, key.number).await?;
    let server = source.origin.server().to_owned();
    tracing::info!(job = %key.job, server, attempt = source.attempts, "a recording is fetched");
    let Some((token, end)) = fetch_with_signs(jobs, fetcher, (header, source), by, shutdown).await? else {
        return Ok(());
    };
    match &end {
        FetchEnd::Yielded => tracing::info!(job = %key.job, "a fetch makes way for others"),
        FetchEnd::Later { failure, .. } | FetchEnd::Over(failure) => {
            let (job, code, detail) = (key.job, failure.code, failure.detail.as_str());
            tracing::info!(%job, server, ?code, detail, "a fetch has failed");
        }
    }
    match jobs.advance(key.job, Input::SourceTried { token, end }).await {
        // Deleted while it was fetched.
        Err(JobsError::NoSuchJob(_)) => Ok(()),
        after => after.map(drop),
    }
}

/// Fetches, and gives signs of life meanwhile. `None`: there is nothing more to do, or others have it now; else the token that is
/// good at the end, and what the job is to be told.
async fn fetch_with_signs(
    jobs: &Jobs,
    fetcher: &Fetcher,
    (header, source): (JobHeader, Source),
    by: u64,
    shutdown: &CancellationToken,
) -> Result<Option<(u32, FetchEnd)>, JobsError> {
    let (job, mut token) = (header.id, source.token);
    let mut fetch = Fetch { jobs, fetcher, header, source };
    let mut fetching = pin!(fetch.run(|| jobs.due_sources.is_waited_for()));
    let mut signs = tokio::time::interval_at(tokio::time::Instant::now() + SIGN, SIGN);
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = &mut fetching => return match ended {
                Ok(Ended::Done) => Ok(None),
                Ok(Ended::Yielded) => Ok(Some((token, FetchEnd::Yielded))),
                Err(failed) => match (failed.end(), failed) {
                    (Some(end), _) => Ok(Some((token, end))),
                    // Deleted while it was fetched.
                    (None, Failed::Jobs(JobsError::NoSuchJob(_)) | Failed::Source(_)) => Ok(None),
                    (None, Failed::Jobs(error)) => Err(error),
                },
            },
            () = shutdown.cancelled() => return Ok(Some((token, FetchEnd::Yielded))),
            _ = signs.tick() => match jobs.advance(job, Input::SourceTaken { token, by }).await {
                Ok(header) => match mine(&header, by) {
                    Some(source) => token = source.token,
                    None => return Ok(None),
                },
                Err(JobsError::NoSuchJob(_)) => return Ok(None),
                // If it stays away, the lease ends, and the next sign finds another's token.
                Err(error) => tracing::warn!(%job, %error, "a fetch could not give a sign of life"),
            },
        }
    }
}

fn mine(header: &JobHeader, by: u64) -> Option<&Source> {
    let holder = |source: &&Source| source.holder.is_some_and(|holder| holder.by == by);
    header.source.as_ref().filter(|_| !header.state.is_final()).filter(holder)
}
