//! Who calls: a key belongs to a tenant, and so do the jobs that are made with it.

use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Characters of a tenant's name.
pub const MAX_TENANT_NAME: usize = 63;

/// All who share jobs and limits: a team, a customer. Small letters, digits, `.`, `_` and `-`, of which the first is a letter or
/// a digit; so it can stand in addresses, keys and logs as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a tenant's name has 1 to {MAX_TENANT_NAME} small letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"
)]
pub struct TenantNameError;

impl TenantName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantName {
    type Error = TenantNameError;

    fn try_from(text: String) -> Result<Self, TenantNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = text.bytes().next().is_some_and(plain);
        let all = text.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'));
        if first && all && text.len() <= MAX_TENANT_NAME { Ok(Self(text)) } else { Err(TenantNameError) }
    }
}

impl From<TenantName> for String {
    fn from(name: TenantName) -> Self {
        name.0
    }
}

impl FromStr for TenantName {
    type Err = TenantNameError;

    fn from_str(text: &str) -> Result<Self, TenantNameError> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a tenant may do. Where nothing is said, the server's own limit holds; 0 is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Jobs that are not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_jobs: Option<u32>,
    /// Of recordings whose chunks are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    /// Of recordings, by the UTC day on which their jobs were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_minutes_per_day: Option<u32>,
}

/// A key as it is kept: the secret is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub version: u16,
    /// The part of the key that is no secret: 16 hexadecimal digits.
    pub id: String,
    pub tenant: TenantName,
    /// SHA-256 of the whole key, in hexadecimal digits.
    pub hash: String,
    /// What it is for, in the words of whoever made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub created_at: Timestamp,
    /// From then on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_used_and_names_that_can_not() {
        for good in ["a", "7", "acme", "team-7", "a.b_c-d", &"x".repeat(63)] {
            assert_eq!(good.parse::<TenantName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "ä", "a\n", "a:b", "{a}", &"x".repeat(64)] {
            assert_eq!(bad.parse::<TenantName>(), Err(TenantNameError), "{bad:?}");
            assert!(serde_json::from_value::<TenantName>(serde_json::json!(bad)).is_err(), "{bad:?}");
        }
    }
}
