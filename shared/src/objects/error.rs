//! What can go wrong between us and the object store, told by what the caller can do about it.

use std::error::Error as StdError;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestIdExt;

/// The cause as the client library or the service worded it: for the log, never for a user.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// A failed call of [`super::Objects`]. The text is safe to show; the cause (`source`) is for the log.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// A setting is wrong; the process should not start with it.
    #[error("the object store's setting is wrong: {0}")]
    Config(&'static str),
    #[error(
        "no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this process a role"
    )]
    NoCredentials(#[source] Cause),
    /// The caller asked for something that can't be (a key, a prefix, an expiry, a base address).
    #[error("the request to the object store is wrong: {0}")]
    Request(&'static str),
    /// Not reached, timed out, overloaded, or the answer broke off.
    #[error("the object store does not answer; it is asked again later")]
    Unavailable(#[source] Cause),
    /// No room left on the store's disk.
    #[error("the object store is full; free some space")]
    Full(#[source] Cause),
    /// The store refuses our credentials.
    #[error("the object store refuses the credentials; check the access key, the secret key and the clock")]
    Denied(#[source] Cause),
    #[error("the bucket does not exist; create it or check its name")]
    NoSuchBucket(#[source] Cause),
    /// Any other refusal: the same call again would be refused again.
    #[error("the object store refuses the request (status {status})")]
    Refused {
        status: u16,
        #[source]
        cause: Cause,
    },
    /// The store broke its own protocol (no size, more bytes than asked for).
    #[error("the object store gave an answer that makes no sense: {0}")]
    Answer(&'static str),
    /// More objects under a prefix than [`super::MAX_LISTED`].
    #[error("too many objects under one prefix")]
    TooMany,
}

impl ObjectsError {
    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Full(_) | Self::Answer(_) => true,
            Self::Config(_)
            | Self::NoCredentials(_)
            | Self::Request(_)
            | Self::Denied(_)
            | Self::NoSuchBucket(_)
            | Self::Refused { .. }
            | Self::TooMany => false,
        }
    }

    /// Sorts a failed call of the client library by the service's status and code.
    pub(super) fn from_sdk<E>(error: SdkError<E>) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().unwrap_or_default().to_owned();
        let cause = Cause::from(Told { id: request_id(&error), code: code.clone(), error });
        match (status, code.as_str()) {
            (_, "NoSuchBucket") => Self::NoSuchBucket(cause),
            (Some(507), _) => Self::Full(cause),
            (Some(status @ 501), _) => Self::Refused { status, cause },
            (None | Some(408 | 429 | 500..=599), _) => Self::Unavailable(cause),
            (_, "RequestTimeout" | "SlowDown" | "IncompleteBody") => Self::Unavailable(cause),
            (Some(401 | 403), _) => Self::Denied(cause),
            (Some(status), _) => Self::Refused { status, cause },
        }
    }
}

fn request_id<E>(error: &SdkError<E>) -> String {
    error.raw_response().and_then(|response| response.extended_request_id()).unwrap_or_default().to_owned()
}

/// The client library's errors print only their outer layer; this one names the service's code too.
#[derive(Debug, thiserror::Error)]
#[error("{code} {id}")]
struct Told<E: StdError + 'static> {
    code: String,
    id: String,
    #[source]
    error: E,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_by_itself_is_retryable() {
        let cause = || Cause::from("told by the store");
        assert!(ObjectsError::Unavailable(cause()).retryable());
        assert!(ObjectsError::Full(cause()).retryable());
        assert!(!ObjectsError::Denied(cause()).retryable());
        assert!(!ObjectsError::Refused { status: 400, cause: cause() }.retryable());
        assert!(!ObjectsError::Request("a key").retryable());
    }
}
