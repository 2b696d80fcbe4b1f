//! Receivers of webhooks, by what does not tell their address.

use scriptorium_contracts::tenant::TenantName;
use sha2::{Digest, Sha256};

/// A receiver as one tenant names it. Its address may be a secret, so only a hash of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver(String);

impl Receiver {
    pub fn of(tenant: Option<&TenantName>, url: &str) -> Self {
        let tenant = tenant.map(TenantName::as_str).unwrap_or_default();
        // A name has no line break.
        Self(hex::encode(Sha256::digest(format!("{tenant}\n{url}"))))
    }

    /// 64 hexadecimal digits.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
