//! Keys as clients hold them: `sk_<id>_<secret>`, 16 and 64 hexadecimal digits. Pure but for the randomness of a new one.
//!
//! What is kept is the SHA-256 of the whole key. A slow hash, as for passwords, would gain nothing: it is there to make guessing
//! dear where people choose the secret, and this one has 244 random bits. It would cost something, though: each request is
//! checked. The id is no secret; by it the record is found, so that nothing is looked up by the secret.

use scriptorium_contracts::Timestamp;
use scriptorium_contracts::message::VERSION;
use scriptorium_contracts::tenant::{KeyRecord, TenantName};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// What all keys begin with, so that people and scanners of leaked secrets know one when they see it.
pub const PREFIX: &str = "sk_";
/// Hexadecimal digits.
const ID_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 64;

/// A key at the only moment at which it is known.
pub struct NewKey {
    /// Secret. To be shown once.
    pub text: String,
    pub record: KeyRecord,
}

impl NewKey {
    pub fn random(
        tenant: TenantName,
        label: Option<String>,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let word = || Uuid::new_v4().simple().to_string();
        let id: String = word().chars().take(ID_LENGTH).collect();
        let text = format!("{PREFIX}{id}_{}{}", word(), word());
        let hash = hex::encode(Sha256::digest(&text));
        let record = KeyRecord { version: VERSION, id, tenant, hash, label, created_at: now, expires_at };
        Self { text, record }
    }
}

/// Without the secret.
impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("record", &self.record).finish_non_exhaustive()
    }
}

/// A key that somebody has shown. It has the form of one, and that is all that is known.
pub struct PresentedKey {
    pub id: String,
    hash: [u8; 32],
}

impl PresentedKey {
    /// `None`: it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        if !is_id(id) || secret.len() != SECRET_LENGTH || !is_hex(secret) {
            return None;
        }
        Some(Self { id: id.to_owned(), hash: Sha256::digest(text).into() })
    }

    /// Whether the record is of this key. Takes the same time wherever the hashes differ.
    pub fn is(&self, record: &KeyRecord) -> bool {
        let mut kept = [0; 32];
        hex::decode_to_slice(&record.hash, &mut kept).is_ok() && bool::from(kept.ct_eq(&self.hash))
    }
}

/// Whether a text has the form of a key's id.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> NewKey {
        NewKey::random("acme".parse().unwrap(), None, Timestamp(7), None)
    }

    #[test]
    fn a_key_is_that_of_its_record_and_of_no_other() {
        let (one, other) = (made(), made());
        let shown = PresentedKey::parse(&one.text).unwrap();
        assert_eq!(shown.id, one.record.id);
        assert!(shown.is(&one.record) && !shown.is(&other.record));
        // Whoever knows the record, knows no key: not by its hash in place of the secret either.
        let guessed = format!("{PREFIX}{}_{}", one.record.id, one.record.hash);
        assert!(!PresentedKey::parse(&guessed).unwrap().is(&one.record));
        for damaged in ["", "zz", &one.record.hash[1..]] {
            let record = KeyRecord { hash: damaged.to_owned(), ..one.record.clone() };
            assert!(!shown.is(&record));
        }
        assert_ne!(one.text, other.text);
        assert!(!format!("{one:?}").contains(&one.text[20..]));
    }

    #[test]
    fn what_is_no_key_is_none() {
        let text = made().text;
        assert_eq!(text.len(), 3 + 16 + 1 + 64);
        for wrong in ["", "sk_", "sk__", "sk-proj-abc", &text[1..], &text[..83], &text.to_uppercase()] {
            assert!(PresentedKey::parse(wrong).is_none(), "{wrong}");
        }
        assert!(PresentedKey::parse(&format!("{text}0")).is_none());
        assert!(PresentedKey::parse(&text.replacen('_', "-", 2)).is_none());
    }
}
