//! The one place where the time of day is read; the pure rooms are given it.

use scriptorium_contracts::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now. 0 on a machine whose clock stands before 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
