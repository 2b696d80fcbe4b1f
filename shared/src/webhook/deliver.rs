//! Takes what is due, tries it, and has the outcome recorded.

use super::{DueWebhook, Sender};
use crate::clock;
use crate::due::{AtOnce, Due};
use crate::jobs::{Jobs, JobsError};
use crate::store::StoreError;
use crate::tenants::{Directory, Receiver};
use futures::future::BoxFuture;
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::Input;
use scriptorium_contracts::webhook::{Webhook, WebhookState};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// For tries that are under way at the end; one that is cut off is made again when its lease has ended.
const GRACE: Duration = Duration::from_secs(3);
const AT_ONCE: AtOnce = AtOnce { all: 64, each: 4 };

/// Delivers what the sweep of these `jobs` finds due, until `shutdown`.
pub fn run(jobs: Jobs, sender: Sender, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
    Box::pin(async move { deliver_all(&jobs, &sender, &shutdown).await })
}

async fn deliver_all(jobs: &Jobs, sender: &Sender, shutdown: &CancellationToken) {
    let mut under_way = JoinSet::new();
    loop {
        while let Some((due, place)) = jobs.due_webhooks.take(AT_ONCE) {
            let (jobs, sender) = (jobs.clone(), sender.clone());
            under_way.spawn(async move {
                if let Err(error) = deliver(&jobs, &sender, &due).await {
                    let job = due.key.job;
                    tracing::warn!(%job, %error, "a webhook is left to a later sweep");
                }
                drop(place);
            });
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = jobs.due_webhooks.changed() => {}
            Some(ended) = under_way.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the delivery of a webhook ended abnormally");
                }
            }
        }
    }
    let ending = async { while under_way.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ending).await.is_err() {
        tracing::info!(cut_off = under_way.len(), "webhooks under way are tried again later");
    }
}

/// One try. It is taken first: if another process has it, or it is outdated, there is nothing to do.
async fn deliver(jobs: &Jobs, sender: &Sender, due: &Due<DueWebhook>) -> Result<(), JobsError> {
    let (key, DueWebhook { webhook: number, token }) = (due.key, due.what);
    let by = uuid::Uuid::new_v4().as_u64_pair().1;
    let header = match jobs.advance(key.job, Input::WebhookTaken { webhook: number, token, by }).await {
        // Deleted, or its time is over.
        Err(JobsError::NoSuchJob(_)) => return Ok(jobs.store.effect_done(key.job, key.number).await?),
        header => header?,
    };
    let Some(webhook) = header.webhook(number).filter(|webhook| is_mine(webhook, by)) else {
        // The sweep drops what is outdated.
        return Ok(());
    };
    // A later effect is remembered since, due when this try must have ended.
    jobs.store.effect_done(key.job, key.number).await?;
    // Where nobody can say who signs, the try is lost as with its process.
    let receiver = Receiver::of(header.tenant.as_ref(), header.webhook_url.as_deref().unwrap_or_default());
    let disabled = sender.directory().disabled_since(&receiver, clock::now()).await?;
    let outcome = sender.send(&header, webhook, clock::now()).await?;
    let tried = Input::WebhookTried {
        webhook: number,
        token: webhook.token,
        outcome: outcome.tried.clone(),
        retry_after_ms: outcome.retry_after_ms,
        last: disabled.is_some(),
    };
    let after = match jobs.advance(key.job, tried).await {
        // Deleted while it was told.
        Err(JobsError::NoSuchJob(_)) => return Ok(()),
        after => after?,
    };
    let state = after.webhook(number).map(|webhook| webhook.state);
    remember(sender.directory(), &receiver, disabled, state, due).await?;
    let (job, status, error) = (key.job, outcome.tried.status, outcome.tried.error);
    let (receiver, attempt) = (due.server.as_str(), webhook.attempts);
    match state {
        Some(WebhookState::Delivered) => tracing::info!(%job, receiver, attempt, "a webhook is delivered"),
        Some(WebhookState::GivenUp | WebhookState::Gone) => {
            tracing::warn!(%job, receiver, attempt, status, ?error, "a webhook is given up");
        }
        Some(WebhookState::Pending) | None => {
            tracing::info!(%job, receiver, attempt, status, ?error, "a webhook was not taken and is tried again");
        }
    }
    Ok(())
}

/// What is known of a receiver from now on. Lost if the process dies here: then the next message finds it out again.
async fn remember(
    directory: &Directory,
    receiver: &Receiver,
    disabled: Option<Timestamp>,
    state: Option<WebhookState>,
    due: &Due<DueWebhook>,
) -> Result<(), StoreError> {
    let (job, server) = (due.key.job, due.server.as_str());
    match (state, disabled) {
        (Some(WebhookState::Delivered), Some(_)) => {
            tracing::info!(%job, server, "a receiver of webhooks is enabled again");
            directory.enable(receiver).await
        }
        (Some(WebhookState::GivenUp | WebhookState::Gone), None) => {
            tracing::warn!(%job, server, "a receiver of webhooks is disabled: it has taken nothing for a day, or wants no more");
            directory.disable(receiver, clock::now()).await
        }
        (Some(WebhookState::GivenUp | WebhookState::Gone), Some(_))
        | (Some(WebhookState::Delivered), None)
        | (Some(WebhookState::Pending) | None, _) => Ok(()),
    }
}

fn is_mine(webhook: &Webhook, by: u64) -> bool {
    webhook.holder.is_some_and(|holder| holder.by == by)
}
