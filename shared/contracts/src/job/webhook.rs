//! Telling the job's webhook of its end: decided here with the state, tried outside, and tried again.
//!
//! A try is taken before it is made, by a commit: of several coordinators one makes it. Who has taken it and is not heard of
//! for [`WEBHOOK_LEASE_MS`] is taken to be dead, and the message is due again.

use super::change::Change;
use super::{Effect, retry};
use crate::webhook::{
    MAX_TRIES_KEPT, MAX_WEBHOOKS, Webhook, WebhookError, WebhookEvent, WebhookHolder, WebhookState,
    WebhookTry, receiver,
};

/// Milliseconds that a try may take, from the commit that takes it to the one that tells its outcome.
pub const WEBHOOK_LEASE_MS: u64 = 30_000;
/// Milliseconds from a failed try to the next one: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h. After that it is given up.
const PAUSES_MS: [u64; 7] = [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000];
/// The longest that a receiver may ask us to wait.
const MAX_RETRY_AFTER_MS: u64 = 12 * 3_600_000;

/// Milliseconds from the end of try number `attempt` (1 = the first) to the next; `None` if there is none. With up to 20 % of
/// jitter, made of `seed`; not before the time that the receiver asks for, within bounds.
pub fn webhook_pause_ms(attempt: u32, retry_after_ms: Option<u64>, seed: u64) -> Option<u64> {
    let pause = *PAUSES_MS.get(attempt.checked_sub(1)? as usize)?;
    let asked = retry_after_ms.unwrap_or(0).min(MAX_RETRY_AFTER_MS);
    Some(retry::jitter(pause.max(asked), seed))
}

/// The job has ended: a message is made, if it has a webhook.
pub(super) fn tell(change: &mut Change<'_>) {
    let header = &mut change.header;
    let Some(event) = WebhookEvent::of(header.state).filter(|_| header.webhook_url.is_some()) else { return };
    // A receiver that wants no more gets no more, unless a person has it sent.
    let gone = header.webhooks.iter().any(|webhook| webhook.state == WebhookState::Gone);
    let number = header.webhooks.last().map_or(0, |webhook| webhook.number).saturating_add(1);
    header.webhooks.push(Webhook {
        number,
        event,
        at: change.now,
        state: if gone { WebhookState::Gone } else { WebhookState::Pending },
        token: 1,
        attempts: 0,
        due: (!gone).then_some(change.now),
        holder: None,
        tries: Vec::new(),
    });
    // Of a job that is taken up again and again the oldest end is forgotten: the later ones say more.
    let excess = header.webhooks.len().saturating_sub(MAX_WEBHOOKS);
    header.webhooks.drain(..excess);
    if !gone {
        remember(change, number, 1, 0);
    }
}

fn remember(change: &mut Change<'_>, webhook: u32, token: u32, delay_ms: u64) {
    let job = change.header.id;
    let receiver = receiver(change.header.webhook_url.as_deref().unwrap_or_default()).to_owned();
    change.effect(Effect::DeliverWebhook { job, webhook, token, receiver }, delay_ms);
}

/// The message that carries this token, if it is still to be delivered.
fn current<'a>(change: &'a mut Change<'_>, number: u32, token: u32) -> Option<&'a mut Webhook> {
    let pending = |webhook: &&mut Webhook| {
        webhook.number == number && webhook.token == token && webhook.state == WebhookState::Pending
    };
    change.header.webhooks.iter_mut().find(pending)
}

/// Someone is about to try.
pub(super) fn taken(change: &mut Change<'_>, number: u32, token: u32, by: u64) {
    let (now, until) = (change.now, change.now.plus(WEBHOOK_LEASE_MS));
    let Some(webhook) = current(change, number, token).filter(|one| one.due.is_some_and(|due| due <= now))
    else {
        return;
    };
    end_holder(webhook);
    webhook.token = token.saturating_add(1);
    if webhook.attempts as usize > PAUSES_MS.len() {
        // All tries were interrupted.
        settle(webhook, WebhookState::GivenUp);
        return;
    }
    webhook.attempts += 1;
    webhook.holder = Some(WebhookHolder { by, since: now, until });
    webhook.due = Some(until);
    let token = webhook.token;
    remember(change, number, token, WEBHOOK_LEASE_MS);
}

/// What came of a try.
pub(super) struct Outcome {
    pub tried: WebhookTry,
    pub retry_after_ms: Option<u64>,
    /// There is no next one.
    pub last: bool,
}

/// The outcome of a try.
pub(super) fn tried(change: &mut Change<'_>, number: u32, token: u32, outcome: Outcome) {
    let Outcome { tried, retry_after_ms, last } = outcome;
    let (now, job) = (change.now, change.header.id);
    let Some(webhook) = current(change, number, token).filter(|one| one.holder.is_some()) else { return };
    let status = tried.status;
    log(webhook, tried);
    webhook.holder = None;
    webhook.token = token.saturating_add(1);
    let seed = (job.as_uuid().as_u64_pair().1).wrapping_add(u64::from(webhook.attempts));
    let pause = webhook_pause_ms(webhook.attempts, retry_after_ms, seed).filter(|_| !last);
    match (status, pause) {
        (Some(200..=299), _) => settle(webhook, WebhookState::Delivered),
        (Some(410), _) => settle(webhook, WebhookState::Gone),
        (Some(_) | None, None) => settle(webhook, WebhookState::GivenUp),
        (Some(_) | None, Some(pause)) => {
            webhook.due = Some(now.plus(pause));
            let token = webhook.token;
            remember(change, number, token, pause);
        }
    }
}

/// A person wants it sent now, whatever has become of it. Nothing to do while it is due or being tried.
pub(super) fn redeliver(change: &mut Change<'_>, number: u32) {
    let now = change.now;
    let Some(webhook) = change.header.webhooks.iter_mut().find(|webhook| webhook.number == number) else {
        return;
    };
    let under_way = webhook.holder.is_some_and(|holder| holder.until > now);
    let is_due = webhook.holder.is_none() && webhook.due.is_some_and(|due| due <= now);
    if under_way || is_due {
        return;
    }
    end_holder(webhook);
    webhook.state = WebhookState::Pending;
    webhook.token = webhook.token.saturating_add(1);
    webhook.attempts = 0;
    webhook.due = Some(now);
    let token = webhook.token;
    remember(change, number, token, 0);
}

fn settle(webhook: &mut Webhook, state: WebhookState) {
    webhook.state = state;
    webhook.due = None;
}

/// Whoever held it has not told how it went.
fn end_holder(webhook: &mut Webhook) {
    if let Some(WebhookHolder { since, until, .. }) = webhook.holder.take() {
        let duration_ms = until.since(since);
        let error = Some(WebhookError::Interrupted);
        log(webhook, WebhookTry { at: since, duration_ms, status: None, error });
    }
}

fn log(webhook: &mut Webhook, outcome: WebhookTry) {
    webhook.tries.push(outcome);
    let excess = webhook.tries.len().saturating_sub(MAX_TRIES_KEPT);
    webhook.tries.drain(..excess);
}
