//! One try: a signed request, and what came of it.

use super::WebhookConfig;
use super::secret::Secrets;
use crate::outbound::{self, Reach, Trouble, check_url, retry_after};
use crate::store::StoreError;
use crate::tenants::Directory;
use reqwest::{Client, Response, header};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::job::JobHeader;
use scriptorium_contracts::webhook::{Webhook, WebhookError, WebhookTry};
use std::time::{Duration, Instant};

/// For name, connection and encryption.
const CONNECT: Duration = Duration::from_secs(8);
/// From the beginning to the end of the answer; well within the lease of a try.
const WHOLE: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read, to be polite, and thrown away.
const MAX_ANSWER: usize = 64 << 10;
/// How long that may take.
const ANSWER: Duration = Duration::from_secs(3);

/// Sends signed messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    /// Of the deployment.
    secrets: Secrets,
    /// Of the tenants.
    directory: Directory,
    reach: Reach,
}

/// What came of a try, and the milliseconds that the receiver asks us to wait.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub tried: WebhookTry,
    pub retry_after_ms: Option<u64>,
}

impl Sender {
    /// # Errors
    /// The system has no certificates to check others by.
    pub fn new(config: &WebhookConfig, directory: Directory) -> Result<Self, reqwest::Error> {
        let client = outbound::client(config.reach, CONNECT, WHOLE)?;
        Ok(Self { client, secrets: config.secrets.clone(), directory, reach: config.reach })
    }

    pub(super) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Tries once. `now` is what the message is signed for.
    ///
    /// # Errors
    /// The tenants' secrets can't be read.
    pub(super) async fn send(
        &self,
        header: &JobHeader,
        webhook: &Webhook,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let secrets = self.secrets(header, now).await?;
        let began = Instant::now();
        let answer = self.request(header, webhook, &secrets, now).await;
        let (status, error, retry_after_ms) = match answer {
            Ok(response) => {
                let (status, wait) = (response.status().as_u16(), retry_after(response.headers(), now));
                read_away(response).await;
                (Some(status), None, wait)
            }
            Err(error) => (None, Some(error), None),
        };
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Outcome { tried: WebhookTry { at: now, duration_ms, status, error }, retry_after_ms })
    }

    /// What signs for this job: its tenant's own secrets, where there are some, or else the deployment's.
    async fn secrets(&self, header: &JobHeader, now: Timestamp) -> Result<Secrets, StoreError> {
        let own = match &header.tenant {
            Some(tenant) => Secrets::of(self.directory.signing(tenant).await?.signing(now)),
            None => Ok(Secrets::default()),
        };
        let own = own.map_err(|error| StoreError::Internal { detail: error.to_string() })?;
        Ok(if own.is_empty() { self.secrets.clone() } else { own })
    }

    async fn request(
        &self,
        header: &JobHeader,
        webhook: &Webhook,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<Response, WebhookError> {
        if secrets.is_empty() {
            tracing::warn!(
                job = %header.id,
                "a webhook is due and nothing signs it: set SCRIPTORIUM_WEBHOOK_SECRET here, or give its tenant a secret"
            );
            return Err(WebhookError::NotSigned);
        }
        let url = header.webhook_url.as_deref().unwrap_or_default();
        // It was looked at when the job was made, maybe under other settings.
        let url = check_url(url, self.reach).map_err(|_| WebhookError::AddressRefused)?;
        // Numbers and names only: it can be written.
        let body = webhook.body(header.id).map_err(|_| WebhookError::ConnectionBroken)?;
        let (id, seconds) = (webhook.id(header.id), now.0 / 1_000);
        let request = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", secrets.sign(&id, seconds, &body))
            .body(body);
        request.send().await.map_err(|error| {
            // Addresses of webhooks are often secrets themselves.
            let error = error.without_url();
            tracing::debug!(job = %header.id, error = &error as &dyn std::error::Error, "a webhook was not answered");
            kind_of(&error)
        })
    }
}

fn kind_of(error: &reqwest::Error) -> WebhookError {
    match Trouble::of(error) {
        Trouble::NameNotResolved => WebhookError::NameNotResolved,
        Trouble::TimedOut => WebhookError::TimedOut,
        Trouble::ConnectFailed => WebhookError::ConnectFailed,
        Trouble::Broken => WebhookError::ConnectionBroken,
    }
}

/// Some of the answer's body, so that a receiver that is still writing it is not cut off at once.
async fn read_away(mut response: Response) {
    let reading = async {
        let mut read = 0;
        while read < MAX_ANSWER
            && let Ok(Some(piece)) = response.chunk().await
        {
            read += piece.len();
        }
    };
    if tokio::time::timeout(ANSWER, reading).await.is_err() {
        tracing::debug!("the answer to a webhook was not read to its end");
    }
}
