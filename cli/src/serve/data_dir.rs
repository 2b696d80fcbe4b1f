//! The data folder: made for its owner alone, used by one server at a time.

use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest content that is read back from a small file of this folder.
const MAX_SMALL_FILE: u64 = 4096;

#[derive(Debug, Error)]
pub enum DataDirError {
    #[error("the data folder {dir} is in use by another scriptorium{holder}; stop that one, or name another folder with --data-dir",
            dir = .dir.display())]
    InUse { dir: PathBuf, holder: String },
    #[error("the data folder cannot be used: {path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is damaged. Remove it and start again: a new one is made, and only upload URLs that were handed out before \
             stop working", path = .path.display())]
    Credentials { path: PathBuf },
}

/// A locked data folder. The lock ends with the process, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

/// What signs upload URLs. Made once and kept, so that the URLs outlive a restart.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
}

impl DataDir {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`], or the file system refuses.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))?;
        let path = path.canonicalize().map_err(failed(path))?;
        let mode = fs::metadata(&path).map_err(failed(&path))?.mode();
        if mode & 0o077 != 0 {
            tracing::warn!(dir = %path.display(), mode = format!("{:o}", mode & 0o777), "others can look into the data folder");
        }
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder =
                    read_small(&mut lock).map(|text| format!(" ({})", text.trim())).unwrap_or_default();
                return Err(DataDirError::InUse { dir: path, holder });
            }
            Err(TryLockError::Error(source)) => return Err(DataDirError::Io { path: lock_path, source }),
        }
        Ok(Self { path, lock })
    }

    /// Tells whoever finds the folder locked by whom it is.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn sign(&mut self, holder: &str) -> Result<(), DataDirError> {
        let path = self.path.join("lock");
        let written = self.lock.set_len(0).and_then(|()| writeln!(self.lock, "{holder}"));
        written.map_err(|source| DataDirError::Io { path, source })
    }

    pub fn state_file(&self) -> PathBuf {
        self.path.join("state.sqlite")
    }

    pub fn cache_file(&self) -> PathBuf {
        self.path.join("cache.sqlite")
    }

    pub fn tenants_file(&self) -> PathBuf {
        self.path.join(super::TENANTS_FILE)
    }

    pub fn objects_dir(&self) -> PathBuf {
        self.path.join("objects")
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's credentials; made at the first call.
    ///
    /// # Errors
    /// The file is damaged, or the file system refuses.
    pub fn credentials(&self) -> Result<Credentials, DataDirError> {
        let path = self.path.join("s3-credentials.json");
        let failed = |source| DataDirError::Io { path: path.clone(), source };
        match File::open(&path) {
            Ok(mut file) => {
                let text = read_small(&mut file).map_err(failed)?;
                let found: Option<Credentials> = serde_json::from_str(&text).ok();
                found
                    .filter(|found| found.access_key.len() >= 16 && found.secret_key.len() >= 32)
                    .ok_or(DataDirError::Credentials { path })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Credentials::random();
                self.keep(&path, &made).map_err(failed)?;
                Ok(made)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whole or not at all, also when the power fails.
    fn keep(&self, path: &Path, credentials: &Credentials) -> io::Result<()> {
        // tempfile makes it 0600.
        let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
        serde_json::to_writer(&mut file, credentials)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(&self.path)?.sync_all()
    }
}

impl Credentials {
    fn random() -> Self {
        let word = || uuid::Uuid::new_v4().simple().to_string();
        Self { access_key: word(), secret_key: format!("{}{}", word(), word()) }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

fn read_small(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_SMALL_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_folder_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        dir.credentials().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("s3-credentials.json")), 0o600);
        assert_eq!(mode(&path.join("lock")), 0o600);
    }

    #[test]
    fn one_server_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let mut first = DataDir::open(parent.path()).unwrap();
        first.sign("process 4711, http://127.0.0.1:1").unwrap();
        let second = DataDir::open(parent.path()).unwrap_err().to_string();
        assert!(
            second.contains("process 4711, http://127.0.0.1:1") && second.contains("--data-dir"),
            "{second}"
        );
        drop(first);
        DataDir::open(parent.path()).unwrap();
    }

    #[test]
    fn credentials_are_made_once() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        let first = dir.credentials().unwrap();
        let again = dir.credentials().unwrap();
        assert_eq!((&first.access_key, &first.secret_key), (&again.access_key, &again.secret_key));
        assert!(!format!("{first:?}").contains(&first.secret_key));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(DataDir::open(other.path()).unwrap().credentials().unwrap().secret_key, first.secret_key);

        for damaged in ["", "{}", "{\"access_key\":\"\",\"secret_key\":\"\"}"] {
            fs::write(parent.path().join("s3-credentials.json"), damaged).unwrap();
            assert!(matches!(dir.credentials(), Err(DataDirError::Credentials { .. })), "{damaged}");
        }
    }
}
