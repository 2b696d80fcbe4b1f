//! Why a recording can't be fetched, told to the client that named it.

use super::{Code, Problem};
use scriptorium_contracts::failure::FailureCode;
use scriptorium_contracts::job::MAX_FILE_SIZE;
use scriptorium_shared::source::SourceError;

impl Problem {
    /// `field` is the one that names the recording.
    pub fn of_source(error: &SourceError, field: &str) -> Self {
        let problem = Self::field(code(error), field, error.failure().detail);
        match error {
            SourceError::Status { status, .. } => problem.with("source_status", *status),
            SourceError::TooLarge(_) => problem.with("max_size", MAX_FILE_SIZE),
            SourceError::Bucket(cause) => {
                tracing::warn!(
                    error = cause as &dyn std::error::Error,
                    "the bucket for imports can't be read"
                );
                problem
            }
            SourceError::NotHttps
            | SourceError::NotHttp
            | SourceError::Private
            | SourceError::NameNotResolved
            | SourceError::ConnectFailed
            | SourceError::TimedOut
            | SourceError::Broken
            | SourceError::Redirects
            | SourceError::NoSize
            | SourceError::Empty
            | SourceError::Encoded
            | SourceError::OtherPart
            | SourceError::Changed
            | SourceError::NoSuchKey
            | SourceError::NoBucket => problem,
        }
    }
}

fn code(error: &SourceError) -> Code {
    if matches!(error, SourceError::NotHttps | SourceError::NotHttp | SourceError::Private) {
        return Code::InvalidField;
    }
    if matches!(error, SourceError::TooLarge(_)) {
        return Code::FileTooLarge;
    }
    if matches!(error, SourceError::NoBucket) {
        return Code::SourcesNotConfigured;
    }
    if error.code() == FailureCode::SourceUnavailable {
        Code::SourceUnreachable
    } else {
        Code::SourceUnusable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told() {
        let told = |error: SourceError| {
            let problem = Problem::of_source(&error, "source_url");
            assert_eq!(problem.extra["field"], "source_url");
            assert!(problem.detail.starts_with("The recording cannot be fetched: "), "{}", problem.detail);
            problem
        };
        let gone = told(SourceError::Status { status: 404, retry_after_ms: None });
        assert_eq!((gone.code, &gone.extra["source_status"]), (Code::SourceUnusable, &404.into()));
        let busy = told(SourceError::Status { status: 503, retry_after_ms: None });
        assert_eq!((busy.code, &busy.extra["source_status"]), (Code::SourceUnreachable, &503.into()));
        assert_eq!(told(SourceError::Private).code, Code::InvalidField);
        assert_eq!(told(SourceError::NoBucket).code, Code::SourcesNotConfigured);
        let large = told(SourceError::TooLarge(MAX_FILE_SIZE + 1));
        assert_eq!((large.code, &large.extra["max_size"]), (Code::FileTooLarge, &MAX_FILE_SIZE.into()));
    }
}
