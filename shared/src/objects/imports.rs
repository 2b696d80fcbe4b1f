//! A bucket that others fill, out of which recordings are read. Nothing is written there.

use super::{Objects, ObjectsError};
use bytes::Bytes;
use futures::future::BoxFuture;
use scriptorium_contracts::tenant::TenantName;
use std::fmt;

/// Bytes of a whole key (S3's limit).
const MAX_KEY: usize = 1_024;
/// The folder of callers without a tenant. No tenant's name begins like that.
const NOBODY: &str = "_";

/// What an object is, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes.
    pub size: u64,
    /// Another one, if the object is written anew.
    pub tag: Option<String>,
}

/// A part of an object, and the tag of the object that it is of.
pub struct Part {
    pub bytes: Bytes,
    pub tag: Option<String>,
}

/// A bucket for imports, below a prefix. Each tenant has a folder there: `PREFIX/TENANT/…`.
#[derive(Clone)]
pub struct Imports {
    objects: Objects,
    /// Empty, or with a `/` at its end.
    prefix: String,
}

impl Imports {
    /// `objects` leads to the store; `bucket` is another one of its buckets.
    pub fn new(objects: &Objects, bucket: &str, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { objects: objects.in_bucket(bucket), prefix }
    }

    /// The whole key of what a caller calls `asked`, in his tenant's folder; `None` if that can't be a key.
    pub fn key(&self, tenant: Option<&TenantName>, asked: &str) -> Option<String> {
        whole_key(&self.prefix, tenant, asked)
    }

    /// The object with this whole key, if there is one.
    pub fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Head>, ObjectsError>> {
        Box::pin(async move { if self.holds(key) { self.objects.head(key).await } else { Ok(None) } })
    }

    /// Up to `len` bytes of it, from `offset` on.
    pub fn read<'a>(
        &'a self,
        key: &'a str,
        offset: u64,
        len: usize,
    ) -> BoxFuture<'a, Result<Option<Part>, ObjectsError>> {
        Box::pin(async move {
            if self.holds(key) { self.objects.read_part(key, offset, len).await } else { Ok(None) }
        })
    }

    /// Nothing outside of the prefix is read, whatever stands in a record.
    fn holds(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(is_plain)
    }
}

/// Without credentials.
impl fmt::Debug for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imports({:?} in {:?})", self.prefix, self.objects.bucket)
    }
}

fn whole_key(prefix: &str, tenant: Option<&TenantName>, asked: &str) -> Option<String> {
    let folder = tenant.map_or(NOBODY, TenantName::as_str);
    let key = format!("{prefix}{folder}/{asked}");
    (is_plain(asked) && key.len() <= MAX_KEY).then_some(key)
}

/// To S3 a key is a text; some stores make paths of it.
fn is_plain(key: &str) -> bool {
    let segment = |segment: &str| !matches!(segment, "" | "." | "..");
    key.split('/').all(segment) && !key.chars().any(|char| char.is_control() || char == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::no_objects;

    #[test]
    fn each_tenant_has_its_own_folder() {
        let (acme, other): (TenantName, TenantName) = ("acme".parse().unwrap(), "acme2".parse().unwrap());
        for (prefix, whole) in [("", ""), ("imports", "imports/"), ("/a/b/", "a/b/")] {
            let imports = Imports::new(&no_objects(), "imports", prefix);
            let key = |tenant: Option<&TenantName>| imports.key(tenant, "2026/talk.mp3").unwrap();
            assert_eq!(key(Some(&acme)), format!("{whole}acme/2026/talk.mp3"));
            assert_eq!(key(Some(&other)), format!("{whole}acme2/2026/talk.mp3"));
            assert_eq!(key(None), format!("{whole}_/2026/talk.mp3"));
            assert!(imports.holds(&key(None)));
        }
        let imports = Imports::new(&no_objects(), "imports", "imports");
        for foreign in ["", "jobs/x", "imports", "importsx/acme/talk.mp3", "imports/../jobs/x"] {
            assert!(!imports.holds(foreign), "{foreign}");
        }
    }

    #[test]
    fn no_key_leads_out_of_the_folder() {
        let acme: TenantName = "acme".parse().unwrap();
        for asked in
            ["", "/x", "x/", "a//b", "..", "../other/x", "a/../../other/x", "./x", "a\\b", "a\0b", "a\nb"]
        {
            assert_eq!(whole_key("p/", Some(&acme), asked), None, "{asked:?}");
        }
        assert!(whole_key("p/", Some(&acme), &"x".repeat(MAX_KEY)).is_none());
        for asked in ["x", "a b/ü+.mp3", "...", "a/..b"] {
            assert!(whole_key("p/", Some(&acme), asked).is_some(), "{asked:?}");
        }
    }
}
