//! What a job's webhook is told, and what has become of it. The form of the body is that of Standard Webhooks: type,
//! timestamp, and little data; who wants more asks the API.

use crate::job::JobState;
use crate::{JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// Messages that a job remembers. It has more than one if it was taken up again after its end.
pub const MAX_WEBHOOKS: usize = 8;
/// Tries that are remembered of a message, the latest.
pub const MAX_TRIES_KEPT: usize = 16;

/// What happened. The names are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WebhookEvent {
    #[serde(rename = "job.completed")]
    Completed,
    #[serde(rename = "job.completed_with_errors")]
    CompletedWithErrors,
    #[serde(rename = "job.failed")]
    Failed,
    #[serde(rename = "job.cancelled")]
    Cancelled,
    #[serde(rename = "job.expired")]
    Expired,
}

impl WebhookEvent {
    /// `None` for a state that is no end.
    pub const fn of(state: JobState) -> Option<Self> {
        match state {
            JobState::Completed => Some(Self::Completed),
            JobState::CompletedWithErrors => Some(Self::CompletedWithErrors),
            JobState::Failed => Some(Self::Failed),
            JobState::Cancelled => Some(Self::Cancelled),
            JobState::Expired => Some(Self::Expired),
            JobState::Created | JobState::Uploading | JobState::Processing | JobState::Assembling => None,
        }
    }

    const fn state(self) -> JobState {
        match self {
            Self::Completed => JobState::Completed,
            Self::CompletedWithErrors => JobState::CompletedWithErrors,
            Self::Failed => JobState::Failed,
            Self::Cancelled => JobState::Cancelled,
            Self::Expired => JobState::Expired,
        }
    }

    const fn has_transcript(self) -> bool {
        match self {
            Self::Completed | Self::CompletedWithErrors => true,
            Self::Failed | Self::Cancelled | Self::Expired => false,
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WebhookState {
    /// Not taken yet; it is tried (again) when it is due.
    Pending,
    Delivered,
    /// Tried for a day in vain. Only a person has it sent again.
    GivenUp,
    /// The receiver has answered 410: it wants no more.
    Gone,
}

/// Why a try had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WebhookError {
    /// The address is not one of the public network, or not one of https.
    AddressRefused,
    /// The name has no address.
    NameNotResolved,
    /// No connection, or no secure one.
    ConnectFailed,
    TimedOut,
    /// The connection broke, or what came was no HTTP.
    ConnectionBroken,
    /// The process that tried has ended; whether the receiver got it is not known.
    Interrupted,
    /// Nothing signs: neither the tenant nor the server has a secret.
    NotSigned,
}

/// One try. Either `status` or `error` is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTry {
    /// When it began.
    pub at: Timestamp,
    /// Milliseconds.
    pub duration_ms: u64,
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WebhookError>,
}

/// Who is trying now, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookHolder {
    /// A number of its own choice.
    pub by: u64,
    pub since: Timestamp,
    /// Then the try is taken to be lost with its process.
    pub until: Timestamp,
}

/// A message and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Counts the job's messages from 1.
    pub number: u32,
    pub event: WebhookEvent,
    /// When it happened.
    pub at: Timestamp,
    pub state: WebhookState,
    /// Fencing token: what carries an older one is ignored.
    pub token: u32,
    /// Tries that were begun since the message was made, or since a person had it sent again.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<WebhookHolder>,
    /// The latest [`MAX_TRIES_KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<WebhookTry>,
}

/// The body. Its fields are written in this order.
#[derive(Debug, Serialize)]
struct Body {
    #[serde(rename = "type")]
    event: WebhookEvent,
    timestamp: String,
    data: Data,
}

#[derive(Debug, Serialize)]
struct Data {
    parent_job_id: JobId,
    status: JobState,
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript_url: Option<String>,
}

impl Webhook {
    /// The `webhook-id`: the same for each try, so that a receiver can tell a repetition.
    pub fn id(&self, job: JobId) -> String {
        format!("msg_{}_{}", job.as_uuid().simple(), self.number)
    }

    /// The bytes to be sent, the same for each try: they depend on nothing that changes after the message was made.
    pub fn body(&self, job: JobId) -> Result<Vec<u8>, serde_json::Error> {
        let transcript_url = self.event.has_transcript().then(|| format!("/jobs/{job}/transcript"));
        let data = Data { parent_job_id: job, status: self.event.state(), transcript_url };
        serde_json::to_vec(&Body { event: self.event, timestamp: self.at.rfc3339(), data })
    }
}

/// Host and port of an address, as it is written: deliveries to one receiver have to share what it is given at once.
pub fn receiver(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}
