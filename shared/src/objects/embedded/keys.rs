//! Which keys exist, and where their files lie. The only place where a key becomes a path.
//!
//! `jobs/4f/chunk-00001` lies in the file `jobs/4f/chunk-00001+object`: a folder a segment, so that listing a prefix
//! reads only that folder. No segment can hold a `+`, so an object `a` and the folder of `a/b` never meet.
//! (On a disk that ignores case, keys that differ only in case would meet; ours are lower case.)

use std::path::{Path, PathBuf};

/// Longest key, in bytes (S3 allows 1024).
pub const MAX_KEY: usize = 1000;
/// Longest segment: with the suffix it stays a file name on every file system.
pub const MAX_SEGMENT: usize = 200;
/// Most segments: bounds the depth of the folders.
pub const MAX_SEGMENTS: usize = 16;

const SUFFIX: &str = "+object";

/// A key that can't leave the folder: segments of `[A-Za-z0-9._-]`, none empty, none of dots alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// `None` for a key that this store does not take.
    pub fn parse(key: &str) -> Option<Self> {
        let fits = key.len() <= MAX_KEY && key.split('/').count() <= MAX_SEGMENTS;
        (fits && key.split('/').all(is_segment)).then(|| Self(key.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object's file below the bucket's folder.
    pub fn file(&self, bucket: &Path) -> PathBuf {
        bucket.join(format!("{}{SUFFIX}", self.0))
    }
}

fn is_segment(segment: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    segment.len() <= MAX_SEGMENT && segment.bytes().all(plain) && segment.bytes().any(|b| b != b'.')
}

/// The segment of a folder entry: an object's file, or a folder. `None`: not ours.
pub fn segment_of(file_name: &str, is_folder: bool) -> Option<&str> {
    let segment = if is_folder { file_name } else { file_name.strip_suffix(SUFFIX)? };
    is_segment(segment).then_some(segment)
}

/// The deepest folder that holds every key of a prefix, as a prefix of keys: empty, or ending with `/`. `None` when no
/// key can begin like that.
pub fn folder_of_prefix(prefix: &str) -> Option<&str> {
    let folder = &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)];
    let inner = folder.strip_suffix('/').unwrap_or(folder);
    (folder.is_empty() || Key::parse(inner).is_some()).then_some(folder)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_of_jobs_are_taken() {
        for key in ["a", "jobs/0b5e/upload/chunk-00001", "jobs/x/transcript.json", "A_b-c.d/.hidden/...e"] {
            assert!(Key::parse(key).is_some(), "{key}");
        }
        assert!(Key::parse(&"s".repeat(MAX_SEGMENT)).is_some());
        assert!(Key::parse(&["s"; MAX_SEGMENTS].join("/")).is_some());
    }

    #[test]
    fn nothing_else_is() {
        for key in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            "a/..",
            "...",
            "a\\b",
            "a b",
            "a\0b",
            "a\nb",
            "a%2fb",
            "ä",
            "a+b",
            "a~",
            "C:",
            "chunk+object",
        ] {
            assert!(Key::parse(key).is_none(), "{key:?}");
        }
        assert!(Key::parse(&"s".repeat(MAX_SEGMENT + 1)).is_none());
        assert!(Key::parse(&["s"; MAX_SEGMENTS + 1].join("/")).is_none());
        assert!(Key::parse(&["sssssssssss"; 90].join("/")).is_none());
    }

    #[test]
    fn the_folder_of_a_prefix() {
        for (prefix, folder) in [
            ("", Some("")),
            ("jo", Some("")),
            ("jobs/", Some("jobs/")),
            ("jobs/4f/ch", Some("jobs/4f/")),
            ("../", None),
            ("/", None),
            ("a//b", None),
            ("a/../b", None),
            ("..", Some("")),
        ] {
            assert_eq!(folder_of_prefix(prefix), folder, "{prefix:?}");
        }
    }

    proptest! {
        #[test]
        fn no_key_leaves_the_folder(key in "[a/.\\\\~%\\x00-]{0,24}|\\PC{0,40}") {
            if let Some(key) = Key::parse(&key) {
                let root = Path::new("root");
                let file = key.file(root);
                let names: Vec<_> = file.strip_prefix(root).unwrap().components().collect();
                prop_assert!(names.iter().all(|name| matches!(name, std::path::Component::Normal(_))));
                prop_assert_eq!(names.len(), key.as_str().split('/').count());
            }
        }
    }
}
