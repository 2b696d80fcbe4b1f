//! What came of a request, or why nothing did.

use super::{NameError, cause};
use http::{HeaderMap, header};
use scriptorium_contracts::Timestamp;
use std::time::UNIX_EPOCH;

/// Why a request had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The name leads to no address, or to none that may be reached. Which of the two is not told: else whoever may name an
    /// address could ask for the names of our own network.
    NameNotResolved,
    TimedOut,
    /// No connection, or no secure one.
    ConnectFailed,
    /// The connection broke, or what came was no HTTP.
    Broken,
}

impl Trouble {
    pub fn of(error: &reqwest::Error) -> Self {
        match cause::<NameError>(error) {
            Some(NameError::Private | NameError::Empty | NameError::Unknown(_)) => {
                return Self::NameNotResolved;
            }
            None => {}
        }
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_connect() {
            Self::ConnectFailed
        } else {
            Self::Broken
        }
    }
}

/// The milliseconds from `now` that the other side asks us to wait: `Retry-After` in seconds, or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    parse_retry_after(text, now)
}

fn parse_retry_after(text: &str, now: Timestamp) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits only: what does not fit is very long.
        return Some(text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let date = Timestamp(u64::try_from(date.as_millis()).ok()?);
    Some(date.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_receiver_asks_to_wait() {
        // Sun, 22 Nov 2026 12:09:28 GMT
        let now = Timestamp(1_795_349_368_000);
        for (text, wanted) in [
            ("0", Some(0)),
            ("120", Some(120_000)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 22 Nov 2026 12:10:28 GMT", Some(60_000)),
            ("Sun, 22 Nov 2026 12:00:00 GMT", Some(0)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(parse_retry_after(text, now), wanted, "{text}");
        }
    }
}
