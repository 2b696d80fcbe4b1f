//! Listing by prefix, in the order of the keys, a page at a time. Reads the folders that the page touches and no others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::footer::object_length;
use super::keys::{folder_of_prefix, segment_of};

#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size: u64,
    pub modified: SystemTime,
}

#[derive(Debug, Default)]
pub struct Page {
    pub objects: Vec<Listed>,
    /// Objects follow: ask again, after the last key.
    pub more: bool,
}

/// The first `limit` objects whose keys begin with `prefix` and come after `after` (empty: from the start).
pub fn page(bucket: &Path, prefix: &str, after: &str, limit: usize) -> io::Result<Page> {
    let Some(folder) = folder_of_prefix(prefix) else { return Ok(Page::default()) };
    let mut walk = Walk { prefix, after, limit, found: Vec::new() };
    if limit > 0 {
        walk.folder(&bucket.join(folder), folder)?;
    }
    let more = walk.found.len() > limit;
    walk.found.truncate(limit);
    Ok(Page { objects: walk.found, more })
}

struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    found: Vec<Listed>,
}

impl Walk<'_> {
    /// `keys`: what all keys of this folder begin with (empty, or ending with `/`). As deep as keys have segments.
    fn folder(&mut self, path: &Path, keys: &str) -> io::Result<()> {
        let mut entries = self.entries(path, keys)?;
        entries.sort_unstable();
        for (name, path) in entries {
            if self.found.len() > self.limit {
                break;
            }
            if name.ends_with('/') {
                self.folder(&path, &name)?;
            } else {
                self.object(name, &path)?;
            }
        }
        Ok(())
    }

    /// Entries that may hold something of the page. A folder's name ends with `/`, so that sorting by name gives the
    /// order of the keys (`a-b` before `a/b` before `a0`).
    fn entries(&self, path: &Path, keys: &str) -> io::Result<Vec<(String, PathBuf)>> {
        let folder = match fs::read_dir(path) {
            Ok(folder) => folder,
            // Deleted meanwhile, or never there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in folder {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            let file_name = entry.file_name();
            let Some(segment) = file_name.to_str().and_then(|name| segment_of(name, is_folder)) else {
                continue;
            };
            let name = format!("{keys}{segment}{}", if is_folder { "/" } else { "" });
            if self.concerns(&name, is_folder) {
                entries.push((name, entry.path()));
            }
        }
        Ok(entries)
    }

    fn concerns(&self, name: &str, is_folder: bool) -> bool {
        if is_folder {
            (name.starts_with(self.prefix) || self.prefix.starts_with(name))
                && (name > self.after || self.after.starts_with(name))
        } else {
            name.starts_with(self.prefix) && name > self.after
        }
    }

    fn object(&mut self, key: String, path: &Path) -> io::Result<()> {
        let about = match fs::symlink_metadata(path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Some(size) = object_length(about.len()) {
            self.found.push(Listed { key, size, modified: about.modified()? });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::footer::FOOTER;
    use super::super::keys::Key;
    use super::*;

    fn bucket_with(keys: &[&str]) -> tempfile::TempDir {
        let bucket = tempfile::tempdir().unwrap();
        for key in keys {
            let file = Key::parse(key).unwrap().file(bucket.path());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, [0; FOOTER + 3]).unwrap();
        }
        bucket
    }

    fn all(bucket: &Path, prefix: &str, limit: usize) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().cloned().unwrap_or_default();
            let page = page(bucket, prefix, &after, limit).unwrap();
            assert!(page.objects.len() <= limit && page.objects.iter().all(|o| o.size == 3));
            let more = page.more;
            assert!(!more || page.objects.len() == limit, "a page before the last is full");
            keys.extend(page.objects.into_iter().map(|object| object.key));
            if !more {
                return keys;
            }
        }
    }

    #[test]
    fn foreign_files_and_folders_are_not_objects() {
        let bucket = bucket_with(&["a"]);
        fs::write(bucket.path().join("note.txt"), "x").unwrap();
        fs::write(bucket.path().join("short+object"), "x").unwrap();
        fs::create_dir(bucket.path().join("x+object")).unwrap();
        assert_eq!(all(bucket.path(), "", 10), ["a"]);
    }

    #[test]
    fn a_limit_of_nothing_gives_nothing() {
        let bucket = bucket_with(&["a"]);
        let page = page(bucket.path(), "", "", 0).unwrap();
        assert!(page.objects.is_empty() && !page.more);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pages_are_the_sorted_keys_with_the_prefix(
            keys in proptest::collection::btree_set("[ab0._-]{0,2}[ab0](/[ab]{1,2}){0,3}", 0..24),
            prefix in "[ab0._-]{0,3}(/[ab]{0,2}){0,2}",
            limit in 1usize..6,
        ) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let bucket = bucket_with(&keys);
            let expected: Vec<&str> = keys.iter().copied().filter(|key| key.starts_with(&prefix)).collect();
            prop_assert_eq!(all(bucket.path(), &prefix, limit), expected);
        }
    }
}
