//! `Idempotency-Key`: a repeated request makes no second job.

use crate::problem::{Code, Problem};
use http::HeaderMap;
use scriptorium_contracts::tenant::TenantName;
use scriptorium_shared::store::Idempotency;
use sha2::{Digest, Sha256};

/// Longest key, in characters.
const MAX_KEY: usize = 255;

/// The request's key, if it has one, with the hash of its body. `scope` keeps keys of different routes apart, and those of a
/// tenant are its own; `body` is the request in canonical form, so that spaces in the JSON do not matter.
pub fn of(
    headers: &HeaderMap,
    scope: &str,
    tenant: Option<&TenantName>,
    body: &[u8],
) -> Result<Option<Idempotency>, Problem> {
    of_parts(headers, scope, tenant, &[body])
}

/// The same for a body in several pieces.
pub fn of_parts(
    headers: &HeaderMap,
    scope: &str,
    tenant: Option<&TenantName>,
    body: &[&[u8]],
) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| !key.trim().is_empty() && key.len() <= MAX_KEY)
        .filter(|key| key.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        .ok_or_else(|| {
            let detail = format!("The Idempotency-Key has to be 1 to {MAX_KEY} printable ASCII characters.");
            Problem::new(Code::InvalidIdempotencyKey, detail)
        })?;
    let mut names = vec![scope.as_bytes(), key.as_bytes()];
    names.extend(tenant.map(|tenant| tenant.as_str().as_bytes()));
    Ok(Some(Idempotency { key: hash(&names), body_hash: hash(body) }))
}

/// The key's next life: of a request whose first tries came to nothing.
pub fn attempt(key: &Idempotency, number: u32) -> Idempotency {
    match number {
        0 => key.clone(),
        _ => Idempotency { key: hash(&[key.key.as_bytes(), &number.to_be_bytes()]), ..key.clone() },
    }
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(key: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", http::HeaderValue::from_bytes(key).unwrap());
        headers
    }

    #[test]
    fn keys_of_different_scopes_and_bodies_differ() {
        let key = with_key(b"abc");
        let first = of(&key, "init", None, b"{}").unwrap().unwrap();
        assert_eq!(of(&key, "init", None, b"{}").unwrap().unwrap(), first);
        assert_ne!(of(&key, "other", None, b"{}").unwrap().unwrap().key, first.key);
        assert_ne!(of(&key, "init", None, b"{1}").unwrap().unwrap().body_hash, first.body_hash);
        assert_ne!(of(&with_key(b"abd"), "init", None, b"{}").unwrap().unwrap().key, first.key);
        assert_eq!(of(&HeaderMap::new(), "init", None, b"{}").unwrap(), None);
        let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let of_tenant = |tenant| of(&key, "init", Some(tenant), b"{}").unwrap().unwrap().key;
        assert_eq!(of_tenant(&acme), of_tenant(&acme));
        assert!(of_tenant(&acme) != of_tenant(&other) && of_tenant(&acme) != first.key);
    }

    #[test]
    fn each_try_has_a_key_of_its_own() {
        let first = of(&with_key(b"abc"), "upload", None, b"{}").unwrap().unwrap();
        assert_eq!(attempt(&first, 0), first);
        assert_eq!(attempt(&first, 1), attempt(&first, 1));
        assert_eq!(attempt(&first, 1).body_hash, first.body_hash);
        assert_ne!(attempt(&first, 1).key, first.key);
        assert_ne!(attempt(&first, 1).key, attempt(&first, 2).key);
    }

    #[test]
    fn keys_that_can_not_be_used() {
        for key in [&b""[..], b"  ", "é".as_bytes(), &[b'x'; 256]] {
            assert_eq!(of(&with_key(key), "init", None, b"").unwrap_err().code, Code::InvalidIdempotencyKey);
        }
    }
}
