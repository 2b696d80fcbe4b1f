//! A tenant's own secrets for signing webhooks, and which of them sign at a time.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Secrets of a tenant that sign at once. Two are enough to change one for the other.
pub const MAX_SIGNING: usize = 4;

/// A secret as receivers know it: `whsec_` and base64. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: for signing, and for showing it once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

/// One secret. It has to be kept readable: signatures are made with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// No secret, and no part of it.
    pub id: String,
    pub secret: SecretText,
    pub created_at: Timestamp,
    /// From then on it signs no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

impl SigningSecret {
    pub fn signs(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{MAX_SIGNING} secrets of this tenant sign already")]
pub struct TooManySecrets;

/// All of a tenant, the oldest first. With none that signs, the deployment's secrets do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecrets {
    pub version: u16,
    pub secrets: Vec<SigningSecret>,
}

impl SigningSecrets {
    /// Those that sign at this time, the oldest first.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &SigningSecret> {
        self.secrets.iter().filter(move |secret| secret.signs(now))
    }

    /// With a new secret. The older ones end `keep_old_ms` milliseconds from now, or when they would have ended before that; those
    /// that have ended are forgotten.
    ///
    /// # Errors
    /// Too many would sign at once.
    pub fn rotated(
        &self,
        new: SigningSecret,
        now: Timestamp,
        keep_old_ms: u64,
    ) -> Result<Self, TooManySecrets> {
        let last = now.plus(keep_old_ms);
        let ending = |old: &SigningSecret| {
            let ends_at = old.ends_at.map_or(last, |end| end.min(last));
            SigningSecret { ends_at: Some(ends_at), ..old.clone() }
        };
        let mut secrets: Vec<_> =
            self.secrets.iter().map(ending).filter(|secret| secret.signs(now)).collect();
        if secrets.len() >= MAX_SIGNING {
            return Err(TooManySecrets);
        }
        secrets.push(new);
        Ok(Self { version: crate::message::VERSION, secrets })
    }

    /// Without the secret of this id; `None`: there is none.
    pub fn without(&self, id: &str) -> Option<Self> {
        let secrets: Vec<_> = self.secrets.iter().filter(|secret| secret.id != id).cloned().collect();
        (secrets.len() < self.secrets.len()).then_some(Self { version: self.version, secrets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn secret(id: &str) -> SigningSecret {
        let secret = SecretText::new(format!("whsec_{id}"));
        SigningSecret { id: id.to_owned(), secret, created_at: NOW, ends_at: None }
    }

    fn ids(secrets: &SigningSecrets, now: Timestamp) -> Vec<&str> {
        secrets.signing(now).map(|secret| secret.id.as_str()).collect()
    }

    #[test]
    fn both_sign_until_the_old_one_ends() {
        let none = SigningSecrets::default();
        assert!(ids(&none, NOW).is_empty());
        let one = none.rotated(secret("a"), NOW, 100).unwrap();
        assert_eq!(ids(&one, NOW.plus(1_000_000)), ["a"], "an only secret has no end");
        let two = one.rotated(secret("b"), NOW, 100).unwrap();
        assert_eq!(ids(&two, NOW.plus(99)), ["a", "b"]);
        assert_eq!(ids(&two, NOW.plus(100)), ["b"]);
        // A further rotation does not lengthen what was to end before.
        let three = two.rotated(secret("c"), NOW.plus(50), 100).unwrap();
        assert_eq!(ids(&three, NOW.plus(99)), ["a", "b", "c"]);
        assert_eq!(ids(&three, NOW.plus(100)), ["b", "c"]);
        assert_eq!(ids(&three, NOW.plus(150)), ["c"]);
        // What has ended is forgotten.
        let later = three.rotated(secret("d"), NOW.plus(150), 100).unwrap();
        assert_eq!(later.secrets.len(), 2);
        // Nothing is kept: the old one ends at once.
        assert_eq!(ids(&one.rotated(secret("b"), NOW, 0).unwrap(), NOW), ["b"]);
    }

    #[test]
    fn removal_ends_a_secret_at_once_and_few_sign_together() {
        let mut all = SigningSecrets::default();
        for id in ["a", "b", "c", "d"] {
            all = all.rotated(secret(id), NOW, 100).unwrap();
        }
        assert_eq!(all.rotated(secret("e"), NOW, 100), Err(TooManySecrets));
        let less = all.without("a").unwrap();
        assert_eq!(ids(&less, NOW), ["b", "c", "d"]);
        assert_eq!(less.without("a"), None);
        assert!(less.rotated(secret("e"), NOW, 100).is_ok());
    }

    #[test]
    fn a_secret_is_written_to_the_store_and_to_no_log() {
        let all = SigningSecrets::default().rotated(secret("hidden"), NOW, 0).unwrap();
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.contains("whsec_hidden"));
        assert_eq!(serde_json::from_str::<SigningSecrets>(&text).unwrap(), all);
        assert!(!format!("{all:?}").contains("whsec_"));
    }
}
