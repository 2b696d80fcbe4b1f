//! What can go wrong between client and server.

use super::source::SourceError;
use crate::exit::Exit;
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ClientError {
    #[error("{url} is not the address of a server; write it like http://127.0.0.1:8787")]
    Address { url: String },
    #[error("the server at {url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    /// The server says no (an RFC 9457 problem where it is one of ours).
    #[error("the server answered {status}: {detail}")]
    Refused {
        status: u16,
        code: String,
        detail: String,
        /// As the server's `Retry-After` has it.
        retry_after: Option<Duration>,
    },
    /// Not a server of this kind, or of another age.
    #[error("the server's answer makes no sense here: {0}")]
    Unexpected(String),
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl ClientError {
    /// Trying the same again may help.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            // Not before tomorrow.
            Self::Refused { code, .. } if code == "audio_quota_exceeded" => false,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Address { .. } | Self::Unexpected(_) | Self::Source(_) => false,
        }
    }

    /// The stable name of a problem; empty for everything else.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Address { .. } | Self::Unreachable { .. } | Self::Unexpected(_) | Self::Source(_) => "",
        }
    }

    /// How long the server wants us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Address { .. } | Self::Unreachable { .. } | Self::Unexpected(_) | Self::Source(_) => None,
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Address { .. } | Self::Source(_) => Exit::Usage,
            // 413 and 422: this recording, or these options, will not do.
            Self::Refused { status: 400 | 413 | 422, .. } => Exit::Usage,
            Self::Refused { .. } | Self::Unexpected(_) => Exit::Failed,
        }
    }
}

/// What is read of a problem.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    code: String,
}

/// A reply that is no success.
pub(super) fn refused(status: u16, retry_after: Option<&str>, body: &[u8]) -> ClientError {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let detail = match (problem.detail.is_empty(), problem.title.is_empty()) {
        (false, _) => problem.detail,
        (true, false) => problem.title,
        // Plain text or XML (S3) of another server: its beginning, on one line.
        (true, true) => {
            String::from_utf8_lossy(body).split_whitespace().take(30).collect::<Vec<_>>().join(" ")
        }
    };
    let retry_after = retry_after.and_then(|text| text.parse().ok()).map(|seconds: u32| {
        // An hour is longer than any user waits.
        Duration::from_secs(u64::from(seconds.min(3_600)))
    });
    ClientError::Refused { status, code: problem.code, detail, retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_read_and_others_shown() {
        let problem = br#"{"type":"/docs/errors/file_too_small","title":"Too small","status":422,"code":"file_too_small","detail":"Only 3 bytes.","field":"x"}"#;
        let error = refused(422, None, problem);
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("file_too_small", "the server answered 422: Only 3 bytes.")
        );
        assert_eq!(error.exit(), Exit::Usage);
        assert!(!error.retryable());

        let error = refused(503, Some("7"), b"<html>\n  busy\n</html>");
        assert_eq!(error.to_string(), "the server answered 503: <html> busy </html>");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert!(error.retryable());
        let used_up = refused(429, Some("40000"), br#"{"code":"audio_quota_exceeded"}"#);
        assert!(!used_up.retryable() && refused(429, None, b"").retryable());
        assert_eq!(refused(429, Some("Wed, 21 Oct 2015 07:28:00 GMT"), b"").retry_after(), None);
    }
}
