//! `GET /jobs/{id}/webhooks`: what the job's webhook was told and what came of it, and
//! `POST /jobs/{id}/webhooks/{webhook_id}/redeliver`: it is told once more.

use crate::access::Caller;
use crate::problem::{Code, Problem};
use crate::request::address::{JobInPath, WebhookInPath};
use crate::spec::Operation;
use crate::state::App;
use axum::extract::State;
use http::StatusCode;
use schemars::JsonSchema;
use scriptorium_contracts::job::{Input, JobHeader};
use scriptorium_contracts::webhook::{Webhook, WebhookError, WebhookEvent, WebhookState};
use scriptorium_contracts::{JobId, Timestamp};
use serde::Serialize;

#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhooksReply {
    parent_job_id: JobId,
    /// As it was given with the job; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    /// One a time that the job has ended, the oldest first; the latest eight.
    webhooks: Vec<Message>,
    /// Since when its receiver has been known to take nothing, in milliseconds since 1970: a message had been tried for a day in vain, or
    /// was answered with 410. From then on each is tried once, until one is taken, for 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_disabled_since_ms: Option<Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookMessage")]
pub struct Message {
    /// The `webhook-id` of each try.
    webhook_id: String,
    #[serde(rename = "type")]
    event: WebhookEvent,
    status: WebhookState,
    /// When the job ended. Milliseconds since 1970, as all times here.
    created_at_ms: Timestamp,
    /// When it is tried (again).
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at_ms: Option<Timestamp>,
    /// It is being tried now.
    in_delivery: bool,
    /// Tries since the job ended, or since it was last sent again by hand.
    attempts: u32,
    /// The latest sixteen.
    tries: Vec<Try>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookTry")]
struct Try {
    at_ms: Timestamp,
    duration_ms: u64,
    /// What the receiver answered; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<WebhookError>,
}

pub fn describe_list(operation: &mut Operation<'_>) {
    operation.says("job_webhooks", "webhooks", "What a job's webhook was told, and what came of it");
}

pub fn describe_redeliver(operation: &mut Operation<'_>) {
    operation
        .says("redeliver_webhook", "webhooks", "Sends a message once more")
        .problems(&[Code::WebhooksNotConfigured])
        .replies(&[(StatusCode::ACCEPTED, "It will be sent.")]);
}

pub async fn list(
    State(app): State<App>,
    caller: Caller,
    JobInPath(job): JobInPath,
) -> Result<axum::Json<WebhooksReply>, Problem> {
    let header = app.header(&caller, job).await?;
    let webhooks = header.webhooks.iter().map(|webhook| message(job, webhook)).collect();
    let receiver_disabled_since_ms = match &header.webhook_url {
        Some(url) => app.webhook_disabled_since(caller.tenant(), url).await?,
        None => None,
    };
    let webhook_url = header.webhook_url;
    Ok(axum::Json(WebhooksReply { parent_job_id: job, webhook_url, webhooks, receiver_disabled_since_ms }))
}

/// The delivery itself is the coordinator's; here it is asked for.
pub async fn redeliver(
    State(app): State<App>,
    caller: Caller,
    WebhookInPath(job, id): WebhookInPath,
) -> Result<(StatusCode, axum::Json<Message>), Problem> {
    let number = find(&app.header(&caller, job).await?, &id)?.number;
    if caller.webhooks(&app.config).is_none() {
        return Err(Problem::new(Code::WebhooksNotConfigured, NOT_CONFIGURED));
    }
    let header = app.jobs.advance(job, Input::RedeliverWebhook { webhook: number }).await?;
    tracing::info!(%job, webhook = number, "a webhook is to be sent again");
    Ok((StatusCode::ACCEPTED, axum::Json(message(job, find(&header, &id)?))))
}

/// What the operator has to do, for the one who asks.
pub const NOT_CONFIGURED: &str = "This server sends no webhooks, because it has no secret to sign them with. Its operator has \
                                  to set SCRIPTORIUM_WEBHOOK_SECRET, or to give your tenant a secret of its own.";

fn find<'a>(header: &'a JobHeader, id: &str) -> Result<&'a Webhook, Problem> {
    header.webhooks.iter().find(|webhook| webhook.id(header.id) == id).ok_or_else(|| {
        let detail = "The job has no such webhook message; GET /jobs/{id}/webhooks lists them.";
        Problem::new(Code::WebhookNotFound, detail)
    })
}

fn message(job: JobId, webhook: &Webhook) -> Message {
    let tries = webhook.tries.iter().map(|one| Try {
        at_ms: one.at,
        duration_ms: one.duration_ms,
        http_status: one.status,
        error: one.error,
    });
    let in_delivery = webhook.holder.is_some();
    Message {
        webhook_id: webhook.id(job),
        event: webhook.event,
        status: webhook.state,
        created_at_ms: webhook.at,
        next_try_at_ms: webhook.due.filter(|_| !in_delivery),
        in_delivery,
        attempts: webhook.attempts,
        tries: tries.collect(),
    }
}
