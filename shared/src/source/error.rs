//! Why a recording could not be fetched.

use crate::objects::ObjectsError;
use crate::outbound::{AddressError, MAX_SIGNED_URL, Trouble};
use scriptorium_contracts::failure::{Failure, FailureCode};
use scriptorium_contracts::job::MAX_FILE_SIZE;
use scriptorium_contracts::source::FetchEnd;
use thiserror::Error;

/// Redirections that are followed.
pub(super) const MAX_REDIRECTS: usize = 5;

/// The texts may be told to users: `The recording cannot be fetched: …`.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error(
        "its address has to be an https address of at most {MAX_SIGNED_URL} characters, without a name or a password"
    )]
    NotHttps,
    #[error(
        "its address has to be an http or https address of at most {MAX_SIGNED_URL} characters, without a name or a password"
    )]
    NotHttp,
    #[error("its address leads to one that is not of the public network")]
    Private,
    #[error("the name of its server leads to no address of the public network")]
    NameNotResolved,
    #[error("its server cannot be connected to")]
    ConnectFailed,
    #[error("its server takes too long")]
    TimedOut,
    #[error("the connection to its server broke")]
    Broken,
    #[error("its server answers with status {status}")]
    Status {
        status: u16,
        /// The server asks us to wait for so long.
        retry_after_ms: Option<u64>,
    },
    #[error("its server redirects more than {MAX_REDIRECTS} times, or to nowhere")]
    Redirects,
    #[error("its server does not tell its size")]
    NoSize,
    #[error("it is empty")]
    Empty,
    #[error("it has {0} bytes; at most {MAX_FILE_SIZE} are taken")]
    TooLarge(u64),
    #[error("its server sends it compressed, though it was asked not to")]
    Encoded,
    #[error("its server sends another part of it than was asked for")]
    OtherPart,
    #[error("it was changed or replaced while it was fetched")]
    Changed,
    #[error("there is no such key in the bucket for imports")]
    NoSuchKey,
    #[error("this process does not read from a bucket for imports")]
    NoBucket,
    /// The cause is for the log.
    #[error("the bucket for imports does not answer, or refuses to be read")]
    Bucket(#[source] ObjectsError),
}

impl SourceError {
    /// Stable name of the failure.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::NotHttps
            | Self::NotHttp
            | Self::Private
            | Self::Redirects
            | Self::NoSize
            | Self::Empty
            | Self::TooLarge(_)
            | Self::Encoded
            | Self::NoSuchKey => FailureCode::SourceRefused,
            Self::Status { status, .. } if is_final(*status) => FailureCode::SourceRefused,
            Self::Status { .. }
            | Self::NameNotResolved
            | Self::ConnectFailed
            | Self::TimedOut
            | Self::Broken
            | Self::OtherPart
            | Self::NoBucket
            | Self::Bucket(_) => FailureCode::SourceUnavailable,
            Self::Changed => FailureCode::SourceChanged,
        }
    }

    /// What a job is told of it.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code(), format!("The recording cannot be fetched: {self}."))
    }

    /// Whether it is tried again.
    pub(super) fn end(&self) -> FetchEnd {
        let failure = self.failure();
        let retry_after_ms =
            if let Self::Status { retry_after_ms, .. } = self { *retry_after_ms } else { None };
        if failure.code.retryable() {
            FetchEnd::Later { failure, retry_after_ms }
        } else {
            FetchEnd::Over(failure)
        }
    }
}

/// A status that the same request would get again.
fn is_final(status: u16) -> bool {
    !matches!(status, 408 | 425 | 429 | 500..=599) || matches!(status, 501 | 505)
}

impl From<AddressError> for SourceError {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::NotHttps => Self::NotHttps,
            AddressError::NotHttp => Self::NotHttp,
            AddressError::Private => Self::Private,
        }
    }
}

/// The request's address may be a secret: it is left behind here.
impl From<reqwest::Error> for SourceError {
    fn from(error: reqwest::Error) -> Self {
        match Trouble::of(&error) {
            Trouble::NameNotResolved => Self::NameNotResolved,
            Trouble::TimedOut => Self::TimedOut,
            Trouble::ConnectFailed => Self::ConnectFailed,
            Trouble::Broken => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        for status in [408, 425, 429, 500, 502, 503, 504, 507] {
            let error = SourceError::Status { status, retry_after_ms: Some(7) };
            let end = error.end();
            assert!(matches!(&end, FetchEnd::Later { retry_after_ms: Some(7), .. }), "{status}: {end:?}");
        }
        for status in [200, 204, 302, 400, 401, 403, 404, 410, 412, 451, 501] {
            let error = SourceError::Status { status, retry_after_ms: None };
            assert!(matches!(error.end(), FetchEnd::Over(_)), "{status}");
            assert!(error.failure().detail.contains(&status.to_string()));
        }
        assert_eq!(SourceError::Changed.end(), FetchEnd::Over(SourceError::Changed.failure()));
        assert_eq!(SourceError::Private.code(), FailureCode::SourceRefused);
        assert_eq!(SourceError::Broken.code(), FailureCode::SourceUnavailable);
    }
}
